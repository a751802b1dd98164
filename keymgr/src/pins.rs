//! What was pinned at enrolment: the cards, their generations, their accounts, and their chat keys.
//!
//! SELECT is signed by nobody, so "the same card and key as last time" means: this identity opened the channel, and these
//! public keys came through it.

use std::path::Path;

use proto::{CardId, Fingerprint, KeyUid};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use audit::SeedOrigin;

use crate::files::{self, StateError};
use crate::manifest::Generation;

/// One enrolled card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// Its label in the manifest at enrolment.
    pub label: String,
    /// Its identity.
    pub card: CardId,
    /// The generation of its channel.
    pub generation: Generation,
    /// Its account.
    pub key_uid: KeyUid,
    /// Of its chat public key.
    pub chat: Fingerprint,
    /// Where its seed came from.
    pub seed: SeedOrigin,
}

/// The enrolled cards, in the order in which they were enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PinnedCards(Vec<Pins>);

impl PinnedCards {
    /// Reads what was pinned; nothing when there is no such file.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Io`].
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let Some(text) = files::read_text(path, MAX_BYTES)? else { return Ok(Self::default()) };
        Self::parse(&text).map_err(|what| StateError::damaged(path, what))
    }

    /// Writes it, whole; nothing pinned is no file.
    ///
    /// # Errors
    /// [`StateError::Io`]; [`StateError::Damaged`] when there are too many cards.
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        if self.0.is_empty() {
            return match std::fs::remove_file(path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(StateError::io(path, source)),
                _ => Ok(()),
            };
        }
        if self.0.len() > MAX_CARDS {
            return Err(StateError::damaged(path, "more cards than a manager enrols"));
        }
        let card: Vec<Entry> = self.0.iter().map(Entry::of).collect();
        let document = Document { format: FORMAT.to_owned(), checksum: digest(&card), card };
        let text = toml::to_string(&document).map_err(|error| StateError::damaged(path, error.to_string()))?;
        files::write_whole(path, text.as_bytes())
    }

    /// Whether no card is enrolled.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what was pinned of this card.
    #[must_use]
    pub fn find(&self, card: &CardId) -> Option<&Pins> {
        self.0.iter().find(|pins| pins.card == *card)
    }

    /// Returns the enrolled card, if there is exactly one.
    #[must_use]
    pub fn only(&self) -> Option<&Pins> {
        if let [pins] = self.0.as_slice() { Some(pins) } else { None }
    }

    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = &Pins> {
        self.0.iter()
    }

    /// Pins a card, in place of what was pinned of it.
    pub fn pin(&mut self, pins: Pins) {
        match self.0.iter_mut().find(|other| other.card == pins.card) {
            Some(other) => *other = pins,
            None => self.0.push(pins),
        }
    }

    /// Forgets a card, and returns what was pinned of it.
    pub fn unpin(&mut self, card: &CardId) -> Option<Pins> {
        let at = self.0.iter().position(|pins| pins.card == *card)?;
        Some(self.0.remove(at))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |error: toml::de::Error| error.message().to_owned();
        let table: toml::Table = toml::from_str(text).map_err(wrong)?;
        if table.get("format").and_then(toml::Value::as_str) == Some(FORMAT_OF_ONE) {
            return only_card(table).map(|pins| Self(vec![pins]));
        }
        let document: Document = table.try_into().map_err(wrong)?;
        if document.format != FORMAT {
            return Err("unknown format".to_owned());
        }
        if document.checksum != digest(&document.card) {
            return Err("its checksum does not fit".to_owned());
        }
        document.card.into_iter().map(Entry::pins).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    checksum: String,
    card: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    label: String,
    card: String,
    generation: Generation,
    key_uid: String,
    chat: String,
    seed: SeedOrigin,
}

impl Entry {
    fn of(pins: &Pins) -> Self {
        let Pins { label, card, generation, key_uid, chat, seed } = pins;
        Self {
            label: label.clone(),
            card: card.to_string(),
            generation: *generation,
            key_uid: key_uid.to_string(),
            chat: chat.to_string(),
            seed: *seed,
        }
    }

