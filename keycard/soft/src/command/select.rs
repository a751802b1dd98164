//! SELECT (`00 A4 04 00`): who the card is, readable by everybody.
//!
//! ```text
//! A4 len { 02 02 0400 | 8C 01 status | 8E 00 or 8E 20 key UID(32) | 8D 01 capabilities | 8A 62 certificate(98) }
//! status = 00 before INIT, else 10 | tries left of the PIN last used
//! ```

use crate::memory::Memory;

/// Returns the application template. Its length byte is one too small: so it is on every card of applet 4.0.
pub(crate) fn template(memory: &Memory) -> Vec<u8> {
    let status = memory.owner().map_or(0, |owner| INITIALISED | (owner.tries() & 0x0f));
    let uid = memory.owner().and_then(|owner| owner.key.as_ref()?.uid());

    let mut body = vec![0x02, 0x02];
    body.extend_from_slice(&VERSION);
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
    body.extend_from_slice(memory.identity().certificate());

    // 0x70 bytes without a key UID, 0x90 with one.
    let announced = if uid.is_some() { vec![0xa4, 0x81, 0x8f] } else { vec![0xa4, 0x6f] };
    [announced, body].concat()
}

const VERSION: [u8; 2] = [0x04, 0x00];
const INITIALISED: u8 = 0x10;
/// Secure channel, key management, credentials management, NDEF, factory reset.
const CAPABILITIES: u8 = 0x1f;
