//! Answers that differ in every run: signatures are verified, words checked.

use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{Signature, VerifyingKey};
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{ProjectivePoint, PublicKey, Scalar, U256};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What must hold of an answer.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Verify {
    /// A template with a public key and an ECDSA signature over `hash`.
    Ecdsa {
        #[serde(rename = "pub")]
        public: Option<String>,
        hash: String,
        low_s: bool,
    },
    /// The same with BIP-340, the key tweaked.
    Bip340 {
        #[serde(rename = "pub")]
        public: Option<String>,
        hash: String,
        tweak: String,
    },
    /// A certificate and a signature by the key it names.
    Identify { hash: String },
    /// So many BIP-39 words with a right checksum.
    Mnemonic { words: usize },
    /// Nothing can be checked.
    Random,
}

impl Verify {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ecdsa { .. } => "ecdsa",
            Self::Bip340 { .. } => "bip340",
            Self::Identify { .. } => "identify",
            Self::Mnemonic { .. } => "mnemonic",
            Self::Random => "random",
        }
    }

    /// # Errors
    /// What does not hold.
    pub(super) fn check(&self, answer: &[u8]) -> Result<(), &'static str> {
        match self {
            Self::Ecdsa { public, hash, low_s } => {
                let (key, signature) = signed(answer, 0x80, 65).ok_or("no signature template")?;
                if public.as_ref().is_some_and(|public| *public != hex::encode(key)) {
                    return Err("another public key");
                }
                ecdsa(key, &digits(hash)?, signature, *low_s)
            }
            Self::Bip340 { public, hash, tweak } => {
                let (key, rest) = signed(answer, 0x80, 65).ok_or("no signature template")?;
                if public.as_ref().is_some_and(|public| *public != hex::encode(key)) {
                    return Err("another public key");
                }
                let signature = rest.strip_prefix(&[0x88, 0x40]).ok_or("no Schnorr signature")?;
                let is_right = bip340(key, &digits(tweak)?, &digits(hash)?, signature);
                is_right.filter(|right| *right).map(|_| ()).ok_or("the signature is wrong")
            }
            Self::Identify { hash } => {
                let (certificate, signature) = signed(answer, 0x8a, 98).ok_or("no identity template")?;
                ecdsa(certificate.split_at(33).0, &digits(hash)?, signature, false)
            }
            Self::Mnemonic { words } => {
                let is_right = answer.len() == 2 * words && mnemonic(answer).unwrap_or(false);
                if is_right { Ok(()) } else { Err("no BIP-39 words with a right checksum") }
            }
            Self::Random => Ok(()),
        }
    }
}

/// Returns the first element of `A0 81 len { tag length value | signature }`, and the signature.
fn signed(answer: &[u8], tag: u8, length: u8) -> Option<(&[u8], &[u8])> {
    let [0xa0, 0x81, announced, first, long, rest @ ..] = answer else {
        return None;
    };
    let is_right = usize::from(*announced) == answer.len() - 3 && (*first, *long) == (tag, length);
    is_right.then(|| rest.split_at_checked(usize::from(length)))?
}

/// The applet leaves a superfluous zero byte in `s` now and then, so DER is read leniently.
fn ecdsa(key: &[u8], hash: &[u8], signature: &[u8], low_s: bool) -> Result<(), &'static str> {
    let (r, s) = der(signature).ok_or("no DER signature")?;
    let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| "the public key is none")?;
    let signature = Signature::from_scalars(r, s).map_err(|_| "the signature is out of range")?;
    let normal = signature.normalize_s();
    if low_s && normal != signature {
        return Err("s is in the upper half");
    }
    key.verify_prehash(hash, &normal).map_err(|_| "the signature is wrong")
}

fn der(signature: &[u8]) -> Option<([u8; 32], [u8; 32])> {
    let [0x30, length, 0x02, rest @ ..] = signature else {
        return None;
    };
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest.strip_prefix(&[0x02])?)?;
    (rest.is_empty() && usize::from(*length) == signature.len() - 2).then_some((r, s))
}

fn integer(bytes: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
    let start = value.iter().position(|byte| *byte != 0).unwrap_or(value.len());
    let value = value.get(start..).filter(|value| value.len() <= 32)?;
    let mut room = [0; 32];
    room.split_at_mut(32 - value.len()).1.copy_from_slice(value);
    Some((room, rest))
}

/// Verification of BIP-340, under even-Y(key) + tweak G.
fn bip340(key: &[u8], tweak: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let (commitment, response) = signature.split_first_chunk::<32>()?;
    let response: &[u8; 32] = response.try_into().ok()?;
    let key = even(PublicKey::from_sec1_bytes(key).ok()?.to_projective())?;
    let key = even(key + ProjectivePoint::GENERATOR * scalar(tweak.try_into().ok()?))?;
    let tag = Sha256::digest(b"BIP0340/challenge");
    let challenge = Sha256::new()
        .chain_update(tag)
        .chain_update(tag)
        .chain_update(commitment)
        .chain_update(x(&key)?)
        .chain_update(message)
        .finalize();
    let nonce = ProjectivePoint::GENERATOR * scalar(response) - key * scalar(&challenge.into());
    Some(x(&nonce)? == *commitment && even(nonce)? == nonce)
}

fn even(point: ProjectivePoint) -> Option<ProjectivePoint> {
    let bytes = PublicKey::try_from(point).ok()?.to_sec1_point(false);
    let is_even = bytes.as_bytes().last()? & 1 == 0;
    Some(if is_even { point } else { -point })
}

fn x(point: &ProjectivePoint) -> Option<[u8; 32]> {
    PublicKey::try_from(*point).ok()?.to_sec1_point(true).as_bytes().last_chunk().copied()
}

fn scalar(bytes: &[u8; 32]) -> Scalar {
    <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(bytes))
}

/// Checks indexes of two bytes: eleven bits each, of which the last ones are the checksum.
fn mnemonic(answer: &[u8]) -> Option<bool> {
    let mut bits = Vec::new();
    for index in answer.as_chunks::<2>().0 {
        let index = u16::from_be_bytes(*index);
        bits.extend((0..11).rev().map(|bit| u8::from(index >> bit & 1 == 1)));
        if index > 2047 {
            return None;
        }
    }
    let entropy_bits = bits.len() / 33 * 32;
    let (entropy, checksum) = bits.split_at_checked(entropy_bits)?;
    let bytes = entropy.as_chunks::<8>().0.iter().map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit));
    let hash = Sha256::digest(bytes.collect::<Vec<u8>>());
    let want = checksum.iter().fold(0u16, |value, bit| value << 1 | u16::from(*bit));
    Some(u16::from(*hash.first()?) >> (8 - checksum.len().min(8)) == want)
}

fn digits(text: &str) -> Result<Vec<u8>, &'static str> {
    hex::decode(text).map_err(|_| "the recording's own value is no hexadecimal")
}
