//! The manifest: which cards this manager may meet. A valid certificate is not enough for first contact.
//!
//! ```toml
//! [[card]]
//! label = "alice"
//! identity = "<66 hexadecimal digits>"
//! generation = "v2"
//!
//! [[card]]
//! label = "old"
//! instance = "<32 hexadecimal digits>"    # a card of applet 2.x or 3.x, which is named by its instance UID
//! generation = "v1"
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use proto::CardId;
use serde::Deserialize;

use crate::files::{self, StateError};

/// The cards that somebody vouched for, outside the cards themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    cards: Vec<Named>,
}

/// One card of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What people call it.
    pub label: String,
    /// Its identity.
    pub card: CardId,
    /// The generation of its secure channel.
    pub generation: Generation,
}

/// A generation of the secure channel. An identity key is good for the one generation it is pinned with, because a 3.1 or
/// 3.2 card signs whatever it is given and so could speak for a 4.0 one (DESIGN section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// Applets 2.x and 3.x: a static channel key and a pairing secret.
    V1,
    /// Applet 4.0: certificate and a signed opening.
    V2,
}

impl Generation {
    /// Returns the word of the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl From<keycard::Generation> for Generation {
    fn from(generation: keycard::Generation) -> Self {
        match generation {
            keycard::Generation::V1 => Self::V1,
            keycard::Generation::V2 => Self::V2,
        }
    }
}

impl From<Generation> for keycard::Generation {
    fn from(generation: Generation) -> Self {
        match generation {
            Generation::V1 => Self::V1,
            Generation::V2 => Self::V2,
        }
    }
}

/// Why a text is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not the TOML that a manifest is.
    #[error("{0}")]
    Malformed(String),
    /// A label that cannot be shown in one line.
    #[error("a label is 1 to 64 printable characters")]
    Label,
    /// An identity that is no public key.
    #[error("the identity of {label:?} is no compressed public key (66 hexadecimal digits)")]
    Identity {
        /// The card.
        label: String,
    },
    /// An instance UID that is none.
    #[error("the instance of {label:?} is no instance UID (32 hexadecimal digits)")]
    Instance {
        /// The card.
        label: String,
    },
    /// A name of the other generation.
    #[error("{label:?} needs an identity for generation v2, or an instance for generation v1")]
    Generation {
        /// The card.
        label: String,
    },
    /// Two cards that are the same.
    #[error("{label:?} names an identity or a label twice")]
    Twice {
        /// The second one.
        label: String,
    },
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::Damaged`], [`StateError::Io`].
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let text = files::read_text(path, MAX_BYTES)?.ok_or_else(|| StateError::Missing {
            path: path.to_owned(),
            todo: "write a manifest that names the card's identity, as `soft-create` prints it",
        })?;
        Self::parse(&text).map_err(|error| StateError::damaged(path, error.to_string()))
    }

    /// Returns the manifest of this text.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(default)]
            card: Vec<Entry>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Entry {
            label: String,
            identity: Option<String>,
            instance: Option<String>,
            generation: Generation,
        }
        let document: Document =
            toml::from_str(text).map_err(|error| ManifestError::Malformed(error.message().to_owned()))?;
        let (mut labels, mut ids) = (BTreeSet::new(), BTreeSet::new());
        let mut cards = Vec::new();
        for Entry { label, identity, instance, generation } in document.card {
            if !(1..=64).contains(&label.len()) || label.chars().any(char::is_control) {
                return Err(ManifestError::Label);
            }
            let card = match (generation, identity, instance) {
                (Generation::V2, Some(digits), None) => identity_of(&digits),
                (Generation::V1, None, Some(digits)) => instance_of(&digits),
                _ => return Err(ManifestError::Generation { label }),
            };
            let Some(card) = card else {
                return Err(match generation {
                    Generation::V1 => ManifestError::Instance { label },
                    Generation::V2 => ManifestError::Identity { label },
                });
            };
            if !labels.insert(label.clone()) || !ids.insert(card) {
                return Err(ManifestError::Twice { label });
            }
            cards.push(Named { label, card, generation });
        }
        Ok(Self { cards })
    }

    /// Returns what the manifest says of this card.
    #[must_use]
    pub fn find(&self, card: &CardId) -> Option<&Named> {
        self.cards.iter().find(|named| named.card == *card)
    }
}

fn identity_of(digits: &str) -> Option<CardId> {
    let key: [u8; 33] = hex::decode(digits).ok()?.try_into().ok()?;
    proto::ChatKey::try_from(key.as_slice()).ok()?;
    Some(CardId::Identity(key))
}

fn instance_of(digits: &str) -> Option<CardId> {
    Some(CardId::Instance(hex::decode(digits).ok()?.try_into().ok()?))
}

const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn entry(label: &str, identity: &str, generation: &str) -> String {
        format!("[[card]]\nlabel = {label:?}\nidentity = {identity:?}\ngeneration = {generation:?}\n")
    }

    #[test]
    fn a_card_is_found_by_its_identity() {
        let manifest = Manifest::parse(&entry("alice", KEY, "v2")).unwrap();
        let card = CardId::Identity(hex::decode(KEY).unwrap().try_into().unwrap());
        assert_eq!(manifest.find(&card).unwrap().label, "alice");
        assert_eq!(manifest.find(&CardId::Identity([2; 33])), None);
        assert_eq!(Manifest::parse("").unwrap().find(&card), None, "an empty manifest names nobody");
    }

    #[test]
    fn a_card_of_3_x_is_found_by_its_instance_uid() {
        let uid = "07".repeat(16);
        let manifest = Manifest::parse(&entry("old", &uid, "v1").replace("identity", "instance")).unwrap();
        let named = manifest.find(&CardId::Instance([7; 16])).unwrap();
        assert_eq!((named.label.as_str(), named.generation), ("old", Generation::V1));
    }

    #[test]
    fn what_is_no_manifest_is_named() {
        let cases = [
            ("card = 1".to_owned(), "invalid type"),
            ("[[cards]]".to_owned(), "unknown field"),
            (entry("", KEY, "v2"), "label"),
            (entry("a\nb", KEY, "v2"), "label"),
            (entry("alice", &KEY[2..], "v2"), "66 hexadecimal"),
            (entry("alice", &KEY.replacen("02", "07", 1), "v2"), "66 hexadecimal"),
            (entry("alice", KEY, "v3"), "unknown variant"),
            (entry("alice", KEY, "v1"), "an instance for generation v1"),
            (entry("alice", KEY, "v1").replace("identity", "instance"), "32 hexadecimal"),
            (entry("alice", KEY, "v2") + &entry("bob", KEY, "v2"), "twice"),
        ];
        for (text, want) in cases {
            let error = Manifest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn a_missing_manifest_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = Manifest::read(&dir.path().join("manifest.toml")).unwrap_err();
        assert!(error.to_string().contains("write a manifest"), "{error}");
    }
}
