//! Secure channel v1 of applets 2.x and 3.x (reference: Keycard applet, secure channel v1).
//!
//! ```text
//! Kenc || Kmac  = SHA-512(x of ECDH(client ephemeral, card static) || pairing key(32) || salt(32))      32 + 32
//! command       = CLA INS P1 P2 Lc MAC(16) || C       C   = AES-256-CBC(Kenc, IV, data || 80 00..)
//!                                                     MAC = CBC-MAC(Kmac, CLA INS P1 P2 Lc 00*11 || C)
//! answer        = MAC'(16) || C' 9000                 C'  = AES-256-CBC(Kenc, IV, data || SW || 80 00..)
//!                                                     MAC'= CBC-MAC(Kmac, Lr 00*15 || C')
//! IV            = the one of OPEN SECURE CHANNEL's answer, then always the last MAC, of either direction
//! ```
//! An error that the applet raises before it decrypts (an unknown instruction) is one block encrypted with the IV of the
//! answer before.
//!
//! Invariant: the MAC is compared, in constant time, before anything is decrypted, and an answer that fails any check
//! wipes the keys.
//!
//! What no MAC covers: **the IV**. The first one comes in clear and can be changed on the way: it garbles the first 16
//! bytes that the card decrypts, which are random bytes (MUTUALLY AUTHENTICATE), and nothing else, for each later IV is a
//! MAC that both sides have checked. And an older answer of the same session keeps its valid MAC, with only its first
//! block garbled by the newer IV: every MAC is therefore taken once in a session.

use std::collections::BTreeSet;

use aes::Aes256;
use aes::cipher::KeyInit as _;
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::apdu::{Answer, Command};
use crate::channel::cbc::{self, BLOCK, Block};
use crate::error::{CardError, Lost};
use crate::status_word::StatusWord;

/// What fits into one protected command.
const MAX_PLAINTEXT: usize = 223;
/// How many answers one session takes at most; it bounds the memory of their MACs.
const MAX_ANSWERS: usize = 1 << 16;

/// The keys, the IV and the answers so far. The keys are gone once the channel is lost.
pub(crate) struct ChannelV1 {
    keys: Option<Keys>,
    /// The last MAC of either direction.
    iv: Block,
    /// While an answer is due: the IV before the command.
    awaited: Option<Block>,
    taken: BTreeSet<Block>,
}

struct Keys {
    encryption: Aes256,
    mac: Aes256,
}

impl ChannelV1 {
    /// Returns the channel that both sides derive from the shared point, the pairing and OPEN SECURE CHANNEL's answer.
    pub(crate) fn derive(shared: &[u8], pairing_key: &[u8; 32], salt: &[u8; 32], iv: Block) -> Self {
        let mut hasher = Sha512::new();
        hasher.update(shared);
        hasher.update(pairing_key);
        hasher.update(salt);
        let mut digest = hasher.finalize();
        let (encryption, mac) = digest.split_at(32);
        let cipher = |key: &[u8]| Aes256::new_from_slice(key).ok();
        let keys = cipher(encryption).zip(cipher(mac)).map(|(encryption, mac)| Keys { encryption, mac });
        digest.as_mut_slice().zeroize();
        Self { keys, iv, awaited: None, taken: BTreeSet::new() }
    }

    /// See [`super::Channel::seal`].
    pub(crate) fn seal(&mut self, command: &Command) -> Result<Command, CardError> {
        let plaintext = command.body();
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(CardError::Misuse { what: "a protected command carries at most 223 bytes" });
        }
        if self.awaited.is_some() {
            self.close();
            return Err(Lost::OutOfStep.into());
        }
        let keys = self.keys.as_ref().ok_or(Lost::Closed)?;
        let mut ciphertext = cbc::padded(0, &[plaintext]);
        cbc::encrypt(&keys.encryption, &self.iv, &mut ciphertext);
        let [cla, ins, p1, p2] = command.header();
        let mac =
            cbc::mac(&keys.mac, &first_block(&[cla, ins, p1, p2, low_byte(BLOCK + ciphertext.len())]), &ciphertext);
        self.awaited = Some(std::mem::replace(&mut self.iv, mac));
        Command::with_body([cla, ins, p1, p2], &[&mac, &ciphertext])
    }

    /// See [`super::Channel::open`].
    pub(crate) fn open(&mut self, answer: Answer) -> Result<Answer, CardError> {
        // Taken, and put back only after a success.
        let keys = self.keys.take().ok_or(Lost::Closed)?;
        let before = self.awaited.take().ok_or(Lost::OutOfStep)?;
        let Answer { mut data, status } = answer;
        if status != StatusWord::OK {
            return Err(Lost::Outside { status }.into());
        }
        let length = low_byte(data.len());
        let (mac, ciphertext) = data.split_first_chunk_mut::<BLOCK>().ok_or(Lost::Unverifiable)?;
        if ciphertext.is_empty() || ciphertext.len() % BLOCK != 0 {
            return Err(Lost::Unverifiable.into());
        }
        let expected = cbc::mac(&keys.mac, &first_block(&[length]), ciphertext);
        if !bool::from(expected.ct_eq(mac)) || self.taken.len() >= MAX_ANSWERS || !self.taken.insert(expected) {
            return Err(Lost::Unverifiable.into());
        }
        let ours = std::mem::replace(&mut self.iv, expected);
        let answer = match early_error(&keys.encryption, &before, ciphertext) {
            Some(status) => Answer { data: Zeroizing::default(), status },
            None => {
                cbc::decrypt(&keys.encryption, &ours, ciphertext);
                let length = cbc::unpadded(ciphertext).ok_or(Lost::Unverifiable)?;
                data.drain(..BLOCK);
                data.truncate(length);
                Answer::split(data)?
            }
        };
        if answer.status == StatusWord::CHANNEL_BROKEN {
            return Err(Lost::Outside { status: answer.status }.into());
        }
        self.keys = Some(keys);
        Ok(answer)
    }

    /// See [`super::Channel::close`].
    pub(crate) fn close(&mut self) {
        self.keys = None;
        self.awaited = None;
    }
}

/// Returns the status word of an error that the card raised before it took our MAC for its IV.
fn early_error(encryption: &Aes256, before: &Block, ciphertext: &[u8]) -> Option<StatusWord> {
    let mut block = Zeroizing::new(Block::try_from(ciphertext).ok()?);
    cbc::decrypt(encryption, before, &mut *block);
    let [sw1, sw2, padding @ ..] = &*block;
    (cbc::unpadded(padding) == Some(0)).then(|| StatusWord::from([*sw1, *sw2]))
}

/// Returns the first block under a MAC: `start`, then zeros.
fn first_block(start: &[u8]) -> Block {
    let mut block = Block::default();
    for (byte, value) in block.iter_mut().zip(start) {
        *byte = *value;
    }
    block
}

/// Returns the length byte of a MAC's first block: an answer of 256 bytes has 00.
const fn low_byte(length: usize) -> u8 {
    let [low, ..] = length.to_le_bytes();
    low
}
