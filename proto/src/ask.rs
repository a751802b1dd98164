//! What a machine may ask of the holder of the identity key, which may be a card: slow, locked, or gone.

use std::fmt;

use crate::id::{ChatKey, Digest};
use crate::secret::Secret;
use crate::signature::RecoverableSignature;

/// Joins an [`Ask`] with its answer. Unique within the machine that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// A question to the holder of the identity key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The X coordinate of identity key times this point.
    Ecdh(ChatKey),
    /// A recoverable signature over this digest.
    Sign(Digest),
}

/// The holder's answer.
pub enum Answer {
    /// To [`Ask::Ecdh`]: the 32-byte X coordinate.
    Ecdh(Secret<32>),
    /// To [`Ask::Sign`].
    Sign(RecoverableSignature),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdh(_) => "Ecdh(..)",
            Self::Sign(_) => "Sign(..)",
        })
    }
}

/// Why the holder gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The key's holder is not there (no card, no manager).
    #[error("the identity key is not available")]
    Unavailable,
    /// The holder refused (policy, PIN missing).
    #[error("the holder of the identity key refused")]
    Refused,
    /// The answer did not come in time, or too many were waiting.
    #[error("the holder of the identity key did not answer in time")]
    Expired,
}
