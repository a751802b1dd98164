//! Keccak-256 as Ethereum and this network use it: the sponge of FIPS 202 with the padding of before the standard.

use sha3::Digest as _;

/// A sponge that absorbs bytes. Cloning it goes on from what was absorbed; dropping it wipes it.
#[derive(Clone, Default)]
pub struct Keccak256(sha3::Keccak256);

impl Keccak256 {
    /// Returns a sponge that has absorbed nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Absorbs bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the hash of what was absorbed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// Returns keccak-256 (not NIST SHA-3) of the concatenated parts.
#[must_use]
pub fn keccak256(parts: &[&[u8]]) -> [u8; 32] {
    let mut sponge = Keccak256::new();
    for part in parts {
        sponge.update(part);
    }
    sponge.digest()
}

#[cfg(test)]
mod tests {
    use super::{Keccak256, keccak256};

    #[test]
    fn nothing_and_a_text_have_the_known_hashes() {
        let nothing = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(hex::encode(keccak256(&[])), nothing);
        let testing = "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02";
        assert_eq!(hex::encode(keccak256(&[b"test", b"ing"])), testing);
    }

    #[test]
    fn a_sponge_goes_on_after_it_told_its_hash() {
        let mut sponge = Keccak256::new();
        sponge.update(b"test");
        assert_eq!(sponge.digest(), keccak256(&[b"test"]));
        sponge.update(b"ing");
        assert_eq!(sponge.digest(), keccak256(&[b"testing"]));
    }
}
