//! The cards that this manager has met and taken: what is pinned of each, and what their owner said about them.
//!
//! Card, generation of its channel, identity key, channel key and account are pinned together: an identity key that was
//! seen with one generation is never taken with the other, because a 3.1 or 3.2 card signs whatever it is given and so
//! could speak for a 4.0 one (DESIGN section 9). A card that is not here, not in the manifest and not enrolled is taken only
//! when a person confirms its fingerprint.
//!
//! The file is written whole. Without it every card is met for the first time again, which asks for more, never for less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keycard::KnownKeys;
use proto::{CardId, ChatKey, Fingerprint, KeyUid};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cards::tries::Tries;
use crate::files::{self, StateError};
use crate::manifest::Generation;
use crate::pause::WrongPins;

/// What happens when a card shows other keys than the pinned ones under the same account: its duress PIN was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duress {
    /// The card is refused and locked.
    #[default]
    Refuse,
    /// The other keys are used, and neither screen nor log tells.
    DecoyQuiet,
    /// The other keys are used, and both tell.
    DecoyMarked,
}

impl Duress {
    /// Returns the word that people use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::DecoyQuiet => "decoy-quiet",
            Self::DecoyMarked => "decoy-marked",
        }
    }
}

impl std::str::FromStr for Duress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Refuse, Self::DecoyQuiet, Self::DecoyMarked]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or("a duress mode is refuse, decoy-quiet or decoy-marked")
    }
}

/// One card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name for programs.
    pub card: CardId,
    /// The generation of its channel.
    pub generation: Generation,
    /// Its name for people.
    pub label: Option<String>,
    /// Its identity key, if it proved one.
    pub identity: Option<ChatKey>,
    /// The channel key of a card of 2.x or 3.x.
    pub channel: Option<ChatKey>,
    /// Its account, fetched inside the channel.
    pub key_uid: Option<KeyUid>,
    /// Of its chat key.
    pub chat: Option<Fingerprint>,
    /// Whether a person compared its fingerprint, so that no manifest need name it.
    pub confirmed: bool,
    /// What its owner wants under duress.
    pub duress: Duress,
    /// The tries of its PINs.
    pub tries: Option<Tries>,
    /// The PINs that were wrong since the last right one.
    pub wrong: Option<WrongPins>,
    /// The public keys of its account that it showed while its main PIN was validated.
    pub keys: KnownKeys,
}

impl Known {
    /// Returns a card of which nothing else is known.
    #[must_use]
    pub const fn new(card: CardId, generation: Generation) -> Self {
        Self {
            card,
            generation,
            label: None,
            identity: None,
            channel: None,
            key_uid: None,
            chat: None,
            confirmed: false,
            duress: Duress::Refuse,
            tries: None,
            wrong: None,
            keys: KnownKeys::none(),
        }
    }

    /// Returns the tries that may be told: in quiet mode a counter that differs from the card's own would tell which PIN
    /// was used.
    pub(crate) fn told_tries(&self) -> Option<Tries> {
        self.tries.filter(|_| self.duress != Duress::DecoyQuiet)
    }
}

/// All of them, and the file that they are in.
#[derive(Debug, Clone)]
pub struct KnownCards {
    path: PathBuf,
    cards: Vec<Known>,
}

