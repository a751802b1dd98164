//! GET CHALLENGE (`80 84 P1 00`): P1 random bytes, 1 to 245. No PIN, and a blank card answers too.

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x84;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    // 255 bytes on the wire, less the tag and the status word inside.
    if !(1..=245).contains(&command.p1) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let mut bytes = Zeroizing::new(vec![0; usize::from(command.p1)]);
    applet.rng.fill_bytes(&mut bytes);
    Ok(bytes)
}
