//! SCP02 on the card's side (GlobalPlatform Card Specification 2.1.1, appendix E).
//!
//! The invariant: a wrong proof is counted on disk before it is known to be wrong.

use proto::Secret;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::des::{Block, DoubleKey};
use crate::apdu::{Answer, Command, done};
use crate::memory::Memory;
use crate::status::StatusWord;

pub(super) const INITIALIZE_UPDATE: u8 = 0x50;
pub(super) const EXTERNAL_AUTHENTICATE: u8 = 0x82;

/// How far the other side has come in proving the keys.
#[derive(Default)]
pub(super) enum Channel {
    /// Not at all.
    #[default]
    Closed,
    /// It has a challenge.
    Challenged(Challenged),
    /// It has proven them.
    Open(Open),
}

/// What INITIALIZE UPDATE leaves behind.
pub(super) struct Challenged {
    host: Block,
    card: Block,
    keys: Keys,
}

/// The three keys of one session.
struct Keys {
    encryption: DoubleKey,
    mac: DoubleKey,
    data: Secret<16>,
}

/// What EXTERNAL AUTHENTICATE leaves behind.
pub(super) struct Open {
    keys: Keys,
    last: Block,
}

impl Channel {
    /// INITIALIZE UPDATE `80 50 version 00 08 challenge(8)`: the card proves its keys.
    pub(super) fn initialize(&mut self, memory: &Memory, command: &Command<'_>, rng: &mut dyn CryptoRng) -> Answer {
        let domain = memory.domain();
        if domain.is_locked() || domain.sequence == u16::MAX {
            return Err(StatusWord::BLOCKED);
        }
        if ![0, domain.key_version].contains(&command.p1) {
            return Err(StatusWord::NOT_REFERENCED);
        }
        let host: Block = command.data.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?;
        let [high, low] = domain.sequence.to_be_bytes();
        let mut random = [0; 6];
        rng.fill_bytes(&mut random);
        let [a, b, c, d, e, f] = random;
        let card = [high, low, a, b, c, d, e, f];
        let session = |key, purpose| DoubleKey::new(key).session(purpose, domain.sequence);
        let keys = Keys {
            encryption: DoubleKey::new(&session(&domain.encryption, [0x01, 0x82])),
            mac: DoubleKey::new(&session(&domain.mac, [0x01, 0x01])),
            data: session(&domain.data, [0x01, 0x81]),
        };
        let cryptogram = keys.encryption.cryptogram(&host, &card);
        *self = Self::Challenged(Challenged { host, card, keys });
        let about = [domain.key_version, SCP02];
        Ok(Zeroizing::new([&domain.chip[..], &about, &card, &cryptogram].concat()))
    }

    /// EXTERNAL AUTHENTICATE `84 82 01 00 10 cryptogram(8) MAC(8)`: the other side proves its keys.
    pub(super) fn authenticate(&mut self, memory: &mut Memory, command: &Command<'_>) -> Answer {
        let Self::Challenged(Challenged { host, card, keys }) = std::mem::take(self) else {
            return Err(StatusWord::CONDITIONS);
        };
        if (command.p1, command.p2) != (C_MAC, 0) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let ([cryptogram, mac], []) = command.data.as_chunks::<8>() else { return Err(StatusWord::WRONG_LENGTH) };
        if memory.domain().is_locked() {
            return Err(StatusWord::BLOCKED);
        }
        memory.commit(|state| state.domain.failures = state.domain.failures.saturating_add(1))?;
        let expected = keys.encryption.cryptogram(&card, &host);
        let own = keys.mac.mac(Block::default(), &authenticated(command, cryptogram));
        if !bool::from(cryptogram.ct_eq(&expected)) {
            return Err(StatusWord::WRONG_CRYPTOGRAM);
        }
        if !bool::from(mac.ct_eq(&own)) {
            return Err(StatusWord::SECURITY_STATUS);
        }
        memory.commit(|state| {
            state.domain.failures = 0;
            state.domain.sequence = state.domain.sequence.saturating_add(1);
        })?;
        *self = Self::Open(Open { keys, last: own });
        done()
    }

    /// Returns the data of a command whose MAC is right.
    ///
    /// # Errors
    /// 6982 for everybody else.
    pub(super) fn open<'a>(&mut self, command: &Command<'a>) -> Result<&'a [u8], StatusWord> {
        let Self::Open(Open { keys, last }) = self else { return Err(StatusWord::SECURITY_STATUS) };
        let (data, mac) = command.data.split_last_chunk().ok_or(StatusWord::SECURITY_STATUS)?;
        let own = keys.mac.mac(keys.mac.encrypt_single(*last), &authenticated(command, data));
        if command.cla & SECURED == 0 || !bool::from(own.as_slice().ct_eq(mac as &[u8; 8])) {
            return Err(StatusWord::SECURITY_STATUS);
        }
        *last = own;
        Ok(data)
    }

    /// Returns the key under which new keys come, if the channel is open.
    pub(super) fn data_key(&self) -> Option<DoubleKey> {
        match self {
            Self::Open(Open { keys, .. }) => Some(DoubleKey::new(&keys.data)),
            Self::Closed | Self::Challenged(_) => None,
        }
    }
}

/// Returns what the MAC of a command covers: its header, with the length that it has with its MAC, and its data.
fn authenticated(command: &Command<'_>, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(command.data.len()).unwrap_or(u8::MAX);
    [&[command.cla, command.ins, command.p1, command.p2, length], data].concat()
}

const SCP02: u8 = 0x02;
/// The security level at which commands carry a MAC.
const C_MAC: u8 = 0x01;
/// The bit of CLA that says that a command does.
const SECURED: u8 = 0x04;
