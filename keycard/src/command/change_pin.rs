//! CHANGE PIN `80 21 P1 00 Lc value`: the PIN, the PUK or the pairing secret.
//!
//! ```text
//! P1 = 00 PIN(6)        of the PIN in use: whoever came in with the duress PIN changes that one
//! P1 = 01 PUK(12)
//! P1 = 02 secret(32)    for later pairings; those there are go on (up to 3.2)
//! ```
//! The types hold nothing but digits, so a malformed one is never sent. PIN and PUK have all their tries again afterwards.

use audit::{Operation, Recorded};
use proto::{Pin, Puk};

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::pairing::PairingSecret;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "CHANGE PIN";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Replaces the PIN.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`CardError::Status`], [`CardError::Answer`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`]: which PIN the card has is unknown after the last two.
    pub fn change_pin(&mut self, pin: &Pin, recorded: &mut Recorded) -> Result<(), CardError> {
        self.change(Operation::ChangePin, 0x00, pin.expose(), recorded)
    }

    /// Replaces the PUK.
    ///
    /// # Errors
    /// As [`Card::change_pin`].
    pub fn change_puk(&mut self, puk: &Puk, recorded: &mut Recorded) -> Result<(), CardError> {
        self.change(Operation::ChangePuk, 0x01, puk.expose(), recorded)
    }

    /// Replaces the secret with which hosts are paired.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] on 4.0, which has none, [`CardError::Misuse`] for one that everybody knows and that is not
    /// [`PairingSecret::wanted`]; else as [`Card::change_pin`].
    pub fn change_pairing_secret(&mut self, secret: &PairingSecret, recorded: &mut Recorded) -> Result<(), CardError> {
        self.require(Feature::Pairing, "CHANGE PIN of the pairing secret")?;
        if secret.is_given_to_no_card() {
            return Err(CardError::Misuse { what: "everybody knows this pairing password; take another one" });
        }
        self.change(Operation::ChangePairingSecret, 0x02, secret.expose(), recorded)
    }

    fn change(
        &mut self,
        operation: Operation,
        what: u8,
        value: &[u8],
        recorded: &mut Recorded,
    ) -> Result<(), CardError> {
        recorded.spend(&self.request(operation))?;
        let command = Command::with_body([0x80, 0x21, what, 0x00], &[value])?;
        self.carry_out(&command, NAME, "an answer to CHANGE PIN with data")
    }
}

#[cfg(test)]
mod tests {
    use proto::{Secret, TestDice};

    use super::*;
    use crate::fake::{FakeCard, aged, pin, recorded, unlocked};
    use crate::version::Version;

    /// KC-10: the PIN is changed; so are the PUK and the pairing secret.
    #[test]
    fn each_of_the_three_is_sent_as_it_is() {
        let fake = FakeCard::initialised().answering("9000").answering("9000").answering("9000");
        let mut card = aged(unlocked(fake), Version::V3_2);
        card.change_pin(&pin(), &mut recorded(card.request(Operation::ChangePin))).unwrap();
        let puk = Puk::try_from(b"123456789012".as_slice()).unwrap();
        card.change_puk(&puk, &mut recorded(card.request(Operation::ChangePuk))).unwrap();
        let secret = PairingSecret::from(Secret::fill(|room| *room = [7; 32]));
        let mut receipt = recorded(card.request(Operation::ChangePairingSecret));
        card.change_pairing_secret(&secret, &mut receipt).unwrap();
        let fake = card.into_transport();
        assert_eq!(
            fake.inner_commands()[1..],
            [
                b"\x80\x21\x00\x00\x06000000".to_vec(),
                b"\x80\x21\x01\x00\x0c123456789012".to_vec(),
                [&[0x80, 0x21, 0x02, 0x00, 0x20], [7; 32].as_slice()].concat(),
            ]
        );
    }

    #[test]
    fn a_pairing_secret_is_not_sent_to_4_0_and_none_that_everybody_knows_to_any() {
        let mut card = unlocked(FakeCard::initialised());
        let secret = PairingSecret::random(&mut TestDice::seeded(1));
        let mut receipt = recorded(card.request(Operation::ChangePairingSecret));
        let error = card.change_pairing_secret(&secret, &mut receipt).unwrap_err();
        assert!(matches!(error, CardError::Unsupported { version: Version::V4, .. }), "{error}");
        let mut card = aged(card, Version::V3_1);
        let known = &PairingSecret::of_password("KeycardDefaultPairing")[0];
        assert!(matches!(card.change_pairing_secret(known, &mut receipt), Err(CardError::Misuse { .. })));
        assert!(!receipt.is_spent());
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    #[test]
    fn a_refusal_and_an_answer_with_data_are_errors() {
        for answer in ["6985", "6a80", "009000"] {
            let mut card = unlocked(FakeCard::initialised().answering(answer));
            let mut receipt = recorded(card.request(Operation::ChangePin));
            assert!(card.change_pin(&pin(), &mut receipt).is_err());
            assert!(receipt.is_spent());
        }
    }
}
