//! The line commands on stdin, for tests that pull the card.

use std::io;

use tokio::io::{AsyncReadExt as _, Stdin};

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Pull the card.
    Remove,
    /// Put it back.
    Insert,
    /// Take its power away and give it back.
    Power,
    /// End the program.
    Quit,
    /// None of these.
    Unknown,
}

impl From<&[u8]> for Control {
    fn from(line: &[u8]) -> Self {
        match line.trim_ascii() {
            b"remove" => Self::Remove,
            b"insert" => Self::Insert,
            b"power" => Self::Power,
            b"quit" => Self::Quit,
            _ => Self::Unknown,
        }
    }
}

/// The lines of stdin, if they are asked for.
pub(crate) struct Lines {
    stdin: Option<Stdin>,
    line: Vec<u8>,
    over_long: bool,
}

impl Lines {
    /// Reads stdin, or nothing.
    pub(crate) fn new(asked_for: bool) -> Self {
        let line = Vec::with_capacity(MAX_LINE);
        Self { stdin: asked_for.then(tokio::io::stdin), line, over_long: false }
    }

    /// Waits for the next line, for ever when nobody asked for them. The end of stdin is [`Control::Quit`].
    ///
    /// The wait may be given up and taken up again.
    pub(crate) async fn next(&mut self) -> io::Result<Control> {
        let Some(stdin) = &mut self.stdin else { return std::future::pending().await };
        loop {
            let mut byte = [0];
            if stdin.read(&mut byte).await? == 0 {
                return Ok(Control::Quit);
            }
            match byte {
                [b'\n'] if std::mem::take(&mut self.over_long) => {
                    self.line.clear();
                    return Ok(Control::Unknown);
                }
                [b'\n'] => {
                    let control = Control::from(self.line.as_slice());
                    self.line.clear();
                    return Ok(control);
                }
                _ if self.line.len() == MAX_LINE => self.over_long = true,
                [byte] => self.line.push(byte),
            }
        }
    }
}

const MAX_LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::Control;

    #[test]
    fn a_line_is_one_of_four_words() {
        assert_eq!(Control::from(&b"remove"[..]), Control::Remove);
        assert_eq!(Control::from(&b" insert\r"[..]), Control::Insert);
        assert_eq!(Control::from(&b"power"[..]), Control::Power);
        assert_eq!(Control::from(&b"quit"[..]), Control::Quit);
        assert_eq!(Control::from(&b"remove the card"[..]), Control::Unknown);
        assert_eq!(Control::from(&b""[..]), Control::Unknown);
    }
}
