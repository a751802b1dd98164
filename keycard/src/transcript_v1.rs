//! The recorded session with the real applet 3.1, replayed byte for byte: the data file says where it is from.

use audit::Operation;
use proto::{ExportPath, KeyPath, Pin, TestDice};

use crate::command::{export_key, load_key};
use crate::fake::{Script, abandon, blank, pin, recorded, secrets, selected};
use crate::status_word::StatusWord;
use crate::{
    Access, Authority, CardError, CardTransport as _, Generation, Identity, Lasting, Opening, PairingSecret, Status,
    Trust, Unpaired, VerifyError, Version,
};

const TRANSCRIPT: &str = include_str!("../tests/data/applet-3.1-transcript.txt");
const IDENTIFY: usize = 1;
const AFTER_PAIR: usize = 6;

fn steps() -> Vec<(&'static str, &'static str)> {
    let lines: Vec<_> = TRANSCRIPT.lines().filter(|line| !line.starts_with('#')).collect();
    let step = |pair: &[&'static str]| {
        (pair[0].strip_prefix("> ").expect("a command"), pair[1].strip_prefix("< ").expect("an answer"))
    };
    lines.chunks(2).map(step).collect()
}

/// The recording's client asked who the card is before INIT only. Ours asks before it opens a channel too: with the same
/// challenge, so the recorded answer is right again.
fn steps_of_our_client() -> Vec<(&'static str, &'static str)> {
    let mut steps = steps();
    let identify = steps[IDENTIFY];
    steps.insert(AFTER_PAIR, identify);
    steps
}

const EPHEMERAL: [u8; 32] = [1; 32];

fn counting<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|i| from + i as u8)
}

/// The recording's card was personalised with an identity of its own.
fn trust() -> Trust {
    let mut card = blank(Script::new(steps()));
    let certificate = match card.identify(&Trust::nobody().with_test_authority(), counting(0)).unwrap() {
        Identity::Certified(proof) => proof.certificate,
        other => panic!("{other:?}"),
    };
    assert_eq!(certificate.authority(), Some(Authority::Test));
    assert!(Trust::production().judge(&certificate, Generation::V1).is_err());
    Trust::nobody().with_identity(*certificate.identity())
}

/// KC-03: paired with the password, the slot and the key are kept. Reference section 9.5.
#[test]
fn the_session_with_the_real_applet_3_1_replays_byte_for_byte() {
    let trust = trust();
    let default = || PairingSecret::of_password("KeycardDefaultPairing").remove(0);

    // SELECT, IDENTIFY CARD, INIT, SELECT.
    let card = blank(Script::new(steps_of_our_client()));
    assert!(card.info().version.is_none());
    let mut dice = TestDice::playing(&[&counting::<32>(0)[..], &EPHEMERAL, &counting::<16>(0)].concat());
    let mut receipt = recorded(card.request(Operation::Init));
    let card =
        card.init(&trust, &secrets().with_pairing(default().wanted()).unwrap(), &mut receipt, &mut dice).unwrap();
    assert!(dice.is_spent());
    assert_eq!(card.info().version, Some(Version::V3_1));
    assert_eq!(card.id().to_string(), "instance:a49a44c920f0c388010210991e939dff");

    // PAIR.
    let mut card = card;
    let mut receipt = recorded(card.request(Operation::Pair));
    let mut dice = TestDice::playing(&counting::<32>(0));
    let pairing = card.pair(&[default()], Lasting::Persistent, &mut receipt, &mut dice).unwrap();
    assert_eq!((pairing.slot, pairing.well_known), (0, true));
    assert_eq!(hex::encode(pairing.key.expose()), "85a3b10f642c6873610b56be73f28e29f8a43d9ed398a6f7531caa75fa68cfa7");

    // IDENTIFY CARD again, OPEN SECURE CHANNEL, MUTUALLY AUTHENTICATE.
    let mut dice = TestDice::playing(&[EPHEMERAL, counting(0x90)].concat());
    let access = Access::new(&trust, counting(0)).paired(&pairing).allowing_first_pairing();
    let mut card = card.open(&access, &mut dice).unwrap();
    let Opening::V1(opening) = card.opening() else { panic!("with a pairing") };
    assert_eq!((opening.slot, opening.well_known), (0, true));
    assert!(card.opening().verify().is_ok());

    // GET STATUS, VERIFY PIN wrong, VERIFY PIN right.
    assert_eq!(card.status().unwrap(), Status { pin_tries: 3, puk_tries: 5, has_key: false });
    let wrong = Pin::try_from(b"123456".as_slice()).unwrap();
    let Err(VerifyError::Wrong { card, tries: 2 }) = card.verify_pin(&wrong, false) else { panic!("wrong") };
    let mut card = card.verify_pin(&pin(), false).unwrap();

    // LOAD KEY without the comparison that `load_seed` adds: the recording goes straight on.
    let uid = load_key::parse(card.call(&load_key::command(&abandon()).unwrap()).unwrap()).unwrap();
    assert_eq!(uid.to_string(), "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1");

    let database = ExportPath::database();
    let mut receipt = recorded(card.request(Operation::ExportPrivate(database.clone())));
    assert_eq!(
        hex::encode(card.export_private(&database, &mut receipt).unwrap().expose()),
        "b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e5"
    );

    // A private key outside the range: no `ExportPath` names it. The card refuses.
    let wallet: KeyPath = "m/44'/60'/0'/0/0".parse().unwrap();
    let refused = card.call(&export_key::private(&wallet).unwrap()).unwrap();
    assert_eq!(refused.status, StatusWord::PRECONDITION);

    // SELECT: the key is there, a slot is taken.
    let mut script = card.into_transport();
    script.reset().unwrap();
    let card = selected(script);
    assert_eq!(card.info().key_uid, Some(uid));
    card.into_transport().finish();
}

/// Attack 8: the recording's card has the default pairing password.
#[test]
fn over_a_pairing_that_everybody_knows_no_pin_is_sent_unless_it_is_allowed() {
    let trust = trust();
    let card = blank(Script::new(steps_of_our_client()));
    let mut dice = TestDice::playing(&[&counting::<32>(0)[..], &EPHEMERAL, &counting::<16>(0)].concat());
    let mut receipt = recorded(card.request(Operation::Init));
    let default = || PairingSecret::of_password("KeycardDefaultPairing").remove(0);
    let mut card =
        card.init(&trust, &secrets().with_pairing(default().wanted()).unwrap(), &mut receipt, &mut dice).unwrap();
    let mut receipt = recorded(card.request(Operation::Pair));
    let mut dice = TestDice::playing(&[counting::<32>(0), EPHEMERAL, counting(0x90)].concat());
    let pairing = card.pair(&[default()], Lasting::Persistent, &mut receipt, &mut dice).unwrap();
    let card = card.open(&Access::new(&trust, counting(0)).paired(&pairing), &mut dice).unwrap();
    let Err(error @ VerifyError::Exposed { .. }) = card.verify_pin(&pin(), true) else { panic!("exposed") };
    assert_eq!(error.to_string(), CardError::from(Unpaired::WellKnown).to_string());
}
