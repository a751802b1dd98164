//! SET NDEF (`80 F3 00 00 content`), applet 2.2: what the NDEF applet shows. Needs the PIN.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::data::DataSlot;

pub(crate) const INS: u8 = 0xf3;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    applet.unlocked()?;
    super::store_data::store(applet, DataSlot::Ndef, 0, command.data)?;
    done()
}
