//! INIT `80 FE 00 00`: a blank card gets PIN, PUK and what belongs to them.
//!
//! ```text
//! v2   PIN(6) || PUK(12) || PIN tries || PUK tries || duress PIN(6), in the channel of the blank card
//! v1   41 || client ephemeral(65) || IV(16) || AES-256-CBC(x of ECDH(client ephemeral, card static), IV, P || 80 00..)
//!      P = PIN(6) || PUK(12) || pairing secret(32) [|| PIN tries || PUK tries || duress PIN(6), since 3.1]
//! ```
//! Always the longest form that the applet takes. Without a duress PIN applet 4.0 makes it the PIN itself and lives in
//! duress mode for ever, deriving other keys than BIP-32; 3.1 and 3.2 take the beginning of the PUK.
//!
//! On v1 nobody vouches for the key to which this is encrypted: a device in between would read PIN and PUK. What is known
//! before is the card's answer to IDENTIFY CARD, which also tells whether a blank card is of 3.1 or newer.

use audit::{Operation, Recorded};
use k256::elliptic_curve::Generate as _;
use proto::ChatKey;
use rand_core::CryptoRng;

use aes::Aes256;
use aes::cipher::KeyInit as _;

use crate::apdu::Command;
use crate::application_info::{ApplicationInfo, Kind};
use crate::card::{Blank, Card, Selected};
use crate::channel::cbc::{self, BLOCK, Block};
use crate::command::{open, select};
use crate::error::{CardError, Failed};
use crate::identification::Identity;
use crate::init_secrets::InitSecrets;
use crate::transport::{CardTransport, exchange};
use crate::trust::Trust;
use crate::version::Feature;
use audit::evidence::Certificate;

const NAME: &str = "INIT";
const WITH_DATA: &str = "an answer to INIT with data";

