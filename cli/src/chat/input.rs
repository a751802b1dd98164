//! Lines of stdin, read on a thread of their own: a terminal may stay silent for ever, and the end of the process must not
//! wait for it.

use std::io::{BufRead, Read as _};

use proto::rpc::Fault;
use tokio::sync::mpsc;

use crate::error::CliError;

/// The lines of stdin that say something.
#[derive(Debug)]
pub(crate) struct Lines(mpsc::Receiver<Result<String, CliError>>);

impl Lines {
    /// Starts to read.
    pub(crate) fn of_stdin() -> Self {
        let (say, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            while let Some(line) = read(&mut stdin) {
                let stop = line.is_err();
                if say.blocking_send(line).is_err() || stop {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// Returns the next line, nothing at the end.
    ///
    /// # Errors
    /// [`Fault::BadInput`] for a line that is too long or no UTF-8.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, CliError> {
        self.0.recv().await.transpose()
    }
}

/// Returns the next line that is not blank.
fn read(from: &mut impl BufRead) -> Option<Result<String, CliError>> {
    loop {
        let mut bytes = Vec::new();
        let bad = |message: String| Some(Err(CliError::found(Fault::BadInput, message)));
        match from.take(LONGEST + 1).read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LONGEST => {
                return bad(format!("a line of stdin is longer than {LONGEST} bytes"));
            }
            Ok(_) => {}
            Err(error) => return bad(format!("stdin cannot be read ({error})")),
        }
        let Ok(text) = String::from_utf8(bytes) else { return bad("a line of stdin is not UTF-8".to_owned()) };
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.trim().is_empty() {
            return Some(Ok(text.to_owned()));
        }
    }
}

/// More than any chat message may have; the node knows the exact bound.
const LONGEST: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut text: &[u8]) -> Vec<Result<String, Option<Fault>>> {
        std::iter::from_fn(|| read(&mut text)).map(|line| line.map_err(|error| error.fault())).take(9).collect()
    }

    #[test]
    fn blank_lines_are_skipped_and_the_last_needs_no_end() {
        assert_eq!(all(b"one\r\n\n  \n two\nthree"), [Ok("one".into()), Ok(" two".into()), Ok("three".into())]);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        assert_eq!(all(&vec![b'x'; 70_000]).first(), Some(&Err(Some(Fault::BadInput))));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(all(b"\xff\n").first(), Some(&Err(Some(Fault::BadInput))));
    }
}
