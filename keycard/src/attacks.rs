//! What a card, or somebody who speaks for one, does to fool the host: attacks 1, 2, 4 and 5 of the list that the package
//! is held against (users, section 4.3). Those on the channel are with the channel, those in between two commands in the
//! scenarios.

use audit::{Agreement, Bip85, DataSlot, Operation, Scheme, Signing};
use proptest::prelude::*;
use proto::{ChatKey, Digest, ExportPath, Fingerprint, KeyPath, Pin, Puk, RecoverableSignature, TestDice};

use crate::fake::{
    FakeCard, Harm, Script, der, ecdsa_answer, pin, public, recorded, schnorr, secured, select_data, selected,
    signed_answer, unlocked,
};
use crate::{Card, CardError, InitSecrets, Lost, SchnorrSignature, Signed, Status, Unlocked, VerifyError, select};

const SELECT: &str = "00a4040009a00000080400010101";

fn digest() -> Digest {
    Digest::from([9; 32])
}

fn path() -> KeyPath {
    "m/44'/60'/0'/0/0".parse().unwrap()
}

fn sign(answer: &str) -> Result<Signed<RecoverableSignature>, CardError> {
    let mut card = unlocked(FakeCard::initialised().answering(answer));
    let signing = Signing { key: path().into(), makes_current: false, scheme: Scheme::Ecdsa, digest: digest() };
    let mut receipt = recorded(card.request(Operation::Sign(signing)));
    card.sign(&path().into(), &digest(), &mut receipt)
}

fn sign_schnorr(answer: &str) -> Result<Signed<SchnorrSignature>, CardError> {
    let mut card = unlocked(FakeCard::initialised().answering(answer));
    let signing = Signing { key: path().into(), makes_current: false, scheme: Scheme::Schnorr, digest: digest() };
    let mut receipt = recorded(card.request(Operation::Sign(signing)));
    card.sign_schnorr(&path(), &digest(), None, &mut receipt)
}

/// Attack 1: a point off the curve, on its twist, at infinity, of zeros, with coordinates that are none. A peer's key is
/// read before anything can be asked of a card, and the channel goes on in step.
#[test]
fn attack_a_point_that_is_none_is_refused_on_the_host() {
    let good = public(5).to_bytes();
    let mut off = good;
    off[64] ^= 1;
    let mut beyond = good;
    beyond[1..33].fill(0xff);
    // X = 5 is on the twist: no Y on the curve belongs to it.
    let mut twist = [0; 33];
    (twist[0], twist[32]) = (2, 5);
    let mut hybrid = good;
    hybrid[0] = 6 | (good[64] & 1);
    let mut zeros = [0; 65];
    zeros[0] = 4;
    for bytes in [&off[..], &beyond, &twist, &hybrid, &zeros, &[0; 65], &[0], &[], &good[..64], &good[1..]] {
        assert!(ChatKey::try_from(bytes).is_err(), "{bytes:x?}");
    }
    let at = ExportPath::chat().as_path().clone();
    let shared = proto::curve::agree(&k256::SecretKey::from_slice(&[4; 32]).unwrap(), &public(5));
    let mut card =
        unlocked(FakeCard::initialised().answering("6a80").answering(&(hex::encode(shared.expose()) + "9000")));
    let agreement = Agreement { path: at.clone(), peer: Fingerprint::of(&public(5)) };
    // Should the card refuse one all the same, nothing comes out, and the next command is understood.
    let mut receipt = recorded(card.request(Operation::Ecdh(agreement.clone())));
    assert!(matches!(card.ecdh(&at, &public(5), &mut receipt), Err(CardError::Status { .. })));
    let mut receipt = recorded(card.request(Operation::Ecdh(agreement)));
    assert!(card.ecdh(&at, &public(5), &mut receipt).is_ok());
}