impl KnownCards {
    /// Reads the file; no cards are known when there is none.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Io`].
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let cards = match files::read_text(path, MAX_BYTES)? {
            Some(text) => parse(&text).map_err(|what| StateError::damaged(path, what))?,
            None => Vec::new(),
        };
        Ok(Self { path: path.to_owned(), cards })
    }

    /// Returns what is known of this card.
    #[must_use]
    pub fn find(&self, card: &CardId) -> Option<&Known> {
        self.cards.iter().find(|known| known.card == *card)
    }

    /// Returns all cards.
    pub fn all(&self) -> impl Iterator<Item = &Known> {
        self.cards.iter()
    }

    /// Keeps what is known of a card, in place of what was.
    ///
    /// # Errors
    /// [`StateError::Io`], and then nothing has changed; [`StateError::Damaged`] when there are too many cards.
    pub fn keep(&mut self, known: Known) -> Result<(), StateError> {
        if self.find(&known.card) == Some(&known) {
            return Ok(());
        }
        let mut cards = self.cards.clone();
        match cards.iter_mut().find(|other| other.card == known.card) {
            Some(other) => *other = known,
            None => cards.push(known),
        }
        self.replace(cards)
    }

    /// Keeps what is known of a card that had another name before.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn replace_with(&mut self, before: &CardId, known: Known) -> Result<(), StateError> {
        self.keep(known.clone())?;
        if *before == known.card { Ok(()) } else { self.forget(before) }
    }

    /// Forgets a card: a factory reset made another one of it.
    ///
    /// # Errors
    /// [`StateError::Io`], and then nothing has changed.
    pub fn forget(&mut self, card: &CardId) -> Result<(), StateError> {
        if self.find(card).is_none() {
            return Ok(());
        }
        let cards = self.cards.iter().filter(|known| known.card != *card).cloned().collect();
        self.replace(cards)
    }

    fn replace(&mut self, cards: Vec<Known>) -> Result<(), StateError> {
        if cards.len() > MAX_CARDS {
            return Err(StateError::damaged(&self.path, "more cards than a manager keeps"));
        }
        let entries: Vec<Entry> = cards.iter().map(Entry::of).collect();
        let document = Document { format: FORMAT.to_owned(), checksum: digest(&entries), card: entries };
        let text = toml::to_string(&document).map_err(|error| StateError::damaged(&self.path, error.to_string()))?;
        files::write_whole(&self.path, text.as_bytes())?;
        self.cards = cards;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    checksum: String,
    #[serde(default)]
    card: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    generation: Generation,
    label: Option<String>,
    identity: Option<String>,
    channel: Option<String>,
    key_uid: Option<String>,
    chat: Option<String>,
    confirmed: bool,
    #[serde(default)]
    duress: Duress,
    tries: Option<Tries>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrong: Option<WrongPins>,
    /// Fingerprints by path, of the account above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    keys: BTreeMap<String, String>,
}

impl Entry {
    fn of(known: &Known) -> Self {
        let Known { card, generation, label, identity, channel, key_uid, chat, confirmed, duress, .. } = known;
        let Known { tries: _, wrong, keys, .. } = known;
        let current = keys.iter().filter(|_| keys.key_uid() == *key_uid).take(MAX_KEYS);
        Self {
            id: card.to_string(),
            generation: *generation,
            label: label.clone(),
            identity: identity.map(|key| hex::encode(key.to_compressed())),
            channel: channel.map(|key| hex::encode(key.to_compressed())),
            key_uid: key_uid.map(|uid| uid.to_string()),
            chat: chat.map(|chat| chat.to_string()),
            confirmed: *confirmed,
            duress: *duress,
            tries: known.told_tries(),
            wrong: *wrong,
            keys: current.map(|(path, key)| (path.to_string(), key.to_string())).collect(),
        }
    }

    fn known(self) -> Result<Known, String> {
        let key = |digits: Option<String>| -> Result<Option<ChatKey>, String> {
            let Some(digits) = digits else { return Ok(None) };
            let bytes = hex::decode(digits).map_err(|error| error.to_string())?;
            ChatKey::try_from(bytes.as_slice()).map(Some).map_err(|error| error.to_string())
        };
        let uid = |digits: String| hex::decode(digits).ok().and_then(|bytes| KeyUid::try_from(bytes.as_slice()).ok());
        let key_uid = self.key_uid.map(|digits| uid(digits).ok_or("no key UID")).transpose()?;
        let mut keys = key_uid.map_or_else(KnownKeys::none, KnownKeys::of);
        for (path, fingerprint) in self.keys {
            let path = path.parse().map_err(|error: proto::path::PathError| error.to_string())?;
            keys.insert(path, fingerprint.parse().map_err(|_| "no fingerprint")?);
        }
        Ok(Known {
            card: self.id.parse().map_err(|error: proto::id::NotAnId| error.to_string())?,
            generation: self.generation,
            label: self.label,
            identity: key(self.identity)?,
            channel: key(self.channel)?,
            key_uid,
            chat: self.chat.map(|chat| chat.parse()).transpose().map_err(|_| "no fingerprint")?,
            confirmed: self.confirmed,
            duress: self.duress,
            tries: self.tries,
            wrong: self.wrong,
            keys,
        })
    }
}

