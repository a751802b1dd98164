//! ECIES on secp256k1 as devp2p and WAKU-DATA use it (devp2p `rlpx.md`, "ECIES Encryption"; 26/WAKU-PAYLOAD).
//!
//! ```text
//! R pub65 (65) || IV (16) || ciphertext (n) || HMAC-SHA256(sha256(kM), IV || ciphertext || s2) (32)
//! kE(16) || kM(16) = SHA-256(00000001 || ECDH(r, recipient))        ciphertext = AES-128-CTR(kE, IV, plaintext)
//! ```
//!
//! `s2` is the size prefix of an RLPx handshake packet, and empty for envelopes. The recipient's key may live on a card:
//! [`point`] says which point to multiply, [`open_shared`] goes on with the product. The tag is checked before anything
//! is decrypted.

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use k256::SecretKey;
pub use proto::curve::agree;
use proto::{ChatKey, Secret};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How much longer the sealed form is.
pub const OVERHEAD: usize = POINT + IV + TAG;

/// Not sealed to this key, altered, or no sealed message at all: which one is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ECIES message does not open with this key")]
pub struct DoesNotOpen;

/// Seals `plaintext` to `recipient` with a fresh key.
///
/// Draws from `rng`: the one-time private key (32 bytes at a time until it is one), then the IV (16 bytes).
#[must_use]
pub fn seal(recipient: &ChatKey, s2: &[u8], plaintext: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
    let once = draw_key(rng);
    let mut iv = [0; IV];
    rng.fill_bytes(&mut iv);
    seal_with(&once, iv, recipient, s2, plaintext)
}

