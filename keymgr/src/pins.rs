//! What was pinned at enrolment: the card, its generation, its account, and its chat key.
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    label: String,
    card: String,
    generation: Generation,
    key_uid: String,
    chat: String,
    seed: SeedOrigin,
    checksum: String,
}

impl Pins {
    /// Reads what was pinned; nothing when there is no such file.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Io`].
    pub fn read(path: &Path) -> Result<Option<Self>, StateError> {
        let Some(text) = files::read_text(path, MAX_BYTES)? else { return Ok(None) };
        Self::parse(&text).map(Some).map_err(|what| StateError::damaged(path, what))
    }

    /// Writes it, whole.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        let text = toml::to_string(&self.document()).map_err(|error| StateError::damaged(path, error.to_string()))?;
        files::write_whole(path, text.as_bytes())
    }

    fn document(&self) -> Document {
        let mut document = Document {
            format: FORMAT.to_owned(),
            label: self.label.clone(),
            card: self.card.to_string(),
            generation: self.generation,
            key_uid: self.key_uid.to_string(),
            chat: self.chat.to_string(),
            seed: self.seed,
            checksum: String::new(),
        };
        document.checksum = document.digest();
        document
    }

    fn parse(text: &str) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if document.format != FORMAT {
            return Err("unknown format".to_owned());
        }
        if document.checksum != document.digest() {
            return Err("its checksum does not fit".to_owned());
        }
        let key_uid = hex::decode(&document.key_uid).ok().and_then(|b| KeyUid::try_from(b.as_slice()).ok());
        Ok(Self {
            card: document.card.parse().map_err(|_| "no card id")?,
            generation: document.generation,
            key_uid: key_uid.ok_or("no key UID")?,
            chat: document.chat.parse().map_err(|_| "no fingerprint")?,
            seed: document.seed,
            label: document.label,
        })
    }
}

impl Document {
    /// Returns what shows an accident with the file. It keeps nobody from changing it on purpose: who may write here is us.
    fn digest(&self) -> String {
        let Self { format, label, card, generation, key_uid, chat, seed, checksum: _ } = self;
        let text = format!("{format}\n{label}\n{card}\n{}\n{key_uid}\n{chat}\n{seed:?}\n", generation.name());
        hex::encode(Sha256::digest(text).get(..16).unwrap_or(&[]))
    }
}

const FORMAT: &str = "cardinal-pins/1";
const MAX_BYTES: usize = 4096;

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

    #[test]
    fn pins_read_back_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins.toml");
        assert_eq!(Pins::read(&path).unwrap(), None);
        pins().write(&path).unwrap();
        assert_eq!(Pins::read(&path).unwrap(), Some(pins()));
    }

    #[test]
    fn any_changed_byte_is_damage_and_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins.toml");
        pins().write(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            match Pins::read(&path) {
                Err(StateError::Damaged { .. }) => {}
                // A space or a quote of TOML that changed nothing of what is said.
                Ok(Some(read)) => assert_eq!(read, pins(), "byte {at}"),
                other => panic!("byte {at}: {other:?}"),
            }
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(matches!(Pins::read(&path), Err(StateError::Damaged { .. })));
    }
}
