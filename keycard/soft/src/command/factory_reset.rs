//! FACTORY RESET (`80 FD AA 55`), plain, by anybody who holds the card: no channel, no PIN.
//!
//! PINs, PUK and key are gone; the identity and its certificate stay. A blank card answers 9000 too.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xfd;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if (command.p1, command.p2) != (0xaa, 0x55) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    applet.memory.commit(None)?;
    applet.deselect();
    done()
}
