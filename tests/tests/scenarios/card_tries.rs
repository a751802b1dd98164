//! The key manager's model of both PINs' tries, held against the software card over random sequences.
//!
//! A card shows one counter. Whether the other is right shows by what the card answers to the PIN that it belongs to.

use audit::Operation;
use keycard::{
    Access, Card, InitSecrets, Lasting, Pairing, PairingSecret, Secured, Tries as Limits, UnblockError, VerifyError,
};
use keymgr::cards::tries::{Tries, Which};
use keymgr::manifest::Generation;
use proto::{Pin, Puk, Secret};
use rand_core::Rng as _;
use softcard::Model;

use crate::cards::{Reader, blank, dice, recorded, selected, trust};

const MAIN: &str = "123456";
const DURESS: &str = "654321";
const WRONG: &str = "111111";
const PUK: &str = "210987654321";

fn pin(digits: &str) -> Pin {
    Pin::try_from(digits.as_bytes()).unwrap()
}

fn puk() -> Puk {
    Puk::try_from(PUK.as_bytes()).unwrap()
}

/// A card with both PINs and this limit, and the pairing with it.
fn card(model: Model, limit: u8) -> (Reader, Option<Pairing>) {
    let secrets = InitSecrets::new(pin(MAIN), puk(), &mut dice(7)).with_duress(pin(DURESS)).unwrap();
    let secrets = secrets.with_tries(Limits::new(limit, 12).unwrap());
    let card = blank(Reader::new(model));
    let mut receipt = recorded(card.request(Operation::Init));
    let mut card = card.init(&trust(), &secrets, &mut receipt, &mut dice(1)).unwrap();
    let pairing = (model < Model::V4_0).then(|| {
        let mut receipt = recorded(card.request(Operation::Pair));
        let secret = PairingSecret::from(Secret::copy_from(secrets.pairing().expose()).unwrap());
        card.pair(&[secret], Lasting::Persistent, &mut receipt, &mut dice(2)).unwrap()
    });
    (card.into_transport(), pairing)
}

/// A session from SELECT on: what the card shows must be what the model says.
fn session(reader: Reader, pairing: Option<&Pairing>, tries: &mut Tries, seed: u64) -> (Card<Secured, Reader>, u8) {
    let trust = trust();
    let access = Access::new(&trust, [7; 32]);
    let access = pairing.map_or(access, |pairing| access.paired(pairing));
    let mut card = selected(reader).open(&access, &mut dice(seed)).unwrap();
    tries.selected();
    let shown = card.status().unwrap().pin_tries;
    assert_eq!(shown, tries.left(tries.active()), "{tries:?}");
    (card, shown)
}

/// Attack 5: tries are money, also those that a card does not show.
#[test]
fn the_model_of_both_pins_is_right_about_every_answer_of_the_card() {
    for (model, generation) in [(Model::V3_2, Generation::V1), (Model::V4_0, Generation::V2)] {
        for seed in 0..20 {
            let mut random = dice(seed);
            let limit = 2 + u8::try_from(random.next_u32() % 5).unwrap();
            let (mut reader, pairing) = card(model, limit);
            let mut tries = Tries::fresh(generation, limit);
            for step in 0..40 {
                let (card, shown) = session(reader, pairing.as_ref(), &mut tries, 100 + step);
                reader = if shown == 0 {
                    unblock(card, &mut tries)
                } else {
                    attempt(card, &mut tries, random.next_u32() % 3)
                };
            }
        }
    }
}

fn unblock(card: Card<Secured, Reader>, tries: &mut Tries) -> Reader {
    let new = if tries.active() == Which::Main { MAIN } else { DURESS };
    let mut receipt = recorded(card.request(Operation::UnblockPin));
    match card.unblock_pin(&puk(), &pin(new), true, &mut receipt) {
        Ok(card) => {
            tries.unblocked();
            card.into_transport()
        }
        Err(UnblockError::Exhausted { .. }) => panic!("the PUK is right"),
        Err(error) => panic!("{error}"),
    }
}

fn attempt(card: Card<Secured, Reader>, tries: &mut Tries, choice: u32) -> Reader {
    let (digits, which) = match choice {
        0 => (MAIN, Some(Which::Main)),
        1 => (DURESS, Some(Which::Duress)),
        _ => (WRONG, None),
    };
    let works = which.is_some_and(|which| tries.left(which) > 0);
    match card.verify_pin(&pin(digits), true) {
        Ok(card) => {
            assert!(works, "{digits} {tries:?}");
            tries.right(which);
            card.into_transport()
        }
        Err(VerifyError::Wrong { card, tries: left }) => {
            assert!(!works, "{digits} {tries:?}");
            tries.wrong(left);
            card.into_transport()
        }
        Err(VerifyError::Blocked { card }) => {
            assert!(!works, "{digits} {tries:?}");
            tries.wrong(0);
            card.into_transport()
        }
        Err(error) => panic!("{error}"),
    }
}
