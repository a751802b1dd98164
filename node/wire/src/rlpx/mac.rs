//! The running MAC of one direction (devp2p `rlpx.md`, "MAC").
//!
//! It is keyed keccak-256 over everything the direction carried, handshake packet included: a frame that was altered,
//! dropped, repeated or put elsewhere breaks it and every one behind.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use proto::{Keccak256, Secret};

/// The MAC state of one direction.
pub struct Mac {
    sponge: Keccak256,
    cipher: Aes256,
}

impl Mac {
    /// Returns the state keyed by the MAC secret that has absorbed these bytes.
    #[must_use]
    pub fn new(secret: &Secret<32>, absorbed: &[&[u8]]) -> Self {
        let mut sponge = Keccak256::new();
        for part in absorbed {
            sponge.update(part);
        }
        Self { sponge, cipher: Aes256::new(secret.expose().into()) }
    }

    /// Absorbs bytes as they are.
    pub fn absorb(&mut self, bytes: &[u8]) {
        self.sponge.update(bytes);
    }

    /// Returns the hash of everything absorbed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.sponge.digest()
    }

    /// Goes on with an encrypted header and returns its tag.
    pub(super) fn header(&mut self, ciphertext: &[u8; 16]) -> [u8; 16] {
        let before = self.tag();
        self.mix(before, ciphertext)
    }

    /// Goes on with an encrypted body and returns its tag.
    pub(super) fn body(&mut self, ciphertext: &[u8]) -> [u8; 16] {
        self.absorb(ciphertext);
        let before = self.tag();
        self.mix(before, &before)
    }

    fn mix(&mut self, before: [u8; 16], seed: &[u8; 16]) -> [u8; 16] {
        let mut block = before.into();
        self.cipher.encrypt_block(&mut block);
        block.iter_mut().zip(seed).for_each(|(b, s)| *b ^= s);
        self.absorb(&block);
        self.tag()
    }

    fn tag(&self) -> [u8; 16] {
        let mut tag = [0; 16];
        tag.copy_from_slice(self.digest().split_at(16).0);
        tag
    }
}
