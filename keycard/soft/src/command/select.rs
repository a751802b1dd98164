//! SELECT (`00 A4 04 00`): who the card is, readable by everybody.
//!
//! ```text
//! 4.0:               A4 len { 02 02 0400 | 8C 01 status | 8E 00 or 8E 20 key UID(32) | 8D 01 capabilities | 8A 62 certificate(98) }
//! before, blank:     80 41 static channel key(65)
//! status = 00 before INIT, else 10 | tries left of the PIN last used
//! ```

use k256::elliptic_curve::sec1::ToSec1Point;
use zeroize::Zeroizing;

use crate::apdu::Answer;
use crate::memory::Memory;
use crate::status::StatusWord;

/// Answers a SELECT.
///
/// # Errors
/// 6985 on 4.0 without a certificate.
pub(crate) fn template(memory: &Memory) -> Answer {
    let Some(pairing) = memory.pairing() else {
        return certified(memory);
    };
    let key = pairing.key().ok_or(StatusWord::INTERNAL)?.public_key().to_sec1_point(false);
    Ok(Zeroizing::new([&[0x80, 0x41], key.as_bytes()].concat()))
}

/// Returns the application template of 4.0. Its length byte is one too small: so it is on every card.
fn certified(memory: &Memory) -> Answer {
    let identity = memory.identity().ok_or(StatusWord::CONDITIONS)?;
    let status = memory.owner().map_or(0, |owner| INITIALISED | (owner.tries() & 0x0f));
    let uid = memory.owner().and_then(|owner| owner.key.as_ref()?.uid());

    let mut body = vec![0x02, 0x02];
    body.extend_from_slice(&memory.model().version());
    body.extend_from_slice(&[0x8c, 0x01, status]);
    match uid {
        Some(uid) => {
            body.extend_from_slice(&[0x8e, 0x20]);
            body.extend_from_slice(uid.as_bytes());
        }
        None => body.extend_from_slice(&[0x8e, 0x00]),
    }
    body.extend_from_slice(&[0x8d, 0x01, CAPABILITIES]);
    body.extend_from_slice(&[0x8a, 0x62]);
    body.extend_from_slice(identity.certificate());

    // 0x70 bytes without a key UID, 0x90 with one.
    let announced = if uid.is_some() { vec![0xa4, 0x81, 0x8f] } else { vec![0xa4, 0x6f] };
    Ok(Zeroizing::new([announced, body].concat()))
}

const INITIALISED: u8 = 0x10;
/// Secure channel, key management, credentials management, NDEF, factory reset.
const CAPABILITIES: u8 = 0x1f;
