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

#[cfg(test)]
mod tests {
    use k256::SecretKey;
    use proto::curve;

    use super::*;

    /// Computed by a program of its own, from the formulas above, with no library for the curve:
    /// `scripts/derive-vectors.py`.
    #[test]
    fn the_derivation_gives_the_values_of_an_independent_computation() {
        for (name, key, length, x, want) in [
            (
                "team vault",
                "0000000000000000000000000000000000000000000000000000000000000007",
                32,
                "0ccb1f99a444e2cd9be5d30c4868e56c7f572d8fa54c5037f6da4b8aeb8605f6",
                "4af1f8245c1393d42a9a9a9e824be59a688c6768adc145763d219b1fef144267",
            ),
            (
                "Büro",
                "1111111111111111111111111111111111111111111111111111111111111111",
                64,
                "72e5f4a428fd1dfca03b2042e4c8fe032d185853ac0be3d7e6702ad4f657fe34",
                "761cc98ec341cf02f014215b21e3c1689ebce46d234af68ce5d58b9d1321cd18\
                 bf0c94d904caafb8b38a7eb852c8fbcc207efbdc9dad6e2fc81bf548c3fe68f8",
            ),
            (
                "a",
                "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140",
                16,
                "58331c615ae1c4b31328497b523ae1a80fd3563213d509f36cbfea5700e07120",
                "cb148afccc45903ec284dcaf0d015165",
            ),
        ] {
            let name = Name::try_from(name).unwrap();
            let point = name.point().unwrap();
            assert_eq!(hex::encode(point.to_compressed()), format!("02{x}"));
            let key = SecretKey::from_slice(&hex::decode(key).unwrap()).unwrap();
            let okm = name.expand(&curve::agree(&key, &point), length).unwrap();
            assert_eq!(hex::encode(&okm), want);
        }
    }

    #[test]
    fn names_and_lengths_have_bounds() {
        assert!(Name::try_from("").is_err() && Name::try_from("a\nb").is_err());
        assert!(Name::try_from("x".repeat(65).as_str()).is_err());
        let name = Name::try_from("x").unwrap();
        let agreed = Secret::fill(|room| room.fill(7));
        for (length, good) in [(0, false), (1, true), (64, true), (65, false)] {
            assert_eq!(name.expand(&agreed, length).is_ok(), good, "{length}");
        }
    }
}
