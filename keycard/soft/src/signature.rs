//! The signatures that SIGN answers with, and their template.
//!
//! ```text
//! ECDSA     A0 81 len { 80 41 public key(65) | 30 .. 02 r 02 s }       s in the lower half
//! BIP-340   A0 81 85  { 80 41 public key(65) | 88 40 R.x(32) s(32) }   the public key untweaked
//! ```

use k256::ecdsa::SigningKey;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{NonZeroScalar, Scalar, SecretKey, U256};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::apdu::Answer;
use crate::key::{bytes, uncompressed};
use crate::status::StatusWord;

/// Signs a hash with ECDSA.
pub(crate) fn ecdsa(key: &SecretKey, hash: &[u8; 32]) -> Answer {
    let (signature, _) = SigningKey::from(key).sign_prehash_recoverable(hash);
    template(key, signature.to_der().as_bytes())
}

/// Signs a message with BIP-340, by the key made even and moved on by `tweak`. Of `rng` it takes 32 bytes.
pub(crate) fn schnorr(key: &SecretKey, message: &[u8; 32], tweak: &[u8; 32], rng: &mut dyn CryptoRng) -> Answer {
    let mut tweaked = *even(key) + scalar(tweak);
    let secret = Option::<NonZeroScalar>::from(NonZeroScalar::new(tweaked)).map(SecretKey::from);
    tweaked.zeroize();
    let secret = even(&secret.ok_or(StatusWord::INTERNAL)?);
    let own = SecretKey::from(Option::<NonZeroScalar>::from(NonZeroScalar::new(*secret)).ok_or(StatusWord::INTERNAL)?);

    let mut auxiliary = Zeroizing::new([0; 32]);
    rng.fill_bytes(auxiliary.as_mut_slice());
    let mut masked = tagged(b"BIP0340/aux", &[auxiliary.as_slice()]);
    masked.iter_mut().zip(bytes(&own).iter()).for_each(|(byte, key)| *byte ^= key);
    let public = x(&own);
    let nonce = scalar(&tagged(b"BIP0340/nonce", &[masked.as_slice(), &public, message]));
    let nonce = SecretKey::from(Option::<NonZeroScalar>::from(NonZeroScalar::new(nonce)).ok_or(StatusWord::INTERNAL)?);
    let commitment = x(&nonce);
    let challenge = scalar(&tagged(b"BIP0340/challenge", &[&commitment, &public, message]));
    let response = *even(&nonce) + challenge * *secret;
    template(key, &[&[0x88, 0x40], commitment.as_slice(), response.to_bytes().as_slice()].concat())
}

fn template(key: &SecretKey, signature: &[u8]) -> Answer {
    let public = uncompressed(key);
    let length = u8::try_from(2 + public.len() + signature.len()).map_err(|_| StatusWord::INTERNAL)?;
    Ok(Zeroizing::new([&[0xa0, 0x81, length, 0x80, 0x41], public.as_slice(), signature].concat()))
}

/// Returns the private key, or its negative, whichever has a public key with even Y.
fn even(key: &SecretKey) -> Zeroizing<Scalar> {
    let scalar = Zeroizing::new(*key.to_nonzero_scalar());
    let [.., last] = uncompressed(key);
    Zeroizing::new(if last & 1 == 0 { *scalar } else { -*scalar })
}

fn x(key: &SecretKey) -> [u8; 32] {
    let point = key.public_key().to_sec1_point(true);
    point.as_bytes().last_chunk().copied().unwrap_or_default()
}

fn scalar(bytes: &[u8; 32]) -> Scalar {
    <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(bytes))
}

fn tagged(tag: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let tag = Sha256::digest(tag);
    let mut hash = Sha256::new().chain_update(tag).chain_update(tag);
    for part in parts {
        hash.update(part);
    }
    Zeroizing::new(hash.finalize().into())
}
