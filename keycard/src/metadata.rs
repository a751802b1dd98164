//! What Status keeps in the public slot of a card: the card's name and which wallet accounts it has (reference: Keycard
//! applet, STORE DATA, Status metadata).
//!
//! ```text
//! 001nnnnn(1) || name(n, at most 20) || { first, more }, ..      version 1 in the first three bits
//! ```
//! An account is the last component under `m/44'/60'/0'/0`. Each pair names `first` and the `more` accounts after it; both
//! numbers are written like the length of a BER object: below 80 one byte, else 81 to 84 and that many bytes less 80.

use std::ops::RangeInclusive;

/// The name of a card and its wallet accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    name: String,
    accounts: Vec<RangeInclusive<u32>>,
}

/// Bytes that are no metadata, or metadata that fits no card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no Status metadata: {what}")]
pub struct NotMetadata {
    /// What is wrong.
    pub what: &'static str,
}

impl Metadata {
    /// Returns the metadata of a card with this name, of at most 20 bytes, and these accounts in any order.
    ///
    /// # Errors
    /// [`NotMetadata`] for a longer name, or more ranges than the slot holds.
    pub fn new(name: &str, accounts: impl IntoIterator<Item = u32>) -> Result<Self, NotMetadata> {
        let mut numbers: Vec<u32> = accounts.into_iter().take(MOST_NUMBERS).collect();
        if numbers.len() == MOST_NUMBERS {
            return Err(NotMetadata { what: "more accounts than the slot holds" });
        }
        numbers.sort_unstable();
        numbers.dedup();
        let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some(last) if last.end().checked_add(1) == Some(number) => *last = *last.start()..=number,
                _ => ranges.push(number..=number),
            }
        }
        let metadata = Self { name: name.to_owned(), accounts: ranges };
        metadata.encode().map(|_| metadata)
    }

    /// Returns the card's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the accounts, as they are written: the ranges may overlap.
    #[must_use]
    pub fn accounts(&self) -> &[RangeInclusive<u32>] {
        &self.accounts
    }

    /// Returns the bytes for the public slot.
    ///
    /// # Errors
    /// [`NotMetadata`] when they do not fit.
    pub fn encode(&self) -> Result<Vec<u8>, NotMetadata> {
        let length = u8::try_from(self.name.len()).ok().filter(|length| *length <= LONGEST_NAME);
        let length = length.ok_or(NotMetadata { what: "a name of more than 20 bytes" })?;
        let mut bytes = vec![VERSION | length];
        bytes.extend_from_slice(self.name.as_bytes());
        for range in &self.accounts {
            write(*range.start(), &mut bytes);
            write(range.end().saturating_sub(*range.start()), &mut bytes);
        }
        if bytes.len() > SLOT { Err(NotMetadata { what: "more accounts than the slot holds" }) } else { Ok(bytes) }
    }

    /// Reads the bytes of the public slot.
    ///
    /// # Errors
    /// [`NotMetadata`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotMetadata> {
        let (first, rest) = bytes.split_first().ok_or(NotMetadata { what: "the slot is empty" })?;
        if bytes.len() > SLOT {
            return Err(NotMetadata { what: "more than a slot holds" });
        }
        if first & !LENGTH != VERSION {
            return Err(NotMetadata { what: "another version than 1" });
        }
        let length = first & LENGTH;
        if length > LONGEST_NAME {
            return Err(NotMetadata { what: "a name of more than 20 bytes" });
        }
        let (name, mut rest) =
            rest.split_at_checked(usize::from(length)).ok_or(NotMetadata { what: "it ends within the name" })?;
        let name = std::str::from_utf8(name).map_err(|_| NotMetadata { what: "a name that is not UTF-8" })?;
        let mut accounts = Vec::new();
        while !rest.is_empty() {
            let (start, after) = read(rest)?;
            let (more, after) = read(after)?;
            let end = start.checked_add(more).ok_or(NotMetadata { what: "an account number above 2^32" })?;
            accounts.push(start..=end);
            rest = after;
        }
        Ok(Self { name: name.to_owned(), accounts })
    }
}

fn write(number: u32, bytes: &mut Vec<u8>) {
    let digits = number.to_be_bytes();
    if let Ok(short @ 0..=0x7f) = u8::try_from(number) {
        bytes.push(short);
        return;
    }
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let (_, significant) = digits.split_at(zeros);
    bytes.push(0x84_u8.saturating_sub(u8::try_from(zeros).unwrap_or(0)));
    bytes.extend_from_slice(significant);
}

fn read(bytes: &[u8]) -> Result<(u32, &[u8]), NotMetadata> {
    const SHORTER: NotMetadata = NotMetadata { what: "it ends within a number" };
    match bytes.split_first().ok_or(SHORTER)? {
        (short @ 0..=0x7f, rest) => Ok((u32::from(*short), rest)),
        (count @ 0x81..=0x84, rest) => {
            let (digits, rest) = rest.split_at_checked(usize::from(count & 0x7f)).ok_or(SHORTER)?;
            Ok((digits.iter().fold(0, |number, digit| number << 8 | u32::from(*digit)), rest))
        }
        _ => Err(NotMetadata { what: "a number of more than four bytes" }),
    }
}

/// Version 1, in the first three bits.
const VERSION: u8 = 0x20;
/// The other five.
const LENGTH: u8 = 0x1f;
const LONGEST_NAME: u8 = 20;
/// What the public slot holds.
const SLOT: usize = 127;
/// More numbers than any slot can name one by one.
const MOST_NUMBERS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reference section 5.18: name "123", accounts 0, 4 to 7, 7a28 and 7a29.
    #[test]
    fn the_vector_of_status_is_written_and_read() {
        let bytes = hex::decode("2331323300000403827a2801").unwrap();
        let metadata = Metadata::new("123", [0x7a29, 4, 5, 0, 6, 7, 0x7a28, 4]).unwrap();
        assert_eq!(metadata.encode().unwrap(), bytes);
        assert_eq!(Metadata::decode(&bytes).unwrap(), metadata);
        assert_eq!((metadata.name(), metadata.accounts()), ("123", [0..=0, 4..=7, 0x7a28..=0x7a29].as_slice()));
    }

    #[test]
    fn numbers_of_each_length_are_read_back() {
        for number in [0, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u32::MAX] {
            let metadata = Metadata::new("", [number]).unwrap();
            assert_eq!(Metadata::decode(&metadata.encode().unwrap()).unwrap().accounts(), [number..=number]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Metadata::new(&"x".repeat(20), []).is_ok());
        assert!(Metadata::new(&"x".repeat(21), []).is_err());
        assert!(Metadata::new("", (0..120).map(|n| 2 * n)).is_err());
        for bytes in ["", "43313233", "233132", "35", "2100", "2000", "2085", "208300", "20848fffffff84ffffffff"] {
            let bytes = hex::decode(bytes).unwrap();
            let result = Metadata::decode(&bytes);
            assert!(result.is_err() || bytes == [0x21, 0x00], "{bytes:x?}: {result:?}");
        }
        assert!(Metadata::decode(&[0x20; 200]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_metadata_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
            if let Ok(metadata) = Metadata::decode(&bytes) {
                let again = metadata.encode().unwrap();
                prop_assert!(again.len() <= bytes.len());
                prop_assert_eq!(Metadata::decode(&again).unwrap(), metadata);
            }
        }
    }
}
