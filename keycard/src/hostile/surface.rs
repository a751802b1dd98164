//! The places where an answer of a card is read: what a Keycard says there, and the reading of anything else.

use std::collections::VecDeque;

use audit::{Agreement, Bip85, DataSlot, Operation, Scheme, Signing};
use k256::ecdsa::SigningKey;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use proto::{ChatKey, Digest, ExportPath, KeyPath, KeyUid, Pin, Secret, TestDice};
use sha2::{Digest as _, Sha256};

use crate::fake::{FakeCard, Harm, identity_certificate, public, recorded, select_data, selected, trust, unlocked};
use crate::globalplatform::SecurityDomain;
use crate::globalplatform::scp02::Handshake;
use crate::known_keys::KnownKeys;
use crate::{Access, Card, CardError, CardTransport, Lasting, PairingSecret, TransportError, Unlocked, select};

/// One place where an answer is read.
pub(super) struct Surface {
    pub(super) name: &'static str,
    /// Answers of a Keycard, with their status word.
    pub(super) good: fn() -> Vec<Vec<u8>>,
    read: Reading,
}

enum Reading {
    /// Outside of a channel.
    Outside(fn(Vec<u8>) -> bool),
    /// Inside the channel, to one command of an unlocked card.
    Inside(fn(&mut Unlock) -> Result<(), CardError>),
}

type Unlock = Card<Unlocked, FakeCard>;

/// Reads answers, and keeps one card with an open channel for those that come inside.
pub(super) struct Bench(Option<Unlock>);

impl Bench {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Returns whether the answer is read as one of a Keycard.
    pub(super) fn offer(&mut self, surface: &Surface, answer: Vec<u8>) -> bool {
        let inside = match surface.read {
            Reading::Outside(read) => return read(answer),
            Reading::Inside(inside) => inside,
        };
        let mut card = self.0.take().unwrap_or_else(|| unlocked(FakeCard::initialised()));
        card.expect_keys(KnownKeys::default());
        card.transport.answer_only(answer);
        let read = inside(&mut card);
        let lost = matches!(read, Err(CardError::ChannelLost(_) | CardError::Transport(_)));
        self.0 = (!lost).then_some(card);
        read.is_ok()
    }
}

/// Gives these answers to whatever it is sent.
struct Answers(VecDeque<Vec<u8>>);

impl CardTransport for Answers {
    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.pop_front().ok_or(TransportError::NoCard)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        Ok(())
    }
}

