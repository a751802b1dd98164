//! GET DATA (`80 CA P1 P2`), applet 3.0 and later: what is in the slot that P1 names. No PIN; before 4.0, no channel either
//! as long as none is open.

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::data::DataSlot;

pub(crate) const INS: u8 = 0xca;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let slot = DataSlot::of(command.p1)?;
    let data = applet.memory.data().show(slot, command.p2, applet.memory.model())?;
    Ok(Zeroizing::new(data.to_vec()))
}
