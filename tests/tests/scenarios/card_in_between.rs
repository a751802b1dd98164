//! A device between the client and the card: what it changes is found out, and what it can change is listed.

use audit::Operation;
use keycard::{Access, CardError, CardTransport as _, Changed, Generation, Known, Lost, Trust, Untrusted, VerifyError};
use proto::ChatKey;
use softcard::Model;

use crate::cards::{Meddling, Owned, Reader, blank, dice, initialised, pin, recorded, secrets, selected, trust};

fn known(card: &keycard::Card<keycard::Selected, Reader>, identity: Option<[u8; 33]>) -> Known {
    let info = card.info();
    Known {
        id: card.id(),
        generation: info.generation(),
        identity: identity.map(|key| ChatKey::try_from(key.as_slice()).unwrap()),
        key_uid: info.key_uid,
        channel_key: info.channel_key().copied(),
    }
}

/// Attack 10: the device answers SELECT as a card of the other generation would.
#[test]
fn a_card_known_as_4_0_that_looks_like_3_x_is_refused_before_anything_is_opened() {
    let newer = Owned::new(Model::V4_0);
    let identity = newer.reader.card.identity();
    let known = known(&selected(newer.reader), identity);
    let Owned { reader, pairing } = Owned::new(Model::V3_2);
    let trust = trust();
    let access = Owned::access(pairing.as_ref(), &trust).to_known(&known);
    let failed = selected(reader).open(&access, &mut dice(1)).err().unwrap();
    let CardError::Changed(Changed::Generation { known: Generation::V2, found: Generation::V1, .. }) = failed.error
    else {
        panic!("{}", failed.error)
    };
    assert_eq!(failed.transport.sent, [0xA4], "only SELECT");
}

/// Attack 3: another card of the same maker, and another key on the same card.
#[test]
fn another_card_and_another_key_are_told_from_the_known_one() {
    for model in Model::ALL {
        let Owned { reader, pairing } = Owned::new(model);
        let identity = reader.card.identity();
        let card = selected(reader);
        let known = known(&card, identity);
        assert_eq!(known.check(card.info()), Ok(()));
        let other = Known { key_uid: Some(proto::KeyUid::from([1; 32])), ..known.clone() };
        let trust = trust();
        let access = Owned::access(pairing.as_ref(), &trust).to_known(&other);
        let failed = card.open(&access, &mut dice(1)).err().unwrap();
        assert!(matches!(failed.error, CardError::Changed(Changed::Key { .. })), "{model}: {}", failed.error);
        let other = Known { identity: None, ..known };
        if model > Model::V3_0 {
            let access = Owned::access(pairing.as_ref(), &trust).to_known(&other);
            let failed = selected(failed.transport).open(&access, &mut dice(1)).err().unwrap();
            assert!(matches!(failed.error, CardError::Changed(Changed::Identity { .. })), "{model}: {}", failed.error);
        }
    }
}

/// The relay of DESIGN's threats: the device plays a 4.0 card with the certificate of a genuine 3.1 card, and has that card
/// sign the transcript of the opening as an IDENTIFY challenge.
#[test]
fn an_identity_seen_over_identify_never_opens_a_4_0_channel() {
    let relay = || Relay::new(SoftSigner::new());
    let certificate = relay().signer.certificate();
    let identity = ChatKey::try_from(&certificate[..33]).unwrap();
    let trust = Trust::nobody().with_test_authority();

    // The relay works: with a valid certificate alone the client is taken in.
    let opened = selected(relay()).open(&Access::new(&trust, [7; 32]), &mut dice(1));
    assert!(opened.is_ok(), "{}", opened.err().unwrap());

    let trust = trust.with_seen(identity, Generation::V1);
    let failed = selected(relay()).open(&Access::new(&trust, [7; 32]), &mut dice(1)).err().unwrap();
    assert!(matches!(failed.error, CardError::Untrusted(Untrusted::OtherGeneration { .. })), "{}", failed.error);
    assert_eq!(failed.transport.commands, 1, "only SELECT");
}

/// A genuine 3.1 card that signs what it is given.
struct SoftSigner(Reader);

impl SoftSigner {
    fn new() -> Self {
        let (card, _) = initialised(Model::V3_1);
        Self(card.into_transport())
    }

    fn identify(&mut self, challenge: &[u8]) -> Vec<u8> {
        let answer = self.0.transmit(&[&[0x80, 0x14, 0, 0, 32], challenge].concat()).unwrap();
        assert_eq!(answer[answer.len() - 2..], [0x90, 0]);
        answer
    }

    fn certificate(&mut self) -> Vec<u8> {
        self.identify(&[0; 32])[5..103].to_vec()
    }

    fn sign(&mut self, digest: &[u8]) -> Vec<u8> {
        let answer = self.identify(digest);
        answer[103..answer.len() - 2].to_vec()
    }
}

struct Relay {
    signer: SoftSigner,
    commands: usize,
}

impl Relay {
    fn new(signer: SoftSigner) -> Self {
        Self { signer, commands: 0 }
    }
}

impl keycard::CardTransport for Relay {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, keycard::TransportError> {
        use sha2::{Digest as _, Sha256};
        self.commands += 1;
        Ok(match command[1] {
            0xA4 => {
                let certificate = self.signer.certificate();
                let inside =
                    [&[2, 2, 4, 0, 0x8C, 1, 0x13, 0x8E, 0, 0x8D, 1, 0x1F, 0x8A, 98], &certificate[..]].concat();
                [&[0xA4, inside.len() as u8 - 1], &inside[..], &[0x90, 0]].concat()
            }
            _ => {
                let ephemeral = ChatKey::from(k256::SecretKey::from_slice(&[9; 32]).unwrap().public_key()).to_bytes();
                let transcript = Sha256::digest([b"sc_v2_ccm", &command[5..102], &ephemeral].concat());
                [&ephemeral[..], &self.signer.sign(&transcript), &[0x90, 0]].concat()
            }
        })
    }

