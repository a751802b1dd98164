//! Commands and answers of a smart card (ISO 7816-3, short form).
//!
//! ```text
//! command = CLA INS P1 P2 [Lc(1) body(Lc)] [Le(1)]      answer = data || SW1 SW2
//! ```
//! Invariant: a [`Command`] holds nothing that `apdu-core` 0.4 writes wrongly. That crate writes a false length for a
//! body over 255 bytes, and a stray `Lc` of zero for an empty body with `Le`; neither can be built here.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::CardError;
use crate::status_word::StatusWord;

/// The longest body of a short command.
const MAX_BODY: usize = 255;
/// The longest data of a short answer.
const MAX_DATA: usize = 256;

/// One short command. It owns its body, wipes it, and prints neither it nor the parameters.
pub(crate) struct Command {
    header: [u8; 4],
    body: Zeroizing<Vec<u8>>,
    le: Option<u8>,
}

impl Command {
    /// Returns a command of `CLA INS P1 P2` alone.
    pub(crate) fn new(header: [u8; 4]) -> Self {
        Self { header, body: Zeroizing::default(), le: None }
    }

    /// Returns a command whose body is the concatenation of `parts`.
    ///
    /// # Errors
    /// [`CardError::Misuse`] for more than 255 bytes.
    pub(crate) fn with_body(header: [u8; 4], parts: &[&[u8]]) -> Result<Self, CardError> {
        let length = parts.iter().map(|part| part.len()).sum();
        if length > MAX_BODY {
            return Err(CardError::Misuse { what: "a command carries at most 255 bytes" });
        }
        let mut body = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            body.extend_from_slice(part);
        }
        Ok(Self { header, body, le: None })
    }

    /// Returns the same command asking for `le` bytes; 0 stands for 256.
    pub(crate) fn with_le(mut self, le: u8) -> Self {
        self.le = Some(le);
        self
    }

    /// Returns `CLA INS P1 P2`.
    pub(crate) const fn header(&self) -> [u8; 4] {
        self.header
    }

    /// Returns the body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the bytes for the transport: no `Lc` when the body is empty.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.write((!self.body.is_empty()).then_some(self.body.as_slice()), self.le)
    }

    /// Returns the bytes that go inside the secure channel: `Lc` always, `Le` never.
    pub(crate) fn to_inner_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.write(Some(&self.body), None)
    }

    fn write(&self, payload: Option<&[u8]>, le: Option<u8>) -> Zeroizing<Vec<u8>> {
        let [cla, ins, p1, p2] = self.header;
        let command = apdu::Command { cla, ins, p1, p2, le: le.map(u16::from), payload };
        let mut bytes = Zeroizing::new(vec![0; command.len()]);
        command.write(&mut bytes);
        bytes
    }
}

/// `INS=C2 Lc=20`: nothing that a body holds.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header: [_, ins, _, _], body, le: _ } = self;
        write!(f, "INS={ins:02X} Lc={}", body.len())
    }
}

/// What a card answered: data, wiped when dropped, and a status word.
pub(crate) struct Answer {
    pub(crate) data: Zeroizing<Vec<u8>>,
    pub(crate) status: StatusWord,
}

