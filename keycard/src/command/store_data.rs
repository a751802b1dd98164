//! STORE DATA `80 E2 slot offset/4 Lc data`.
//!
//! ```text
//! slot 00 public, 02 cash    at most 127 bytes, replaced whole
//! slot 01 NDEF               length(2) || message; 3.0, 3.1: in one command; later: in parts of 220 bytes, file of 512
//! ```
//! A message in parts is written from its end, so that the length, which makes it valid, comes last. Nobody checks what
//! stands in a slot, and the NDEF slot is shown to every phone that touches the card.

use audit::{DataSlot, Operation, Recorded};

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::command::get_data::{MOST, number};
use crate::error::CardError;
use crate::ndef;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "STORE DATA";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Replaces the data of `slot`; of the NDEF slot its message, whose length is written before it.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] up to 2.2, [`CardError::Misuse`] for more than the slot holds: 127 bytes, or a message of
    /// 218 bytes up to 3.1 and 510 later; [`CardError::NotRecorded`]: before anything is sent. [`CardError::Status`],
    /// [`CardError::Answer`], [`CardError::ChannelLost`], [`CardError::Transport`]: an NDEF message may then be there in
    /// part.
    pub fn store_data(&mut self, slot: DataSlot, data: &[u8], recorded: &mut Recorded) -> Result<(), CardError> {
        self.require(Feature::DataSlots, NAME)?;
        let parts = self.supports(Feature::NdefParts);
        let most = match slot {
            DataSlot::Public | DataSlot::Cash => MOST,
            DataSlot::Ndef if parts => ndef::LONGEST_FILE - 2,
            DataSlot::Ndef => PART - 2,
        };
        if data.len() > most {
            return Err(CardError::Misuse { what: "more data than the slot of this card holds" });
        }
        let bytes = if slot == DataSlot::Ndef { ndef::file(data) } else { data.to_vec() };
        recorded.spend(&self.request(Operation::StoreData(slot)))?;
        if bytes.is_empty() {
            return self.store(slot, 0, &[]);
        }
        let parts: Vec<_> = bytes.chunks(PART).zip(0..).collect();
        parts.into_iter().rev().try_for_each(|(part, index)| self.store(slot, index, part))
    }

    /// Stores the part with this number.
    fn store(&mut self, slot: DataSlot, part: u8, bytes: &[u8]) -> Result<(), CardError> {
        let offset = part.saturating_mul(OFFSETS_A_PART);
        let command = Command::with_body([0x80, 0xE2, number(slot), offset], &[bytes])?;
        self.carry_out(&command, NAME, "an answer to STORE DATA with data")
    }
}

/// Bytes in one command. What is longer than 222 bytes cannot be read back from 3.1.
const PART: usize = 220;
/// The offset is given in steps of four bytes.
const OFFSETS_A_PART: u8 = 55;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, recorded, unlocked};
    use crate::version::Version;

    fn stored(version: Version, slot: DataSlot, data: &[u8]) -> (Result<(), CardError>, Vec<Vec<u8>>) {
        let fake = FakeCard::initialised().answering("9000").answering("9000").answering("9000");
        let mut card = aged(unlocked(fake), version);
        let mut receipt = recorded(card.request(Operation::StoreData(slot)));
        let result = card.store_data(slot, data, &mut receipt);
        assert_eq!(receipt.is_spent(), result.is_ok());
        (result, card.into_transport().inner_commands()[1..].to_vec())
    }

    #[test]
    fn a_slot_is_replaced_whole() {
        let (_, sent) = stored(Version::V3_0, DataSlot::Public, &[1, 2]);
        assert_eq!(sent, [vec![0x80, 0xE2, 0, 0, 2, 1, 2]]);
        let (_, sent) = stored(Version::V4, DataSlot::Cash, &[]);
        assert_eq!(sent, [vec![0x80, 0xE2, 2, 0, 0]]);
    }

    #[test]
    fn an_ndef_message_is_written_after_its_length_on_every_version() {
        for version in [Version::V3_0, Version::V3_1, Version::V3_2, Version::V4] {
            let (_, sent) = stored(version, DataSlot::Ndef, &[1, 2, 3]);
            assert_eq!(sent, [vec![0x80, 0xE2, 1, 0, 5, 0, 3, 1, 2, 3]]);
        }
        let (_, sent) = stored(Version::V3_2, DataSlot::Ndef, &[]);
        assert_eq!(sent, [vec![0x80, 0xE2, 1, 0, 2, 0, 0]], "nothing to be read");
    }

    #[test]
    fn a_long_message_is_written_from_its_end() {
        let (_, sent) = stored(Version::V3_2, DataSlot::Ndef, &[7; 510]);
        let heads: Vec<_> = sent.iter().map(|command| (command[3], command[4])).collect();
        assert_eq!(heads, [(110, 72), (55, 220), (0, 220)]);
        assert_eq!(sent[2][5..8], [0x01, 0xfe, 7], "the length comes last");
    }

    #[test]
    fn more_than_a_slot_holds_is_not_sent() {
        for (version, slot, most) in [
            (Version::V4, DataSlot::Public, 127),
            (Version::V3_0, DataSlot::Cash, 127),
            (Version::V3_1, DataSlot::Ndef, 218),
            (Version::V3_2, DataSlot::Ndef, 510),
        ] {
            assert!(stored(version, slot, &vec![7; most]).0.is_ok());
            let (result, sent) = stored(version, slot, &vec![7; most + 1]);
            assert!(matches!(result, Err(CardError::Misuse { .. })));
            assert!(sent.is_empty());
        }
        let (result, sent) = stored(Version::V2_2, DataSlot::Public, &[]);
        assert!(matches!(result, Err(CardError::Unsupported { .. })) && sent.is_empty());
    }
}
