//! A whole session against a card whose answers are harmed at every step: always an error, never a panic.

use audit::Operation;
use proptest::prelude::*;
use proto::{ExportPath, KeyPath, TestDice};

use crate::fake::{FakeCard, Harm, abandon, blank, export_answer, pin, public, recorded, secrets, selected, trust};
use crate::{Access, CardError, CardTransport as _, Lost, Selection, VerifyError, select};

const MASTER: &str = "04d902f35f560e0470c63313c7369168d9d7df2d49bf295fd9fb7cb109ccee04947d000a1345d3845dd83b4c5814f876\
    c918305b598f066c958fad972bf59f2ec7";
const CHAT: &str = "041c0b489f112aa9334a0c41e349757e3edd6b0ce761bebc6b14b4901a10aa77966f0b3648e289857fe223ed0230f7383c42\
    0ec303b620f07503e1ac66beab0837";
const UID: &str = "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1";
const CHAT_PRIVATE: &str = "20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754";

/// SELECT, OPEN, and then what goes through the channel.
const OUTER_STEPS: usize = 2 + INNER_STEPS;
/// VERIFY PIN, LOAD KEY, two exports to check it, private, public, extended, GENERATE KEY, GET STATUS.
const INNER_STEPS: usize = 9;
const GENERATE_KEY: usize = 7;

fn card() -> FakeCard {
    let wallet = hex::encode(public(5).to_bytes());
    FakeCard::with_tries(3)
        .answering("9000")
        .answering(&format!("{UID}9000"))
        .answering(&export_answer(MASTER))
        .answering(&export_answer(CHAT))
        .answering(&format!("a1228120{CHAT_PRIVATE}9000"))
        .answering(&export_answer(CHAT))
        .answering(&format!("a1658041{wallet}8220{UID}9000"))
        .answering(&format!("{UID}9000"))
        .answering("a3090201030201050101ff9000")
}

/// Runs every command of an initialised card, and returns the first error.
fn session(fake: FakeCard) -> Result<FakeCard, CardError> {
    let card = match select(fake)? {
        Selection::Initialised(card) => card,
        Selection::Blank(_) => return Err(CardError::Misuse { what: "blank" }),
    };
    let card = card.open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1))?;
    let mut card = card.verify_pin(&pin(), false).map_err(|error| match error {
        VerifyError::Lost { error, .. } => error,
        _ => CardError::Misuse { what: "not unlocked" },
    })?;
    let mut receipt = recorded(card.request(Operation::LoadKey));
    card.load_seed(&abandon(), &mut receipt)?;
    let chat = ExportPath::chat();
    let mut receipt = recorded(card.request(Operation::ExportPrivate(chat.clone())));
    card.export_private(&chat, &mut receipt)?;
    let mut receipt = recorded(card.request(Operation::ExportPublic(chat.as_path().clone())));
    card.export_public(chat.as_path(), &mut receipt)?;
    let wallet: KeyPath = "m/44'/60'/0'/0".parse().unwrap();
    let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(wallet.clone())));
    card.export_extended_public(&wallet, &mut receipt)?;
    let mut receipt = recorded(card.request(Operation::GenerateKey));
    card.generate_key(&mut receipt)?;
    card.status()?;
    Ok(card.into_transport())
}

fn harm() -> impl Strategy<Value = Harm> {
    let bytes = |range| proptest::collection::vec(any::<u8>(), range);
    prop_oneof![
        bytes(0..300).prop_map(Harm::Replace),
        // Garbage that claims to be a success.
        bytes(0..300).prop_map(|bytes| Harm::Replace([bytes, vec![0x90, 0x00]].concat())),
        (1usize..300).prop_map(Harm::Cut),
        bytes(1..300).prop_map(Harm::Grow),
        Just(Harm::Silence),
    ]
}

#[test]
fn an_unharmed_session_succeeds() {
    let mut fake = session(card()).unwrap();
    assert_eq!(fake.commands(), OUTER_STEPS);
    assert_eq!(fake.inner_commands().len(), INNER_STEPS);
    assert!(fake.reset().is_ok());
}

/// Every length that an answer can be cut to, at every step: deterministic, so that no length is left to chance.
#[test]
fn every_cut_of_every_answer_is_an_error() {
    let lengths = [2, 34, 71, 71, 38, 71, 105, 34, 13];
    for (step, length) in lengths.into_iter().enumerate() {
        for cut in 1..=length {
            assert!(session(card().harmed_inside(step, Harm::Cut(cut))).is_err(), "inside, step {step}, cut {cut}");
        }
    }
    for step in 0..OUTER_STEPS {
        for cut in [1, 2, 3, 8, 10, 65, 147] {
            assert!(session(card().harmed(step, Harm::Cut(cut))).is_err(), "step {step}, cut {cut}");
        }
    }
}

#[test]
fn after_a_lost_channel_nothing_more_is_sent() {
    for harm in [Harm::Flip(0, 1), Harm::Cut(1), Harm::Replace(vec![0x69, 0x82]), Harm::Silence] {
        let status = "a3090201030201050101ff9000";
        let fake = FakeCard::initialised().answering("9000").answering(status).answering(status);
        // SELECT, OPEN, VERIFY PIN, GET STATUS: the answer to this one is harmed.
        let card =
            selected(fake.harmed(3, harm)).open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1)).unwrap();
        let mut card = card.verify_pin(&pin(), false).unwrap();
        assert!(card.status().is_err());
        assert!(matches!(card.status(), Err(CardError::ChannelLost(Lost::Closed))));
        let mut receipt = recorded(card.request(Operation::GenerateKey));
        assert!(card.generate_key(&mut receipt).is_err());
        assert_eq!(card.into_transport().commands(), 4);
    }
}

proptest! {
    #[test]
    fn a_harmed_answer_at_any_step_is_an_error(step in 0..OUTER_STEPS, harm in harm()) {
        prop_assert!(session(card().harmed(step, harm)).is_err());
    }

    #[test]
    fn a_harmed_answer_inside_the_channel_is_an_error(step in 0..INNER_STEPS, harm in harm()) {
        // Any 32 bytes are a key UID: GENERATE KEY has nothing to compare them with.
        if let (GENERATE_KEY, Harm::Replace(bytes)) = (step, &harm) {
            prop_assume!(bytes.len() != 34);
        }
        prop_assert!(session(card().harmed_inside(step, harm)).is_err());
    }

    #[test]
    fn a_flipped_bit_never_panics_and_after_select_never_passes(
        step in 0..OUTER_STEPS, at in any::<usize>(), bits in 1u8..
    ) {
        let result = session(card().harmed(step, Harm::Flip(at, bits)));
        prop_assert!(step == 0 || result.is_err());
    }

    #[test]
    fn a_blank_card_with_harmed_answers_is_never_initialised(step in 1usize..4, harm in harm()) {
        let fake = FakeCard::blank().then_initialised().answering("9000").harmed(step, harm);
        let card = blank(fake);
        let mut receipt = recorded(card.request(Operation::Init));
        prop_assert!(card.init(&trust(), &secrets(), &mut receipt, &mut TestDice::seeded(5)).is_err());
    }
}
