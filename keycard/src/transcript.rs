//! The recorded session with the real applet 4.0, replayed byte for byte: the data file says where it is from.

use audit::Operation;
use proto::{ChatKey, Digest, ExportPath, KeyPath, Pin, TestDice};

use crate::apdu::Command;
use crate::command::{export_key, load_key};
use crate::fake::{Script, abandon, blank, pin, recorded, secrets, selected};
use crate::status_word::StatusWord;
use crate::tlv::Reader;
use crate::{Access, Authority, CardTransport as _, Generation, Status, Trust, VerifyError, signature};

const TRANSCRIPT: &str = include_str!("../tests/data/applet-4.0-transcript.txt");

/// The commands and answers, in order.
fn steps() -> Vec<(&'static str, &'static str)> {
    let lines: Vec<_> = TRANSCRIPT.lines().filter(|line| !line.starts_with('#')).collect();
    let step = |pair: &[&'static str]| {
        (pair[0].strip_prefix("> ").expect("a command"), pair[1].strip_prefix("< ").expect("an answer"))
    };
    lines.chunks(2).map(step).collect()
}

/// The client's one-time key and the salt that were used in the recording.
const EPHEMERAL: [u8; 32] = [1; 32];

fn salt() -> [u8; 32] {
    std::array::from_fn(|i| i as u8)
}

/// The recording's card was personalised with an identity of its own, so it is taken by that identity.
fn trust() -> Trust {
    let card = selected(Script::new(steps().split_off(3)));
    Trust::nobody().with_identity(*card.info().certificate().unwrap().identity())
}

#[test]
fn the_certificate_of_the_recorded_card_is_by_the_test_authority() {
    let card = selected(Script::new(steps().split_off(3)));
    let certificate = *card.info().certificate().unwrap();
    assert_eq!(certificate.authority(), Some(Authority::Test));
    assert!(Trust::production().judge(&certificate, Generation::V2).is_err());
    assert!(Trust::production().with_test_authority().judge(&certificate, Generation::V2).is_ok());
}

#[test]
fn the_session_with_the_real_applet_replays_byte_for_byte() {
    let trust = trust();
    let card = blank(Script::new(steps()));

    // SELECT, OPEN, INIT, SELECT: the dice are the salt and the one-time key.
    let mut dice = TestDice::playing(&[salt(), EPHEMERAL].concat());
    let mut receipt = recorded(card.request(Operation::Init));
    let card = card.init(&trust, &secrets(), &mut receipt, &mut dice).unwrap();
    assert_eq!((card.info().pin_tries, card.info().key_uid), (Some(3), None));

    // OPEN, GET STATUS, VERIFY PIN wrong, VERIFY PIN right.
    let mut card = card.open(&Access::new(&trust, salt()), &mut TestDice::playing(&EPHEMERAL)).unwrap();
    assert_eq!(card.status().unwrap(), Status { pin_tries: 3, puk_tries: 5, has_key: false });
    assert!(card.opening().verify().is_ok());
    let wrong = Pin::try_from(b"123456".as_slice()).unwrap();
    let Err(VerifyError::Wrong { card, tries: 2 }) = card.verify_pin(&wrong, false) else { panic!("wrong") };
    let mut card = card.verify_pin(&pin(), false).unwrap();

    // LOAD KEY without the comparison that `load_seed` adds: the recording goes straight on.
    let uid = load_key::parse(card.call(&load_key::command(&abandon()).unwrap()).unwrap()).unwrap();
    assert_eq!(uid.to_string(), "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1");

    for (path, expected) in [
        (ExportPath::database(), "b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e5"),
        (ExportPath::chat(), "20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754"),
    ] {
        let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())));
        assert_eq!(hex::encode(card.export_private(&path, &mut receipt).unwrap().expose()), expected);
    }

    // A private key outside the range: no `ExportPath` names it, so the command is made by hand. The card refuses.
    let wallet: KeyPath = "m/44'/60'/0'/0/0".parse().unwrap();
    let refused = card.call(&export_key::private(&wallet).unwrap()).unwrap();
    assert_eq!(refused.status, StatusWord::PRECONDITION);

    let root: KeyPath = "m/44'/60'/0'/0".parse().unwrap();
    let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(root.clone())));
    let extended = card.export_extended_public(&root, &mut receipt).unwrap();
    assert_eq!(
        hex::encode(extended.key.to_bytes()),
        "04ccf96184b4d342c523936910e0222be7131654842db75bb1a5cbc772fe21b2d6285b9ba76d05471e771e3a3be18a313a6ce7a1d3b6a2d21f\
         5b60ba8c03097338"
    );
    assert_eq!(
        hex::encode(extended.chain_code.expose()),
        "c879d136f02003dc804811e42390714ea06448aeaee158c62d65f12a421d988f"
    );

    // SIGN is no command of this package yet: it goes through the channel as recorded.
    let hash = hex::decode("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881").unwrap();
    let sign = Command::with_body([0x80, 0xC0, 0x01, 0x00], &[&hash, &wallet.to_bytes()]).unwrap();
    let data = card.call(&sign).unwrap().success("SIGN").unwrap();
    let mut inside = Reader::new(&data, "an answer to SIGN").only(0xA0).unwrap();
    let signer = ChatKey::try_from(inside.value(0x80).unwrap()).unwrap();
    let der = inside.value(0x30).unwrap();
    let signed = signature::parse(&[&[0x30, der.len() as u8], der].concat()).unwrap();
    assert_eq!(signed, signed.normalize_s(), "SIGN lowers S");
    assert!(signature::verifies(&signed, &Digest::try_from(hash.as_slice()).unwrap(), &signer));

    // SELECT: the key is there, and the session is over.
    let mut script = card.into_transport();
    script.reset().unwrap();
    let card = selected(script);
    assert_eq!(card.info().key_uid, Some(uid));
    card.into_transport().finish();
}

#[test]
fn the_first_opening_of_the_recording_was_signed_with_high_s() {
    let opened = |at: usize| hex::decode(steps()[at].1).unwrap();
    let is_high = |answer: Vec<u8>| {
        let signature = signature::parse(&answer[65..answer.len() - 2]).unwrap();
        signature != signature.normalize_s()
    };
    assert!(is_high(opened(1)), "so the replay shows that high S is taken");
    assert!(!is_high(opened(4)));
}
