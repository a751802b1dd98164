//! VERIFY PIN (`80 20 00 00 06 PIN`), with the two PINs of applet 3.1 and later.
//!
//! On 4.0 the duress PIN is tried first: if it matches, the main PIN is not looked at and keeps the tries it had. Before, both
//! are tried, and whichever matches gives the other its tries back; the duress PIN wins a draw. A failed try ends an earlier
//! validation, a malformed one does not (on 2.2 it is a failed one like any other).
//!
//! The invariant: a try is off the counter, on disk, before its PIN is compared.

use proto::Pin;

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::key::Tree;
use crate::memory::PinKind;
use crate::model::Model;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x20;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let model = applet.memory.model();
    if model > Model::V2_2 && Pin::try_from(command.data).is_err() {
        return Err(StatusWord::WRONG_DATA);
    }
    applet.validated = false;
    let matching = match model {
        Model::V4_0 if check(applet, PinKind::Duress, command.data)? => Some(PinKind::Duress),
        Model::V3_1 | Model::V3_2 => {
            let main = check(applet, PinKind::Main, command.data)?.then_some(PinKind::Main);
            let duress = check(applet, PinKind::Duress, command.data)?.then_some(PinKind::Duress);
            duress.or(main)
        }
        _ => check(applet, PinKind::Main, command.data)?.then_some(PinKind::Main),
    };
    let Some(kind) = matching else {
        return Err(StatusWord::wrong_pin(applet.owner()?.tries()));
    };
    applet.memory.commit(|state| {
        state.tree = if kind == PinKind::Duress { Tree::Duress } else { Tree::Standard };
        let Some(owner) = &mut state.owner else { return };
        owner.active = kind;
        if kind == PinKind::Main || model < Model::V4_0 {
            owner.main.restore_tries();
        }
        if let Some(duress) = &mut owner.duress {
            duress.restore_tries();
        }
    })?;
    applet.validated = true;
    done()
}

/// Pays for a try, then compares. A blocked PIN never matches.
fn check(applet: &mut Applet, kind: PinKind, candidate: &[u8]) -> Result<bool, StatusWord> {
    if applet.owner()?.pin(kind).tries() == 0 {
        return Ok(false);
    }
    applet.memory.update(|owner| owner.pin_mut(kind).pay_try())?;
    Ok(applet.owner()?.pin(kind).is(candidate))
}

#[cfg(test)]
mod tests {
    use proto::{KeyPath, Secret, TestDice};

    use super::check;
    use crate::applet::Applet;
    use crate::memory::{Memory, Owner, PinKind};
    use crate::model::Model;
    use crate::pin::OwnerPin;

    /// Where a power cut would find the card: after the comparison, before the tries are given back.
    #[test]
    fn even_the_right_pin_pays_for_its_try_first() {
        let memory = Memory::blank(Model::V4_0, &mut TestDice::seeded(7), None);
        let mut applet = Applet::new(memory, Box::new(TestDice::seeded(8)));
        let pin = || OwnerPin::new(Secret::fill(|room| *room = *b"123456"), 3);
        let owner = Owner {
            main: pin(),
            duress: Some(pin()),
            puk: OwnerPin::new(Secret::fill(|room| *room = *b"123456789012"), 5),
            active: PinKind::Main,
            key: None,
            current: KeyPath::master(),
            pinless: KeyPath::master(),
        };
        applet.memory.commit(|state| state.owner = Some(owner)).unwrap();
        for tries in [2, 1, 0] {
            assert_eq!(check(&mut applet, PinKind::Main, b"123456"), Ok(true));
            assert_eq!(applet.owner().unwrap().main.tries(), tries);
        }
        assert_eq!(check(&mut applet, PinKind::Main, b"123456"), Ok(false), "blocked");
    }
}
