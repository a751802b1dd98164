//! What cards say of a log's head: signatures without a channel being opened, statements under a PIN, and memories.

use proto::{CardId, KeyUid};
use serde::{Deserialize, Serialize};

use crate::line::Head;
use crate::paired::SignedHead;
use crate::text::{self, Blob, Text};

/// The path of the key that signs statements, and nothing else: no policy allows another use of it.
pub const STATEMENT_PATH: &str = "m/43'/60'/6962'/0'";

/// A card signed the salt of the head before this line (IDENTIFY CARD of applets 3.1 and 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSigned {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// The applet's version.
    pub applet: Text<16>,
    /// What it signed.
    pub signed: SignedHead,
}

/// The key at [`STATEMENT_PATH`] signed the salt of the head before the intent of that signature, which the card does only
/// after its PIN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// The account on it.
    #[serde(with = "text::hex_option")]
    pub key_uid: Option<KeyUid>,
    /// The line of the intent; the head is the one before it.
    pub intent: u64,
    /// The public key, uncompressed.
    pub key: Blob<65>,
    /// What was hashed with the head into the salt ([`Head::salt`]).
    #[serde(with = "text::hex_fixed")]
    pub random: [u8; 32],
    /// The salt, which the card took for a hash and signed.
    #[serde(with = "text::hex_fixed")]
    pub salt: [u8; 32],
    /// r and s of the ECDSA signature.
    pub signature: Blob<64>,
}

/// A card's data slot remembers a head that this log never had: another manager writes about the same card, or this log
/// was set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondWriter {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// What it remembers.
    #[serde(with = "text::shown")]
    pub found: Head,
}

impl HeadSigned {
    /// Returns whether the salt speaks of the log as it stood before this line.
    #[must_use]
    pub fn vouches_for(&self, head: &Head) -> bool {
        self.signed.vouches_for(head)
    }
}