/// Attack 1, the other way round: the card's points.
#[test]
fn attack_a_card_whose_keys_are_no_points_is_refused() {
    let good = hex::encode(public(5).to_bytes());
    let off = format!("{}{:02x}", &good[..128], public(5).to_bytes()[64] ^ 1);
    for key in [off, "00".repeat(65), format!("04{}", "00".repeat(64)), format!("04{}", "ff".repeat(64))] {
        let mut card = unlocked(FakeCard::initialised().answering(&crate::fake::export_answer(&key)));
        let mut receipt = recorded(card.request(Operation::ExportPublic(path())));
        assert!(matches!(card.export_public(&path(), &mut receipt), Err(CardError::Answer { .. })));
        let inside = format!("8041{key}{}", hex::encode(der(5, &digest())));
        let answer = format!("a081{:02x}{inside}9000", inside.len() / 2);
        assert!(matches!(sign(&answer), Err(CardError::Answer { .. })));
    }
}

/// Attack 2: the generator of P-256, and a signature with it. Its point is none of secp256k1.
#[test]
fn attack_a_signature_of_another_curve_is_refused() {
    const P256: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b\
        315ececbb6406837bf51f5";
    let inside = format!("8041{P256}{}", hex::encode(der(5, &digest())));
    let answer = format!("a081{:02x}{inside}9000", inside.len() / 2);
    assert!(matches!(sign(&answer), Err(CardError::Answer { .. })));
}

/// Attack 2: 9000, and a signature of something else.
#[test]
fn attack_a_signature_of_another_message_is_refused() {
    let error = sign(&ecdsa_answer(5, &Digest::from([8; 32]))).unwrap_err();
    assert!(matches!(error, CardError::FalseSignature { expected } if expected == Fingerprint::of(&public(5))));
    let other = schnorr(5, None, &Digest::from([8; 32]));
    let answer = signed_answer(&public(5), &[&[0x88, 64], other.as_slice()].concat());
    assert!(matches!(sign_schnorr(&answer), Err(CardError::FalseSignature { .. })));
}

/// Attack 2: a signature that is another key's than the one beside it.
#[test]
fn attack_a_signature_of_another_key_is_refused() {
    assert!(matches!(sign(&signed_answer(&public(5), &der(6, &digest()))), Err(CardError::FalseSignature { .. })));
    let other = schnorr(6, None, &digest());
    let answer = signed_answer(&public(5), &[&[0x88, 64], other.as_slice()].concat());
    assert!(matches!(sign_schnorr(&answer), Err(CardError::FalseSignature { .. })));
}

/// Attack 2: high S. It is right, and a second form of the same signature: what leaves here is the low one.
#[test]
fn attack_a_signature_with_high_s_leaves_with_low_s() {
    let low = k256::ecdsa::Signature::from_der(&der(5, &digest())).unwrap().normalize_s();
    let high = k256::ecdsa::Signature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).unwrap();
    assert_ne!(low, high);
    let from_low = sign(&signed_answer(&public(5), low.to_der().as_bytes())).unwrap();
    let from_high = sign(&signed_answer(&public(5), high.to_der().as_bytes())).unwrap();
    assert_eq!(from_low, from_high);
    assert_eq!(from_high.signature.as_bytes()[..64], low.to_bytes()[..]);
    assert_eq!(from_high.signature.recover(&digest()), Some(public(5)));
}

/// Attack 2, status-keycard 118 and lambda-prize 18: an ECDSA signature where Schnorr was asked for, and the reverse.
#[test]
fn attack_a_signature_of_the_other_kind_is_refused() {
    assert!(matches!(sign_schnorr(&ecdsa_answer(5, &digest())), Err(CardError::Answer { .. })));
    let schnorr = schnorr(5, None, &digest());
    let answer = signed_answer(&public(5), &[&[0x88, 64], schnorr.as_slice()].concat());
    assert!(matches!(sign(&answer), Err(CardError::Answer { .. })));
    // r and s of an ECDSA signature in Schnorr's clothes.
    let ecdsa = k256::ecdsa::Signature::from_der(&der(5, &digest())).unwrap().to_bytes();
    let answer = signed_answer(&public(5), &[&[0x88, 64], &ecdsa[..]].concat());
    assert!(matches!(sign_schnorr(&answer), Err(CardError::FalseSignature { .. })));
}

