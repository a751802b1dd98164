//! The Cash applet (3.0 and later): a key of its own that signs for whoever holds the card.
//!
//! ```text
//! SELECT   A4 len { 80 41 public key(65) | 02 02 version | 82 len data }      len a single byte, whatever its value
//! SIGN     80 C0 00 P2 hash(32)              4.0: P2 03 signs with BIP-340, hash(32) tweak(32)
//! ```
//!
//! Before 4.0 it tells its errors apart from nothing: each is 6F00.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::command::{identify_card, sign};
use crate::key::uncompressed;
use crate::memory::Memory;
use crate::model::Model;
use crate::signature::{ecdsa, schnorr};
use crate::status::StatusWord;

/// Answers a SELECT of the applet.
pub(crate) fn select(memory: &Memory) -> Answer {
    let mut body = vec![0x80, 0x41];
    body.extend_from_slice(&uncompressed(&memory.cash_key()?));
    body.extend_from_slice(&[0x02, 0x02]);
    body.extend_from_slice(&memory.model().version());
    let data = &memory.data().cash;
    body.extend_from_slice(&[0x82, u8::try_from(data.len()).map_err(|_| StatusWord::INTERNAL)?]);
    body.extend_from_slice(data);
    let length = u8::try_from(body.len()).map_err(|_| StatusWord::INTERNAL)?;
    Ok(Zeroizing::new([&[0xa4, length], body.as_slice()].concat()))
}

pub(crate) fn handle(memory: &Memory, command: &Command<'_>, rng: &mut dyn CryptoRng) -> Answer {
    if memory.model() == Model::V4_0 {
        return from_v4(memory, command, rng);
    }
    let answer = match command.ins {
        identify_card::INS if memory.model().has_identity() => identify_card::identify(memory, command.data, rng),
        sign::INS => {
            let [hash, _] = fields(command.data);
            ecdsa(&memory.cash_key()?, &hash)
        }
        _ => Err(StatusWord::UNKNOWN_INS),
    };
    answer.map_err(|_| StatusWord::INTERNAL)
}

fn from_v4(memory: &Memory, command: &Command<'_>, rng: &mut dyn CryptoRng) -> Answer {
    if command.ins != sign::INS {
        return Err(StatusWord::UNKNOWN_INS);
    }
    let [hash, tweak] = fields(command.data);
    match command.p2 {
        0x00 => ecdsa(&memory.cash_key()?, &hash),
        0x03 => schnorr(&memory.cash_key()?, &hash, &tweak, rng),
        _ => Err(StatusWord::NOT_SUPPORTED),
    }
}

/// Returns hash and tweak. The applet never looks how long the data is; what is missing is here zeros, on a card whatever its
/// buffer holds.
fn fields(data: &[u8]) -> [[u8; 32]; 2] {
    let mut fields = [[0; 32]; 2];
    fields.as_flattened_mut().iter_mut().zip(data).for_each(|(room, byte)| *room = *byte);
    fields
}
