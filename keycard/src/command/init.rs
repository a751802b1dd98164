//! INIT `80 FE 00 00 1A PIN(6) || PUK(12) || PIN tries || PUK tries || duress PIN(6)`, in the channel of a blank card.
//!
//! Always the 26-byte form. Without a duress PIN applet 4.0 makes it the PIN itself and lives in duress mode for ever,
//! deriving other keys than BIP-32; more than 6 PIN tries leave it half initialised. Nobody learns the duress PIN drawn
//! here: it is only there to differ.

use audit::{Operation, Recorded};
use proto::{Pin, Puk};
use rand_core::CryptoRng;

use crate::apdu::Command;
use crate::card::{Blank, Card, Selected};
use crate::command::{open, select};
use crate::error::{CardError, Failed};
use crate::transport::CardTransport;
use crate::trust::Trust;

/// What the PIN of a new card bears.
const PIN_TRIES: u8 = 3;
/// What the PUK of a new card bears.
const PUK_TRIES: u8 = 5;

/// The two numbers that a new card is given.
pub struct InitSecrets {
    /// Unlocks the card.
    pub pin: Pin,
    /// Unblocks the PIN.
    pub puk: Puk,
}

impl<T: CardTransport> Card<Blank, T> {
    /// Initialises the card through a channel of its own, then selects it again.
    ///
    /// The dice give, in this order: the salt, our one-time key, the duress PIN.
    ///
    /// # Errors
    /// Those of [`Card::open`]; [`CardError::NotRecorded`] before INIT is sent; [`CardError::Status`],
    /// [`CardError::ChannelLost`]; [`CardError::Answer`] also when the card is still blank, or another one, afterwards.
    pub fn init(
        mut self,
        trust: &Trust,
        secrets: &InitSecrets,
        recorded: &mut Recorded,
        rng: &mut dyn CryptoRng,
    ) -> Result<Card<Selected, T>, Failed<T>> {
        match self.initialise(trust, secrets, recorded, rng) {
            Ok(info) => Ok(Card { state: Selected, info: Box::new(info), transport: self.transport }),
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }

    fn initialise(
        &mut self,
        trust: &Trust,
        secrets: &InitSecrets,
        recorded: &mut Recorded,
        rng: &mut dyn CryptoRng,
    ) -> Result<crate::ApplicationInfo, CardError> {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let mut session = open::handshake(&mut self.transport, &self.info.certificate, trust, salt, rng)?;
        let duress = duress_pin(secrets, rng);
        recorded.spend(&self.request(Operation::Init))?;
        let answer = session.call(&mut self.transport, &command(secrets, &duress)?)?;
        answer.bare_success("INIT", "an answer to INIT with data")?;
        drop(session);
        let info = select::read(&mut self.transport)?;
        if info.certificate != self.info.certificate {
            return Err(CardError::Answer { what: "another certificate after INIT" });
        }
        // An uninitialised 4.0 answers 9000 to what it ignores, so that word alone proves nothing.
        if info.pin_tries.is_none() {
            return Err(CardError::Answer { what: "a blank card after INIT" });
        }
        Ok(info)
    }
}

/// Returns a PIN that is neither the owner's nor the beginning of the PUK (which 3.x takes for the duress PIN, so that
/// owners know it).
fn duress_pin(secrets: &InitSecrets, rng: &mut dyn CryptoRng) -> Pin {
    loop {
        let pin = Pin::random(rng);
        if pin.expose() != secrets.pin.expose() && !secrets.puk.expose().starts_with(pin.expose()) {
            return pin;
        }
    }
}

fn command(secrets: &InitSecrets, duress: &Pin) -> Result<Command, CardError> {
    let InitSecrets { pin, puk } = secrets;
    Command::with_body(
        [0x80, 0xFE, 0x00, 0x00],
        &[pin.expose(), puk.expose(), &[PIN_TRIES, PUK_TRIES], duress.expose()],
    )
}

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;
    use crate::fake::{FakeCard, blank, recorded, secrets, trust};

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
    fn a_duress_pin_equal_to_the_pin_or_the_beginning_of_the_puk_is_drawn_again() {
        let mut dice = TestDice::playing(b"\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x09\x08\x07\x06\x05\x04");
        assert_eq!(duress_pin(&secrets(), &mut dice).expose(), b"987654");
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
}
