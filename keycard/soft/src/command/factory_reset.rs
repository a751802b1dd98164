//! FACTORY RESET (`80 FD AA 55`), from 3.1 on: plain, by anybody who holds the card. No channel, no PIN.
//!
//! PINs, PUK, key, pairings and the public data slot are gone, channel key and instance UID are new; the certificate stays, and
//! so do the other data slots. A blank card answers 9000 too on 4.0.

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::pairing::Pairings;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xfd;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if (command.p1, command.p2) != (0xaa, 0x55) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let model = applet.memory.model();
    let pairings = model.has_pairings().then(|| Pairings::blank(model, &mut *applet.rng));
    applet.memory.commit(|state| {
        state.owner = None;
        state.pairings = pairings;
        state.data.public.clear();
    })?;
    applet.deselect();
    applet.forget_leftover();
    done()
}
