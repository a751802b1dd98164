//! UNPAIR (`80 13 slot 00`), before 4.0: gives a pairing slot back, taken or not. Needs the PIN. An open channel stays.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::pairing::Slot;

pub(crate) const INS: u8 = 0x13;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    applet.unlocked()?;
    match Slot::of(command.p1, applet.memory.model())? {
        Slot::Persistent(index) => applet.memory.update_pairings(|pairings| pairings.set(index, None))?,
        Slot::Ephemeral => applet.v1.ephemeral = None,
    }
    done()
}
