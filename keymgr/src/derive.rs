//! A secret that follows from a key which stays on its card, for the database of another program (DESIGN section 6).
//!
//! ```text
//! P   the first point with X coordinate SHA-256("cardinal-derive/1" || 0x00 || name || 0x00 || i), i = 0, 1, … in one
//!     byte, and even Y: its logarithm is known to nobody, for nobody chose it
//! Z   the X coordinate of k·P, 32 bytes, which the card computes with ECDH; k is the key at the path
//! okm HKDF-SHA-256 with salt "cardinal-derive/1", input key material Z and info name, as many bytes as are asked for
//! ```
//! The name is UTF-8 without control characters. Another name, another point: an agreement with one tells nothing of another.
//!
//! The invariant: Z does not leave the manager, and no client agrees on secrets with a key of which such secrets are derived,
//! for it could compute Z.

use hkdf::Hkdf;
use proto::{ChatKey, Secret};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What a derived secret is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl TryFrom<&str> for Name {
    type Error = &'static str;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        if (1..=64).contains(&name.len()) && !name.chars().any(char::is_control) {
            Ok(Self(name.to_owned()))
        } else {
            Err("the name of a derived secret has 1 to 64 bytes and no control characters")
        }
    }
}

impl Name {
    /// Returns the point of this name.
    ///
    /// # Errors
    /// When 256 hashes are no X coordinate, which is one in 2²⁵⁶ names.
    pub fn point(&self) -> Result<ChatKey, &'static str> {
        let candidate = |i: u8| {
            let x =
                Sha256::new_with_prefix(DOMAIN).chain_update([0]).chain_update(&self.0).chain_update([0, i]).finalize();
            let mut compressed = [0x02; 33];
            for (to, from) in compressed.iter_mut().skip(1).zip(x) {
                *to = from;
            }
            ChatKey::try_from(compressed.as_slice()).ok()
        };
        (0..=u8::MAX).find_map(candidate).ok_or("this name has no point; choose another")
    }

    /// Returns so many bytes, 1 to 64, that follow from the agreement with the point.
    ///
    /// # Errors
    /// For any other number.
    pub fn expand(&self, agreed: &Secret<32>, length: u8) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        const WHAT: &str = "a derived secret has 1 to 64 bytes";
        if !(1..=64).contains(&length) {
            return Err(WHAT);
        }
        let mut okm = Zeroizing::new(vec![0; usize::from(length)]);
        let hkdf = Hkdf::<Sha256>::new(Some(DOMAIN), agreed.expose());
        hkdf.expand(self.0.as_bytes(), &mut okm).map_err(|_| WHAT)?;
        Ok(okm)
    }
}

const DOMAIN: &[u8] = b"cardinal-derive/1";
