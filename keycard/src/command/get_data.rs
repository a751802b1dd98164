//! GET DATA `80 CA slot offset/4` → the data of a slot. It needs no PIN; up to 3.2 no channel either.
//!
//! ```text
//! slot 00 public, 02 cash    at most 127 bytes
//! slot 01 NDEF               3.0, 3.1: what was stored; 3.2: the first 223 bytes; 4.0: 244 bytes from the offset on
//! ```
//! Whoever has the card can read, and on a channel nobody but the card can have answered.

use audit::DataSlot;

use crate::apdu::{Answer, Command};
use crate::card::{Card, Open, Selected};
use crate::error::CardError;
use crate::ndef;
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};
use crate::version::Feature;

const NAME: &str = "GET DATA";

impl<S: Open, T: CardTransport> Card<S, T> {
    /// Returns the data of `slot`; of the NDEF slot its message.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] up to 2.2, and on 3.2 for an NDEF message of more than 221 bytes, which only the NDEF
    /// applet gives whole; [`CardError::Status`], [`CardError::Answer`], [`CardError::ChannelLost`],
    /// [`CardError::Transport`].
    pub fn data(&mut self, slot: DataSlot) -> Result<Vec<u8>, CardError> {
        self.require(Feature::DataSlots, NAME)?;
        let file = self.file();
        let (session, transport) = (self.state.session(), &mut self.transport);
        read(slot, file, |command| session.call(transport, &command))
    }
}

impl<T: CardTransport> Card<Selected, T> {
    /// Returns the data of `slot` over no channel, as whoever stands between us and the card gives it. Up to 3.2.
    ///
    /// # Errors
    /// As on an open card; [`CardError::Unsupported`] on 4.0 too.
    pub fn data_in_clear(&mut self, slot: DataSlot) -> Result<Vec<u8>, CardError> {
        self.require(Feature::DataSlots, NAME)?;
        self.require(Feature::Pairing, "GET DATA without a channel")?;
        let file = self.file();
        read(slot, file, |command| exchange(&mut self.transport, command))
    }
}

/// How a card gives its NDEF file.
enum File {
    /// As it was stored, which need not be a file (up to 3.1).
    AsStored,
    /// Its beginning (3.2); with the error for a longer one.
    Beginning(CardError),
    /// In parts (4.0).
    Parts,
}

impl<S, T> Card<S, T> {
    fn file(&self) -> File {
        if !self.supports(Feature::NdefParts) {
            return File::AsStored;
        }
        match self.require(Feature::NdefOffset, "GET DATA of an NDEF message of more than 221 bytes") {
            Ok(()) => File::Parts,
            Err(refusal) => File::Beginning(refusal),
        }
    }
}

fn read(
    slot: DataSlot,
    file: File,
    mut call: impl FnMut(Command) -> Result<Answer, CardError>,
) -> Result<Vec<u8>, CardError> {
    let mut part = |offset| call(Command::new([0x80, 0xCA, number(slot), offset]));
    let first = part(0)?;
    match (slot, file) {
        (DataSlot::Public | DataSlot::Cash, _) => {
            let data = first.success(NAME)?.to_vec();
            if data.len() <= MOST { Ok(data) } else { Err(CardError::Answer { what: "more data than a slot holds" }) }
        }
        (DataSlot::Ndef, File::AsStored) => {
            let data = first.success(NAME)?.to_vec();
            Ok(ndef::message_of_file(&data).map(<[u8]>::to_vec).unwrap_or(data))
        }
        // Channel v1 has no room for the 223 bytes that 3.2 gives at most, and the applet stumbles.
        (DataSlot::Ndef, File::Beginning(refusal)) if first.status == StatusWord::INTERNAL => Err(refusal),
        (DataSlot::Ndef, File::Beginning(refusal)) => {
            let file = first.success(NAME)?;
            if file.len() < file_length(&file)? { Err(refusal) } else { message(&file) }
        }
        (DataSlot::Ndef, File::Parts) => {
            let mut file = first.success(NAME)?.to_vec();
            let whole = file_length(&file)?;
            while file.len() < whole {
                let offset = u8::try_from(file.len() / 4).map_err(|_| MALFORMED)?;
                let more = part(offset)?.success(NAME)?;
                if !file.len().is_multiple_of(4) || more.is_empty() {
                    return Err(MALFORMED);
                }
                file.extend_from_slice(&more);
            }
            message(&file)
        }
    }
}

