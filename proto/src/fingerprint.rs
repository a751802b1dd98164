//! What may be shown of a key: a short fingerprint of its public half.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::digits;
use crate::id::{ChatKey, NotAnId};
use crate::secret::Secret;

/// The first 8 bytes of SHA-256 of a compressed public key, shown as `3f1c-…` in groups of four digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Returns the fingerprint of this public key.
    #[must_use]
    pub fn of(key: &ChatKey) -> Self {
        Self::first_of(Sha256::digest(key.to_compressed()).into())
    }

    /// Returns what stands for this fingerprint in line `number` of a log that must not tell one key from another:
    /// `SHA-256("cardinal-fingerprint/1" || key || number(8) || fingerprint(8))`, which is as long for every input.
    #[must_use]
    pub fn keyed(&self, key: &Secret<32>, number: u64) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"cardinal-fingerprint/1");
        hasher.update(key.expose());
        hasher.update(number.to_be_bytes());
        hasher.update(self.0);
        Self::first_of(hasher.finalize().into())
    }

    fn first_of(digest: [u8; 32]) -> Self {
        let mut short = [0; 8];
        short.copy_from_slice(digest.split_at(8).0);
        Self(short)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = [0; 16];
        digits::encode(&self.0, &mut room).ok_or(fmt::Error)?;
        let mut shown = [b'-'; 19];
        for (to, group) in shown.chunks_mut(5).zip(room.chunks(4)) {
            to.split_at_mut(4).0.copy_from_slice(group);
        }
        f.write_str(std::str::from_utf8(&shown).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Reads what `Display` writes.
impl std::str::FromStr for Fingerprint {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        const WHAT: NotAnId = NotAnId { what: "a fingerprint of four groups of four digits" };
        let mut short = [0; 8];
        let mut groups = text.split('-');
        for room in short.chunks_mut(2) {
            groups.next().and_then(|group| digits::decode(group, room)).ok_or(WHAT)?;
        }
        if groups.next().is_none() { Ok(Self(short)) } else { Err(WHAT) }
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;
    use crate::Secret;

    #[test]
    fn a_keyed_fingerprint_differs_by_line_and_by_key() {
        let (one, other) = (Fingerprint([1; 8]), Fingerprint([2; 8]));
        let key = |byte| Secret::fill(|room| room.fill(byte));
        assert_eq!(one.keyed(&key(7), 3), one.keyed(&key(7), 3));
        let all = [one, one.keyed(&key(7), 3), one.keyed(&key(7), 4), one.keyed(&key(8), 3), other.keyed(&key(7), 3)];
        assert!(all.iter().enumerate().all(|(n, it)| all.iter().skip(n + 1).all(|other| it != other)));
    }

    #[test]
    fn a_fingerprint_reads_back_what_it_prints() {
        let fingerprint = Fingerprint([0, 1, 2, 3, 4, 5, 6, 0xff]);
        assert_eq!(fingerprint.to_string(), "0001-0203-0405-06ff");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for other in ["00010203040506ff", "0001-0203-0405-06FF", "0001-0203-0405", ""] {
            assert!(other.parse::<Fingerprint>().is_err(), "{other}");
        }
    }
}
