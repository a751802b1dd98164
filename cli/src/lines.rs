//! Lines of stdin, read on a thread of their own: a terminal may stay silent for ever, and the end of the process must not
//! wait for it.

use std::io::{BufRead, Read as _};

use proto::rpc::Fault;
use tokio::sync::mpsc;

use crate::error::CliError;

/// The lines of stdin that say something.
#[derive(Debug)]
pub(crate) struct Lines(mpsc::Receiver<Result<String, BadLine>>);

/// Why a line is none. The lines after it are not lost, unless stdin is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadLine {
    /// More than anything here needs. It was skipped, not kept.
    #[error("a line of stdin is longer than {LONGEST} bytes")]
    TooLong,
    /// No UTF-8.
    #[error("a line of stdin is not UTF-8")]
    NotText,
    /// There are no more lines.
    #[error("stdin cannot be read ({0})")]
    Unreadable(#[source] std::io::Error),
}

impl Lines {
    /// Starts to read.
    pub(crate) fn of_stdin() -> Self {
        let (say, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            while let Some(line) = read(&mut stdin) {
                let stop = matches!(line, Err(BadLine::Unreadable(_)));
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
    /// [`BadLine`].
    pub(crate) async fn next(&mut self) -> Result<Option<String>, BadLine> {
        self.0.recv().await.transpose()
    }
}

impl From<BadLine> for CliError {
    fn from(bad: BadLine) -> Self {
        Self::found(Fault::BadInput, bad.to_string())
    }
}

/// Returns the next line that is not blank.
fn read(from: &mut impl BufRead) -> Option<Result<String, BadLine>> {
    loop {
        let mut bytes = Vec::new();
        match from.by_ref().take(LONGEST + 1).read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LONGEST => {
                let rest = if bytes.ends_with(b"\n") { Ok(0) } else { from.skip_until(b'\n') };
                return Some(Err(rest.map_or_else(BadLine::Unreadable, |_| BadLine::TooLong)));
            }
            Ok(_) => {}
            Err(error) => return Some(Err(BadLine::Unreadable(error))),
        }
        let Ok(text) = String::from_utf8(bytes) else { return Some(Err(BadLine::NotText)) };
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.trim().is_empty() {
            return Some(Ok(text.to_owned()));
        }
    }
}

/// More than any chat message may have, also in JSON; the node knows the exact bound.
const LONGEST: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut text: &[u8]) -> Vec<Result<String, String>> {
        std::iter::from_fn(|| read(&mut text)).map(|line| line.map_err(|bad| bad.to_string())).take(9).collect()
    }

    #[test]
    fn blank_lines_are_skipped_and_the_last_needs_no_end() {
        assert_eq!(all(b"one\r\n\n  \n two\nthree"), [Ok("one".into()), Ok(" two".into()), Ok("three".into())]);
    }

    #[test]
    fn a_line_without_end_is_given_up_and_one_after_it_is_read() {
        assert_eq!(all(&vec![b'x'; 70_000]), [Err(BadLine::TooLong.to_string())]);
        let mut long = vec![b'x'; 200_000];
        long.extend_from_slice(b"\nnext");
        assert_eq!(all(&long), [Err(BadLine::TooLong.to_string()), Ok("next".into())]);
        let mut whole = vec![b'x'; 65_536];
        whole.extend_from_slice(b"\nnext");
        assert_eq!(all(&whole), [Err(BadLine::TooLong.to_string()), Ok("next".into())], "its end is the byte too many");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_and_the_line_after_them_is_read() {
        assert_eq!(all(b"\xff\nnext\n"), [Err(BadLine::NotText.to_string()), Ok("next".into())]);
    }
}