/// Attack 2: zeros, the order, and numbers beyond it.
#[test]
fn attack_a_signature_of_impossible_numbers_is_refused() {
    let n = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let number = |bytes: &[u8]| [&[2, bytes.len() as u8], bytes].concat();
    for (r, s) in [(&[0; 32][..], &[5; 32][..]), (&[5; 32], &[0; 32]), (&n, &[5; 32]), (&[5; 32], &n), (&[], &[])] {
        let inside = [number(r), number(s)].concat();
        let der = [&[0x30, inside.len() as u8], inside.as_slice()].concat();
        assert!(matches!(sign(&signed_answer(&public(5), &der)), Err(CardError::Answer { .. })));
    }
    for signature in [[0; 64], [0xff; 64]] {
        let answer = signed_answer(&public(5), &[&[0x88, 64], &signature[..]].concat());
        assert!(matches!(sign_schnorr(&answer), Err(CardError::FalseSignature { .. })));
    }
}

/// Attack 4: objects that are longer than what holds them, in every form of a length.
#[test]
fn attack_an_object_longer_than_its_data_is_refused() {
    for answer in [
        "a3ff0201030201050101ff9000",
        "a381ff0201030201050101ff9000",
        "a38200ff0201030201050101ff9000",
        "a384ffffffff0201030201050101ff9000",
        "a3800201030201050101ff00009000",
        "a30902ff030201050101ff9000",
        "a30902010302ff050101ff9000",
        "a3090201030201050181ff9000",
    ] {
        let mut card = secured(FakeCard::initialised().answering(answer));
        assert!(matches!(card.status(), Err(CardError::Answer { .. })), "{answer}");
        assert!(!matches!(card.status(), Err(CardError::ChannelLost(Lost::Unverifiable))), "the channel is in step");
    }
}

/// Attack 4: status words alone, and answers cut down to them.
#[test]
fn attack_an_answer_cut_down_to_its_status_word_is_no_success() {
    let mut card = unlocked(FakeCard::initialised().answering("9000").answering("9000").answering("9000"));
    let mut receipt = recorded(card.request(Operation::ExportPublic(path())));
    assert!(matches!(card.export_public(&path(), &mut receipt), Err(CardError::Answer { .. })));
    let mut receipt = recorded(card.request(Operation::GenerateMnemonic(12)));
    assert!(matches!(card.generate_mnemonic(12, &mut receipt), Err(CardError::Answer { .. })));
    assert!(matches!(card.challenge(8), Err(CardError::Answer { .. })));
    assert!(matches!(sign("9000"), Err(CardError::Answer { .. })));
    assert!(matches!(sign_schnorr("9000"), Err(CardError::Answer { .. })));
}

/// Attack 4: 61xx and 6Cxx without an end, in clear, where the host follows them.
#[test]
fn attack_an_answer_without_an_end_is_cut_off() {
    for endless in ["61ff", "aabb6100", "6cff"] {
        let error = select(Script::repeating(endless)).err().unwrap().error;
        assert!(matches!(error, CardError::Answer { .. }), "{endless}");
        let select_answer = hex::encode(select_data(0x13, None)) + "9000";
        let mut card = selected(Script::new([(SELECT, select_answer.as_str())]));
        card.transport = Script::repeating(endless);
        let failed = card.read_ndef().err().unwrap();
        assert!(matches!(failed.error, CardError::Answer { .. }), "{endless}");
    }
}

/// Attack 4: a tag that says it goes on for ever; nobody reads more of it than a card can hold.
#[test]
fn attack_a_file_without_an_end_is_not_read() {
    let mut card = unlocked(FakeCard::initialised().answering(&format!("ffff{}9000", "07".repeat(242))));
    assert!(matches!(card.data(DataSlot::Ndef), Err(CardError::Answer { .. })));
    assert_eq!(card.into_transport().inner_commands().len(), 2, "VERIFY PIN, and one part");
}

/// Attack 5: nothing but ASCII digits is a PIN or a PUK, so that nothing else can be sent.
#[test]
fn attack_a_pin_of_other_than_digits_is_none() {
    for bad in ["12345a", "12 456", "-12345", "+12345", "12345\n", "12345\0", "１２３４５６", "١٢٣٤٥٦", "12345６"]
    {
        assert!(Pin::try_from(bad.as_bytes()).is_err(), "{bad:?}");
    }
    for bad in ["12345678901x", "１２３４５６７８９０１２", "١٢٣٤٥٦٧٨٩٠١٢"] {
        assert!(Puk::try_from(bad.as_bytes()).is_err(), "{bad:?}");
    }
    // Two bytes a digit: three of them are six bytes, and no PIN all the same.
    assert_eq!("١٢٣".len(), 6);
    assert!(Pin::try_from("١٢٣".as_bytes()).is_err());
}