/// Returns how long the file is that begins with these bytes, if a card can hold that.
fn file_length(file: &[u8]) -> Result<usize, CardError> {
    ndef::file_length(file).filter(|length| *length <= ndef::LONGEST_FILE).ok_or(MALFORMED)
}

fn message(file: &[u8]) -> Result<Vec<u8>, CardError> {
    ndef::message_of_file(file).map(<[u8]>::to_vec).ok_or(MALFORMED)
}

/// Returns P1 of a slot, also for STORE DATA.
pub(crate) const fn number(slot: DataSlot) -> u8 {
    match slot {
        DataSlot::Public => 0x00,
        DataSlot::Ndef => 0x01,
        DataSlot::Cash => 0x02,
    }
}

const MALFORMED: CardError = CardError::Answer { what: "a malformed NDEF file" };
/// What the public and the cash slot hold: one byte of length, and the applet takes it for signed.
pub(crate) const MOST: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, secured};
    use crate::version::Version;

    fn data(version: Version, slot: DataSlot, answers: &[&str]) -> (Result<Vec<u8>, CardError>, Vec<Vec<u8>>) {
        let fake = answers.iter().fold(FakeCard::initialised(), |fake, answer| fake.answering(answer));
        let mut card = aged(secured(fake), version);
        let result = card.data(slot);
        (result, card.into_transport().inner_commands().to_vec())
    }

    #[test]
    fn public_and_cash_data_come_as_they_were_stored() {
        for (slot, number) in [(DataSlot::Public, 0), (DataSlot::Cash, 2)] {
            let (data, sent) = data(Version::V3_0, slot, &["0102039000"]);
            assert_eq!((data.unwrap(), sent), (vec![1, 2, 3], vec![vec![0x80, 0xCA, number, 0, 0]]));
        }
        let long = "07".repeat(128) + "9000";
        assert!(matches!(data(Version::V4, DataSlot::Public, &[&long]).0, Err(CardError::Answer { .. })));
    }

    #[test]
    fn an_ndef_message_comes_without_its_length_whatever_the_version() {
        for version in [Version::V3_0, Version::V3_1, Version::V3_2, Version::V4] {
            let (data, _) = data(version, DataSlot::Ndef, &["00030102039000"]);
            assert_eq!(data.unwrap(), [1, 2, 3]);
        }
        // Up to 3.1 a client may have stored something else.
        let (raw, _) = data(Version::V3_1, DataSlot::Ndef, &["d1010155009000"]);
        assert_eq!(raw.unwrap(), [0xd1, 1, 1, 0x55, 0]);
        let (none, _) = data(Version::V3_1, DataSlot::Ndef, &["9000"]);
        assert_eq!(none.unwrap(), [0u8; 0]);
    }

    #[test]
    fn a_long_message_comes_in_parts_from_4_0_and_not_at_all_from_3_2() {
        let first = format!("012c{}9000", "07".repeat(242));
        let second = "08".repeat(58) + "9000";
        let (whole, sent) = data(Version::V4, DataSlot::Ndef, &[&first, &second]);
        assert_eq!(whole.unwrap(), [vec![7; 242], vec![8; 58]].concat());
        assert_eq!(sent, [[0x80, 0xCA, 1, 0, 0], [0x80, 0xCA, 1, 61, 0]]);
        for answer in [first.as_str(), "6f00"] {
            let (refused, sent) = data(Version::V3_2, DataSlot::Ndef, &[answer]);
            assert!(matches!(refused, Err(CardError::Unsupported { .. })));
            assert_eq!(sent.len(), 1);
        }
        assert!(matches!(data(Version::V4, DataSlot::Ndef, &["6f00"]).0, Err(CardError::Status { .. })));
    }

    #[test]
    fn a_file_that_lies_about_its_length_is_refused_and_ends() {
        let odd = format!("012c{}9000", "07".repeat(241));
        for answers in [
            vec!["ffff9000"],
            vec!["009000"],
            vec!["00019000", "9000"],
            vec![&odd, "079000"],
            vec!["000601029000", "03040506079000"],
            vec!["0001020304059000"],
        ] {
            let (result, sent) = data(Version::V4, DataSlot::Ndef, &answers);
            assert!(matches!(result, Err(CardError::Answer { .. })), "{answers:?}");
            assert!(sent.len() <= 2);
        }
    }

    #[test]
    fn a_card_without_data_slots_is_not_asked() {
        let (result, sent) = data(Version::V2_2, DataSlot::Public, &[]);
        assert!(matches!(result, Err(CardError::Unsupported { .. })));
        assert!(sent.is_empty());
    }
}
