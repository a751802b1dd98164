//! The NDEF applet: a tag (NFC Forum, type 4) that anybody can read.
//!
//! ```text
//! SELECT       00 A4 04 00 07 D2760000850101
//! SELECT FILE  00 A4 00 0C 02 E103, then the message's file          READ BINARY  00 B0 offset(2) Le
//! E103         000F version(1) longest read(2) longest write(2) 04 06 file(2) longest file(2) read(1) write(1)
//! ```
//! Selecting it ends the session with the Keycard applet. It gives messages whole that GET DATA of 3.2 does not.

use crate::apdu::Command;
use crate::card::Card;
use crate::error::{CardError, Failed};
use crate::ndef;
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};

/// The application identifier of every type 4 tag.
const AID: [u8; 7] = [0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01];
/// The file that says where the message is.
const CAPABILITIES: [u8; 2] = [0xE1, 0x03];
/// Bytes in one answer; every applet gives up to 255.
const PART: u8 = 240;

impl<S, T: CardTransport> Card<S, T> {
    /// Returns the NDEF message that phones read, which ends this session, and the transport.
    ///
    /// # Errors
    /// [`CardError::Status`] (6A82: no NDEF applet), [`CardError::Answer`], [`CardError::Transport`].
    pub fn read_ndef(mut self) -> Result<(Vec<u8>, T), Failed<T>> {
        match read(&mut self.transport) {
            Ok(message) => Ok((message, self.transport)),
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }
}

fn read<T: CardTransport>(transport: &mut T) -> Result<Vec<u8>, CardError> {
    let answer = exchange(transport, Command::with_body([0x00, 0xA4, 0x04, 0x00], &[&AID])?)?;
    answer.success("SELECT of the NDEF applet")?;
    select_file(transport, CAPABILITIES)?;
    let capabilities = read_binary(transport, 0, 15)?.unwrap_or_default();
    select_file(transport, message_file(&capabilities)?)?;
    // Up to 3.1 an empty file is not even as long as its length.
    let Some(mut file) = read_binary(transport, 0, 2)? else { return Ok(Vec::new()) };
    let whole = ndef::file_length(&file).filter(|length| *length <= ndef::LONGEST_FILE).ok_or(MALFORMED)?;
    while file.len() < whole {
        let left = whole.saturating_sub(file.len());
        let count = u8::try_from(left).map_or(PART, |left| left.min(PART));
        let offset = u16::try_from(file.len()).map_err(|_| MALFORMED)?;
        let part = read_binary(transport, offset, count)?.ok_or(MALFORMED)?;
        if part.is_empty() || part.len() > usize::from(count) {
            return Err(MALFORMED);
        }
        file.extend_from_slice(&part);
    }
    ndef::message_of_file(&file).map(<[u8]>::to_vec).ok_or(MALFORMED)
}

fn select_file<T: CardTransport>(transport: &mut T, file: [u8; 2]) -> Result<(), CardError> {
    let answer = exchange(transport, Command::with_body([0x00, 0xA4, 0x00, 0x0C], &[&file])?)?;
    answer.success("SELECT of an NDEF file").map(|_| ())
}

/// Returns nothing when the file ends before `offset`.
fn read_binary<T: CardTransport>(transport: &mut T, offset: u16, count: u8) -> Result<Option<Vec<u8>>, CardError> {
    let [high, low] = offset.to_be_bytes();
    let answer = exchange(transport, Command::new([0x00, 0xB0, high, low]).with_le(count))?;
    match answer.status {
        StatusWord::WRONG_PARAMETERS => Ok(None),
        _ => Ok(Some(answer.success("READ BINARY")?.to_vec())),
    }
}

/// Returns the file with the message, if it may be read.
fn message_file(capabilities: &[u8]) -> Result<[u8; 2], CardError> {
    match capabilities {
        [0x00, 0x0F, 0x20..=0x2F, _, _, _, _, 0x04, 0x06, high, low, _, _, 0x00, _] => Ok([*high, *low]),
        _ => Err(CardError::Answer { what: "malformed NDEF capabilities" }),
    }
}

const MALFORMED: CardError = CardError::Answer { what: "a malformed NDEF file" };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Script, select_data, selected};

    const SELECT: &str = "00a4040009a00000080400010101";
    const CAPABLE: &str = "000f2000ff0001 0406e104040000ff 9000";
    const OPENING: [(&str, &str); 4] = [
        ("00a4040007d2760000850101", "9000"),
        ("00a4000c02e103", "9000"),
        ("00b000000f", CAPABLE),
        ("00a4000c02e104", "9000"),
    ];

    fn message(opening: &[(&str, &str)], steps: &[(&str, &str)]) -> Result<Vec<u8>, CardError> {
        let keycard = hex::encode(select_data(0x13, None)) + "9000";
        let all = [&[(SELECT, keycard.as_str())], opening, steps].concat();
        let (message, script) = selected(Script::new(all)).read_ndef()?;
        script.finish();
        Ok(message)
    }

    #[test]
    fn a_message_is_read_in_parts() {
        let first = "07".repeat(240) + "9000";
        let second = "08".repeat(60) + "9000";
        let steps = [("00b0000002", "012c 9000"), ("00b00002f0", first.as_str()), ("00b000f23c", second.as_str())];
        assert_eq!(message(&OPENING, &steps).unwrap(), [vec![7; 240], vec![8; 60]].concat());
    }

    #[test]
    fn a_file_without_bytes_and_one_of_length_zero_have_no_message() {
        assert_eq!(message(&OPENING, &[("00b0000002", "6a86")]).unwrap(), [0u8; 0]);
        assert_eq!(message(&OPENING, &[("00b0000002", "0000 9000")]).unwrap(), [0u8; 0]);
    }

    #[test]
    fn a_file_that_lies_about_its_length_is_refused() {
        for steps in [
            vec![("00b0000002", "ffff 9000")],
            vec![("00b0000002", "00 9000")],
            vec![("00b0000002", "0005 9000"), ("00b0000205", "6a86")],
            vec![("00b0000002", "0005 9000"), ("00b0000205", "9000")],
            vec![("00b0000002", "0005 9000"), ("00b0000205", "010203040506 9000")],
        ] {
            assert!(matches!(message(&OPENING, &steps), Err(CardError::Answer { .. })), "{steps:?}");
        }
    }

    #[test]
    fn a_tag_that_may_not_be_read_is_refused() {
        for capabilities in ["000f2000ff0001 0406e1040400ffff 9000", "000f3000ff0001 0406e104040000ff 9000", "9000"] {
            let mut opening = OPENING[..3].to_vec();
            opening[2].1 = capabilities;
            assert!(matches!(message(&opening, &[]), Err(CardError::Answer { .. })), "{capabilities}");
        }
    }

    #[test]
    fn a_card_without_the_applet_says_so() {
        assert!(matches!(message(&[(OPENING[0].0, "6a82")], &[]), Err(CardError::Status { .. })));
    }
}
