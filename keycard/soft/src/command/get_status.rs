//! GET STATUS (`80 F2 P1 00`). No PIN.
//!
//! ```text
//! P1 00   A3 09 { 02 01 PIN tries | 02 01 PUK tries | 01 01 FF or 00 (key) }
//! P1 01   the current path, 4 bytes a component (before 4.0)
//! ```

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xf2;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let owner = applet.owner()?;
    match command.p1 {
        0x00 => {
            let key = if owner.key.is_some() { 0xff } else { 0x00 };
            let status = vec![0xa3, 0x09, 0x02, 0x01, owner.tries(), 0x02, 0x01, owner.puk.tries(), 0x01, 0x01, key];
            Ok(Zeroizing::new(status))
        }
        0x01 if applet.memory.model().has_pairings() => Ok(Zeroizing::new(owner.current.to_bytes())),
        _ => Err(StatusWord::WRONG_P1_P2),
    }
}
