//! The client and a card that goes wrong on purpose: each fault, at each command of a session.

use audit::{Operation, Scheme, Signing};
use keycard::{CardError, CardTransport, Pairing, Selection, TransportError, Trust, VerifyError, Version, select};
use proto::{Digest, ExportPath, KeyPlace};
use softcard::{Faulty, Model, SoftCard};

use crate::cards::{Owned, dice, pin, recorded, trust};

/// A reader whose card goes wrong.
struct Reader {
    card: Box<Faulty>,
    sent: Vec<u8>,
}

impl CardTransport for Reader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.sent.push(command[1]);
        assert!(self.sent.len() < 100, "the client goes on for ever: {:02x?}", self.sent);
        self.card.transmit(command).answer.map(|answer| answer.to_vec()).ok_or(TransportError::NoCard)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.card.power_cycle();
        Ok(())
    }
}

/// What a session brings: two private keys and whether a signature was made.
type Brought = (String, String);

/// Selects, opens, verifies the PIN, exports twice and signs.
fn session(reader: &mut Reader, pairing: Option<&Pairing>) -> Result<Brought, CardError> {
    let Selection::Initialised(card) = select(ByReference(reader))? else { panic!("the card has a PIN") };
    // Who has a certificate must show it.
    let certified = card.info().version.is_some_and(|version| version >= Version::new([3, 1]));
    let trust = if certified { Trust::nobody().with_test_authority() } else { trust() };
    let card = card.open(&Owned::access(pairing, &trust), &mut dice(3))?;
    let mut card = match card.verify_pin(&pin(), false) {
        Ok(card) => card,
        Err(VerifyError::Lost { error, .. }) => return Err(error),
        Err(_) => panic!("the PIN is right"),
    };
    let mut export = |path: ExportPath| {
        let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())));
        card.export_private(&path, &mut receipt).map(|key| hex::encode(key.expose()))
    };
    let keys = (export(ExportPath::chat())?, export(ExportPath::database())?);
    let (key, digest) = (KeyPlace::Absolute("m/44'/60'/0'/0/0".parse().unwrap()), Digest::from([5; 32]));
    let signing = Signing { key: key.clone(), makes_current: false, scheme: Scheme::Ecdsa, digest };
    let mut receipt = recorded(card.request(Operation::Sign(signing)));
    card.sign(&key, &digest, &mut receipt)?;
    Ok(keys)
}

/// Runs a session on a card that goes wrong in this way; gives back what came of it, the card, and what it was sent.
fn with_fault(
    card: SoftCard,
    pairing: Option<&Pairing>,
    fault: &str,
) -> (Result<Brought, CardError>, SoftCard, Vec<u8>) {
    let card = Box::new(Faulty::new(card, fault.parse().unwrap(), Box::new(dice(9))));
    let mut reader = Reader { card, sent: Vec::new() };
    let result = session(&mut reader, pairing);
    (result, reader.card.into_card(), reader.sent)
}

/// The session of a card that does not go wrong.
const NONE: &str = "delay=0@1";

/// Whatever goes wrong between card and host is an error: no wrong key, no try of the PIN, and the next session is whole.
#[test]
fn every_fault_at_every_command_is_an_error_and_the_next_session_is_whole() {
    let faults = [
        "remove",
        "cut=1",
        "cut=2",
        "cut=20",
        "garbage=1",
        "garbage=2",
        "garbage=60",
        "garbage=258",
        "garbage=5000",
        "sw1=61",
        "sw1=63",
        "sw1=6c",
        "sw1=00",
        "sw=6985",
        "sw=6982",
        "sw=63c0",
        "sw=9000",
        "endless",
    ];
    for model in Model::ALL {
        let Owned { reader, pairing } = Owned::new(model);
        let (right, mut card, sent) = with_fault(reader.card, pairing.as_ref(), NONE);
        let right = right.unwrap();
        for number in 1..=sent.len() {
            for fault in faults {
                let fault = format!("{fault}@{number}");
                let (result, back, _) = with_fault(card, pairing.as_ref(), &fault);
                match result {
                    Err(_) => {}
                    // "Ask again for so many bytes": the client asks again.
                    Ok(keys) if fault.starts_with("sw1=6c") => assert_eq!(keys, right, "{model}: {fault}"),
                    Ok(_) => panic!("{model}: {fault} went unnoticed"),
                }
                let (again, back, _) = with_fault(back, pairing.as_ref(), NONE);
                assert_eq!(again.unwrap(), right, "{model}: after {fault}");
                card = back;
            }
        }
    }
}

/// A signature that is wrong inside a right channel: only who checks signatures finds it.
#[test]
fn every_wrong_signature_is_found_and_nothing_else_is_taken_for_one() {
    for model in Model::ALL {
        let Owned { reader, pairing } = Owned::new(model);
        let (_, mut card, sent) = with_fault(reader.card, pairing.as_ref(), NONE);
        let (mut impostor, mut forged) = (0, 0);
        for number in 1..=sent.len() {
            let (result, back, _) = with_fault(card, pairing.as_ref(), &format!("signature@{number}"));
            match result {
                Ok(_) => {}
                Err(CardError::Impostor) => impostor += 1,
                Err(CardError::FalseSignature { .. }) => forged += 1,
                Err(other) => panic!("{model}, command {number}: {other}"),
            }
            card = back;
        }
        // The proof of identity: OPEN on 4.0, IDENTIFY CARD on 3.1 and 3.2, none before.
        assert_eq!((impostor, forged), (u32::from(model >= Model::V3_1), 1), "{model}");
    }
}

struct ByReference<'a>(&'a mut Reader);

impl CardTransport for ByReference<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.transmit(command)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.0.reset()
    }
}