impl Answer {
    /// Returns the two parts of `data || SW1 SW2`.
    ///
    /// # Errors
    /// [`CardError::Answer`] for fewer than 2 or more than 258 bytes.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, CardError> {
        Self::split(Zeroizing::new(bytes))
    }

    /// As [`Answer::parse`], of bytes that are secret already.
    ///
    /// # Errors
    /// [`CardError::Answer`].
    pub(crate) fn split(mut data: Zeroizing<Vec<u8>>) -> Result<Self, CardError> {
        let Some((rest, status)) = data.split_last_chunk::<2>() else {
            return Err(CardError::Answer { what: "an answer without a status word" });
        };
        let (length, status) = (rest.len(), StatusWord::from(*status));
        if length > MAX_DATA {
            return Err(CardError::Answer { what: "an answer of more than 256 bytes" });
        }
        data.truncate(length);
        Ok(Self { data, status })
    }

    /// Returns the data of a success.
    ///
    /// # Errors
    /// [`CardError::Status`] for any other status word than 9000.
    pub(crate) fn success(self, command: &'static str) -> Result<Zeroizing<Vec<u8>>, CardError> {
        if self.status == StatusWord::OK {
            Ok(self.data)
        } else {
            Err(CardError::Status { command, status: self.status })
        }
    }

    /// Checks a success that carries no data.
    ///
    /// # Errors
    /// [`CardError::Status`], or [`CardError::Answer`] when there is data.
    pub(crate) fn bare_success(self, command: &'static str, what: &'static str) -> Result<(), CardError> {
        if self.success(command)?.is_empty() { Ok(()) } else { Err(CardError::Answer { what }) }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, status } = self;
        write!(f, "{} bytes -> {status}", data.len())
    }
}

#[cfg(test)]
mod tests {
    use iso7816::command::CommandBuilder;
    use iso7816::command::class::Class;
    use proptest::prelude::*;

    use super::*;

    /// The bytes that the independent `iso7816` crate writes; `le` 0 stands for none.
    fn oracle(body: &[u8], le: u16) -> Vec<u8> {
        let class = Class::try_from(0x80).unwrap();
        let mut commands =
            CommandBuilder::new_non_extended(class, 0xC2.into(), 1, 2, body, le, None).collect::<Vec<_>>();
        assert_eq!(commands.len(), 1, "no chaining is needed");
        let mut room = [0; 300];
        let mut rest = &mut room[..];
        commands.remove(0).serialize_into(&mut rest).unwrap();
        let written = 300 - rest.len();
        room[..written].to_vec()
    }

    #[test]
    fn every_form_of_lc_and_le_is_written_as_iso_7816_says() {
        let body = [0xAB; 255];
        for lc in 0..=255 {
            for le in 0..=256u16 {
                let body = &body[..lc];
                let mut command = Command::with_body([0x80, 0xC2, 1, 2], &[body]).unwrap();
                if le != 0 {
                    command = command.with_le(le as u8);
                }
                assert_eq!(*command.to_bytes(), oracle(body, le), "Lc {lc} Le {le}");
            }
        }
    }

    #[test]
    fn inside_the_channel_lc_is_always_there_and_le_never() {
        let command = Command::new([0x80, 0xF2, 0, 0]).with_le(0);
        assert_eq!(*command.to_inner_bytes(), [0x80, 0xF2, 0, 0, 0]);
        let command = Command::with_body([0x80, 0x20, 0, 0], &[b"12", b"3456"]).unwrap();
        assert_eq!(*command.to_inner_bytes(), *b"\x80\x20\0\0\x06123456");
    }

    #[test]
    fn a_body_of_256_bytes_is_refused() {
        assert!(Command::with_body([0; 4], &[&[0; 255]]).is_ok());
        assert!(matches!(Command::with_body([0; 4], &[&[0; 255], &[0]]), Err(CardError::Misuse { .. })));
    }

    #[test]
    fn neither_commands_nor_answers_print_what_they_hold() {
        let command = Command::with_body([0x80, 0x20, 0, 0], &[b"123456"]).unwrap();
        assert_eq!(format!("{command:?}"), "INS=20 Lc=6");
        let answer = Answer::parse(vec![1, 2, 3, 0x90, 0]).unwrap();
        assert_eq!(format!("{answer:?}"), "3 bytes -> 9000");
    }

    proptest! {
        #[test]
        fn any_answer_is_split_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            match Answer::parse(bytes.clone()) {
                Ok(answer) => {
                    prop_assert!((2..=258).contains(&bytes.len()));
                    prop_assert_eq!([answer.data.as_slice(), &answer.status.to_bytes()].concat(), bytes);
                }
                Err(error) => {
                    prop_assert!(!(2..=258).contains(&bytes.len()));
                    prop_assert!(matches!(error, CardError::Answer { .. }), "wrong kind");
                }
            }
        }
    }
}
