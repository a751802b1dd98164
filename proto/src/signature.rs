//! Recoverable signatures over secp256k1, `R(32) || S(32) || V(1)`.

use std::fmt;

use k256::ecdsa::SigningKey;

use crate::curve;
use crate::id::{ChatKey, Digest};

/// `R(32) || S(32) || V(1)`, V being 0 or 1 on the wire of status-go (27 and 28 are refused there, and here).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecoverableSignature([u8; 65]);

impl RecoverableSignature {
    /// How many bytes.
    pub const LEN: usize = 65;

    /// Returns the deterministic (RFC 6979), low-S signature of `digest` by `key`.
    ///
    /// # Panics
    /// Never for a key of the curve: RFC 6979 retries until it has a signature.
    #[must_use]
    pub fn sign(key: &SigningKey, digest: &Digest) -> Self {
        let (signature, id) = key.sign_prehash_recoverable(digest.as_bytes());
        let mut bytes = [0; 65];
        bytes.split_at_mut(64).0.copy_from_slice(&signature.to_bytes());
        if let Some(v) = bytes.last_mut() {
            *v = id.to_byte();
        }
        Self(bytes)
    }

    /// Returns the key that signed `digest`, or nothing when there is none.
    ///
    /// High S is accepted, as the peer does; V must be 0..=3.
    #[must_use]
    pub fn recover(&self, digest: &Digest) -> Option<ChatKey> {
        let (rs, [v]) = self.0.split_first_chunk::<64>()? else { return None };
        curve::recover(rs, *v, digest)
    }

    /// Returns the 65 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }
}

impl From<[u8; 65]> for RecoverableSignature {
    fn from(bytes: [u8; 65]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RecoverableSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoverableSignature({}…)", hex::encode(self.0.get(..4).unwrap_or(&[])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak256;
    use k256::ecdsa::Signature;

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    #[test]
    fn a_signature_names_its_signer() {
        let digest = Digest::from(keccak256(&[b"hello"]));
        let signature = RecoverableSignature::sign(&key(), &digest);
        let signer = ChatKey::from(k256::PublicKey::from(key().verifying_key()));
        assert_eq!(signature.recover(&digest), Some(signer));
        assert_ne!(signature.recover(&Digest::from([1; 32])), Some(signer));
    }

    #[test]
    fn the_high_s_twin_names_the_same_signer() {
        let digest = Digest::from(keccak256(&[b"hello"]));
        let mut bytes = *RecoverableSignature::sign(&key(), &digest).as_bytes();
        let low = Signature::from_slice(&bytes[..64]).unwrap();
        let high = Signature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).unwrap();
        bytes[..64].copy_from_slice(&high.to_bytes());
        bytes[64] ^= 1;
        let signer = ChatKey::from(k256::PublicKey::from(key().verifying_key()));
        assert_eq!(RecoverableSignature::from(bytes).recover(&digest), Some(signer));
    }

    #[test]
    fn ethereum_style_v_is_refused() {
        let digest = Digest::from([3; 32]);
        let mut bytes = *RecoverableSignature::sign(&key(), &digest).as_bytes();
        bytes[64] += 27;
        assert_eq!(RecoverableSignature::from(bytes).recover(&digest), None);
    }
}
