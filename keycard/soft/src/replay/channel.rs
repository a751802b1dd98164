//! The host's side of both secure channels.

use aes::Aes128;
use ccm::aead::Aead;
use ccm::consts::{U8, U13};
use ccm::{Ccm, Key, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::{Digest, Sha256, Sha512};

use crate::channel::cbc;

/// A channel that the client believes to be open.
pub(super) enum Channel {
    V1(V1),
    V2(Box<V2>),
}

/// Secure channel v1.
#[derive(Clone)]
pub(super) struct V1 {
    encryption: [u8; 32],
    mac: [u8; 32],
    iv: cbc::Iv,
}

/// Secure channel v2.
pub(super) struct V2 {
    to_card: Cipher,
    from_card: Cipher,
    counter: u64,
}

type Cipher = Ccm<Aes128, U8, U13>;

/// An answer out of the channel.
pub(super) struct Opened {
    pub(super) data: Vec<u8>,
    pub(super) sw: u16,
    /// Whether it was encrypted under the IV from before the command (v1).
    pub(super) is_previous: bool,
}

impl V1 {
    pub(super) fn agree(shared: &[u8], pairing: &[u8; 32], salt: &[u8], iv: &cbc::Iv) -> Self {
        let digest = Sha512::new().chain_update(shared).chain_update(pairing).chain_update(salt).finalize();
        let (encryption, mac) = digest.split_at(32);
        Self {
            encryption: encryption.try_into().expect("half of 64 bytes"),
            mac: mac.try_into().expect("half of 64 bytes"),
            iv: *iv,
        }
    }

    /// Wraps a command: its header stays in clear.
    pub(super) fn wrap(&self, send: &[u8]) -> Option<Vec<u8>> {
        self.protect(send, &cbc::encrypt(&self.encryption, &self.iv, body(send)))
    }

    /// Wraps a command under an IV that the card does not have.
    pub(super) fn wrap_under(&self, send: &[u8], iv: &cbc::Iv) -> Option<Vec<u8>> {
        self.protect(send, &cbc::encrypt(&self.encryption, iv, body(send)))
    }

    /// Wraps a command with zeros instead of padding.
    pub(super) fn wrap_unpadded(&self, send: &[u8]) -> Option<Vec<u8>> {
        let mut plain = body(send).to_vec();
        plain.resize((plain.len() + 1).next_multiple_of(cbc::BLOCK), 0);
        self.protect(send, &cbc::encrypt_blocks(&self.encryption, &self.iv, &plain))
    }

    /// Nothing when it does not fit into a short command.
    fn protect(&self, send: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let length = u8::try_from(cbc::BLOCK + sealed.len()).ok()?;
        let mut first = [0; cbc::BLOCK];
        let header = send.iter().take(4).chain(std::iter::once(&length));
        first.iter_mut().zip(header).for_each(|(room, byte)| *room = *byte);
        let mac = cbc::mac(&self.mac, &first, sealed);
        Some([first.split_at(5).0, &mac, sealed].concat())
    }

    /// Takes an answer in; nothing when its MAC is wrong. `sent` is the command's MAC, if there was one.
    fn unwrap(&mut self, answer: &[u8], sent: Option<&cbc::Iv>) -> Option<Opened> {
        let (mac, sealed) = answer.split_first_chunk()?;
        if answer.len() < 2 * cbc::BLOCK || !answer.len().is_multiple_of(cbc::BLOCK) {
            return None;
        }
        let mut first = [0; cbc::BLOCK];
        first[0] = answer.len().to_le_bytes()[0];
        if cbc::mac(&self.mac, &first, sealed) != *mac {
            return None;
        }
        let before = std::mem::replace(&mut self.iv, *mac);
        let open = |iv: &cbc::Iv, is_previous| {
            let plain = cbc::decrypt(&self.encryption, iv, sealed)?;
            let (data, sw) = plain.split_last_chunk::<2>()?;
            Some(Opened { data: data.to_vec(), sw: u16::from_be_bytes(*sw), is_previous })
        };
        let early = || (sealed.len() == cbc::BLOCK).then(|| open(&before, true)).flatten();
        let early = early().filter(|opened| opened.data.is_empty());
        early.or_else(|| open(sent.unwrap_or(&before), false))
    }
}

impl V2 {
    pub(super) fn agree(shared: &[u8], salt: &[u8; 32]) -> Self {
        let mut keys = [0; 32];
        let expanded = Hkdf::<Sha256>::new(Some(salt), shared).expand(b"sc_v2_ccm", &mut keys);
        // 32 bytes are one block of SHA-256, far below HKDF's limit of 255.
        debug_assert!(expanded.is_ok());
        let (to_card, from_card) = keys.split_at(16);
        Self { to_card: cipher(to_card), from_card: cipher(from_card), counter: 0 }
    }

    /// Wraps an inner command, under a counter that is `ahead` of the right one.
    pub(super) fn wrap(&self, inner: &[u8], ahead: u64) -> Option<Vec<u8>> {
        let sealed = self.to_card.encrypt(&nonce(self.counter + ahead), inner).ok()?;
        outer(&sealed)
    }

    fn unwrap(&mut self, answer: &[u8]) -> Option<Opened> {
        if answer.len() < 10 {
            return None;
        }
        let plain = self.from_card.decrypt(&nonce(self.counter), answer).ok()?;
        self.counter += 1;
        let (data, sw) = plain.split_last_chunk::<2>()?;
        Some(Opened { data: data.to_vec(), sw: u16::from_be_bytes(*sw), is_previous: false })
    }
}

impl Channel {
    /// Takes an answer in, to a command whose bytes are given if it was a secured one; nothing when it is none of the
    /// channel's.
    pub(super) fn unwrap(&mut self, answer: &[u8], secured: Option<&[u8]>) -> Option<Opened> {
        match self {
            Self::V1(channel) => {
                let sent = secured.and_then(|command| command.get(5..)?.first_chunk());
                channel.unwrap(answer, sent)
            }
            Self::V2(channel) => channel.unwrap(answer),
        }
    }
}

/// `80 18 00 00 Lc`; nothing when it does not fit.
pub(super) fn outer(sealed: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(sealed.len()).ok()?;
    Some([&[0x80, 0x18, 0, 0, length], sealed].concat())
}

/// Returns the command with its length byte, which an inner command always has.
pub(super) fn with_length(send: &[u8]) -> Vec<u8> {
    let mut inner = send.to_vec();
    if inner.len() == 4 {
        inner.push(0);
    }
    inner
}

/// Returns a command's data.
pub(super) fn body(send: &[u8]) -> &[u8] {
    send.get(5..).unwrap_or_default()
}

fn cipher(key: &[u8]) -> Cipher {
    let mut room = Key::<Cipher>::default();
    room.copy_from_slice(key);
    Cipher::new(&room)
}

fn nonce(counter: u64) -> Nonce<U13> {
    let mut nonce = Nonce::default();
    nonce.iter_mut().skip(5).zip(counter.to_be_bytes()).for_each(|(room, byte)| *room = byte);
    nonce
}
