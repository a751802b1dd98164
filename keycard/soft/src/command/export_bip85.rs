//! EXPORT BIP85 (`80 C4 P1 00 path`), applet 4.0: P1 bytes (1 to 64) of entropy that are no key of the wallet. Needs the PIN.
//!
//! ```text
//! the first P1 bytes of HMAC-SHA512("bip-entropy-from-k", private key at path)
//! path = 83696968' and one hardened component or more
//! ```

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::key::hmac_sha512;
use crate::path::absolute;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xc4;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let is_extended = applet.unlocked_key()?.is_extended();
    if !(1..=64).contains(&command.p1) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let path = absolute(command.data, is_extended)?;
    let is_hardened = path.components().iter().all(|component| component & HARDENED != 0);
    if path.components().len() < 2 || !is_hardened || path.components().first() != Some(&APPLICATION) {
        return Err(StatusWord::WRONG_DATA);
    }
    let node = applet.derive(&path)?;
    let entropy = hmac_sha512(b"bip-entropy-from-k", &[node.private().as_slice()]);
    Ok(Zeroizing::new(entropy.iter().take(usize::from(command.p1)).copied().collect()))
}

const HARDENED: u32 = 0x8000_0000;
/// 83696968'
const APPLICATION: u32 = 0x84fd_1d48;