fn parse(text: &str) -> Result<Vec<Known>, String> {
    let document: Document = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if document.format != FORMAT {
        return Err("unknown format".to_owned());
    }
    if document.checksum != digest(&document.card) {
        return Err("its checksum does not fit".to_owned());
    }
    document.card.into_iter().map(Entry::known).collect()
}

/// Returns what shows an accident with the file. It keeps nobody from changing it on purpose: who may write here is us.
fn digest(cards: &[Entry]) -> String {
    let mut hasher = Sha256::new();
    for card in cards {
        hasher.update(serde_json::to_vec(card).unwrap_or_default());
        hasher.update(b"\n");
    }
    hex::encode(hasher.finalize().get(..16).unwrap_or(&[]))
}

const FORMAT: &str = "cardinal-cards/1";
const MAX_BYTES: usize = 1 << 23;
/// Of one card. What else it showed is forgotten.
const MAX_KEYS: usize = 64;
const MAX_CARDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let key = ChatKey::try_from(
            hex::decode("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap().as_slice(),
        )
        .unwrap();
        Known {
            label: Some("blue \"card\"".to_owned()),
            identity: Some(key),
            channel: Some(key),
            key_uid: Some(KeyUid::from([7; 32])),
            chat: Some("0001-0203-0405-06ff".parse().unwrap()),
            confirmed: true,
            duress: Duress::DecoyMarked,
            tries: Some(Tries::fresh(Generation::V1, 3)),
            keys: {
                let mut keys = KnownKeys::of(KeyUid::from([7; 32]));
                keys.insert("m/44'/60'".parse().unwrap(), "0001-0203-0405-06ff".parse().unwrap());
                keys
            },
            ..Known::new(CardId::Instance([9; 16]), Generation::V1)
        }
    }

    #[test]
    fn known_cards_read_back_what_was_kept_and_forget_what_was_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cards.toml");
        let mut cards = KnownCards::read(&path).unwrap();
        assert_eq!(cards.all().count(), 0);
        let other = Known::new(CardId::Identity([2; 33]), Generation::V2);
        cards.keep(known()).unwrap();
        cards.keep(other.clone()).unwrap();
        let mut cards = KnownCards::read(&path).unwrap();
        assert_eq!(cards.find(&known().card), Some(&known()));
        cards.forget(&known().card).unwrap();
        assert_eq!(KnownCards::read(&path).unwrap().all().collect::<Vec<_>>(), [&other]);
    }

    #[test]
    fn keys_of_another_account_are_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cards.toml");
        let other = Known { key_uid: Some(KeyUid::from([8; 32])), ..known() };
        KnownCards::read(&path).unwrap().keep(other.clone()).unwrap();
        let read = KnownCards::read(&path).unwrap();
        assert_eq!(read.find(&other.card).unwrap().keys, KnownKeys::of(KeyUid::from([8; 32])));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cards.toml");
        KnownCards::read(&path).unwrap().keep(known()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for bad in [text.replace("blue", "blux"), text.replace("decoy-marked", "refuse"), text.replace("/1", "/2")] {
            std::fs::write(&path, &bad).unwrap();
            assert!(matches!(KnownCards::read(&path), Err(StateError::Damaged { .. })), "{bad}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        }
    }

    #[test]
    fn in_quiet_mode_no_counter_is_written_that_would_tell_which_pin_was_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cards.toml");
        let quiet = Known { duress: Duress::DecoyQuiet, ..known() };
        let mut cards = KnownCards::read(&path).unwrap();
        cards.keep(quiet).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("tries"));
    }

    #[test]
    fn a_duress_mode_is_one_of_three_words() {
        for mode in [Duress::Refuse, Duress::DecoyQuiet, Duress::DecoyMarked] {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert!("decoy".parse::<Duress>().is_err());
    }
}
