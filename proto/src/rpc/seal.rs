//! Secrets on their way over a local socket: sealed to a one-time key of the receiver, so that no message holds one.
//!
//! ```text
//! shared = X of ECDH(sender's one-time key, receiver's one-time key)
//! key(32) || nonce(12) = HKDF-SHA256(ikm = shared, salt = sender(33) || receiver(33), info = "cardinal-seal/1 " || context)
//! ciphertext = AES-256-GCM(key, nonce, secret), no associated data
//! ```

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use k256::elliptic_curve::Generate;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::api::Sealed;
use crate::id::ChatKey;

/// The context of a sealed PIN.
pub const PIN: &str = "pin";
/// The context of a sealed PUK.
pub const PUK: &str = "puk";
/// The context of a sealed mnemonic (UTF-8 words).
pub const MNEMONIC: &str = "mnemonic";
/// The context of a sealed private key (32 bytes).
pub const KEY: &str = "key";
/// The context of a sealed chain code (32 bytes).
pub const CHAIN: &str = "chain";

/// The context of a sealed PIN that replaces another.
pub const NEW_PIN: &str = "new-pin";
/// The context of a sealed PUK that replaces another.
pub const NEW_PUK: &str = "new-puk";
/// The context of a sealed duress PIN.
pub const DURESS_PIN: &str = "duress-pin";
/// The context of a sealed pairing password (UTF-8).
pub const PAIRING_PASSWORD: &str = "pairing-password";
/// The context of sealed pairings, in the form of another program.
pub const PAIRINGS: &str = "pairings";
/// The context of a sealed seed (16 to 64 bytes).
pub const SEED: &str = "seed";
/// The context of a sealed passphrase of a mnemonic (UTF-8).
pub const PASSPHRASE: &str = "passphrase";
/// The context of sealed bytes that a card agreed on or derived (ECDH, BIP-85, LEE).
pub const SECRET: &str = "secret";

/// The sealed secret did not open: altered, for another key, or for another context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open with this one-time key")]
pub struct DoesNotOpen;

/// The private half of a one-time key, wiped when dropped. It opens once.
pub struct SealingKey(k256::SecretKey);

impl SealingKey {
    /// Returns a fresh one-time key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(k256::SecretKey::generate_from_rng(rng))
    }

    /// Returns the public half, compressed.
    #[must_use]
    pub fn public(&self) -> [u8; 33] {
        ChatKey::from(self.0.public_key()).to_compressed()
    }

    /// Opens what was sealed to this key.
    ///
    /// # Errors
    /// [`DoesNotOpen`].
    pub fn open(self, context: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let sender = ChatKey::try_from(sealed.sender.as_slice()).map_err(|_| DoesNotOpen)?;
        let okm = agree(&self.0, &sender, &sender.to_compressed(), &self.public(), context);
        let (cipher, nonce) = cipher(&okm);
        cipher.decrypt(&nonce, sealed.ciphertext.as_slice()).map(Zeroizing::new).map_err(|_| DoesNotOpen)
    }
}

/// Seals `secret` to the receiver's one-time key.
///
/// # Errors
/// [`DoesNotOpen`] when `receiver` is no public key.
pub fn seal(receiver: &[u8], context: &str, secret: &[u8], rng: &mut dyn CryptoRng) -> Result<Sealed, DoesNotOpen> {
    let receiver = ChatKey::try_from(receiver).map_err(|_| DoesNotOpen)?;
    let ours = SealingKey::generate(rng);
    let okm = agree(&ours.0, &receiver, &ours.public(), &receiver.to_compressed(), context);
    let (cipher, nonce) = cipher(&okm);
    let ciphertext = cipher.encrypt(&nonce, secret).map_err(|_| DoesNotOpen)?;
    Ok(Sealed { sender: ours.public().to_vec(), ciphertext, receiver: receiver.to_compressed().to_vec() })
}

fn agree(
    ours: &k256::SecretKey,
    theirs: &ChatKey,
    sender: &[u8; 33],
    receiver: &[u8; 33],
    context: &str,
) -> Zeroizing<[u8; 44]> {
    let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_point().as_affine());
    let mut okm = Zeroizing::new([0; 44]);
    let salt = [sender.as_slice(), receiver.as_slice()].concat();
    let hkdf = Hkdf::<Sha256>::new(Some(&salt), shared.raw_secret_bytes());
    // 44 bytes are two blocks of SHA-256, far below HKDF's limit of 255.
    let expanded = hkdf.expand_multi_info(&[b"cardinal-seal/1 ", context.as_bytes()], okm.as_mut_slice());
    debug_assert!(expanded.is_ok());
    okm
}

fn cipher(okm: &Zeroizing<[u8; 44]>) -> (Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>) {
    let (key, nonce) = okm.split_at(32);
    let mut key_room = Key::<Aes256Gcm>::default();
    key_room.copy_from_slice(key);
    let mut nonce_room = Nonce::default();
    nonce_room.copy_from_slice(nonce);
    let cipher = Aes256Gcm::new(&key_room);
    key_room.as_mut_slice().zeroize();
    (cipher, nonce_room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestDice;

    #[test]
    fn a_sealed_secret_opens_once_for_its_receiver_and_context() {
        let mut dice = TestDice::seeded(1);
        let sealed = |dice: &mut TestDice| {
            let key = SealingKey::generate(dice);
            let sealed = seal(&key.public(), PIN, b"123456", dice).unwrap();
            (key, sealed)
        };
        let (key, s) = sealed(&mut dice);
        assert_eq!(s.receiver, key.public());
        assert_eq!(key.open(PIN, &s).unwrap().as_slice(), b"123456");
        let (key, s) = sealed(&mut dice);
        assert_eq!(key.open(PUK, &s).err(), Some(DoesNotOpen), "another context");
        let (key, mut s) = sealed(&mut dice);
        s.ciphertext[0] ^= 1;
        assert_eq!(key.open(PIN, &s).err(), Some(DoesNotOpen), "altered");
        let (_, s) = sealed(&mut dice);
        assert_eq!(SealingKey::generate(&mut dice).open(PIN, &s).err(), Some(DoesNotOpen), "another key");
        assert!(seal(&[2; 5], PIN, b"x", &mut dice).is_err());
    }

    #[test]
    fn nothing_of_the_secret_shows() {
        let mut dice = TestDice::seeded(9);
        let key = SealingKey::generate(&mut dice);
        let sealed = seal(&key.public(), MNEMONIC, b"abandon abandon about", &mut dice).unwrap();
        assert!(!sealed.ciphertext.windows(7).any(|w| w == b"abandon"));
    }
}
