//! VERIFY PIN (`80 20 00 00 06 PIN`), with the two PINs of applet 4.0.
//!
//! The duress PIN is tried first. If it matches, the main PIN is not looked at and keeps the tries it had; if the main PIN
//! matches, both get all their tries back. A failed try ends an earlier validation, a malformed one does not.
//!
//! The invariant: a try is off the counter, on disk, before its PIN is compared.

use proto::Pin;

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::memory::PinKind;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x20;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let candidate = Pin::try_from(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
    applet.validated = false;
    if check(applet, PinKind::Duress, &candidate)? {
        applet.memory.update(|owner| {
            owner.duress.restore_tries();
            owner.active = PinKind::Duress;
        })?;
    } else if check(applet, PinKind::Main, &candidate)? {
        applet.memory.update(|owner| {
            owner.main.restore_tries();
            owner.duress.restore_tries();
            owner.active = PinKind::Main;
        })?;
    } else {
        return Err(StatusWord::wrong_pin(applet.owner()?.tries()));
    }
    applet.validated = true;
    done()
}

/// Pays for a try, then compares. A blocked PIN never matches.
fn check(applet: &mut Applet, kind: PinKind, candidate: &Pin) -> Result<bool, StatusWord> {
    if applet.owner()?.pin(kind).tries() == 0 {
        return Ok(false);
    }
    applet.memory.update(|owner| owner.pin_mut(kind).pay_try())?;
    Ok(applet.owner()?.pin(kind).is(candidate.expose()))
}

#[cfg(test)]
mod tests {
    use proto::{Pin, Secret, TestDice};

    use super::check;
    use crate::applet::Applet;
    use crate::memory::{Memory, Owner, PinKind};
    use crate::model::Model;
    use crate::pin::OwnerPin;

    /// Where a power cut would find the card: after the comparison, before the tries are given back.
    #[test]
    fn even_the_right_pin_pays_for_its_try_first() {
        let mut applet =
            Applet::new(Memory::blank(Model::V4_0, &mut TestDice::seeded(7), None), Box::new(TestDice::seeded(8)));
        let pin = || OwnerPin::new(Secret::fill(|room| *room = *b"123456"), 3);
        let puk = OwnerPin::new(Secret::fill(|room| *room = *b"123456789012"), 5);
        let owner = Owner { main: pin(), duress: pin(), puk, active: PinKind::Main, key: None };
        applet.memory.commit(Some(owner)).unwrap();
        let right = Pin::try_from(b"123456".as_slice()).unwrap();
        for tries in [2, 1, 0] {
            assert_eq!(check(&mut applet, PinKind::Main, &right), Ok(true));
            assert_eq!(applet.owner().unwrap().main.tries(), tries);
        }
        assert_eq!(check(&mut applet, PinKind::Main, &right), Ok(false), "blocked");
    }
}