pub(super) const SURFACES: &[Surface] = &[
    outside("SELECT", selections, |answer| select(Answers([answer].into())).is_ok()),
    outside(
        "OPEN-SECURE-CHANNEL",
        || vec![opening()],
        |answer| {
            let card = selected(FakeCard::initialised().harmed(1, Harm::Replace(answer)));
            card.open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1)).is_ok()
        },
    ),
    outside(
        "IDENTIFY-CARD",
        || vec![identification()],
        |answer| {
            let mut card = selected(Answers([older(b"\x03\x02", true), answer].into()));
            card.identify(&trust(), [7; 32]).is_ok()
        },
    ),
    outside(
        "INITIALIZE-UPDATE",
        || vec![initialize_update()],
        |answer| {
            let answers = [vec![0x6A, 0x82], ok(&[]), answer, ok(&[])];
            SecurityDomain::open(Answers(answers.into()), &mut TestDice::seeded(1)).is_ok()
        },
    ),
    outside("PAIR-1", || vec![pairing_challenge()], |answer| pairs(answer, ok(&[3; 33]))),
    outside("PAIR-2", || vec![ok(&[3; 33])], |answer| pairs(pairing_challenge(), answer)),
    inside(
        "GET-STATUS",
        || vec![ok(&bytes("a309020103020105 0101ff")), ok(&bytes("a30902010a02010c010100"))],
        |card| card.status().map(drop),
    ),
    inside(
        "CHANGE-PIN",
        || vec![ok(&[])],
        |card| {
            let pin = Pin::try_from(b"123456".as_slice()).unwrap();
            let mut receipt = recorded(card.request(Operation::ChangePin));
            card.change_pin(&pin, &mut receipt)
        },
    ),
    inside(
        "LOAD-KEY",
        || vec![ok(KeyUid::of_master(&public(5)).as_bytes())],
        |card| {
            let mut receipt = recorded(card.request(Operation::LoadKeyPair));
            // The card shows the key that it was given.
            card.transport.answer_then(ok(&[&[0xa1, 0x43, 0x80, 0x41][..], &key(5)].concat()));
            card.load_key_pair(&Secret::fill(|room| *room = [5; 32]), &mut receipt).map(drop)
        },
    ),
    inside(
        "GENERATE-KEY",
        || vec![ok(&[7; 32])],
        |card| {
            let mut receipt = recorded(card.request(Operation::GenerateKey));
            card.generate_key(&mut receipt).map(drop)
        },
    ),
    inside(
        "GENERATE-MNEMONIC",
        || vec![ok(&bytes(WORDS))],
        |card| {
            let mut receipt = recorded(card.request(Operation::GenerateMnemonic(12)));
            card.generate_mnemonic(12, &mut receipt).map(drop)
        },
    ),
    inside(
        "EXPORT-KEY-private",
        || vec![ok(&[&[0xa1, 0x22, 0x81, 0x20], &[5; 32][..]].concat())],
        |card| {
            let path = ExportPath::chat();
            let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())));
            card.export_private(&path, &mut receipt).map(drop)
        },
    ),
    inside(
        "EXPORT-KEY-public",
        || vec![ok(&[&[0xa1, 0x43, 0x80, 0x41][..], &key(5)].concat())],
        |card| {
            let path = path("m/44'/60'/0'/0/0");
            let mut receipt = recorded(card.request(Operation::ExportPublic(path.clone())));
            card.export_public(&path, &mut receipt).map(drop)
        },
    ),
    inside(
        "EXPORT-KEY-extended",
        || vec![extended()],
        |card| {
            let path = path("m/44'/60'/0'/0");
            let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(path.clone())));
            card.export_extended_public(&path, &mut receipt).map(drop)
        },
    ),
    inside(
        "EXPORT-LEE",
        || vec![lee()],
        |card| {
            let path = path("m/43'/60'");
            let mut receipt = recorded(card.request(Operation::ExportLee(path.clone())));
            card.export_lee(&path, &mut receipt).map(drop)
        },
    ),
    inside(
        "EXPORT-BIP85",
        || vec![ok(&[9; 32])],
        |card| {
            let path = path("m/83696968'/0'");
            let mut receipt = recorded(card.request(Operation::ExportBip85(Bip85 { path: path.clone(), bytes: 32 })));
            card.export_bip85(&path, 32, &mut receipt).map(drop)
        },
    ),
    inside(
        "ECDH",
        || vec![ok(&key(5)[1..33])],
        |card| {
            let (path, peer) = (ExportPath::chat().as_path().clone(), public(2));
            let agreement = Agreement { path: path.clone(), peer: proto::Fingerprint::of(&peer) };
            let mut receipt = recorded(card.request(Operation::Ecdh(agreement)));
            card.ecdh(&path, &peer, &mut receipt).map(drop)
        },
    ),
    inside(
        "SIGN-ecdsa",
        || vec![ecdsa(DIGEST)],
        |card| {
            let place = path("m/44'/60'/0'/0/0").into();
            let signing =
                Signing { key: place, makes_current: false, scheme: Scheme::Ecdsa, digest: Digest::from(DIGEST) };
            let mut receipt = recorded(card.request(Operation::Sign(signing.clone())));
            card.sign(&signing.key, &signing.digest, &mut receipt).map(drop)
        },
    ),
    inside(
        "SIGN-schnorr",
        || vec![schnorr()],
        |card| {
            let path = path("m/44'/60'/0'/0/0");
            let digest = Digest::try_from(bytes(SCHNORR_DIGEST).as_slice()).unwrap();
            let key = path.clone().into();
            let signing = Signing { key, makes_current: false, scheme: Scheme::Schnorr, digest };
            let mut receipt = recorded(card.request(Operation::Sign(signing)));
            card.sign_schnorr(&path, &digest, None, &mut receipt).map(drop)
        },
    ),
    inside(
        "GET-DATA-public",
        || vec![ok(&bytes("23313233000004 03827a2801")), ok(&[])],
        |card| card.data(DataSlot::Public).map(drop),
    ),
    inside(
        "GET-DATA-ndef",
        || vec![ok(&[&[0x00, 0x05][..], &[1; 5]].concat()), ok(&[0, 0])],
        |card| card.data(DataSlot::Ndef).map(drop),
    ),
    inside("GET-CHALLENGE", || vec![ok(&[6; 32])], |card| card.challenge(32).map(drop)),
];

const fn outside(name: &'static str, good: fn() -> Vec<Vec<u8>>, read: fn(Vec<u8>) -> bool) -> Surface {
    Surface { name, good, read: Reading::Outside(read) }
}

const fn inside(
    name: &'static str,
    good: fn() -> Vec<Vec<u8>>,
    read: fn(&mut Unlock) -> Result<(), CardError>,
) -> Surface {
    Surface { name, good, read: Reading::Inside(read) }
}

fn selections() -> Vec<Vec<u8>> {
    let uid = Some(KeyUid::from([7; 32]));
    let blank_older = ok(&[&[0x80, 0x41][..], &key(4)].concat());
    let of_4_0 = [ok(&select_data(0x00, None)), ok(&select_data(0x33, uid))];
    [&of_4_0[..], &[older(b"\x03\x02", true), older(b"\x02\x02", false), blank_older]].concat()
}

