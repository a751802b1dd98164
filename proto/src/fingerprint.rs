//! What may be shown of a key: a short fingerprint of its public half.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::id::ChatKey;

/// The first 8 bytes of SHA-256 of a compressed public key, shown as `3f1c-…` in groups of four digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Returns the fingerprint of this public key.
    #[must_use]
    pub fn of(key: &ChatKey) -> Self {
        let digest: [u8; 32] = Sha256::digest(key.to_compressed()).into();
        let mut short = [0; 8];
        short.copy_from_slice(digest.split_at(8).0);
        Self(short)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i] = self.0;
        write!(f, "{a:02x}{b:02x}-{c:02x}{d:02x}-{e:02x}{g:02x}-{h:02x}{i:02x}")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
