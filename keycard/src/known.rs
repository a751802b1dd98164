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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, identity_key, public, selected};
    use crate::fake_v1::FakeV1;
    use crate::version::Version;

    fn info(fake: FakeV1) -> ApplicationInfo {
        selected(fake).info().clone()
    }

    fn v1() -> (Known, ApplicationInfo) {
        let info = info(FakeV1::initialised(Version::V3_1).holding(KeyUid::from([7; 32])));
        let known = Known {
            id: info.card_id(),
            generation: Generation::V1,
            identity: Some(identity_key()),
            key_uid: info.key_uid,
            channel_key: info.channel_key().copied(),
        };
        (known, info)
    }

    fn v2() -> (Known, ApplicationInfo) {
        let info = selected(FakeCard::initialised()).info().clone();
        let identity = Some(*info.certificate().unwrap().identity());
        let known =
            Known { id: info.card_id(), generation: Generation::V2, identity, key_uid: None, channel_key: None };
        (known, info)
    }

    #[test]
    fn the_same_card_of_either_generation_is_the_same() {
        for (known, info) in [v1(), v2()] {
            assert_eq!(known.check(&info), Ok(()));
        }
    }

    /// Attack 10: a 4.0 card made to look like 3.x, and the other way round.
    #[test]
    fn another_generation_is_refused_first_of_all() {
        for (known, info) in [(v2().0, v1().1), (v1().0, v2().1)] {
            let changed = known.check(&info).unwrap_err();
            assert!(matches!(changed, Changed::Generation { .. }), "{changed}");
            assert!(changed.to_string().contains("a device may stand in between"), "{changed}");
        }
    }

    #[test]
    fn each_difference_is_named_with_its_evidence() {
        let (known, info) = v1();
        let other = Known { id: CardId::Instance([9; 16]), ..known.clone() };
        assert_eq!(other.check(&info), Err(Changed::Card { known: other.id, found: info.card_id() }));
        let other = Known { channel_key: Some(public(9)), ..known.clone() };
        assert_eq!(other.check(&info), Err(Changed::ChannelKey { card: known.id }));
        let other = Known { key_uid: None, ..known.clone() };
        let changed = other.check(&info).unwrap_err();
        assert!(changed.to_string().contains("it was none"), "{changed}");
        assert!(matches!(known.check_identity(&Identity::Uncertified), Err(Changed::Identity { found: None, .. })));
        let (known, info) = v2();
        let other = Known { identity: Some(public(9)), ..known };
        assert!(matches!(other.check(&info), Err(Changed::Identity { .. })));
    }

    #[test]
    fn a_card_that_was_reset_is_blank_and_no_other_card() {
        let (known, _) = v1();
        let blank = crate::fake::blank(FakeV1::blank(Version::V3_1)).info().clone();
        assert_eq!(known.check(&blank), Err(Changed::Blank { card: known.id }));
    }
}
