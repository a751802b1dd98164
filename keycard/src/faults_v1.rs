//! A whole session with a card of generation v1 whose answers are harmed at every step: an error, never a panic.

use audit::Operation;
use proptest::prelude::*;
use proto::{ExportPath, TestDice};

use crate::fake::{Harm, blank, pin, recorded, secrets};
use crate::fake_v1::{FakeV1, secret, trust_v1};
use crate::{Access, CardError, Lasting, Selection, VerifyError, Version, select};

/// SELECT, PAIR twice, IDENTIFY CARD, OPEN SECURE CHANNEL, MUTUALLY AUTHENTICATE, then inside: GET STATUS, VERIFY PIN,
/// EXPORT KEY, UNPAIR.
const STEPS: usize = 10;
const OPEN: usize = 4;
const CHAT_PRIVATE: &str = "20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754";

fn card() -> FakeV1 {
    FakeV1::initialised(Version::V3_2)
        .answering("a3090201030201050101ff9000")
        .answering("9000")
        .answering(&format!("a1228120{CHAT_PRIVATE}9000"))
        .answering("9000")
}

fn session(fake: FakeV1) -> Result<FakeV1, Box<CardError>> {
    let mut card = match select(fake).map_err(|failed| failed.error)? {
        Selection::Initialised(card) => card,
        Selection::Blank(_) => return Err(Box::new(CardError::Misuse { what: "blank" })),
    };
    let mut receipt = recorded(card.request(Operation::Pair));
    let pairing = card.pair(&[secret()], Lasting::Persistent, &mut receipt, &mut TestDice::seeded(1))?;
    let trust = trust_v1();
    let access = Access::new(&trust, [7; 32]).paired(&pairing);
    let card = card.open(&access, &mut TestDice::seeded(1)).map_err(|failed| failed.error)?;
    let mut card = card.verify_pin(&pin(), false).map_err(|error| match error {
        VerifyError::Lost { error, .. } => error,
        _ => CardError::Misuse { what: "not unlocked" },
    })?;
    let chat = ExportPath::chat();
    let mut receipt = recorded(card.request(Operation::ExportPrivate(chat.clone())));
    card.export_private(&chat, &mut receipt)?;
    let mut receipt = recorded(card.request(Operation::Unpair(3)));
    if !card.unpair(3, &mut receipt)? {
        return Err(Box::new(CardError::Misuse { what: "no such slot" }));
    }
    Ok(card.into_transport())
}

/// SELECT is signed by nobody. Of OPEN's answer, 50 bytes with the status word, the IV is bytes 32 to 47. Of PAIR's second, 35
/// bytes, the slot is only a number until the channel is opened with it.
fn is_uncovered(step: usize, at: usize) -> bool {
    step == 0 || step == OPEN && (32..48).contains(&(at % 50))
}

fn harm() -> impl Strategy<Value = Harm> {
    let bytes = |range| proptest::collection::vec(any::<u8>(), range);
    prop_oneof![
        bytes(0..300).prop_map(Harm::Replace),
        bytes(0..300).prop_map(|bytes| Harm::Replace([bytes, vec![0x90, 0x00]].concat())),
        (1usize..300).prop_map(Harm::Cut),
        bytes(1..300).prop_map(Harm::Grow),
        Just(Harm::Silence),
    ]
}

#[test]
fn an_unharmed_session_succeeds() {
    assert_eq!(session(card()).ok().unwrap().commands(), STEPS);
}

#[test]
fn every_cut_of_every_answer_is_an_error() {
    for step in 0..STEPS {
        for cut in (1..=40).chain([65, 97, 130]) {
            assert!(session(card().harmed(step, Harm::Cut(cut))).is_err(), "step {step}, cut {cut}");
        }
    }
}

/// A status word 9000 becomes 6100 so, whatever is before it. The host asks for the rest in clear, inside a channel too.
#[test]
fn a_rest_that_the_card_speaks_of_and_does_not_have_is_an_error() {
    for step in 0..STEPS {
        for at in 0..100 {
            let result = session(card().harmed(step, Harm::Flip(at, 0x90 ^ 0x61)));
            assert!(is_uncovered(step, at) || result.is_err(), "step {step}, byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn a_harmed_answer_at_any_step_is_an_error(step in 0..STEPS, harm in harm()) {
        prop_assert!(session(card().harmed(step, harm)).is_err());
    }

    #[test]
    fn a_flipped_bit_never_panics_and_passes_only_where_nothing_covers_it(
        step in 0..STEPS, at in 0usize..160, bits in 1u8..
    ) {
        let result = session(card().harmed(step, Harm::Flip(at, bits)));
        prop_assert!(is_uncovered(step, at) || result.is_err());
    }

    #[test]
    fn a_blank_card_with_harmed_answers_is_never_initialised(step in 1usize..4, harm in harm()) {
        // That is what the card answers to INIT.
        prop_assume!(!matches!(&harm, Harm::Replace(bytes) if step == 2 && *bytes == [0x90, 0x00]));
        let card = blank(FakeV1::blank(Version::V3_1).harmed(step, harm));
        let mut receipt = recorded(card.request(Operation::Init));
        prop_assert!(card.init(&trust_v1(), &secrets(), &mut receipt, &mut TestDice::seeded(5)).is_err());
    }
}