/// The answer of 2.x and 3.x to SELECT.
fn older(version: &[u8; 2], with_key: bool) -> Vec<u8> {
    let uid: &[u8] = if with_key { &[7; 32] } else { &[] };
    let inside = [
        &[0x8f, 0x10][..],
        &[1; 16],
        &[0x80, 0x41],
        &key(4),
        &[0x02, 0x02],
        version,
        &[0x02, 0x01, 0x04, 0x8e, uid.len() as u8],
        uid,
        &[0x8d, 0x01, 0x1f],
    ]
    .concat();
    let head = if inside.len() < 0x80 { vec![0xa4, inside.len() as u8] } else { vec![0xa4, 0x81, inside.len() as u8] };
    ok(&[head, inside].concat())
}

/// What the card of the test certificate answers to the OPEN of these dice.
fn opening() -> Vec<u8> {
    struct Overheard(FakeCard, Vec<Vec<u8>>);
    impl CardTransport for Overheard {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
            let answer = self.0.transmit(command)?;
            self.1.push(answer.clone());
            Ok(answer)
        }
        fn reset(&mut self) -> Result<(), TransportError> {
            self.0.reset()
        }
    }
    let card = selected(Overheard(FakeCard::initialised(), Vec::new()));
    let card = card.open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1)).unwrap();
    card.into_transport().1.pop().unwrap()
}

fn identification() -> Vec<u8> {
    let signer = SigningKey::from_slice(&[3; 32]).unwrap();
    let signature: k256::ecdsa::Signature = signer.sign_prehash(&[7; 32]).unwrap();
    let certificate = identity_certificate();
    let inside = [&[0x8a, 0x62][..], certificate.as_bytes(), signature.to_der().as_bytes()].concat();
    ok(&[&[0xa0, 0x81, inside.len() as u8][..], &inside].concat())
}

/// What a card with the pairing secret answers to the first challenge of these dice.
fn pairing_challenge() -> Vec<u8> {
    let mut challenge = [0; 32];
    rand_core::Rng::fill_bytes(&mut TestDice::seeded(2), &mut challenge);
    let cryptogram = Sha256::digest([&secret().expose()[..], &challenge].concat());
    ok(&[cryptogram.as_slice(), &[8; 32]].concat())
}

fn secret() -> PairingSecret {
    PairingSecret::random(&mut TestDice::seeded(3))
}

fn pairs(first: Vec<u8>, second: Vec<u8>) -> bool {
    let mut card = selected(Answers([older(b"\x03\x01", true), first, second].into()));
    let mut receipt = recorded(card.request(Operation::Pair));
    card.pair(&[secret()], Lasting::Persistent, &mut receipt, &mut TestDice::seeded(2)).is_ok()
}

fn extended() -> Vec<u8> {
    ok(&[&[0xa1, 0x65, 0x80, 0x41][..], &key(5), &[0x82, 0x20], &[0x0c; 32]].concat())
}

fn lee() -> Vec<u8> {
    ok(&[&[0xa1, 0x64, 0x83, 0x20][..], &[1; 32], &[0x84, 0x40], &[2; 64]].concat())
}

fn ecdsa(digest: [u8; 32]) -> Vec<u8> {
    let signature: k256::ecdsa::Signature = SigningKey::from_slice(&[5; 32]).unwrap().sign_prehash(&digest).unwrap();
    let inside = [&[0x80, 0x41][..], &key(5), signature.to_der().as_bytes()].concat();
    ok(&[&[0xa0, 0x81, inside.len() as u8][..], &inside].concat())
}

/// Vector 1 of BIP-340.
fn schnorr() -> Vec<u8> {
    let secret = k256::SecretKey::from_slice(&bytes(SCHNORR_SECRET)).unwrap();
    let key = ChatKey::from(secret.public_key()).to_bytes();
    let inside = [&[0x80, 0x41][..], &key, &[0x88, 0x40], &bytes(SCHNORR_SIGNATURE)].concat();
    ok(&[&[0xa0, 0x81, inside.len() as u8][..], &inside].concat())
}

fn key(secret: u8) -> [u8; 65] {
    public(secret).to_bytes()
}

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

/// The answer of a card with GlobalPlatform's default key.
fn initialize_update() -> Vec<u8> {
    let mut challenge = [0; 8];
    rand_core::Rng::fill_bytes(&mut TestDice::seeded(1), &mut challenge);
    ok(&bytes(&Handshake::answer_of(std::array::from_fn(|at| 0x40 + at as u8), challenge)))
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

fn ok(data: &[u8]) -> Vec<u8> {
    [data, &[0x90, 0x00]].concat()
}

const DIGEST: [u8; 32] = [0x5a; 32];
const SCHNORR_SECRET: &str = "b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef";
const SCHNORR_DIGEST: &str = "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89";
const SCHNORR_SIGNATURE: &str = "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341\
    8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a";
/// "inner program cute stem pony coral hand question dove clinic panic glass" (reference section 9.3).
const WORDS: &str = "03a3055f01b506aa053f01810346057c020e015904fd0317";
