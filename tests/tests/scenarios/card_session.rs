//! The client against the software card, in every generation: from a blank card to the keys, and what a log-in costs.

use audit::Operation;
use keycard::{CardError, Secured};
use keycard::{CardTransport as _, Lasting, Opening, Pairing, PairingSecret, Unpaired, VerifyError, Version};
use proto::{CardId, ExportPath, Pin};
use softcard::Model;

use crate::cards::{Owned, Reader, blank, dice, export, initialised, pin, recorded, secrets, selected, trust, unlock};

const CHAT: &str = "20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754";
const DATABASE: &str = "b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e5";

/// KC-01, KC-02, KC-03, KC-06, KC-17: every generation is initialised, paired, opened, unlocked, loaded and read.
#[test]
fn a_blank_card_of_every_generation_comes_to_give_the_keys_of_its_seed() {
    for model in Model::ALL {
        let Owned { reader, pairing } = Owned::new(model);
        let card = selected(reader);
        assert_eq!(card.info().version, Some(Version::new(model.version())), "{model}");
        let uid = card.info().key_uid.unwrap().to_string();
        assert_eq!(uid, "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1", "{model}");
        let mut card = unlock(card, pairing.as_ref());
        assert_eq!(export(&mut card, &ExportPath::chat()), CHAT, "{model}");
        assert_eq!(export(&mut card, &ExportPath::database()), DATABASE, "{model}");
    }
}

/// A log-in is: select, channel, PIN, two exports.
#[test]
fn a_log_in_takes_no_more_commands_than_it_must() {
    let cost = |model| {
        let Owned { reader, pairing } = Owned::new(model);
        let mut card = unlock(selected(reader), pairing.as_ref());
        export(&mut card, &ExportPath::chat());
        export(&mut card, &ExportPath::database());
        card.into_transport().sent
    };
    // SELECT, OPEN SECURE CHANNEL, then secured: VERIFY PIN, EXPORT KEY twice.
    assert_eq!(cost(Model::V4_0), [0xA4, 0x10, 0x18, 0x18, 0x18]);
    // SELECT, IDENTIFY CARD, OPEN SECURE CHANNEL, MUTUALLY AUTHENTICATE, GET STATUS, VERIFY PIN, EXPORT KEY twice.
    for model in [Model::V3_1, Model::V3_2] {
        assert_eq!(cost(model), [0xA4, 0x14, 0x10, 0x11, 0xF2, 0x20, 0xC2, 0xC2], "{model}");
    }
    // As above, without a certificate to ask for.
    for model in [Model::V2_2, Model::V3_0] {
        assert_eq!(cost(model), [0xA4, 0x10, 0x11, 0xF2, 0x20, 0xC2, 0xC2], "{model}");
    }
}

/// KC-08.
#[test]
fn a_wrong_pin_costs_one_try_and_the_last_one_is_spent_only_on_demand() {
    let wrong = Pin::try_from(b"999999".as_slice()).unwrap();
    for model in Model::ALL {
        let (card, pairing) = initialised(model);
        let trust = trust();
        let card = card.open(&Owned::access(pairing.as_ref(), &trust), &mut dice(3)).unwrap();
        let Err(VerifyError::Wrong { card, tries: 2 }) = card.verify_pin(&wrong, false) else { panic!("{model}") };
        let Err(VerifyError::Wrong { card, tries: 1 }) = card.verify_pin(&wrong, false) else { panic!("{model}") };
        let Err(VerifyError::LastTry { card }) = card.verify_pin(&pin(), false) else { panic!("{model}") };
        // A new session does not forget it.
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        let card = selected(reader).open(&Owned::access(pairing.as_ref(), &trust), &mut dice(4)).unwrap();
        let Err(VerifyError::LastTry { card }) = card.verify_pin(&pin(), false) else { panic!("{model}") };
        assert!(card.verify_pin(&pin(), true).is_ok(), "{model}");
    }
}

#[test]
fn a_card_of_v1_is_named_after_its_key_until_it_is_initialised() {
    let card = blank(Reader::new(Model::V3_2));
    assert!(matches!(card.id(), CardId::Blank(_)));
    let mut receipt = recorded(card.request(Operation::Init));
    let card = card.init(&trust(), &secrets(), &mut receipt, &mut dice(1)).unwrap();
    assert!(matches!(card.id(), CardId::Instance(_)));
}

#[test]
fn the_opening_of_a_certified_card_can_be_checked_by_anybody() {
    for model in [Model::V3_1, Model::V3_2, Model::V4_0] {
        let (card, pairing) = initialised(model);
        let trust = trust();
        let card = card.open(&Owned::access(pairing.as_ref(), &trust), &mut dice(3)).unwrap();
        assert!(card.opening().verify().is_ok());
        let identity = card.opening().certificate().unwrap().identity().to_compressed();
        let card: keycard::Card<Secured, Reader> = card;
        assert_eq!(card.into_transport().card.identity(), Some(identity), "{model}");
    }
}

