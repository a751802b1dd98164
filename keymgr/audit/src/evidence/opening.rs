//! What a card of generation v2 signs when a channel to it is opened (reference: Keycard, secure channel v2).
//!
//! ```text
//! transcript = SHA-256("sc_v2_ccm" || salt(32) || host's one-time key(65) || card's one-time key(65))
//! ```

use proto::{ChatKey, Digest};
use sha2::{Digest as _, Sha256};

/// The name of that channel.
pub const LABEL: &[u8] = b"sc_v2_ccm";

/// Returns what the card signs.
#[must_use]
pub fn transcript(salt: &[u8; 32], host: &ChatKey, card: &ChatKey) -> Digest {
    transcript_of(salt, &host.to_bytes(), &card.to_bytes())
}

/// As [`transcript`], of keys as they stand in a log.
pub(crate) fn transcript_of(salt: &[u8; 32], host: &[u8], card: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(LABEL);
    hasher.update(salt);
    hasher.update(host);
    hasher.update(card);
    Digest::from(<[u8; 32]>::from(hasher.finalize()))
}
