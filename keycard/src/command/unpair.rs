//! UNPAIR `80 13 slot 00` → nothing: applets 2.x and 3.x, with a PIN.
//!
//! 9000 also for a slot that is free. The session goes on when its own slot is freed, and is the last of that pairing.

use audit::{Operation, Recorded};

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::pairing::Pairing;
use crate::status_word::StatusWord;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "UNPAIR";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Frees a pairing slot, and returns whether the card has that slot: to free all others, go up from 0, leave out the
    /// session's own, and stop at the first that is not there (5, 10 or 100 of them, by applet).
    ///
    /// # Errors
    /// [`CardError::Unsupported`], [`CardError::Misuse`] for a number that is no slot, [`CardError::NotRecorded`]: nothing
    /// was sent. [`CardError::Status`], [`CardError::Answer`], [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn unpair(&mut self, slot: u8, recorded: &mut Recorded) -> Result<bool, CardError> {
        self.require(Feature::Pairing, NAME)?;
        match slot {
            0..=MAX_SLOT => {}
            Pairing::EPHEMERAL => self.require(Feature::EphemeralPairing, "UNPAIR of an ephemeral pairing")?,
            _ => return Err(CardError::Misuse { what: "a pairing slot is a number from 0 to 127" }),
        }
        recorded.spend(&self.request(Operation::Unpair(slot)))?;
        let answer = self.call(&Command::new([0x80, 0x13, slot, 0x00]))?;
        if answer.status == StatusWord::WRONG_PARAMETERS {
            return Ok(false);
        }
        answer.bare_success(NAME, "an answer to UNPAIR with data").map(|()| true)
    }
}

/// Above it the applet takes the number for a negative one.
const MAX_SLOT: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, recorded};
    use crate::fake_v1::{FakeV1, unlocked};
    use crate::version::Version;

    fn unpair(fake: FakeV1, slot: u8) -> (Result<bool, CardError>, FakeV1) {
        let mut card = unlocked(fake);
        let mut receipt = recorded(card.request(Operation::Unpair(slot)));
        let result = card.unpair(slot, &mut receipt);
        (result, card.into_transport())
    }

    #[test]
    fn a_slot_is_freed_and_one_that_is_not_there_is_told_apart() {
        let (result, fake) = unpair(FakeV1::initialised(Version::V3_1).answering("9000"), 3);
        assert!(result.unwrap());
        assert_eq!(fake.inner_commands().last().unwrap(), &[0x80, 0x13, 3, 0]);
        assert!(!unpair(FakeV1::initialised(Version::V3_1).answering("6a86"), 5).0.unwrap());
        assert!(unpair(FakeV1::initialised(Version::V3_1).answering("6985"), 5).0.is_err());
        assert!(unpair(FakeV1::initialised(Version::V3_1).answering("019000"), 5).0.is_err());
    }

    #[test]
    fn what_the_applet_stumbles_over_is_not_sent() {
        for (version, slot) in [(Version::V3_1, 0x80), (Version::V3_2, 0xFE), (Version::V3_1, Pairing::EPHEMERAL)] {
            let (result, fake) = unpair(FakeV1::initialised(version), slot);
            assert!(result.is_err());
            assert_eq!(fake.inner_commands().len(), 2, "GET STATUS and VERIFY PIN");
        }
        assert!(unpair(FakeV1::initialised(Version::V3_2).answering("9000"), Pairing::EPHEMERAL).0.unwrap());
    }

    #[test]
    fn a_4_0_has_nothing_to_unpair() {
        let mut card = crate::fake::unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(Operation::Unpair(0)));
        assert!(matches!(card.unpair(0, &mut receipt), Err(CardError::Unsupported { .. })));
        assert!(!receipt.is_spent());
    }
}
