//! Secrets that come from a card on their way to a person: shown once on the terminal, or written to a descriptor, and
//! wiped. They never go to standard output unless that is a terminal, so no pipe and no file keeps them by accident.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Write as _};

use proto::rpc::Fault;
use zeroize::Zeroizing;

use crate::error::CliError;
use crate::output::Output;
use crate::secret;

/// Where words will be shown, found before there are any.
pub(crate) enum Place {
    Terminal(File),
    Descriptor(u32),
}

impl Place {
    /// Returns the descriptor that was named, or the terminal.
    ///
    /// # Errors
    /// [`Fault::BadInput`] when there is neither: nothing is asked of the card then.
    pub(crate) fn find(fd: Option<u32>) -> Result<Self, CliError> {
        secret::check_writable(fd)?;
        if let Some(number) = fd {
            return Ok(Self::Descriptor(number));
        }
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|error| {
            let message = format!("there is no terminal to show words on ({error}); use --write-words-fd");
            CliError::found(Fault::BadInput, message)
        })?;
        Ok(Self::Terminal(terminal))
    }

    /// Shows the words once. On the terminal they are wiped when the person has written them down, and asked for again one
    /// by one with `read_back`.
    ///
    /// # Errors
    /// [`Fault::BadInput`] when they cannot be written.
    pub(crate) async fn show(self, words: &Zeroizing<Vec<u8>>, read_back: bool) -> Result<(), CliError> {
        let mut terminal = match self {
            Self::Descriptor(number) => return secret::write(number, words),
            Self::Terminal(terminal) => terminal,
        };
        let list: Vec<&[u8]> = words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let unwritten = |error: std::io::Error| {
            CliError::found(Fault::BadInput, format!("the words cannot be shown ({error}); nobody has seen them"))
        };
        writeln!(terminal, "Write these words down, in this order. They are shown once.").map_err(unwritten)?;
        for (n, word) in list.iter().enumerate() {
            write!(terminal, "{:>4}. ", n + 1).map_err(unwritten)?;
            terminal.write_all(word).and_then(|()| terminal.write_all(b"\n")).map_err(unwritten)?;
        }
        write!(terminal, "Press Enter when they are written down: ").map_err(unwritten)?;
        // From the terminal that shows them, whatever standard input is.
        let keys = terminal.try_clone().map_err(unwritten)?;
        if secret::one_line(keys, "line", LONGEST_LINE).await?.is_none() {
            let message = "the terminal gave no line: the words are still on it; write them down and clear it";
            return Err(CliError::found(Fault::BadInput, message.to_owned()));
        }
        // Up over the words and the question, and clear to the end of the screen.
        write!(terminal, "\x1b[{}A\x1b[J", list.len() + 2).map_err(unwritten)?;
        if read_back {
            for (n, word) in list.iter().enumerate() {
                while *secret::typed(format!("Word {}: ", n + 1), "word").await?.trim_ascii() != **word {
                    writeln!(terminal, "That is not word {}; look at what you wrote down.", n + 1)
                        .map_err(unwritten)?;
                }
            }
            writeln!(terminal, "All {} words are right.", list.len()).map_err(unwritten)?;
        }
        Ok(())
    }
}

/// A terminal gives no longer one.
const LONGEST_LINE: usize = 4096;

/// Hands a secret text over: to a descriptor, or on standard output where that is a terminal.
///
/// # Errors
/// [`Fault::BadInput`] when standard output is no terminal and no descriptor was named.
pub(crate) fn hand_over(out: Output, fd: Option<u32>, what: &str, secret: &[u8]) -> Result<(), CliError> {
    if let Some(number) = fd {
        return secret::write(number, secret);
    }
    if !std::io::stdout().is_terminal() {
        let message =
            format!("the {what} are secret and standard output is no terminal; name a descriptor with --write-fd");
        return Err(CliError::found(Fault::BadInput, message));
    }
    let text = std::str::from_utf8(secret).map_err(|_| CliError::Other(format!("the {what} are no text")))?;
    out.line(text)
}

/// Checks that a secret can be handed over, before a card is asked for it.
///
/// # Errors
/// As [`hand_over`].
pub(crate) fn check(fd: Option<u32>, what: &str) -> Result<(), CliError> {
    if fd.is_none() && !std::io::stdout().is_terminal() {
        let message =
            format!("the {what} is secret and standard output is no terminal; name a descriptor with --write-fd");
        return Err(CliError::found(Fault::BadInput, message));
    }
    secret::check_writable(fd)
}
