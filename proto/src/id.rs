//! Byte strings with names: who is who, and which is which.

use std::fmt;

use k256::elliptic_curve::sec1::ToSec1Point;

use crate::digits;

/// Bytes of the wrong length, or no point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {what}")]
pub struct NotAnId {
    /// What was expected, with its length.
    pub what: &'static str,
}

macro_rules! byte_id {
    ($name:ident, $len:expr, $what:expr, $doc:expr) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// How many bytes.
            pub const LEN: usize = $len;

            /// Returns the bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = NotAnId;

            fn try_from(bytes: &[u8]) -> Result<Self, NotAnId> {
                bytes.try_into().map(Self).map_err(|_| NotAnId { what: $what })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}…)"), hex::encode(self.0.get(..4).unwrap_or(&[])))
            }
        }

        /// The whole value in lower-case hexadecimal.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
    };
}

byte_id!(
    KeyUid,
    32,
    "a key UID of 32 bytes",
    "An account: SHA-256 of the 65-byte master public key, as SELECT reports it."
);
byte_id!(
    InstanceUid,
    16,
    "an instance UID of 16 bytes",
    "One installed applet of generation 2.x or 3.x, until its next factory reset, as SELECT reports it."
);
byte_id!(
    Topic,
    4,
    "a topic of 4 bytes",
    "An envelope's topic: the first 4 bytes of keccak-256 of a text (10/WAKU-USAGE)."
);
byte_id!(EnvelopeHash, 32, "an envelope hash of 32 bytes", "Keccak-256 of an envelope's whole RLP (6/WAKU1).");
byte_id!(
    MessageId,
    32,
    "a message id of 32 bytes",
    "An application message: keccak-256(author's 65 bytes || wrapper) (6/PAYLOADS)."
);
byte_id!(Digest, 32, "a digest of 32 bytes", "A 32-byte hash that is about to be signed, or was.");

impl KeyUid {
    /// Returns the account of this master public key.
    #[must_use]
    pub fn of_master(master: &ChatKey) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(master.to_bytes()).into())
    }
}

/// One card, whichever way its generation names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CardId {
    /// Applet 2.x and 3.x: the instance UID from SELECT, new after each factory reset.
    Instance([u8; 16]),
    /// Applet 4.0: the compressed identity public key of its certificate.
    Identity([u8; 33]),
    /// A card without the applet: the diversification data of its security domain (GlobalPlatform).
    Chip([u8; 10]),
    /// Applet 2.x and 3.x before INIT, which draws the name of the instance: the beginning of the hash of its channel key.
    Blank([u8; 16]),
}

impl CardId {
    /// Returns the name of a blank card of generation 2.x or 3.x: the first 16 bytes of SHA-256 of its channel key,
    /// uncompressed.
    #[must_use]
    pub fn of_blank(channel_key: &ChatKey) -> Self {
        use sha2::Digest as _;
        let hash = <[u8; 32]>::from(sha2::Sha256::digest(channel_key.to_bytes()));
        let mut name = [0; 16];
        name.copy_from_slice(hash.split_at(16).0);
        Self::Blank(name)
    }
}

impl From<InstanceUid> for CardId {
    fn from(uid: InstanceUid) -> Self {
        Self::Instance(*uid.as_bytes())
    }
}

impl fmt::Debug for CardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardId({self})")
    }
}

/// `instance:`, `identity:`, `blank:` or `chip:` and the whole value in lower-case hexadecimal.
impl fmt::Display for CardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(uid) => f.write_str("instance:").and_then(|()| write_hex(f, uid)),
            Self::Identity(key) => f.write_str("identity:").and_then(|()| write_hex(f, key)),
            Self::Chip(data) => f.write_str("chip:").and_then(|()| write_hex(f, data)),
            Self::Blank(name) => f.write_str("blank:").and_then(|()| write_hex(f, name)),
        }
    }
}

impl std::str::FromStr for CardId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        const WHAT: NotAnId =
            NotAnId { what: "a card id (identity:, instance:, blank: or chip: and hexadecimal digits)" };
        let (kind, rest) = text.split_once(':').ok_or(WHAT)?;
        let id = match kind {
            "instance" => read_hex(rest).map(Self::Instance),
            "identity" => read_hex(rest).map(Self::Identity),
            "chip" => read_hex(rest).map(Self::Chip),
            "blank" => read_hex(rest).map(Self::Blank),
            _ => None,
        };
        id.ok_or(WHAT)
    }
}