#[test]
fn a_pairing_for_one_session_ends_with_it() {
    let card = blank(Reader::new(Model::V3_2));
    let mut receipt = recorded(card.request(Operation::Init));
    let mut card = card.init(&trust(), &secrets(), &mut receipt, &mut dice(1)).unwrap();
    let pairing = pair(&mut card, Lasting::Ephemeral).unwrap();
    assert!(pairing.is_ephemeral());
    let mut reader = unlock(card, Some(&pairing)).into_transport();
    reader.reset().unwrap();
    let trust = trust();
    let again = selected(reader).open(&Owned::access(Some(&pairing), &trust), &mut dice(4)).err().unwrap();
    assert!(matches!(again.error, CardError::Unpaired(Unpaired::NotTaken { .. })), "{}", again.error);
}

fn pair(card: &mut keycard::Card<keycard::Selected, Reader>, lasting: Lasting) -> Result<Pairing, CardError> {
    let secret = PairingSecret::from(proto::Secret::copy_from(secrets().pairing().expose()).unwrap());
    let mut receipt = recorded(card.request(Operation::Pair));
    card.pair(&[secret], lasting, &mut receipt, &mut dice(2))
}

/// Attack 8: pairing slots exhausted, and the way out.
#[test]
fn slots_run_out_and_a_paired_host_frees_them() {
    for (model, slots) in [(Model::V3_1, 5), (Model::V3_2, 10)] {
        let (mut card, first) = initialised(model);
        for _ in 1..slots {
            pair(&mut card, Lasting::Persistent).unwrap();
        }
        let error = pair(&mut card, Lasting::Persistent).unwrap_err();
        assert!(matches!(error, CardError::Unpaired(Unpaired::SlotsExhausted)), "{model}: {error}");
        let mut card = unlock(card, first.as_ref());
        let ours = first.as_ref().unwrap().slot;
        let mut there = 0;
        for slot in (0..=0x7f).filter(|slot| *slot != ours) {
            let mut receipt = recorded(card.request(Operation::Unpair(slot)));
            if !card.unpair(slot, &mut receipt).unwrap() {
                break;
            }
            there += 1;
        }
        assert_eq!(there, slots - 1, "{model}");
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        let mut card = selected(reader);
        assert!(pair(&mut card, Lasting::Persistent).is_ok());
        unlock(card, first.as_ref());
    }
}

#[test]
fn a_host_that_was_unpaired_is_told_so() {
    let (card, pairing) = initialised(Model::V3_1);
    let mut card = unlock(card, pairing.as_ref());
    let ours = pairing.as_ref().unwrap().slot;
    let mut receipt = recorded(card.request(Operation::Unpair(ours)));
    assert!(card.unpair(ours, &mut receipt).unwrap());
    assert!(card.status().is_ok(), "the session of that pairing goes on");
    let mut reader = card.into_transport();
    reader.reset().unwrap();
    let trust = trust();
    let failed = selected(reader).open(&Owned::access(pairing.as_ref(), &trust), &mut dice(4)).err().unwrap();
    assert!(matches!(failed.error, CardError::Unpaired(Unpaired::NotTaken { slot }) if slot == ours));
}

#[test]
fn a_wrong_pairing_password_is_named_and_takes_no_slot() {
    let (mut card, _) = initialised(Model::V3_2);
    let mut receipt = recorded(card.request(Operation::Pair));
    let wrong = PairingSecret::of_password("KeycardDefaultPairing");
    let error = card.pair(&wrong, Lasting::Persistent, &mut receipt, &mut dice(5)).unwrap_err();
    assert!(matches!(error, CardError::Unpaired(Unpaired::WrongSecret)), "{error}");
}

/// Attack 6: FACTORY RESET needs no PIN.
#[test]
fn a_factory_reset_is_believed_when_select_shows_a_blank_card() {
    for model in [Model::V3_1, Model::V3_2, Model::V4_0] {
        let card = selected(Owned::new(model).reader);
        let before = card.id();
        let mut receipt = recorded(card.request(Operation::FactoryReset));
        let card = card.factory_reset(&mut receipt).unwrap();
        assert_eq!(card.id() == before, model == Model::V4_0, "{model}: 4.0 keeps its name");
        let mut receipt = recorded(card.request(Operation::Init));
        let card = card.init(&trust(), &secrets(), &mut receipt, &mut dice(1)).unwrap();
        assert_eq!(card.info().key_uid, None);
    }
    for model in [Model::V2_2, Model::V3_0] {
        let card = selected(Owned::new(model).reader);
        let mut receipt = recorded(card.request(Operation::FactoryReset));
        assert!(matches!(card.factory_reset(&mut receipt).err().unwrap().error, CardError::Unsupported { .. }));
    }
}

#[test]
fn the_evidence_of_a_session_says_which_generation_it_was() {
    for model in Model::ALL {
        let (card, pairing) = initialised(model);
        let trust = trust();
        let card = card.open(&Owned::access(pairing.as_ref(), &trust), &mut dice(3)).unwrap();
        assert_eq!(matches!(card.opening(), Opening::V2(_)), model == Model::V4_0);
    }
}
