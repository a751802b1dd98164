//! CHANGE PIN (`80 21 P1 00`): a new value for the PIN last used, main or duress, with all its tries.
//!
//! ```text
//! P1 00 PIN(6 digits)   P1 01 PUK(12 digits)   P1 02 pairing secret(32), before 4.0
//! ```
//!
//! Needs the PIN, and keeps its validation. Pairings made with the old secret stay.

use proto::{Pin, Puk, Secret};

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x21;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let active = applet.unlocked()?.active;
    match command.p1 {
        0x00 => {
            let pin = Pin::try_from(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
            applet.memory.update(|owner| owner.pin_mut(active).change(pin.expose()))?;
        }
        0x01 => {
            let puk = Puk::try_from(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
            applet.memory.update(|owner| owner.puk.change(puk.expose()))?;
        }
        0x02 if applet.memory.model().has_pairings() => {
            let secret = Secret::copy_from(command.data).ok_or(StatusWord::WRONG_DATA)?;
            applet.memory.update_pairings(|pairings| pairings.change_secret(secret))?;
        }
        _ => return Err(StatusWord::WRONG_P1_P2),
    }
    done()
}