impl<T: CardTransport> Card<Blank, T> {
    /// Initialises the card, then selects it again: one of generation v1 has its name from then on, and what it answered
    /// to IDENTIFY CARD before is forgotten.
    ///
    /// The dice give, in this order: the salt (or challenge), our one-time key, and the IV on v1.
    ///
    /// # Errors
    /// Those of [`Card::open`] and [`Card::identify`]; [`CardError::Misuse`] for a duress PIN of the owner's, or his own
    /// numbers of tries, on an applet before 3.1, which has none; [`CardError::NotRecorded`] before INIT is sent;
    /// [`CardError::Status`], [`CardError::ChannelLost`]; [`CardError::Answer`] also when the card is still blank, or
    /// another one, afterwards.
    pub fn init(
        mut self,
        trust: &Trust,
        secrets: &InitSecrets,
        recorded: &mut Recorded,
        rng: &mut dyn CryptoRng,
    ) -> Result<Card<Selected, T>, Failed<T>> {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let done = match self.info.kind {
            Kind::V2 { certificate, .. } => self.init_v2(&certificate, trust, salt, secrets, recorded, rng),
            Kind::BlankV1 { channel_key } | Kind::V1 { channel_key, .. } => {
                self.init_v1(&channel_key, trust, salt, secrets, recorded, rng)
            }
        };
        match done {
            Ok(info) => {
                Ok(Card { state: Selected { identity: None }, info: Box::new(info), transport: self.transport })
            }
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }

    fn init_v2(
        &mut self,
        certificate: &Certificate,
        trust: &Trust,
        salt: [u8; 32],
        secrets: &InitSecrets,
        recorded: &mut Recorded,
        rng: &mut dyn CryptoRng,
    ) -> Result<ApplicationInfo, CardError> {
        let mut session = open::handshake(&mut self.transport, certificate, trust, salt, rng)?;
        recorded.spend(&self.request(Operation::Init))?;
        let answer = session.call(&mut self.transport, &inner(secrets)?)?;
        answer.bare_success(NAME, WITH_DATA)?;
        drop(session);
        let info = self.select_again()?;
        if info.certificate() != Some(certificate) {
            return Err(CardError::Answer { what: "another certificate after INIT" });
        }
        Ok(info)
    }

    fn init_v1(
        &mut self,
        channel_key: &ChatKey,
        trust: &Trust,
        challenge: [u8; 32],
        secrets: &InitSecrets,
        recorded: &mut Recorded,
        rng: &mut dyn CryptoRng,
    ) -> Result<ApplicationInfo, CardError> {
        // Only 3.1 and newer know the command, and they alone take the long form.
        let long = !matches!(self.identify(trust, challenge)?, Identity::Older);
        if !long {
            secrets.suit_applets_before_3_1()?;
        }
        let ours = k256::SecretKey::generate_from_rng(rng);
        let mut iv = [0; BLOCK];
        rng.fill_bytes(&mut iv);
        let command = one_shot(channel_key, secrets, long, &ours, &iv)?;
        recorded.spend(&self.request(Operation::Init))?;
        exchange(&mut self.transport, command)?.bare_success(NAME, WITH_DATA)?;
        let info = self.select_again()?;
        let Kind::V1 { channel_key: renewed, .. } = &info.kind else {
            return Err(CardError::Answer { what: "another generation after INIT" });
        };
        if renewed == channel_key {
            return Err(CardError::Answer { what: "the channel key of before INIT" });
        }
        // Somebody answered "no such command" for it: the card's duress PIN is now one that is easily guessed.
        if long != info.version.is_some_and(|version| version.supports(Feature::InitLimits)) {
            return Err(CardError::Answer {
                what: "another version after INIT than IDENTIFY CARD had shown; reset the card",
            });
        }
        Ok(info)
    }

    fn select_again(&mut self) -> Result<ApplicationInfo, CardError> {
        let info = select::read(&mut self.transport)?;
        // An uninitialised 4.0 answers 9000 to what it ignores, so that word alone proves nothing.
        if info.is_initialised() { Ok(info) } else { Err(CardError::Answer { what: "a blank card after INIT" }) }
    }
}

fn inner(secrets: &InitSecrets) -> Result<Command, CardError> {
    let [pin, puk] = secrets.numbers();
    let (tries, duress) = secrets.limits_and_duress();
    Command::with_body([0x80, 0xFE, 0x00, 0x00], &[pin, puk, &tries, duress])
}

/// Returns INIT encrypted to the card's static key.
fn one_shot(
    channel_key: &ChatKey,
    secrets: &InitSecrets,
    long: bool,
    ours: &k256::SecretKey,
    iv: &Block,
) -> Result<Command, CardError> {
    let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), channel_key.as_point().as_affine());
    let [pin, puk] = secrets.numbers();
    let (tries, duress) = secrets.limits_and_duress();
    let (tries, duress) = if long { (&tries[..], &duress[..]) } else { (&[][..], &[][..]) };
    let mut sealed = cbc::padded(0, &[pin, puk, secrets.pairing().expose(), tries, duress]);
    let cipher = Aes256::new(shared.raw_secret_bytes());
    cbc::encrypt(&cipher, iv, &mut sealed);
    let client = ChatKey::from(ours.public_key()).to_bytes();
    Command::with_body([0x80, 0xFE, 0x00, 0x00], &[&[0x41], &client, iv, &sealed])
}

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;
    use crate::fake::{FakeCard, Harm, blank, recorded, secrets, trust};
    use crate::fake_v1::{FakeV1, trust_v1};
    use crate::version::Version;

    #[test]
    fn a_blank_card_is_initialised_with_the_long_form_and_a_duress_pin_of_its_own() {
        let card = blank(FakeCard::blank().then_initialised().answering("9000"));
        let mut receipt = recorded(card.request(Operation::Init));
        let card = card.init(&trust(), &secrets(), &mut receipt, &mut TestDice::seeded(5)).unwrap();
        assert!(receipt.is_spent());
        let fake = card.into_transport();
        let [init] = fake.inner_commands() else { panic!("one command") };
        assert_eq!(init[..5], [0x80, 0xFE, 0, 0, 26]);
        assert_eq!(&init[5..25], b"000000012345678901\x03\x05");
        assert!(init[25..31].iter().all(u8::is_ascii_digit));
        assert_ne!(&init[25..31], b"000000");
        assert_ne!(&init[25..31], b"012345");
    }

    #[test]
    fn a_card_that_is_still_blank_afterwards_is_an_error() {
        let card = blank(FakeCard::blank().answering("9000"));
        let mut receipt = recorded(card.request(Operation::Init));
        let failed = card.init(&trust(), &secrets(), &mut receipt, &mut TestDice::seeded(5)).err().unwrap();
        assert!(matches!(failed.error, CardError::Answer { what: "a blank card after INIT" }));
    }

    #[test]
    fn another_card_afterwards_is_an_error() {
        let card = blank(FakeCard::blank().then_another_card().answering("9000"));
        let mut receipt = recorded(card.request(Operation::Init));
        let failed = card.init(&trust(), &secrets(), &mut receipt, &mut TestDice::seeded(5)).err().unwrap();
        assert!(matches!(failed.error, CardError::Answer { what: "another certificate after INIT" }));
    }

    #[test]
    fn without_a_record_of_it_init_is_not_sent() {
        let card = blank(FakeCard::blank());
        let mut receipt = recorded(card.request(Operation::GenerateKey));
        let failed = card.init(&trust(), &secrets(), &mut receipt, &mut TestDice::seeded(5)).err().unwrap();
        assert!(matches!(failed.error, CardError::NotRecorded(_)));
        assert!(failed.transport.inner_commands().is_empty());
        assert!(!receipt.is_spent());
    }

    #[test]
    fn a_card_that_refuses_leaves_the_receipt_spent() {
        let card = blank(FakeCard::blank().answering("6f00"));
        let mut receipt = recorded(card.request(Operation::Init));
        let failed = card.init(&trust(), &secrets(), &mut receipt, &mut TestDice::seeded(5)).err().unwrap();
        assert!(matches!(failed.error, CardError::Status { command: "INIT", .. }));
        assert!(receipt.is_spent());
    }

    fn init_v1<T: CardTransport>(fake: T, trust: &Trust) -> Result<Card<Selected, T>, Failed<T>> {
        init_v1_with(fake, trust, &secrets())
    }

    fn init_v1_with<T: CardTransport>(
        fake: T,
        trust: &Trust,
        secrets: &InitSecrets,
    ) -> Result<Card<Selected, T>, Failed<T>> {
        let card = blank(fake);
        let mut receipt = recorded(card.request(Operation::Init));
        card.init(trust, secrets, &mut receipt, &mut TestDice::seeded(5))
    }

    /// Secrets that leave to the card what an old one cannot be told.
    fn plain_secrets() -> InitSecrets {
        let puk = b"012345678901".as_slice().try_into().unwrap();
        InitSecrets::new(b"000000".as_slice().try_into().unwrap(), puk, &mut TestDice::seeded(9))
    }

    /// Reference section 9.4, V1: the plaintext of INIT, but for the pairing secret.
    #[test]
    fn a_blank_3_1_gets_the_long_form_and_has_its_name_from_then_on() {
        let card = init_v1(FakeV1::blank(Version::V3_1), &trust()).unwrap();
        assert_eq!(card.info().version, Some(Version::V3_1));
        assert!(matches!(card.id(), proto::CardId::Instance(_)));
        let secrets = secrets();
        let fake = card.into_transport();
        let plaintext = fake.init().unwrap();
        assert_eq!(&plaintext[..18], b"000000012345678901");
        assert_eq!(&plaintext[18..50], secrets.pairing().expose());
        assert_eq!(&plaintext[50..], b"\x03\x05024680");
        assert_eq!(fake.commands(), 4, "SELECT, IDENTIFY CARD, INIT, SELECT");
    }

    #[test]
    fn an_older_card_gets_the_short_form() {
        for version in [Version::V2_2, Version::V3_0] {
            let card = init_v1_with(FakeV1::blank(version), &trust_v1(), &plain_secrets()).unwrap();
            assert_eq!(card.info().version, Some(version));
            assert_eq!(card.into_transport().init().unwrap().len(), 50);
        }
    }

    #[test]
    fn an_older_card_is_not_initialised_without_the_duress_pin_or_the_tries_that_its_owner_asked_for() {
        let tries = plain_secrets().with_tries(crate::Tries::new(5, 5).unwrap());
        for (secrets, why) in [(secrets(), "no duress PIN"), (tries, "3 PIN tries")] {
            let card = blank(FakeV1::blank(Version::V3_0));
            let mut receipt = recorded(card.request(Operation::Init));
            let failed = card.init(&trust_v1(), &secrets, &mut receipt, &mut TestDice::seeded(5)).err().unwrap();
            assert!(matches!(failed.error, CardError::Misuse { what } if what.contains(why)));
            assert!(!receipt.is_spent());
            assert!(failed.transport.init().is_none());
        }
    }

    #[test]
    fn a_card_that_nobody_vouches_for_gets_no_pin() {
        for fake in [FakeV1::blank(Version::V3_0), FakeV1::blank(Version::V3_2).uncertified()] {
            let failed = init_v1(fake, &trust()).err().unwrap();
            assert!(matches!(failed.error, CardError::Untrusted(_)));
            assert!(failed.transport.init().is_none());
        }
    }

    /// Attack 10: somebody answers for a 3.1 that it does not know IDENTIFY CARD, so that it gets no duress PIN.
    #[test]
    fn a_card_that_turns_out_newer_than_it_claimed_is_an_error() {
        let fake = FakeV1::blank(Version::V3_1).harmed(1, Harm::Replace(vec![0x6D, 0x00]));
        let failed = init_v1_with(fake, &trust_v1(), &plain_secrets()).err().unwrap();
        let CardError::Answer { what } = failed.error else { panic!("{}", failed.error) };
        assert!(what.contains("another version"), "{what}");
    }

    #[test]
    fn a_card_of_v1_that_did_nothing_is_an_error() {
        let failed = init_v1(FakeV1::blank(Version::V3_1).disobedient(), &trust()).err().unwrap();
        assert!(matches!(failed.error, CardError::Answer { what: "a blank card after INIT" }));
    }

    #[test]
    fn the_one_shot_encryption_is_that_of_keycard_py() {
        // keycard-py `tests/test_vectors.py`: card key, one-time key, IV, PIN 123456, PUK 123456789012, secret "A" x 32.
        let channel_key = hex::decode(
            "04525481c70263f79c29092e95cfc972e0eb427ea31fe6cc6c96787eb12205737d431929f0837c66a4ee514578a7d5eb78087927851b15\
             b691a79cdea431bd63d9",
        )
        .unwrap();
        let ours = hex::decode("e3b9a83efa7b113bac4562a77c496de21a9f91a17fa8dcb2384ed7154bb43c5c").unwrap();
        let iv = hex::decode("d2c5feedf4bdb935057f8c78cf92395e").unwrap().try_into().unwrap();
        let secrets = InitSecrets::new(
            b"123456".as_slice().try_into().unwrap(),
            b"123456789012".as_slice().try_into().unwrap(),
            &mut TestDice::seeded(1),
        )
        .with_pairing(proto::Secret::fill(|bytes| bytes.fill(b'A')).into())
        .unwrap();
        let key = ChatKey::try_from(channel_key.as_slice()).unwrap();
        let command = one_shot(&key, &secrets, false, &k256::SecretKey::from_slice(&ours).unwrap(), &iv).unwrap();
        assert_eq!(
            hex::encode(&command.body()[82..]),
            "4707ca7edf4218c416f252967da55f1b6e2e65f0ffa0305f71501f53aa283fd5aaa8b049e75288c01034f25893db43d4db4bd6dfc4a654\
             6658dd22227082aa58"
        );
    }
}
