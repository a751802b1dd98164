//! AES-256-GCM over the plaintext: `data = ciphertext || tag (16) || nonce (12)` (7/WAKU-DATA; reference section 2.10).
//!
//! There is no associated data. 7/WAKU-DATA's grammar gives the nonce 2 bytes; it has 12 on the wire. Invariant: nothing is
//! decrypted before the tag was checked.

use aes::{Aes192, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, KeyInit};
use proto::Secret;
use zeroize::Zeroizing;

use super::{OpenError, Opened};
use crate::waku::Envelope;

/// The key of a public chat or another shared secret, its key schedule and GHASH table worked out.
///
/// The network's nodes open with 16 and 24 bytes as well, but seal with 32 only; so do we.
pub struct SymKey(Cipher);

enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<AesGcm<Aes192, U12>>),
    Aes256(Box<Aes256Gcm>),
}

impl SymKey {
    /// Returns the key of these 32 bytes.
    #[must_use]
    pub fn new(key: &Secret<32>) -> Self {
        Self(Cipher::Aes256(Box::new(AesGcm::<Aes256, U12>::new(key.expose().into()))))
    }

    /// Returns the key of 16, 24 or 32 bytes; nothing for another length.
    #[must_use]
    pub fn from_bytes(key: &[u8]) -> Option<Self> {
        let cipher = match key.len() {
            16 => Cipher::Aes128(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            24 => Cipher::Aes192(Box::new(AesGcm::new_from_slice(key).ok()?)),
            32 => Cipher::Aes256(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            _ => return None,
        };
        Some(Self(cipher))
    }

    /// Encrypts a plaintext; nothing when the key has not 32 bytes. A nonce must never be used twice with one key.
    #[must_use]
    pub fn encrypt(&self, nonce: [u8; NONCE], plaintext: &[u8]) -> Option<Vec<u8>> {
        let Cipher::Aes256(cipher) = &self.0 else { return None };
        let mut data = Vec::with_capacity(plaintext.len() + TAG + NONCE);
        data.extend_from_slice(plaintext);
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &[], data.as_mut_slice().into()).ok()?;
        data.extend_from_slice(&tag);
        data.extend_from_slice(&nonce);
        Some(data)
    }

    /// Decrypts an envelope's data.
    ///
    /// # Errors
    /// [`OpenError::Decrypt`].
    pub fn decrypt(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (rest, nonce) = data.split_last_chunk::<NONCE>().ok_or(OpenError::Decrypt)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(OpenError::Decrypt)?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let (nonce, tag) = (nonce.into(), tag.into());
        let buffer = plaintext.as_mut_slice().into();
        match &self.0 {
            Cipher::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, &[], buffer, tag),
            Cipher::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, &[], buffer, tag),
            Cipher::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, &[], buffer, tag),
        }
        .map_err(|_| OpenError::Decrypt)?;
        Ok(plaintext)
    }
}

/// Opens an envelope with a symmetric key.
///
/// # Errors
/// [`OpenError::Decrypt`] when it is not for this key, [`OpenError::Malformed`] when what is inside has not the format.
pub fn open_symmetric(envelope: &Envelope, key: &SymKey) -> Result<Opened, OpenError> {
    Opened::parse(key.decrypt(envelope.data())?)
}

/// How long the nonce is.
pub const NONCE: usize = 12;

const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "36224048e42c49e5c59c57bba5024fbb8822d6b4ee6ac5fbefd8b77f5323ecc4";

    fn key() -> SymKey {
        SymKey::new(&Secret::copy_from(&hex::decode(KEY).unwrap()).unwrap())
    }

    /// WDATA-03, WDATA-12, WDATA-13, WAKU1-64: reference section 10.6, made by status-go 0.62.18.
    #[test]
    fn the_recorded_data_is_encrypted_and_decrypted() {
        let plaintext = "050c68656c6c6f20737461747573aaaaaaaaaaaaaaa46e70a326acc86ed9cc61a949d980f4eaa7d957caceda028936c0d84a4e6cf31a\
             76bcbd71161f2cc8d873783dabdae7a874b1b58fc2a30493a4075e1f466d0601";
        let data = "6a6a34c93d72fc156187af2698cc0aa073584781dce89c490c4d59d0a7ee4245fc7140ce08062feee33d3bd96e3d23fc9c505d24ba5492ea\
             f1e9e4bbe008112471d03c6a92ee2a6256e61703fd19fdada7bbb6890372a9c9a9fc2953e5a038cb45a07443283e000102030405060708090a0b";
        let nonce = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let encrypted = key().encrypt(nonce, &hex::decode(plaintext).unwrap()).unwrap();
        assert_eq!(hex::encode(&encrypted), data);
        assert_eq!(hex::encode(key().decrypt(&encrypted).unwrap()), plaintext);
    }

    #[test]
    fn shorter_keys_open_but_do_not_seal() {
        for (len, opens, seals) in
            [(15, false, false), (16, true, false), (24, true, false), (32, true, true), (33, false, false)]
        {
            let key = SymKey::from_bytes(&vec![7; len]);
            assert_eq!(key.is_some(), opens, "{len}");
            assert_eq!(key.is_some_and(|k| k.encrypt([0; NONCE], b"x").is_some()), seals, "{len}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encrypted_decrypts_and_nothing_else(text: Vec<u8>, nonce: [u8; 12], at: prop::sample::Index, bit in 0..8u8) {
            let mut data = key().encrypt(nonce, &text).unwrap();
            let opened = key().decrypt(&data).unwrap();
            prop_assert_eq!(opened.as_slice(), text.as_slice());
            let place = at.index(data.len());
            data[place] ^= 1 << bit;
            prop_assert_eq!(key().decrypt(&data).err(), Some(OpenError::Decrypt));
            prop_assert_eq!(key().decrypt(&text).err(), Some(OpenError::Decrypt));
        }
    }
}
