//! DERIVE KEY (`80 D1 P1 00 path`), before 4.0: moves the current path, which outlives power cuts. Needs the PIN.
//!
//! P1: 00 from the master key, 40 from the parent of the current one, 80 from the current one, C0 from the PIN-less path
//! (3.1 and 3.2).
//! Nothing is derived yet, so an invalid key shows only when it is used.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::path::{Source, resolve};

pub(crate) const INS: u8 = 0xd1;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let source = Source::of(command.p1, applet.memory.model());
    let path = resolve(applet.unlocked()?, source, command.data)?;
    applet.memory.update(|owner| owner.current = path)?;
    done()
}