    fn pins(self) -> Result<Pins, String> {
        let key_uid = hex::decode(&self.key_uid).ok().and_then(|b| KeyUid::try_from(b.as_slice()).ok());
        Ok(Pins {
            card: self.card.parse().map_err(|_| "no card id")?,
            generation: self.generation,
            key_uid: key_uid.ok_or("no key UID")?,
            chat: self.chat.parse().map_err(|_| "no fingerprint")?,
            seed: self.seed,
            label: self.label,
        })
    }
}

/// Returns the card of a file of format 1, which holds one: its fields stand beside the format and the checksum.
fn only_card(mut document: toml::Table) -> Result<Pins, String> {
    let checksum = document.remove("checksum");
    document.remove("format");
    let entry: Entry = document.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Entry { label, card, generation, key_uid, chat, seed } = &entry;
    let generation = generation.name();
    let text = format!("{FORMAT_OF_ONE}\n{label}\n{card}\n{generation}\n{key_uid}\n{chat}\n{seed:?}\n");
    if checksum.as_ref().and_then(toml::Value::as_str) != Some(short_hash(text.as_bytes()).as_str()) {
        return Err("its checksum does not fit".to_owned());
    }
    entry.pins()
}

/// Returns what shows an accident with the file. It keeps nobody from changing it on purpose: who may write here is us.
fn digest(cards: &[Entry]) -> String {
    short_hash(&serde_json::to_vec(cards).unwrap_or_default())
}

fn short_hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes).get(..16).unwrap_or(&[]))
}

const FORMAT: &str = "cardinal-pins/2";
const FORMAT_OF_ONE: &str = "cardinal-pins/1";
const MAX_BYTES: usize = 1 << 18;
const MAX_CARDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> Pins {
        Pins {
            label: "alice".to_owned(),
            card: CardId::Identity([2; 33]),
            generation: Generation::V2,
            key_uid: KeyUid::from([7; 32]),
            chat: "0001-0203-0405-06ff".parse().unwrap(),
            seed: SeedOrigin::GeneratedOnCard,
        }
    }

    fn both() -> PinnedCards {
        let other = Pins { label: "bob".to_owned(), card: CardId::Instance([3; 16]), ..pins() };
        let mut cards = PinnedCards::default();
        cards.pin(pins());
        cards.pin(other);
        cards
    }

    #[test]
    fn pins_read_back_what_was_written_and_no_pins_are_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins.toml");
        assert!(PinnedCards::read(&path).unwrap().is_empty());
        let mut cards = both();
        cards.write(&path).unwrap();
        assert_eq!(PinnedCards::read(&path).unwrap(), cards);
        assert_eq!(cards.only(), None);
        cards.pin(Pins { label: "again".to_owned(), ..pins() });
        assert_eq!(cards.find(&pins().card).unwrap().label, "again");
        assert!(cards.unpin(&pins().card).is_some() && cards.unpin(&pins().card).is_none());
        assert_eq!(cards.only().unwrap().label, "bob");
        cards.unpin(&CardId::Instance([3; 16]));
        cards.write(&path).unwrap();
        cards.write(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_one_card_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins.toml");
        let Entry { label, card, key_uid, chat, .. } = Entry::of(&pins());
        let body = format!("cardinal-pins/1\n{label}\n{card}\nv2\n{key_uid}\n{chat}\nGeneratedOnCard\n");
        let text = format!(
            "format = \"cardinal-pins/1\"\nlabel = \"{label}\"\ncard = \"{card}\"\ngeneration = \"v2\"\nkey_uid = \
             \"{key_uid}\"\nchat = \"{chat}\"\nseed = \"generated_on_card\"\nchecksum = \"{}\"\n",
            short_hash(body.as_bytes())
        );
        std::fs::write(&path, &text).unwrap();
        assert_eq!(PinnedCards::read(&path).unwrap().only(), Some(&pins()));
        std::fs::write(&path, text.replace("alice", "alicf")).unwrap();
        assert!(matches!(PinnedCards::read(&path), Err(StateError::Damaged { .. })));
    }

    #[test]
    fn any_changed_byte_is_damage_and_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins.toml");
        both().write(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            match PinnedCards::read(&path) {
                Err(StateError::Damaged { .. }) => {}
                // A space or a quote of TOML that changed nothing of what is said.
                Ok(read) => assert_eq!(read, both(), "byte {at}"),
                other => panic!("byte {at}: {other:?}"),
            }
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(matches!(PinnedCards::read(&path), Err(StateError::Damaged { .. })));
    }
}
