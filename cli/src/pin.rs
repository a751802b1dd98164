//! Where a PIN comes from: the terminal, without echo, or an open file descriptor. Never argv, never the environment.

use std::fs::File;

use proto::Pin;
use proto::rpc::Fault;

use crate::error::CliError;
use crate::secret;

/// The source of one or more PINs.
#[derive(Debug)]
pub(crate) enum PinSource {
    /// The person at the terminal.
    Terminal,
    /// A file descriptor, one line a PIN.
    Descriptor(File),
}

impl PinSource {
    /// Returns the source that `--pin-fd` names, or the terminal.
    ///
    /// # Errors
    /// [`Fault::BadInput`] when the descriptor is not open for reading.
    pub(crate) fn new(descriptor: Option<u32>) -> Result<Self, CliError> {
        match descriptor {
            Some(number) => secret::descriptor(number).map(Self::Descriptor),
            None => Ok(Self::Terminal),
        }
    }

    /// Returns whether a person can be asked again.
    pub(crate) const fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal)
    }

    /// Returns the next PIN. `whose` is shown in the prompt.
    ///
    /// # Errors
    /// [`Fault::BadInput`] when what comes is no PIN; nothing of it is repeated.
    pub(crate) async fn next(&mut self, whose: &str) -> Result<Pin, CliError> {
        let digits = match self {
            Self::Terminal => secret::typed(format!("PIN of {whose}: "), WHAT).await?,
            Self::Descriptor(file) => {
                let file = file.try_clone().map_err(|error| secret::unreadable(WHAT, &error))?;
                secret::one_line(file, WHAT, LONGEST).await?.ok_or_else(|| {
                    CliError::found(Fault::BadInput, "the file descriptor ended before a PIN; write one line a PIN")
                })?
            }
        };
        Pin::try_from(digits.as_slice()).map_err(|_| no_pin())
    }
}

fn no_pin() -> CliError {
    CliError::found(Fault::BadInput, "a PIN is exactly 6 digits; nothing was sent to the card")
}

const WHAT: &str = "PIN";
/// A line with a PIN holds no more: six digits and a carriage return, with room for a mistake.
const LONGEST: usize = 16;

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    /// Returns a source of PINs with this text.
    fn source(text: &[u8]) -> PinSource {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.rewind().unwrap();
        PinSource::Descriptor(file)
    }

    #[tokio::test]
    async fn a_line_is_a_pin_with_or_without_its_end() {
        for text in ["123456\n", "123456", "123456\r\n", "123456\n654321\n"] {
            assert_eq!(source(text.as_bytes()).next("x").await.unwrap().expose(), b"123456", "{text:?}");
        }
    }

    #[tokio::test]
    async fn one_line_is_taken_at_a_time() {
        let mut source = source(b"123456\n654321\n");
        assert_eq!(source.next("x").await.unwrap().expose(), b"123456");
        assert_eq!(source.next("x").await.unwrap().expose(), b"654321");
        assert!(source.next("x").await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_pin_is_refused_and_never_repeated() {
        for text in ["", "\n", "12345\n", "1234567\n", "12345a\n", &"9".repeat(100_000)] {
            let error = source(text.as_bytes()).next("x").await.err().unwrap();
            assert_eq!(error.fault(), Some(Fault::BadInput));
            assert!(!error.to_string().contains("1234") && !error.to_string().contains("9999"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_descriptor_that_is_not_open_is_named() {
        let error = PinSource::new(Some(4_000_000)).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::BadInput));
    }
}
