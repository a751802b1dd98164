//! Where a PIN comes from: the terminal, without echo, or an open file descriptor. Never argv, never the environment.

use std::fs::File;
use std::io::{self, Read};

use proto::Pin;
use proto::rpc::Fault;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::CliError;

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
        let Some(number) = descriptor else { return Ok(Self::Terminal) };
        // Opening this name opens what the descriptor refers to, which needs no claim that the number is ours.
        let file = File::open(format!("/proc/self/fd/{number}")).map_err(|error| {
            let message =
                format!("file descriptor {number} cannot be read ({error}); redirect it, for example {number}< <(...)");
            CliError::found(Fault::BadInput, message)
        })?;
        Ok(Self::Descriptor(file))
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
        match self {
            Self::Terminal => prompt(format!("PIN of {whose}: ")).await,
            Self::Descriptor(file) => {
                let file = file.try_clone().map_err(|error| unreadable(&error))?;
                // A pipe may stay silent for ever: the waiting is done where it can be left behind.
                elsewhere(move || line(file)).await
            }
        }
    }
}

/// Reads one line of at most a few bytes, byte by byte so that the next PIN stays where it is.
fn line(mut from: impl Read) -> Result<Pin, CliError> {
    let mut digits = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = Zeroizing::new([0u8]);
    loop {
        match from.read(byte.as_mut_slice()) {
            Ok(0) if digits.is_empty() => {
                return Err(CliError::found(
                    Fault::BadInput,
                    "the file descriptor ended before a PIN; write one line a PIN",
                ));
            }
            Ok(0) => break,
            Ok(_) if byte.as_slice() == b"\n" => break,
            Ok(_) if digits.len() < LONGEST => digits.extend_from_slice(byte.as_slice()),
            Ok(_) => return Err(no_pin()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    let digits = digits.strip_suffix(b"\r").unwrap_or(&digits);
    Pin::try_from(digits).map_err(|_| no_pin())
}

async fn prompt(text: String) -> Result<Pin, CliError> {
    // Put back whatever happens: a signal may end us while the echo is off.
    let _restore = Terminal::remember();
    elsewhere(move || {
        let mut typed = rpassword::prompt_password(text).map_err(|error| {
            let message = format!("no PIN from the terminal ({error}); use --pin-fd where there is none");
            CliError::found(Fault::BadInput, message)
        })?;
        let pin = Pin::try_from(typed.as_bytes()).map_err(|_| no_pin());
        typed.zeroize();
        pin
    })
    .await
}

/// Runs a read that may block for ever on a thread that the end of the process does not wait for.
async fn elsewhere(read: impl FnOnce() -> Result<Pin, CliError> + Send + 'static) -> Result<Pin, CliError> {
    let (say, said) = oneshot::channel();
    std::thread::spawn(move || drop(say.send(read())));
    said.await.map_err(|_| CliError::Other("the PIN could not be read".to_owned()))?
}

/// The terminal's modes, put back when dropped.
struct Terminal(Option<(File, Termios)>);

impl Terminal {
    fn remember() -> Self {
        let read = || {
            let tty = File::open("/dev/tty").ok()?;
            let modes = tcgetattr(&tty).ok()?;
            Some((tty, modes))
        };
        Self(read())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some((tty, modes)) = &self.0 {
            let _ = tcsetattr(tty, OptionalActions::Now, modes);
        }
    }
}

fn no_pin() -> CliError {
    CliError::found(Fault::BadInput, "a PIN is exactly 6 digits; nothing was sent to the card")
}

fn unreadable(error: &io::Error) -> CliError {
    CliError::found(Fault::BadInput, format!("the PIN's file descriptor cannot be read ({error})"))
}

/// A line with a PIN holds no more: six digits and a carriage return, with room for a mistake.
const LONGEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<[u8; 6], Option<Fault>> {
        line(text).map(|pin| *pin.expose()).map_err(|error| error.fault())
    }

    #[test]
    fn a_line_is_a_pin_with_or_without_its_end() {
        for text in ["123456\n", "123456", "123456\r\n", "123456\n654321\n"] {
            assert_eq!(read(text.as_bytes()), Ok(*b"123456"), "{text:?}");
        }
    }

    #[test]
    fn one_line_is_taken_at_a_time() {
        let mut source = b"123456\n654321\n".as_slice();
        assert_eq!(line(&mut source).unwrap().expose(), b"123456");
        assert_eq!(line(&mut source).unwrap().expose(), b"654321");
        assert!(line(&mut source).is_err());
    }

    #[test]
    fn what_is_no_pin_is_refused_and_never_repeated() {
        for text in ["", "\n", "12345\n", "1234567\n", "12345a\n", &"9".repeat(100_000)] {
            let error = line(text.as_bytes()).err().unwrap();
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
