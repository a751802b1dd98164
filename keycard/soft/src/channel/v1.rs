//! Secure channel v1: what a card before 4.0 keeps of it in RAM.
//!
//! ```text
//! K_enc(32) || K_mac(32) = SHA-512(X of ECDH || pairing key(32) || salt(32))
//! command = MAC(16) || AES-256-CBC(K_enc, IV, padded data), MAC over CLA INS P1 P2 Lc 00x11 || ciphertext
//! answer  = MAC(16) || AES-256-CBC(K_enc, IV, padded data || SW), MAC over length 00x15 || ciphertext
//! IV = the last MAC in either direction; the MAC does not cover it
//! ```
//!
//! IV, the rest of a MAC's first block, and the challenge of a pairing share one buffer on the card: a PAIR between OPEN and
//! MUTUALLY AUTHENTICATE spoils the IV, and a step 2 after a power cut finds a challenge of zeros. The model keeps the buffer.

use proto::Secret;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::cbc::{self, BLOCK};
use crate::apdu::{Answer, Command};
use crate::status::StatusWord;

/// The channel's RAM. All of it is gone when the applet is deselected.
pub(crate) struct Channel {
    keys: Option<Keys>,
    authenticated: bool,
    /// The IV first; zeros after it while a channel is open.
    buffer: [u8; 64],
    /// The pairing that lives no longer than this selection (3.2).
    pub(crate) ephemeral: Option<Secret<32>>,
}

struct Keys {
    encryption: Secret<32>,
    mac: Secret<32>,
}

impl Channel {
    pub(crate) fn closed() -> Self {
        Self { keys: None, authenticated: false, buffer: [0; 64], ephemeral: None }
    }

    /// Returns whether commands and answers are protected.
    pub(crate) fn is_open(&self) -> bool {
        self.keys.is_some() && self.authenticated
    }

    /// Returns whether MUTUALLY AUTHENTICATE has keys to work with.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Says whether the host has shown its keys; returns what was so before.
    pub(crate) fn authenticate(&mut self, authenticated: bool) -> bool {
        std::mem::replace(&mut self.authenticated, authenticated)
    }

    /// Forgets the keys.
    pub(crate) fn abort(&mut self) {
        self.keys = None;
        self.authenticated = false;
    }

    /// Takes the keys of a new channel, whose host has yet to show that it has them.
    pub(crate) fn agree(&mut self, shared: &[u8], pairing: &Secret<32>, salt: &[u8], iv: &cbc::Iv) {
        let mut digest =
            Sha512::new().chain_update(shared).chain_update(pairing.expose()).chain_update(salt).finalize();
        let (encryption, mac) = digest.split_at(32);
        let keys = Secret::copy_from(encryption).zip(Secret::copy_from(mac));
        self.keys = keys.map(|(encryption, mac)| Keys { encryption, mac });
        digest.as_mut_slice().zeroize();
        self.buffer = [0; 64];
        self.buffer.split_at_mut(BLOCK).0.copy_from_slice(iv);
    }

    /// Decrypts the one-shot data of INIT: `IV(16) || AES-256-CBC(X of ECDH)`; nothing when they do not decrypt.
    pub(crate) fn open_once(&mut self, shared: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let encryption = Secret::copy_from(shared)?;
        self.buffer.split_at_mut(32).0.copy_from_slice(shared);
        sealed.split_first_chunk().and_then(|(iv, sealed)| cbc::decrypt(encryption.expose(), iv, sealed))
    }

    /// Returns the challenge of the pairing under way.
    pub(crate) fn challenge(&self) -> &[u8] {
        self.buffer.split_at(32).0
    }

    /// Overwrites the challenge of the pairing under way.
    pub(crate) fn set_challenge(&mut self, challenge: &[u8; 32]) {
        self.buffer.split_at_mut(32).0.copy_from_slice(challenge);
    }

    /// Decrypts a command's data. Only then does its MAC become the IV: an error before that is answered under the old one.
    ///
    /// # Errors
    /// 6985 without a channel; 6982 for a wrong MAC, and the keys are gone; 6F00 for less than a MAC, 6F05 for bad padding.
    pub(crate) fn open(&mut self, command: &Command<'_>) -> Answer {
        let keys = self.keys.as_ref().filter(|_| self.authenticated).ok_or(StatusWord::CONDITIONS)?;
        let (mac, sealed) = command.data.split_first_chunk::<BLOCK>().ok_or(StatusWord::INTERNAL)?;
        let mut first = [0; BLOCK];
        let header = [command.cla, command.ins, command.p1, command.p2, length_byte(command.data.len())];
        let rest = self.buffer.iter().skip(BLOCK);
        first.iter_mut().zip(header.iter().chain(rest)).for_each(|(room, byte)| *room = *byte);
        let whole = sealed.len().is_multiple_of(BLOCK);
        if !(whole && bool::from(cbc::mac(keys.mac.expose(), &first, sealed).ct_eq(mac))) {
            self.abort();
            return Err(StatusWord::SECURITY_STATUS);
        }
        let iv = std::mem::replace(self.iv_mut(), *mac);
        // The borrow of the keys ended with the change of the IV.
        let keys = self.keys.as_ref().ok_or(StatusWord::CONDITIONS)?;
        cbc::decrypt(keys.encryption.expose(), &iv, sealed).ok_or(StatusWord::BAD_PADDING)
    }

    /// Encrypts an answer; nothing when it does not fit into the card's buffer, or there is no channel.
    pub(crate) fn seal(&mut self, answer: &Answer) -> Option<Vec<u8>> {
        let (data, status) = match answer {
            Ok(data) => (data.as_slice(), StatusWord::OK),
            Err(status) => (&[][..], *status),
        };
        if data.len() > MAX_ANSWER {
            return None;
        }
        let keys = self.keys.as_ref()?;
        let mut plain = Zeroizing::new(Vec::with_capacity(data.len() + 2));
        plain.extend_from_slice(data);
        plain.extend_from_slice(&status.to_bytes());
        let sealed = cbc::encrypt(keys.encryption.expose(), self.iv(), &plain);
        let mut first = [0; BLOCK];
        first.split_at_mut(1).0.fill(length_byte(BLOCK + sealed.len()));
        let mac = cbc::mac(keys.mac.expose(), &first, &sealed);
        *self.iv_mut() = mac;
        Some([mac.as_slice(), &sealed].concat())
    }

    fn iv(&self) -> &cbc::Iv {
        self.buffer.first_chunk().expect("the buffer is longer than a block")
    }

    fn iv_mut(&mut self) -> &mut cbc::Iv {
        self.buffer.first_chunk_mut().expect("the buffer is longer than a block")
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

/// The card computes lengths in a byte: 256 becomes 00.
fn length_byte(length: usize) -> u8 {
    length.to_le_bytes()[0]
}

/// The card's buffer has 261 bytes, and the answer is put together from byte 37 on.
const MAX_ANSWER: usize = 261 - 37 - 2;
