//! The operations on secp256k1 that programs spend most of their time in: agreeing on a secret, recovering a signer, and
//! checking a signature.
//!
//! They are libsecp256k1's, which takes two thirds and half of the time that k256 does (`docs/benchmarks.md`), except where
//! there is no C compiler to count on: on the web they are k256's. Everything else on the curve is k256's everywhere. Both
//! multiply by a secret in constant time. A test holds one against the other.

use k256::SecretKey;

use crate::id::{ChatKey, Digest};
use crate::secret::Secret;

/// Returns the X coordinate of `ours` times `theirs`, 32 bytes big-endian.
#[must_use]
pub fn agree(ours: &SecretKey, theirs: &ChatKey) -> Secret<32> {
    #[cfg(not(target_family = "wasm"))]
    if let Some(shared) = native::agree(ours, theirs) {
        return shared;
    }
    portable::agree(ours, theirs)
}

/// Returns the key that made the signature `R(32) || S(32)` of `digest`, of those it leaves open the one of number `v`.
/// High S is accepted; `v` must be 0 to 3.
pub(crate) fn recover(rs: &[u8; 64], v: u8, digest: &Digest) -> Option<ChatKey> {
    #[cfg(not(target_family = "wasm"))]
    return native::recover(rs, v, digest);
    #[cfg(target_family = "wasm")]
    return portable::recover(rs, v, digest);
}

/// Returns whether `signer` made the signature `R(32) || S(32)` of `digest`. High S is accepted: cards make it.
#[must_use]
pub fn verify(rs: &[u8; 64], digest: &Digest, signer: &ChatKey) -> bool {
    #[cfg(not(target_family = "wasm"))]
    return native::verify(rs, digest, signer);
    #[cfg(target_family = "wasm")]
    return portable::verify(rs, digest, signer);
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
    use secp256k1::{Message, PublicKey, ecdh};
    use zeroize::Zeroizing;

    use super::{ChatKey, Digest, Secret, SecretKey};

    /// The library's secret key, wiped when dropped.
    struct Wiped(secp256k1::SecretKey);

    impl Drop for Wiped {
        fn drop(&mut self) {
            self.0.non_secure_erase();
        }
    }

    /// Returns nothing only if the library refused a key or a point that k256 took, which none is known to be.
    pub(super) fn agree(ours: &SecretKey, theirs: &ChatKey) -> Option<Secret<32>> {
        let bytes = Zeroizing::new(<[u8; 32]>::from(ours.to_bytes()));
        let ours = Wiped(secp256k1::SecretKey::from_secret_bytes(*bytes).ok()?);
        let theirs = PublicKey::from_byte_array_uncompressed(theirs.to_bytes()).ok()?;
        let point = Zeroizing::new(ecdh::shared_secret_point(&theirs, &ours.0));
        let (x, _) = point.split_first_chunk::<32>()?;
        Some(Secret::fill(|room| *room = *x))
    }

    pub(super) fn recover(rs: &[u8; 64], v: u8, digest: &Digest) -> Option<ChatKey> {
        let v = RecoveryId::try_from(i32::from(v)).ok()?;
        let signature = RecoverableSignature::from_compact(rs, v).ok()?;
        let signer = signature.recover(Message::from_digest(*digest.as_bytes())).ok()?;
        ChatKey::try_from(signer.serialize_uncompressed().as_slice()).ok()
    }

    pub(super) fn verify(rs: &[u8; 64], digest: &Digest, signer: &ChatKey) -> bool {
        let (Ok(mut signature), Ok(signer)) =
            (Signature::from_compact(rs), PublicKey::from_byte_array_uncompressed(signer.to_bytes()))
        else {
            return false;
        };
        signature.normalize_s();
        signature.verify(Message::from_digest(*digest.as_bytes()), &signer).is_ok()
    }
}

mod portable {
    use super::{ChatKey, Secret, SecretKey};

    pub(super) fn agree(ours: &SecretKey, theirs: &ChatKey) -> Secret<32> {
        let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_point().as_affine());
        Secret::fill(|room| room.copy_from_slice(shared.raw_secret_bytes()))
    }

    #[cfg(any(test, target_family = "wasm"))]
    pub(super) fn recover(rs: &[u8; 64], v: u8, digest: &super::Digest) -> Option<ChatKey> {
        use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

        let (v, signature) = (RecoveryId::from_byte(v)?, Signature::from_slice(rs).ok()?);
        let key = VerifyingKey::recover_from_prehash(digest.as_bytes(), &signature, v).ok()?;
        Some(ChatKey::from(k256::PublicKey::from(&key)))
    }

    #[cfg(any(test, target_family = "wasm"))]
    pub(super) fn verify(rs: &[u8; 64], digest: &super::Digest, signer: &ChatKey) -> bool {
        use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
        use k256::ecdsa::{Signature, VerifyingKey};

        let key = VerifyingKey::from(signer.as_point());
        Signature::from_slice(rs).is_ok_and(|it| key.verify_prehash(digest.as_bytes(), &it.normalize_s()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scalars and coordinates at the edges: 0, 1, n - 1, n, p - n and all ones, and what lies between.
    fn number() -> impl Strategy<Value = [u8; 32]> {
        let edge = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
        let n = edge("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
        let below = edge("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140");
        let wrap = edge("000000000000000000000000000000014551231950b75fc4402da1722fc9baee");
        let mut one = [0; 32];
        one[31] = 1;
        prop_oneof![6 => any::<[u8; 32]>(), 1 => prop::sample::select(vec![[0; 32], one, below, n, wrap, [0xff; 32]])]
    }

    proptest! {
        #[test]
        fn both_ways_agree_on_the_secret(ours in number(), theirs in number()) {
            if let (Ok(ours), Ok(theirs)) = (SecretKey::from_slice(&ours), SecretKey::from_slice(&theirs)) {
                let (a, b) = (ours.public_key().into(), theirs.public_key().into());
                let shared = native::agree(&ours, &b).unwrap();
                prop_assert!(shared.is_same(&portable::agree(&ours, &b)));
                prop_assert!(shared.is_same(&agree(&theirs, &a)));
            }
        }

        #[test]
        fn both_ways_recover_the_same_signer_or_none(r in number(), s in number(), v in 0..6u8, digest in number()) {
            let rs = <[u8; 64]>::try_from([r, s].concat()).unwrap();
            let digest = Digest::from(digest);
            let signer = native::recover(&rs, v, &digest);
            prop_assert_eq!(signer, portable::recover(&rs, v, &digest));
            let judge = signer.unwrap_or_else(|| SecretKey::from_slice(&[7; 32]).unwrap().public_key().into());
            prop_assert_eq!(native::verify(&rs, &digest, &judge), signer.is_some());
            prop_assert_eq!(portable::verify(&rs, &digest, &judge), signer.is_some());
        }
    }
}