/// Seals `plaintext` to `recipient` with a given one-time key and IV, for recordings and vectors. A key must never be
/// used for two messages.
#[must_use]
pub fn seal_with(once: &SecretKey, iv: [u8; IV], recipient: &ChatKey, s2: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let keys = Keys::derive(&agree(once, recipient));
    let mut sealed = Vec::with_capacity(OVERHEAD + plaintext.len());
    sealed.extend_from_slice(&ChatKey::from(once.public_key()).to_bytes());
    sealed.extend_from_slice(&iv);
    sealed.extend_from_slice(plaintext);
    let (_, body) = sealed.split_at_mut(POINT + IV);
    keys.cipher(&iv).apply_keystream(body);
    let (_, tagged) = sealed.split_at(POINT);
    let tag = keys.authenticate(tagged, s2).finalize().into_bytes();
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens a message that was sealed to `key`.
///
/// # Errors
/// [`DoesNotOpen`] in every case of failure.
pub fn open(key: &SecretKey, s2: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    open_shared(&agree(key, &point(sealed)?), s2, sealed)
}

/// Returns the point R that opens the message when multiplied with the recipient's private key.
///
/// # Errors
/// [`DoesNotOpen`] when the message is too short, or R is not on the curve.
pub fn point(sealed: &[u8]) -> Result<ChatKey, DoesNotOpen> {
    match sealed.split_at_checked(POINT) {
        Some((point @ [4, ..], rest)) if rest.len() >= IV + TAG => ChatKey::try_from(point).map_err(|_| DoesNotOpen),
        _ => Err(DoesNotOpen),
    }
}

/// Opens a message with the X coordinate of the recipient's private key times its [`point`].
///
/// # Errors
/// [`DoesNotOpen`] in every case of failure.
pub fn open_shared(shared: &Secret<32>, s2: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let (_, tagged) = sealed.split_at_checked(POINT).ok_or(DoesNotOpen)?;
    let (tagged, tag) = tagged.split_last_chunk::<TAG>().ok_or(DoesNotOpen)?;
    let (iv, ciphertext) = tagged.split_first_chunk::<IV>().ok_or(DoesNotOpen)?;
    let keys = Keys::derive(shared);
    keys.authenticate(tagged, s2).verify_slice(tag).map_err(|_| DoesNotOpen)?;
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    keys.cipher(iv).apply_keystream(&mut plaintext);
    Ok(plaintext)
}

/// Returns a private key drawn from `rng`: 32 bytes, again until they are a scalar of the curve (other than 0).
#[must_use]
pub fn draw_key(rng: &mut dyn CryptoRng) -> SecretKey {
    let mut bytes = Zeroizing::new([0; 32]);
    loop {
        rng.fill_bytes(bytes.as_mut_slice());
        if let Ok(key) = SecretKey::from_slice(bytes.as_slice()) {
            return key;
        }
    }
}

/// kE and kM of one message.
struct Keys(Zeroizing<[u8; 32]>);

impl Keys {
    fn derive(shared: &Secret<32>) -> Self {
        // One round of the NIST SP 800-56 concatenation KDF gives all 32 bytes.
        let hash = Sha256::new().chain_update([0, 0, 0, 1]).chain_update(shared.expose());
        let mut okm = Zeroizing::new([0; 32]);
        hash.finalize_into((&mut *okm).into());
        Self(okm)
    }

    fn cipher(&self, iv: &[u8; IV]) -> Ctr128BE<Aes128> {
        let mut key = Zeroizing::new([0; 16]);
        key.copy_from_slice(self.0.split_at(16).0);
        Ctr128BE::new((&*key).into(), iv.into())
    }

    fn authenticate(&self, tagged: &[u8], s2: &[u8]) -> Hmac<Sha256> {
        let mut key = Zeroizing::new([0; 64]);
        if let Some((hash, _)) = key.split_first_chunk_mut::<32>() {
            Sha256::new().chain_update(self.0.split_at(16).1).finalize_into(hash.into());
        }
        // An HMAC key shorter than the block is the same key filled up with zeros to the block.
        let mut mac = <Hmac<Sha256> as KeyInit>::new((&*key).into());
        mac.update(tagged);
        mac.update(s2);
        mac
    }
}

const POINT: usize = 65;
const IV: usize = 16;
const TAG: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::TestDice;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    fn key(text: &str) -> SecretKey {
        SecretKey::from_slice(&hex(text)).unwrap()
    }

    const A: &str = "c6cbd7d76bc5baca530c875663711b947efa6a86a900a9e8645ce32e5821484e";
    const B: &str = "d51dd64ad19ea84968a308dca246012c00d2b2101d41bce740acd1c650acc509";

    /// Reference section 10.3.
    #[test]
    fn the_shared_secret_of_a_and_b_is_the_recorded_one() {
        let expected = hex("62c7b9c7aa9d5b7396c63b8db63967bb22ab7092e9208138cb82c2eb144209e6");
        assert_eq!(agree(&key(A), &key(B).public_key().into()).expose().as_slice(), expected);
        assert_eq!(agree(&key(B), &key(A).public_key().into()).expose().as_slice(), expected);
    }

    /// Reference section 10.6: the data of an envelope that status-go sealed to B.
    #[test]
    fn a_message_of_the_real_peer_opens() {
        let sealed = hex(
            "04d541fb0b90f2a3dee5f90e3c99d5d3fef0d7aa03c2fc2413075df582e75aa0022b78564ce0b54777ce7bf83881373fe5f870ef50a19a7488\
             ec037b40f51241f2490141642c2f73dee2cd0231eeceb2b51aa390f167e2d1f12a0efe265b0e42319694cadf9b9a00b227df56adff7b8eb003\
             ba1d694051a4b40df63f698f9209f0850c68ab31797e081b2b042fa4debc312cfbcd1a7c8a46ad0da4008f3999a672f71b9c47381ec819d317\
             5ac24adb641868a3a3916d5c12322e54d3a0e81a140be7bafaeba82e",
        );
        let plaintext = open(&key(B), &[], &sealed).unwrap();
        assert!(plaintext.starts_with(b"\x05\x0chello status\xaa\xaa\xaa\xaa\xaa\xaa\xaa"), "{plaintext:?}");
        assert_eq!(open(&key(A), &[], &sealed).err(), Some(DoesNotOpen), "another key");
        assert_eq!(open(&key(B), &[1], &sealed).err(), Some(DoesNotOpen), "another s2");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_was_sealed_opens_and_nothing_else(text: Vec<u8>, s2: Vec<u8>, seed: u64, at: prop::sample::Index, bit in 0..8u8) {
            let (to, mut dice) = (key(A), TestDice::seeded(seed));
            let mut sealed = seal(&to.public_key().into(), &s2, &text, &mut dice);
            prop_assert_eq!(sealed.len(), text.len() + OVERHEAD);
            let opened = open(&to, &s2, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), text.as_slice());
            sealed[at.index(text.len() + OVERHEAD)] ^= 1 << bit;
            prop_assert!(open(&to, &s2, &sealed).is_err());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let mut point_first = ChatKey::from(key(B).public_key()).to_bytes().to_vec();
            point_first.extend_from_slice(&bytes);
            prop_assert!(open(&key(A), &[], &bytes).is_err());
            prop_assert!(open(&key(A), &[], &point_first).is_err());
        }
    }
}
