//! UNBLOCK PIN (`80 22 00 00 12 PUK(12) PIN(6)`): a new PIN for a blocked one, which is validated at once.
//!
//! On 4.0 it touches the PIN last used only; before, the other one gets its tries back too. The tree stays as it was.
//!
//! The invariant: a try is off the PUK's counter, on disk, before the PUK is compared.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x22;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let owner = applet.owner()?;
    let active = owner.active;
    if owner.tries() != 0 {
        return Err(StatusWord::CONDITIONS);
    }
    let digits: &[u8; 18] = command.data.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(StatusWord::WRONG_DATA);
    }
    let (puk, pin) = digits.split_first_chunk::<12>().ok_or(StatusWord::WRONG_DATA)?;
    let pin: &[u8; 6] = pin.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    if owner.puk.tries() == 0 {
        return Err(StatusWord::wrong_pin(0));
    }
    applet.memory.update(|owner| owner.puk.pay_try())?;
    let owner = applet.owner()?;
    if !owner.puk.is(puk) {
        return Err(StatusWord::wrong_pin(owner.puk.tries()));
    }
    let restores_both = applet.memory.model().has_pairings();
    applet.memory.update(|owner| {
        owner.puk.restore_tries();
        if restores_both {
            owner.main.restore_tries();
            if let Some(duress) = &mut owner.duress {
                duress.restore_tries();
            }
        }
        owner.pin_mut(active).change(pin);
    })?;
    applet.validated = true;
    done()
}
