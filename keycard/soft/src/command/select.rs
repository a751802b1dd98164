//! SELECT (`00 A4 04 00`): who the card is, readable by everybody.
//!
//! ```text
//! before 4.0, blank  80 41 channel key(65)
//! before 4.0         A4 len { 8F 10 instance UID(16) | 80 41 channel key(65) | 02 02 version | 02 01 free slots
//!                             | 8E 00 or 8E 20 key UID(32) | 8D 01 capabilities }
//! 4.0                A4 len { 02 02 version | 8C 01 status | 8E 00 or 8E 20 key UID(32) | 8D 01 capabilities
//!                             | 8A 62 certificate(98) }
//! status = 00 before INIT, else 10 | tries left of the PIN last used | 20 with a LEE key
//! ```

use zeroize::Zeroizing;

use crate::apdu::Answer;
use crate::key::{MasterKey, uncompressed};
use crate::memory::Memory;
use crate::pairing::Pairings;
use crate::status::StatusWord;

/// Answers a SELECT.
///
/// # Errors
/// 6985 on 4.0 without a certificate.
pub(crate) fn template(memory: &Memory) -> Answer {
    match memory.pairings() {
        Ok(pairings) => paired(memory, pairings),
        Err(_) => certified(memory),
    }
}

/// Returns the answer of a card before 4.0.
fn paired(memory: &Memory, pairings: &Pairings) -> Answer {
    let key = [&[0x80, 0x41], uncompressed(&pairings.key()?).as_slice()].concat();
    let Some(owner) = memory.owner() else {
        return Ok(Zeroizing::new(key));
    };
    let mut body = vec![0x8f, 0x10];
    body.extend_from_slice(&pairings.uid);
    body.extend_from_slice(&key);
    body.extend_from_slice(&[0x02, 0x02]);
    body.extend_from_slice(&memory.model().version());
    body.extend_from_slice(&[0x02, 0x01, pairings.free()]);
    push_uid(&mut body, owner.key.as_ref());
    body.extend_from_slice(&[0x8d, 0x01, memory.model().capabilities()]);
    // 0x61 bytes without a key UID, 0x81 with one.
    let announced = if owner.key.is_some() { vec![0xa4, 0x81, 0x81] } else { vec![0xa4, 0x61] };
    Ok(Zeroizing::new([announced, body].concat()))
}

/// Returns the answer of 4.0. Its length byte is one too small: so it is on every card.
fn certified(memory: &Memory) -> Answer {
    let identity = memory.identity().ok_or(StatusWord::CONDITIONS)?;
    let key = memory.owner().and_then(|owner| owner.key.as_ref());
    let lee = if key.is_some_and(|key| key.lee().is_some()) { HAS_LEE } else { 0 };
    let status = memory.owner().map_or(0, |owner| INITIALISED | lee | (owner.tries() & 0x0f));

    let mut body = vec![0x02, 0x02];
    body.extend_from_slice(&memory.model().version());
    body.extend_from_slice(&[0x8c, 0x01, status]);
    push_uid(&mut body, key);
    body.extend_from_slice(&[0x8d, 0x01, memory.model().capabilities()]);
    body.extend_from_slice(&[0x8a, 0x62]);
    body.extend_from_slice(identity.certificate());
    // 0x70 bytes without a key UID, 0x90 with one.
    let announced = if key.is_some() { vec![0xa4, 0x81, 0x8f] } else { vec![0xa4, 0x6f] };
    Ok(Zeroizing::new([announced, body].concat()))
}

fn push_uid(body: &mut Vec<u8>, key: Option<&MasterKey>) {
    match key {
        Some(key) => {
            body.extend_from_slice(&[0x8e, 0x20]);
            body.extend_from_slice(&key.uid());
        }
        None => body.extend_from_slice(&[0x8e, 0x00]),
    }
}

const INITIALISED: u8 = 0x10;
const HAS_LEE: u8 = 0x20;
