//! MUTUALLY AUTHENTICATE (`80 11 00 00`), before 4.0: the first protected command, 32 random bytes for 32 others.
//!
//! It shows that both sides have the channel's keys. A second one is refused, and the channel survives that.

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x11;

/// Of the dice it takes 32 bytes.
pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if !applet.v1.has_keys() {
        return Err(StatusWord::CONDITIONS);
    }
    // The applet takes the channel for open before it has looked at the MAC, and keeps to it if it runs into an exception.
    let again = applet.v1.authenticate(true);
    let data = applet.v1.open(command)?;
    if again {
        return Err(StatusWord::CONDITIONS);
    }
    if data.len() != 32 {
        applet.v1.abort();
        return Err(StatusWord::SECURITY_STATUS);
    }
    let mut answer = Zeroizing::new(vec![0; 32]);
    applet.rng.fill_bytes(&mut answer);
    Ok(answer)
}
