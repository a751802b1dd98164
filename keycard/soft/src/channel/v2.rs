//! Secure channel v2: what the card keeps of it after OPEN SECURE CHANNEL.
//!
//! ```text
//! K_h2c(16) || K_c2h(16) = HKDF-SHA256(ikm = X of ECDH, salt(32), info = "sc_v2_ccm")
//! command = AES-128-CCM(K_h2c, counter(13), inner command), tag 8 bytes, no associated data
//! answer  = AES-128-CCM(K_c2h, counter(13), data || SW)
//! ```
//!
//! The invariant: no two answers are sealed under one counter.

use aes::Aes128;
use ccm::aead::AeadInOut;
use ccm::consts::{U8, U13};
use ccm::{Ccm, Key, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::apdu::Answer;
use crate::status::StatusWord;

type Cipher = Ccm<Aes128, U8, U13>;

/// The label that names this channel in key derivation and transcript.
pub(crate) const LABEL: &[u8; 9] = b"sc_v2_ccm";

/// An open channel: two keys and the counter that both directions share.
pub(crate) struct Session {
    from_host: Cipher,
    to_host: Cipher,
    counter: u128,
}

impl Session {
    /// Returns the channel of this shared secret (the X coordinate of the ECDH point).
    pub(crate) fn agree(shared: &[u8], salt: &[u8; 32]) -> Self {
        let mut keys = Zeroizing::new([0u8; 32]);
        let expanded = Hkdf::<Sha256>::new(Some(salt), shared).expand(LABEL, keys.as_mut_slice());
        // 32 bytes are one block of SHA-256, far below HKDF's limit of 255.
        debug_assert!(expanded.is_ok());
        let (from_host, to_host) = keys.split_at(16);
        Self { from_host: cipher(from_host), to_host: cipher(to_host), counter: 0 }
    }

    /// Decrypts a command under the present counter; nothing when the tag is wrong.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut buffer = Zeroizing::new(sealed.to_vec());
        self.from_host.decrypt_in_place(&self.nonce(), &[], &mut *buffer).ok()?;
        Some(buffer)
    }

    /// Encrypts an answer and moves the counter on; nothing when the counter is used up.
    pub(crate) fn seal(&mut self, answer: &Answer) -> Option<Vec<u8>> {
        let next = self.counter + 1;
        if next >> (8 * COUNTER_BYTES) != 0 {
            return None;
        }
        let (data, status) = match answer {
            Ok(data) => (data.as_slice(), StatusWord::OK),
            Err(status) => (&[][..], *status),
        };
        // One allocation: a growing buffer would leave copies of the plaintext.
        let mut buffer = Vec::with_capacity(data.len() + 2 + TAG_BYTES);
        buffer.extend_from_slice(data);
        buffer.extend_from_slice(&status.to_bytes());
        self.to_host.encrypt_in_place(&self.nonce(), &[], &mut buffer).ok()?;
        self.counter = next;
        Some(buffer)
    }

    fn nonce(&self) -> Nonce<U13> {
        let mut nonce = Nonce::default();
        let bytes = self.counter.to_be_bytes();
        nonce.copy_from_slice(bytes.split_at(bytes.len() - COUNTER_BYTES).1);
        nonce
    }
}

fn cipher(key: &[u8]) -> Cipher {
    let mut room = Key::<Cipher>::default();
    room.copy_from_slice(key);
    let cipher = Cipher::new(&room);
    room.as_mut_slice().zeroize();
    cipher
}

const COUNTER_BYTES: usize = 13;
const TAG_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::Session;
    use crate::apdu::done;

    #[test]
    fn a_used_up_counter_seals_nothing() {
        let mut session = Session::agree(&[1; 32], &[2; 32]);
        session.counter = (1 << 104) - 2;
        assert!(session.seal(&done()).is_some());
        assert!(session.seal(&done()).is_none());
    }

    #[test]
    fn two_answers_never_share_a_counter() {
        let mut session = Session::agree(&[1; 32], &[2; 32]);
        assert_ne!(session.seal(&done()), session.seal(&done()));
    }
}
