//! What was written down of a card when it was met before, and whether it is that card that answers.
//!
//! Key UID, identity key and generation of the channel are pinned together: SELECT is signed by nobody, so a card that is
//! known as 4.0 and looks like 3.x is taken for a device in between, whatever it can prove.

use proto::{CardId, ChatKey, KeyUid};

use crate::application_info::ApplicationInfo;
use crate::generation::Generation;
use crate::identification::Identity;

/// A card as it was pinned. What is nothing here was nothing then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub id: CardId,
    /// Which secure channel it speaks.
    pub generation: Generation,
    /// The identity key of its certificate; nothing for a card that had none.
    pub identity: Option<ChatKey>,
    /// Its account.
    pub key_uid: Option<KeyUid>,
    /// The static key of its channel, on generation v1.
    pub channel_key: Option<ChatKey>,
}

impl Known {
    /// Compares what SELECT says.
    ///
    /// # Errors
    /// [`Changed`], the gravest difference first.
    pub fn check(&self, info: &ApplicationInfo) -> Result<(), Changed> {
        let found = info.generation();
        if found != self.generation {
            return Err(Changed::Generation { card: self.id, known: self.generation, found });
        }
        if !info.is_initialised() {
            return Err(Changed::Blank { card: self.id });
        }
        if info.card_id() != self.id {
            return Err(Changed::Card { known: self.id, found: info.card_id() });
        }
        if let Some(certificate) = info.certificate() {
            self.check_identity_key(Some(certificate.identity()))?;
        }
        if info.channel_key() != self.channel_key.as_ref() {
            return Err(Changed::ChannelKey { card: self.id });
        }
        if info.key_uid != self.key_uid {
            let (known, found) = (self.key_uid.map(Box::new), info.key_uid.map(Box::new));
            return Err(Changed::Key { card: self.id, known, found });
        }
        Ok(())
    }

    /// Compares what a card of generation v1 said in IDENTIFY CARD.
    ///
    /// # Errors
    /// [`Changed::Identity`].
    pub fn check_identity(&self, identity: &Identity) -> Result<(), Changed> {
        self.check_identity_key(identity.certified().map(|identification| identification.certificate.identity()))
    }

    fn check_identity_key(&self, found: Option<&ChatKey>) -> Result<(), Changed> {
        if found == self.identity.as_ref() {
            return Ok(());
        }
        let name = |key: &ChatKey| Box::new(CardId::Identity(key.to_compressed()));
        Err(Changed::Identity { card: self.id, known: self.identity.as_ref().map(name), found: found.map(name) })
    }
}

/// How a card differs from what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Changed {
    /// It speaks the other secure channel: a downgrade, or another card altogether.
    #[error(
        "card {card} is known to speak secure channel {known}, this one speaks {found}: a device may stand in between; \
         do not enter a PIN, and try another reader"
    )]
    Generation {
        /// The card that is known.
        card: CardId,
        /// What it spoke.
        known: Generation,
        /// What is spoken.
        found: Generation,
    },
    /// It was reset to its factory state.
    #[error("card {card} is blank: it was reset, or this is another card; its key is no longer there")]
    Blank {
        /// The card that is known.
        card: CardId,
    },
    /// It has another name.
    #[error("this is card {found}, not {known}; insert that one (a factory reset also gives an older card a new name)")]
    Card {
        /// The card that is known.
        known: CardId,
        /// The one that answers.
        found: CardId,
    },
    /// It has another identity key, or had one and has none.
    #[error("card {card} shows another identity than before ({}, it was {}); do not use it", named(.found), named(.known))]
    Identity {
        /// The card.
        card: CardId,
        /// Its identity before.
        known: Option<Box<CardId>>,
        /// Its identity as shown.
        found: Option<Box<CardId>>,
    },
    /// Its static key is another, which only INIT may change, and INIT comes with a new name.
    #[error("card {card} has another channel key than before, so it is a copy or a device in between; do not use it")]
    ChannelKey {
        /// The card.
        card: CardId,
    },
    /// It has another account.
    #[error(
        "card {card} holds another key than before ({}, it was {}); if you did not replace it, do not use this card",
        named(.found), named(.known)
    )]
    Key {
        /// The card.
        card: CardId,
        /// Its account before.
        known: Option<Box<KeyUid>>,
        /// Its account as shown.
        found: Option<Box<KeyUid>>,
    },
}

fn named<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}
