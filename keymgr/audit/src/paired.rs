//! The evidence of one opening of a channel of generation v1: applets up to 3.2.
//!
//! Nothing in that opening is signed. A 3.1 or 3.2 card signs 32 bytes of ours just before (IDENTIFY CARD), which are the
//! salt that speaks of the log's head; older cards, and cards without a certificate, sign nothing.

use proto::{CardId, KeyUid};
use serde::{Deserialize, Serialize};

use crate::line::Head;
use crate::text::{self, Blob, Text};

/// A card took a pairing, and a channel to it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedChannelOpened {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// The account on it, none while it holds no key.
    #[serde(with = "text::hex_option")]
    pub key_uid: Option<KeyUid>,
    /// The applet's version, for example `3.1`.
    pub applet: Text<16>,
    /// The slot of the pairing on the card.
    pub slot: u8,
    /// Whether the pairing was made with a password that everybody knows.
    pub well_known: bool,
    /// The card's static key, uncompressed.
    pub channel_key: Blob<65>,
    /// What the card signed; none for a card that does not sign.
    pub signed: Option<SignedHead>,
}

/// A card's signature over the salt of a log's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// Who signed the certificate: `production`, `test`, or the hexadecimal key of an added authority.
    pub authority: Text<80>,
    /// The card's certificate.
    pub certificate: Blob<192>,
    /// What was hashed with the log's head into the salt ([`Head::salt`]).
    #[serde(with = "text::hex_fixed")]
    pub random: [u8; 32],
    /// The salt, which the card took for a hash and signed.
    #[serde(with = "text::hex_fixed")]
    pub salt: [u8; 32],
    /// The signature, DER.
    pub signature: Blob<80>,
}

impl SignedHead {
    /// Returns whether the salt speaks of this head.
    #[must_use]
    pub fn vouches_for(&self, head: &Head) -> bool {
        head.salt(&self.random) == self.salt
    }
}

impl PairedChannelOpened {
    /// Returns whether what the card signed, if it did, speaks of the log as it stood before this line.
    #[must_use]
    pub fn vouches_for(&self, head: &Head) -> bool {
        self.signed.as_ref().is_none_or(|signed| signed.vouches_for(head))
    }
}
