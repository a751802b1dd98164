//! FACTORY RESET `80 FD AA 55`, plain, without a PIN: applets 3.1, 3.2 and 4.0.
//!
//! It erases keys, PINs, pairings and the first data slot; the certificate, NDEF and cash data stay. Anybody who holds the
//! card can do it. Its status word is not believed (with a channel open on 4.0 the outer one is 9000 whatever happened):
//! only a fresh SELECT says whether the card is blank.

use audit::{Operation, Recorded};

use crate::apdu::Command;
use crate::application_info::ApplicationInfo;
use crate::card::{Blank, Card, Selected};
use crate::command::select;
use crate::error::{CardError, Failed};
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};
use crate::version::Feature;

const NAME: &str = "FACTORY RESET";

impl<T: CardTransport> Card<Selected, T> {
    /// Erases the card and returns it blank. What it knew is gone for good; a card of generation v1 also gets a new name.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] (install the applet anew instead), [`CardError::NotRecorded`]: nothing was sent.
    /// [`CardError::Status`] when the card refused; [`CardError::Answer`] when it says that it did it and did not, or is
    /// another one afterwards; [`CardError::Transport`]: whether it is erased is unknown.
    pub fn factory_reset(mut self, recorded: &mut Recorded) -> Result<Card<Blank, T>, Failed<T>> {
        match self.erase(recorded) {
            Ok(info) => Ok(Card { state: Blank { identity: None }, info: Box::new(info), transport: self.transport }),
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }

    fn erase(&mut self, recorded: &mut Recorded) -> Result<ApplicationInfo, CardError> {
        self.require(Feature::FactoryReset, NAME)?;
        recorded.spend(&self.request(Operation::FactoryReset))?;
        let answer = exchange(&mut self.transport, Command::new([0x80, 0xFD, 0xAA, 0x55]))?;
        let info = select::read(&mut self.transport)?;
        if info.is_initialised() {
            return Err(match answer.status {
                StatusWord::OK => CardError::Answer { what: "a success of FACTORY RESET that erased nothing" },
                status => CardError::Status { command: NAME, status },
            });
        }
        // 4.0 keeps its certificate, 3.x draws a new channel key.
        let same_key = info.channel_key().is_some() && info.channel_key() == self.info.channel_key();
        if info.certificate() != self.info.certificate() || info.generation() != self.info.generation() || same_key {
            return Err(CardError::Answer { what: "another card after FACTORY RESET" });
        }
        Ok(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, Harm, recorded, selected};
    use crate::fake_v1::FakeV1;
    use crate::version::Version;

    fn reset<T: CardTransport>(transport: T) -> Result<Card<Blank, T>, Failed<T>> {
        let card = selected(transport);
        let mut receipt = recorded(card.request(Operation::FactoryReset));
        card.factory_reset(&mut receipt)
    }

    #[test]
    fn a_3_1_is_blank_afterwards_and_named_after_its_new_key() {
        let before = selected(FakeV1::initialised(Version::V3_1)).id();
        let card = reset(FakeV1::initialised(Version::V3_1)).unwrap();
        assert!(matches!(card.id(), proto::CardId::Blank(_)));
        assert_ne!(card.id(), before);
        let fake = card.into_transport();
        assert_eq!(fake.plain_commands()[1], [0x80, 0xFD, 0xAA, 0x55]);
        assert_eq!(fake.commands(), 3, "SELECT, FACTORY RESET, SELECT");
    }

    #[test]
    fn a_4_0_is_blank_afterwards_and_the_same_card() {
        let before = selected(FakeCard::initialised()).id();
        let card = reset(FakeCard::initialised().then_blank()).unwrap();
        assert_eq!(card.id(), before);
    }

    /// Attack 6: the outer status word lies; only a fresh SELECT counts.
    #[test]
    fn a_success_that_erased_nothing_is_no_success() {
        let failed = reset(FakeV1::initialised(Version::V3_1).disobedient()).err().unwrap();
        assert!(matches!(failed.error, CardError::Answer { .. }));
        let failed = reset(FakeCard::initialised()).err().unwrap();
        assert!(matches!(failed.error, CardError::Status { command: NAME, .. }), "{}", failed.error);
    }

    #[test]
    fn a_refusal_that_erased_the_card_is_a_success_all_the_same() {
        let fake = FakeV1::initialised(Version::V3_1).harmed(1, Harm::Replace(vec![0x6F, 0x00]));
        assert!(reset(fake).is_ok());
    }

    #[test]
    fn applets_before_3_1_are_not_asked() {
        let failed = reset(FakeV1::initialised(Version::V3_0)).err().unwrap();
        assert!(matches!(failed.error, CardError::Unsupported { .. }));
        assert_eq!(failed.transport.commands(), 1);
    }
}