/// Attack 5: a PIN of 5 or 7 digits, a PUK of 11 or 13.
#[test]
fn attack_a_pin_of_another_length_is_none() {
    for digits in [0, 1, 5, 7, 12] {
        assert!(Pin::try_from("1".repeat(digits).as_bytes()).is_err());
    }
    for digits in [0, 6, 11, 13] {
        assert!(Puk::try_from("1".repeat(digits).as_bytes()).is_err());
    }
}

fn puk() -> Puk {
    Puk::try_from(b"123456789012".as_slice()).unwrap()
}

/// Attack 5: duress = PIN. A 4.0 card would live in duress mode for ever.
#[test]
fn attack_a_duress_pin_that_is_the_pin_is_refused() {
    let secrets = InitSecrets::new(pin(), puk(), &mut TestDice::seeded(1));
    assert!(matches!(secrets.with_duress(pin()), Err(CardError::Misuse { .. })));
}

/// Attack 5: duress = PUK[0..6], the applet's own default up to 3.2, which everybody who knows applets tries.
#[test]
fn attack_a_duress_pin_that_begins_the_puk_is_refused() {
    let secrets = InitSecrets::new(pin(), puk(), &mut TestDice::seeded(1));
    let beginning = Pin::try_from(b"123456".as_slice()).unwrap();
    assert!(matches!(secrets.with_duress(beginning), Err(CardError::Misuse { .. })));
    let secrets = InitSecrets::new(pin(), puk(), &mut TestDice::seeded(1));
    assert!(secrets.with_duress(Pin::try_from(b"777777".as_slice()).unwrap()).is_ok());
}

/// Attack 5: whatever the card answers to a PIN, it is sent once.
#[test]
fn attack_no_answer_makes_the_host_send_a_pin_twice() {
    for answer in ["63c2", "63c1", "63c0", "6a80", "6985", "6f00", "6982", "009000"] {
        let card = secured(FakeCard::with_tries(3).answering(answer).answering("9000"));
        let fake = match card.verify_pin(&pin(), false) {
            Err(VerifyError::Wrong { card, .. } | VerifyError::Blocked { card }) => card.into_transport(),
            Err(VerifyError::Lost { transport, .. }) => transport,
            _ => panic!("{answer}"),
        };
        assert_eq!(fake.inner_commands().len(), 1, "{answer}");
    }
}

/// A command, the right answer to it, and whether other bytes of the same form are right as well.
struct Case {
    answers: Vec<String>,
    lenient: bool,
    ask: fn(&mut Card<Unlocked, FakeCard>) -> Result<(), CardError>,
}