/// Writes at most 33 bytes in hexadecimal.
fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut room = [0; 66];
    let room = room.get_mut(..2 * bytes.len()).ok_or(fmt::Error)?;
    f.write_str(digits::encode(bytes, room).ok_or(fmt::Error)?)
}

fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    digits::decode(text, &mut bytes).map(|()| bytes)
}

/// A public key on secp256k1 that was checked to be a point of the curve.
///
/// Chat identities, node keys and card keys are all of this kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChatKey(k256::PublicKey);

impl ChatKey {
    /// Returns the uncompressed form `04 || X || Y`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 65] {
        let mut bytes = [0; 65];
        bytes.copy_from_slice(self.0.to_sec1_point(false).as_bytes());
        bytes
    }

    /// Returns the compressed form, 33 bytes.
    #[must_use]
    pub fn to_compressed(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(self.0.to_sec1_point(true).as_bytes());
        bytes
    }

    /// Returns `X || Y`, the form of devp2p node ids.
    #[must_use]
    pub fn to_node_id(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.to_bytes().split_at(1).1);
        bytes
    }

    /// Returns the key of a devp2p node id, `X || Y`.
    ///
    /// # Errors
    /// [`NotAnId`] when that is no point of the curve.
    pub fn from_node_id(id: &[u8; 64]) -> Result<Self, NotAnId> {
        let mut bytes = [4; 65];
        bytes.split_at_mut(1).1.copy_from_slice(id);
        Self::try_from(bytes.as_slice())
    }

    /// Returns the point for the arithmetic of the `k256` crate.
    #[must_use]
    pub fn as_point(&self) -> &k256::PublicKey {
        &self.0
    }
}

impl From<k256::PublicKey> for ChatKey {
    fn from(point: k256::PublicKey) -> Self {
        Self(point)
    }
}

impl TryFrom<&[u8]> for ChatKey {
    type Error = NotAnId;

    /// Takes the compressed (33) and the uncompressed (65) form. SEC 1's compact form would be a second name for a key.
    fn try_from(bytes: &[u8]) -> Result<Self, NotAnId> {
        const WHAT: NotAnId = NotAnId { what: "a point of secp256k1" };
        match bytes.first() {
            Some(2..=4) => k256::PublicKey::from_sec1_bytes(bytes).map(Self).map_err(|_| WHAT),
            _ => Err(WHAT),
        }
    }
}

impl fmt::Debug for ChatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatKey({}…)", hex::encode(self.to_compressed().get(..5).unwrap_or(&[])))
    }
}

/// `0x` and the uncompressed form, the way contact ids are written.
impl fmt::Display for ChatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::{CardId, ChatKey, KeyUid, Topic};

    #[test]
    fn a_card_id_reads_back_what_it_prints() {
        for id in [CardId::Instance([7; 16]), CardId::Identity([2; 33]), CardId::Blank([9; 16]), CardId::Chip([9; 10])]
        {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!("identity:00".parse::<CardId>().is_err());
        assert!("02".parse::<CardId>().is_err());
    }

    #[test]
    fn a_point_off_the_curve_is_refused() {
        let mut bytes = [4u8; 65];
        assert!(ChatKey::try_from(bytes.as_slice()).is_err());
        bytes[0] = 2;
        assert!(ChatKey::try_from(&bytes[..20]).is_err());
        let mut compact = ChatKey::from(k256::SecretKey::from_slice(&[7; 32]).unwrap().public_key()).to_compressed();
        compact[0] = 5;
        assert!(ChatKey::try_from(compact.as_slice()).is_err(), "the compact form");
    }

    /// Key UID of private key 1: reference section 9.3.
    #[test]
    fn the_key_uid_is_the_hash_of_the_master_public_key() {
        let one = k256::SecretKey::from_slice(&{
            let mut bytes = [0u8; 32];
            bytes[31] = 1;
            bytes
        })
        .unwrap();
        let uid = KeyUid::of_master(&ChatKey::from(one.public_key()));
        assert_eq!(uid.to_string(), "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0");
    }

    #[test]
    fn debug_is_short_and_display_is_whole() {
        let topic = Topic::from([0xcd, 0x42, 0x37, 0x60]);
        assert_eq!(format!("{topic}"), "cd423760");
        assert_eq!(format!("{topic:?}"), "Topic(cd423760…)");
    }
}
