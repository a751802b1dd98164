//! STORE DATA (`80 E2 P1 P2 data`), applet 3.0 and later: into the slot P1 names. Needs the PIN.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::data::DataSlot;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xe2;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    applet.unlocked()?;
    store(applet, DataSlot::of(command.p1)?, command.p2, command.data)?;
    done()
}

/// Puts data into a slot, or leaves all as it was.
pub(super) fn store(applet: &mut Applet, slot: DataSlot, p2: u8, content: &[u8]) -> Result<(), StatusWord> {
    let model = applet.memory.model();
    let mut data = applet.memory.data().clone();
    data.store(slot, p2, content, model)?;
    applet.memory.commit(|state| state.data = data)
}