fn cases() -> Vec<Case> {
    let strict = |answers: &[&str], ask| Case {
        answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
        lenient: false,
        ask,
    };
    let lenient = |answer: &str, ask| Case { answers: vec![answer.to_owned()], lenient: true, ask };
    let schnorr = signed_answer(&public(5), &[&[0x88, 64], schnorr(5, None, &digest()).as_slice()].concat());
    let file = format!("012c{}9000", "07".repeat(242));
    vec![
        strict(&[&ecdsa_answer(5, &digest())], |card| {
            let signing = Signing { key: path().into(), makes_current: false, scheme: Scheme::Ecdsa, digest: digest() };
            let mut receipt = recorded(card.request(Operation::Sign(signing)));
            card.sign(&path().into(), &digest(), &mut receipt).map(|_| ())
        }),
        strict(&[&schnorr], |card| {
            let signing =
                Signing { key: path().into(), makes_current: false, scheme: Scheme::Schnorr, digest: digest() };
            let mut receipt = recorded(card.request(Operation::Sign(signing)));
            card.sign_schnorr(&path(), &digest(), None, &mut receipt).map(|_| ())
        }),
        strict(&["9000"], |card| card.change_pin(&pin(), &mut recorded(card.request(Operation::ChangePin)))),
        strict(&["9000"], |card| card.remove_key(&mut recorded(card.request(Operation::RemoveKey)))),
        strict(&["9000"], |card| {
            let mut receipt = recorded(card.request(Operation::StoreData(DataSlot::Public)));
            card.store_data(DataSlot::Public, b"data", &mut receipt)
        }),
        lenient(&("07".repeat(32) + "9000"), |card| {
            card.generate_key(&mut recorded(card.request(Operation::GenerateKey))).map(|_| ())
        }),
        lenient(&("00".repeat(23) + "039000"), |card| {
            card.generate_mnemonic(12, &mut recorded(card.request(Operation::GenerateMnemonic(12)))).map(|_| ())
        }),
        lenient("a3090201030201050101ff9000", |card| card.status().map(|_: Status| ())),
        lenient("01020304050607089000", |card| card.challenge(8).map(|bytes| assert_eq!(bytes.len(), 8))),
        lenient(&format!("a1648320{}8440{}9000", "07".repeat(32), "08".repeat(64)), |card| {
            card.export_lee(&path(), &mut recorded(card.request(Operation::ExportLee(path())))).map(|_| ())
        }),
        lenient("01020304050607089000", |card| {
            let at: KeyPath = "m/83696968'/0'".parse().unwrap();
            let mut receipt = recorded(card.request(Operation::ExportBip85(Bip85 { path: at.clone(), bytes: 8 })));
            card.export_bip85(&at, 8, &mut receipt).map(|bytes| assert_eq!(bytes.len(), 8))
        }),
        lenient(&(hex::encode(&public(5).to_bytes()[1..33]) + "9000"), |card| {
            let at = ExportPath::chat().as_path().clone();
            let agreement = Agreement { path: at.clone(), peer: Fingerprint::of(&public(5)) };
            card.ecdh(&at, &public(5), &mut recorded(card.request(Operation::Ecdh(agreement)))).map(|_| ())
        }),
        lenient("0102039000", |card| card.data(DataSlot::Public).map(|data| assert!(data.len() <= 127))),
        Case {
            answers: vec![file, "08".repeat(58) + "9000"],
            lenient: true,
            ask: |card| card.data(DataSlot::Ndef).map(|message| assert!(message.len() <= 510)),
        },
    ]
}

fn harm() -> impl Strategy<Value = Harm> {
    let bytes = |range| proptest::collection::vec(any::<u8>(), range);
    prop_oneof![
        bytes(0..250).prop_map(|bytes| Harm::Replace([bytes, vec![0x90, 0x00]].concat())),
        bytes(0..250).prop_map(Harm::Replace),
        (1usize..250).prop_map(Harm::Cut),
        bytes(1..250).prop_map(Harm::Grow),
        (any::<usize>(), 1u8..).prop_map(|(at, bits)| Harm::Flip(at, bits)),
    ]
}

#[test]
fn every_command_takes_its_right_answer() {
    for (number, case) in cases().into_iter().enumerate() {
        let fake = case.answers.iter().fold(FakeCard::initialised(), |fake, answer| fake.answering(answer));
        assert!((case.ask)(&mut unlocked(fake)).is_ok(), "{number}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Attack 4: any harm inside a right channel, to the answer of any command. No panic; an answer that can be checked is
    /// refused; one that cannot has the form at least.
    #[test]
    fn attack_a_harmed_answer_of_any_command_is_refused_or_has_the_form(
        number in 0usize..14, step in 1usize..3, harm in harm()
    ) {
        let cases = cases();
        let case = &cases[number];
        let mut harmed = hex::decode(&case.answers[0]).unwrap();
        let fake = case.answers.iter().fold(FakeCard::initialised(), |fake, answer| fake.answering(answer));
        let befell = harm.befall(&mut harmed).is_ok() && hex::encode(&harmed) != case.answers[0];
        let result = (case.ask)(&mut unlocked(fake.harmed_inside(step, harm)));
        if befell && step == 1 && !case.lenient {
            prop_assert!(result.is_err());
        }
    }
}
