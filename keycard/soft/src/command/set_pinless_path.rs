//! SET PINLESS PATH (`80 C1 00 00 path`), before 4.0: the path that signs without a PIN; an empty one clears it. Needs the PIN.

use proto::KeyPath;

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xc1;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    applet.unlocked()?;
    let path = KeyPath::from_bytes(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
    applet.memory.update(|owner| owner.pinless = path)?;
    done()
}
