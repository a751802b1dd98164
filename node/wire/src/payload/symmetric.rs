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
