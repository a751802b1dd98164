//! REMOVE KEY (`80 D3 00 00`): key and paths are gone, the data slots stay. Needs the PIN.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;

pub(crate) const INS: u8 = 0xd3;

pub(crate) fn handle(applet: &mut Applet, _: &Command<'_>) -> Answer {
    applet.unlocked()?;
    applet.memory.update(|owner| owner.replace_key(None))?;
    applet.forget_leftover();
    done()
}
