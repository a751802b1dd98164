//! What happens to a card behind the back of an open session: it is swapped, or wiped by somebody else.

use std::cell::Cell;
use std::rc::Rc;

use audit::Operation;
use keycard::{Card, CardError, CardTransport as _, Selection, Unlocked, select};
use proto::ExportPath;
use softcard::{Model, SoftCard};

use crate::cards::{Owned, Reader, recorded, selected, unlock};

/// A card with an open session, and the moment at which `behind` is done to it, before the next command.
fn session(model: Model, behind: impl Fn(&mut SoftCard) + 'static) -> (Card<Unlocked, Reader>, Rc<Cell<bool>>) {
    let Owned { mut reader, pairing } = Owned::new(model);
    let moment = Rc::new(Cell::new(false));
    let due = Rc::clone(&moment);
    reader.between = Some(Box::new(move |_, _, card| {
        if due.take() {
            behind(card);
        }
        None
    }));
    (unlock(selected(reader), pairing.as_ref()), moment)
}

fn export(card: &mut Card<Unlocked, Reader>) -> Result<(), CardError> {
    let path = ExportPath::chat();
    let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())));
    card.export_private(&path, &mut receipt).map(drop)
}

/// Users, attack 3: a card of the same seed, even one with the same identity, has no part in the session.
#[test]
fn attack_a_card_swapped_in_mid_session_gives_nothing() {
    for model in Model::ALL {
        let (mut card, moment) = session(model, move |card| {
            let mut clone = Owned::new(model).reader.card;
            assert_eq!(clone.identity(), card.identity());
            clone.power_cycle();
            // It is selected, as the session's card was.
            drop(clone.transmit(&SELECT));
            *card = clone;
        });
        export(&mut card).unwrap();
        moment.set(true);
        let error = export(&mut card).unwrap_err();
        assert!(matches!(error, CardError::ChannelLost(_)), "{model}: {error}");
        assert!(matches!(export(&mut card).unwrap_err(), CardError::ChannelLost(_)), "{model}: and it stays lost");
    }
}

/// Users, attack 6: FACTORY RESET needs neither PIN nor channel, so any program at the reader can wipe the card. The session
/// ends with the next command, and a fresh SELECT says what the card is.
#[test]
fn attack_a_card_wiped_by_another_program_is_found_blank() {
    for model in Model::ALL.into_iter().filter(|model| *model > Model::V3_0) {
        let (mut card, moment) = session(model, |card| drop(card.transmit(&[0x80, 0xFD, 0xAA, 0x55])));
        moment.set(true);
        let error = export(&mut card).unwrap_err();
        assert!(matches!(error, CardError::ChannelLost(_)), "{model}: {error}");
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        assert!(matches!(select(reader), Ok(Selection::Blank(_))), "{model}");
    }
}

const SELECT: [u8; 14] = [0x00, 0xA4, 0x04, 0x00, 0x09, 0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];
