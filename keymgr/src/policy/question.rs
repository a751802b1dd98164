//! What a caller may ask for: a key at a path, and what is to be done with it.
//!
//! The invariant (DESIGN promise 3): [`Question::possible`] fails for what no configuration may allow, and nothing is decided
//! before it.

use std::fmt;

use audit::{Asked, Operation};
use proto::path::PathError;
use proto::{ExportPath, KeyPath};
use serde::{Deserialize, Serialize};

use super::reason::Reason;

/// What is done with a key, by the word of the policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// The private key leaves the card. `mode = "export"` says it, so no list of operations does.
    #[serde(skip_deserializing)]
    ExportPrivate,
    /// The public key is shown.
    Public,
    /// The public key is shown with its chain code.
    Extended,
    /// The card signs a hash.
    Sign,
    /// The card agrees on a secret with any public key.
    Ecdh,
    /// The manager derives a secret from an agreement with a point of its own choice ([`crate::derive`]).
    Derive,
    /// Entropy of BIP-85.
    Bip85,
    /// Nullifier and viewing keys of LEE.
    Lee,
    /// The key signs without a PIN from then on.
    Pinless,
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is to be done.
    pub operation: Use,
    /// With the key at this path.
    pub path: KeyPath,
}

impl Use {
    /// Every one, in the order of the help.
    pub const ALL: [Self; 9] = [
        Self::ExportPrivate,
        Self::Public,
        Self::Extended,
        Self::Sign,
        Self::Ecdh,
        Self::Derive,
        Self::Bip85,
        Self::Lee,
        Self::Pinless,
    ];

    /// Returns the word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExportPrivate => "export-private",
            Self::Public => "public",
            Self::Extended => "extended",
            Self::Sign => "sign",
            Self::Ecdh => "ecdh",
            Self::Derive => "derive",
            Self::Bip85 => "bip85",
            Self::Lee => "lee",
            Self::Pinless => "pinless",
        }
    }

    /// Returns the use of which a log tells: what is derived is an agreement to the card.
    pub(super) const fn on_card(self) -> Self {
        match self {
            Self::Derive => Self::Ecdh,
            other => other,
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Use {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|it| it.name()).collect();
            format!("an operation is one of {}", names.join(", "))
        })
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, path } = self;
        match operation {
            Use::ExportPrivate => write!(f, "the private key of {path}"),
            Use::Public => write!(f, "the public key of {path}"),
            Use::Extended => write!(f, "the extended public key of {path}"),
            Use::Sign => write!(f, "signatures with {path}"),
            Use::Ecdh => write!(f, "ECDH with {path}"),
            Use::Derive => write!(f, "secrets derived from {path}"),
            Use::Bip85 => write!(f, "BIP-85 entropy of {path}"),
            Use::Lee => write!(f, "the LEE keys of {path}"),
            Use::Pinless => write!(f, "signatures with {path} without a PIN"),
        }
    }
}

impl Question {
    /// Returns the question that is asked so.
    ///
    /// # Errors
    /// [`Reason::NoExport`] for what is no question of the policy's, [`Reason::NotFromMaster`].
    pub fn of(asked: &Asked) -> Result<Self, Reason> {
        let (operation, path) = match asked {
            Asked::Private(path) => (Use::ExportPrivate, path),
            Asked::Public(path) => (Use::Public, path),
            Asked::ExtendedPublic(path) => (Use::Extended, path),
            Asked::Operation(operation) => return Self::of_operation(operation),
            Asked::Unlock | Asked::Provision => return Err(Reason::NoExport),
        };
        Ok(Self { operation, path: path.clone() })
    }

    /// Returns the question that an operation answers.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_operation(operation: &Operation) -> Result<Self, Reason> {
        let (operation, path) = match operation {
            Operation::ExportPrivate(path) => (Use::ExportPrivate, path.as_path()),
            Operation::ExportPublic(path) => (Use::Public, path),
            Operation::ExportExtendedPublic(path) => (Use::Extended, path),
            Operation::Sign(signing) => (Use::Sign, signing.key.absolute().ok_or(Reason::NotFromMaster)?),
            Operation::SetPinlessPath(path) => (Use::Pinless, path),
            Operation::Ecdh(agreement) => (Use::Ecdh, &agreement.path),
            Operation::ExportBip85(entropy) => (Use::Bip85, &entropy.path),
            Operation::ExportLee(path) => (Use::Lee, path),
            _ => return Err(Reason::NoExport),
        };
        Ok(Self { operation, path: path.clone() })
    }

    /// Checks that a configuration may allow this at all.
    ///
    /// # Errors
    /// The reason that no configuration can change.
    pub fn possible(&self) -> Result<(), Reason> {
        let Self { operation, path } = self;
        match operation {
            Use::ExportPrivate => ExportPath::try_from(path.clone()).map(drop).map_err(Reason::NotExportable),
            Use::Extended if path.is_master() => Err(Reason::ExtendedMaster),
            Use::Extended if path.is_in_eip_1581() => Err(Reason::ExtendedSubtree),
            Use::Ecdh | Use::Derive if !agrees(path) => Err(Reason::NoAgreement),
            Use::Bip85 if !is_bip85(path) => Err(Reason::NoBip85),
            Use::Sign | Use::Pinless | Use::Extended | Use::Lee if is_for_statements(path) => {
                Err(Reason::ForStatements)
            }
            _ => Ok(()),
        }
    }
}

/// Returns whether this is a key type of EIP-1581, `m/43'/60'/1581'/type'`.
pub(super) fn is_key_type(path: &KeyPath) -> bool {
    let components = path.components();
    path.is_in_eip_1581() && components.len() == 4 && components.last().is_some_and(|last| last & HARDENED != 0)
}

/// Whether the key there signs what the log says, and so nothing else.
fn is_for_statements(path: &KeyPath) -> bool {
    path.to_string() == audit::STATEMENT_PATH
}

/// Whether ECDH takes this path (reference: Keycard applet, ECDH).
fn agrees(path: &KeyPath) -> bool {
    path.components().len() >= 5 && (path.is_in_eip_1581() || path.components().starts_with(&NOSTR))
}

/// Whether EXPORT BIP85 takes this path (reference: Keycard applet, EXPORT BIP85).
fn is_bip85(path: &KeyPath) -> bool {
    let components = path.components();
    components.len() >= 2 && components.first() == Some(&BIP85) && components.iter().all(|c| c & HARDENED != 0)
}

/// Returns why a path of EIP-1581 holds no private key that may leave.
pub(super) fn exportable(path: &KeyPath) -> Result<(), PathError> {
    if is_key_type(path) { Ok(()) } else { ExportPath::try_from(path.clone()).map(drop) }
}

const HARDENED: u32 = 0x8000_0000;
/// `m/44'/1237'`
const NOSTR: [u32; 2] = [HARDENED | 44, HARDENED | 1237];
/// `83696968'`
const BIP85: u32 = HARDENED | 83_696_968;
