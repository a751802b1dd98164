//! GET CHALLENGE `80 84 n 00` → n random bytes of the card, 1 to 245. Applet 4.0; needs no PIN.

use zeroize::Zeroizing;

use crate::apdu::Command;
use crate::card::{Card, Open};
use crate::error::CardError;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "GET CHALLENGE";

impl<S: Open, T: CardTransport> Card<S, T> {
    /// Returns `count` bytes of the card's random number generator, which nobody outside can vouch for.
    ///
    /// # Errors
    /// [`CardError::Unsupported`]; [`CardError::Misuse`] for none or more than 245; [`CardError::Status`],
    /// [`CardError::Answer`], [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn challenge(&mut self, count: u8) -> Result<Zeroizing<Vec<u8>>, CardError> {
        self.require(Feature::Challenge, NAME)?;
        if !(1..=MOST).contains(&count) {
            return Err(CardError::Misuse { what: "a challenge has 1 to 245 bytes" });
        }
        let data = self.call(&Command::new([0x80, 0x84, count, 0x00]))?.success(NAME)?;
        if data.len() == usize::from(count) {
            Ok(data)
        } else {
            Err(CardError::Answer { what: "a challenge of another length" })
        }
    }
}

/// What fits into one answer.
const MOST: u8 = 245;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, secured};
    use crate::version::Version;

    #[test]
    fn as_many_bytes_come_as_were_asked_for() {
        let mut card = secured(FakeCard::initialised().answering("0102039000").answering("01029000"));
        assert_eq!(*card.challenge(3).unwrap(), [1, 2, 3]);
        assert!(matches!(card.challenge(3), Err(CardError::Answer { .. })));
        assert_eq!(card.into_transport().inner_commands()[0], [0x80, 0x84, 3, 0, 0]);
    }

    #[test]
    fn other_numbers_and_older_cards_are_not_asked() {
        let mut card = secured(FakeCard::initialised());
        for count in [0, 246, 255] {
            assert!(matches!(card.challenge(count), Err(CardError::Misuse { .. })));
        }
        let mut card = aged(card, Version::V3_2);
        assert!(matches!(card.challenge(1), Err(CardError::Unsupported { .. })));
        assert!(card.into_transport().inner_commands().is_empty());
    }
}