    fn reset(&mut self) -> Result<(), keycard::TransportError> {
        Ok(())
    }
}

/// Flips one bit of a command, or of its answer.
fn flipping(command: usize, bit: usize, of_the_answer: bool) -> Meddling {
    Box::new(move |number, bytes, card| {
        if number != command {
            return None;
        }
        if of_the_answer {
            let mut answer = card.transmit(bytes);
            if let Some(byte) = answer.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            return Some(answer);
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
        None
    })
}

/// Asks for the status over a channel whose command, or answer, has one bit flipped; then once more, unharmed.
fn status_with(model: Model, bit: usize, of_the_answer: bool) -> [Result<keycard::Status, CardError>; 2] {
    let (card, pairing) = initialised(model);
    let trust = trust();
    let mut reader = card.into_transport();
    reader.reset().unwrap();
    // SELECT, OPEN, then the status; before it also IDENTIFY CARD and MUTUALLY AUTHENTICATE.
    let asked = if model == Model::V4_0 { 2 } else { 4 };
    reader.between = Some(flipping(asked, bit, of_the_answer));
    let mut card = selected(reader).open(&Owned::access(pairing.as_ref(), &trust), &mut dice(3)).unwrap();
    [card.status(), card.status()]
}

#[test]
fn every_flipped_bit_of_an_answer_ends_the_session() {
    for (model, answer) in [(Model::V3_2, 34), (Model::V4_0, 23)] {
        for bit in 0..answer * 8 {
            let [first, second] = status_with(model, bit, true);
            assert!(matches!(first, Err(CardError::ChannelLost(_))), "{model}: bit {bit}: {first:?}");
            assert!(matches!(second, Err(CardError::ChannelLost(Lost::Closed))), "{model}: bit {bit}: {second:?}");
        }
    }
}

/// What a card looks at before it verifies anything, and what it does not look at. Lc (byte 4) is left out: a reader that
/// changes it changes what the command is.
#[test]
fn every_flipped_bit_of_a_command_is_refused_but_those_that_the_card_ignores() {
    for (model, command) in [(Model::V3_2, 5 + 32), (Model::V4_0, 5 + 13)] {
        for bit in (0..command * 8).filter(|bit| bit / 8 != 4) {
            let [first, second] = status_with(model, bit, false);
            match (model, bit / 8) {
                // 4.0: CLA, P1 and P2 are around the secured command, and nothing covers them.
                (Model::V4_0, 0 | 2 | 3) => assert!(first.is_ok() && second.is_ok(), "{model}: bit {bit}"),
                // An unknown instruction: the card says so inside the channel, before it verifies, and goes on.
                (_, 1) => assert!(first.is_err(), "{model}: bit {bit}: {first:?}"),
                _ => {
                    assert!(matches!(first, Err(CardError::ChannelLost(_))), "{model}: bit {bit}: {first:?}");
                    assert!(matches!(second, Err(CardError::ChannelLost(Lost::Closed))), "{model}: {second:?}");
                }
            }
        }
    }
}

/// The one answer of 4.0 that is not success: a blank card takes every command but INIT and GET CHALLENGE, and does nothing.
#[test]
fn a_blank_4_0_that_select_shows_as_initialised_is_found_out_inside() {
    let initialised_in_clear: Meddling = Box::new(|number, bytes, card| {
        (number == 0).then(|| {
            let mut answer = card.transmit(bytes);
            // A4 len 02 02 04 00 8C 01 status
            assert_eq!(answer[6..9], [0x8C, 0x01, 0x00]);
            answer[8] = 0x13;
            answer
        })
    });
    let mut reader = Reader::new(Model::V4_0);
    reader.between = Some(initialised_in_clear);
    let trust = trust();
    let mut card = selected(reader).open(&Access::new(&trust, [7; 32]), &mut dice(1)).unwrap();
    assert!(matches!(card.status(), Err(CardError::Answer { .. })), "9000 without data is no status");
    let mut card = card.verify_pin(&pin(), false).map_err(|error: VerifyError<Reader>| error.to_string()).unwrap();
    let path = proto::ExportPath::chat();
    let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())));
    assert!(matches!(card.export_private(&path, &mut receipt), Err(CardError::Answer { .. })), "nor a key");
    let mut receipt = recorded(card.request(Operation::ChangePin));
    assert!(matches!(card.change_pin(&pin(), &mut receipt), Err(CardError::Answer { .. })), "nor a change of the PIN");
}

/// INIT of v1 goes to a key that nobody vouches for: the client wants the certificate first.
#[test]
fn a_blank_card_that_nobody_vouches_for_is_given_no_pin() {
    for model in [Model::V2_2, Model::V3_0, Model::V3_1, Model::V3_2] {
        let card = blank(Reader::new(model));
        let mut receipt = recorded(card.request(Operation::Init));
        let failed = card.init(&Trust::production(), &secrets(), &mut receipt, &mut dice(1)).err().unwrap();
        assert!(matches!(failed.error, CardError::Untrusted(_)), "{model}: {}", failed.error);
        assert!(!receipt.is_spent());
        assert_eq!(failed.transport.sent, [0xA4, 0x14], "SELECT and IDENTIFY CARD");
    }
}
