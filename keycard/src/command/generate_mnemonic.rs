//! GENERATE MNEMONIC `80 D2 n 00` → two bytes a word, its number in the BIP-39 list; n is the number of checksum bits, 4
//! to 8. The card keeps nothing: the words are the only copy, and the host sees them.

use audit::{Operation, Recorded};
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::card::{Card, Open};
use crate::error::CardError;
use crate::pairing::Unpaired;
use crate::seed::{Mnemonic, SeedError};
use crate::transport::CardTransport;

const NAME: &str = "GENERATE MNEMONIC";

impl<S: Open, T: CardTransport> Card<S, T> {
    /// Returns words whose entropy the card drew. Their checksum is verified here.
    ///
    /// # Errors
    /// [`CardError::Misuse`] for another number of words than 12, 15, 18, 21 or 24, [`Unpaired::WellKnown`] where
    /// somebody may listen, [`CardError::NotRecorded`]: before anything is sent. [`CardError::Answer`] also for words that are no mnemonic; [`CardError::Status`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn generate_mnemonic(&mut self, words: u8, recorded: &mut Recorded) -> Result<Mnemonic, CardError> {
        if !matches!(words, 12 | 15 | 18 | 21 | 24) {
            return Err(CardError::Misuse { what: "a mnemonic has 12, 15, 18, 21 or 24 words" });
        }
        if self.state.is_exposed() {
            return Err(Unpaired::WellKnown.into());
        }
        recorded.spend(&self.request(Operation::GenerateMnemonic(words)))?;
        // One checksum bit for each three words.
        let answer = self.call(&Command::new([0x80, 0xD2, words / 3, 0x00]))?;
        parse(answer, words)
    }
}

fn parse(answer: Answer, words: u8) -> Result<Mnemonic, CardError> {
    const MALFORMED: CardError = CardError::Answer { what: "a malformed mnemonic" };
    let data = answer.success(NAME)?;
    let (numbers, rest) = data.as_chunks::<2>();
    if numbers.len() != usize::from(words) || !rest.is_empty() {
        return Err(MALFORMED);
    }
    let mut numbers_of_words = Zeroizing::new([0; 24]);
    for (room, number) in numbers_of_words.iter_mut().zip(numbers) {
        *room = u16::from_be_bytes(*number);
    }
    let (numbers, _) = numbers_of_words.split_at(usize::from(words));
    Mnemonic::from_numbers(numbers).map_err(|error| match error {
        SeedError::Checksum => CardError::Answer { what: "a mnemonic whose checksum does not fit" },
        _ => MALFORMED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, recorded, secured};

    fn generated(words: u8, answer: &str) -> Result<Mnemonic, CardError> {
        let mut card = secured(FakeCard::initialised().answering(answer));
        let mut receipt = recorded(card.request(Operation::GenerateMnemonic(words)));
        let result = card.generate_mnemonic(words, &mut receipt);
        assert_eq!(card.into_transport().inner_commands(), [[0x80, 0xD2, words / 3, 0, 0]]);
        result
    }

    /// Keycard.swift `KeycardTests`: the numbers that a card answered, and their words.
    #[test]
    fn the_numbers_of_keycard_swift_are_its_words() {
        let answer = "03a3055f01b506aa053f01810346057c020e015904fd03179000";
        let words = generated(12, answer).unwrap();
        assert_eq!(*words.expose(), "inner program cute stem pony coral hand question dove clinic panic glass");
    }

    #[test]
    fn a_checksum_that_does_not_fit_and_other_lengths_are_refused() {
        let abandon = "0000".repeat(11);
        assert!(generated(12, &format!("{abandon}00039000")).is_ok());
        for answer in [
            format!("{abandon}00049000"),
            format!("{abandon}08009000"),
            format!("{abandon}9000"),
            format!("{abandon}0003009000"),
            "9000".to_owned(),
        ] {
            assert!(matches!(generated(12, &answer), Err(CardError::Answer { .. })), "{answer}");
        }
        assert!(matches!(generated(15, &format!("{abandon}00039000")), Err(CardError::Answer { .. })));
        assert!(matches!(generated(24, "6a86"), Err(CardError::Status { .. })));
    }

    #[test]
    fn no_words_are_drawn_where_somebody_may_listen() {
        let mut card = secured(FakeCard::initialised());
        card.state.exposed = true;
        let mut receipt = recorded(card.request(Operation::GenerateMnemonic(12)));
        let refused = card.generate_mnemonic(12, &mut receipt);
        assert!(matches!(refused, Err(CardError::Unpaired(Unpaired::WellKnown))));
        assert!(!receipt.is_spent());
        assert!(card.into_transport().inner_commands().is_empty());
    }

    #[test]
    fn other_numbers_of_words_are_not_asked_for() {
        let mut card = secured(FakeCard::initialised());
        for words in [0, 3, 11, 13, 27] {
            let mut receipt = recorded(card.request(Operation::GenerateMnemonic(words)));
            assert!(matches!(card.generate_mnemonic(words, &mut receipt), Err(CardError::Misuse { .. })));
            assert!(!receipt.is_spent());
        }
        assert!(card.into_transport().inner_commands().is_empty());
    }
}
