//! Command APDUs, the short forms only (ISO 7816-4): the applet knows neither extended lengths nor chaining.
//!
//! ```text
//! outer: CLA INS P1 P2 | CLA INS P1 P2 Le | CLA INS P1 P2 Lc data(Lc) [Le]
//! inner: CLA INS P1 P2 Lc data(Lc)
//! ```

use zeroize::Zeroizing;

use crate::status::StatusWord;

/// What a command gives: data with 9000, or another status word without data.
pub(crate) type Answer = Result<Zeroizing<Vec<u8>>, StatusWord>;

/// Returns the answer that carries no data.
pub(crate) fn done() -> Answer {
    Ok(Zeroizing::new(Vec::new()))
}

/// One command, borrowed from the bytes it came in.
pub(crate) struct Command<'a> {
    pub(crate) cla: u8,
    pub(crate) ins: u8,
    pub(crate) p1: u8,
    pub(crate) p2: u8,
    pub(crate) data: &'a [u8],
    /// How many bytes are wanted. All but READ BINARY ignore it: the whole answer is always given.
    pub(crate) le: Option<u8>,
}

impl<'a> Command<'a> {
    /// Reads what came over the wire.
    ///
    /// # Errors
    /// 6700 when the length byte lies, or the command is none of the short forms.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, StatusWord> {
        let [cla, ins, p1, p2, rest @ ..] = bytes else {
            return Err(StatusWord::WRONG_LENGTH);
        };
        let (data, le): (&[u8], _) = match rest {
            [] => (&[], None),
            [le] => (&[], Some(*le)),
            [0, ..] => return Err(StatusWord::WRONG_LENGTH),
            [lc, body @ ..] => match body.split_at_checked(usize::from(*lc)) {
                Some((data, [])) => (data, None),
                Some((data, [le])) => (data, Some(*le)),
                _ => return Err(StatusWord::WRONG_LENGTH),
            },
        };
        Ok(Self { cla: *cla, ins: *ins, p1: *p1, p2: *p2, data, le })
    }

    /// Reads the command inside a secured one: its length byte is always there and always right, and there is no `Le`.
    pub(crate) fn parse_inner(bytes: &'a [u8]) -> Option<Self> {
        let [cla, ins, p1, p2, lc, data @ ..] = bytes else {
            return None;
        };
        (data.len() == usize::from(*lc)).then_some(Self { cla: *cla, ins: *ins, p1: *p1, p2: *p2, data, le: None })
    }

    /// Returns the command with what its channel had hidden.
    pub(crate) fn with<'b>(&self, data: &'b [u8]) -> Command<'b> {
        Command { cla: self.cla, ins: self.ins, p1: self.p1, p2: self.p2, data, le: None }
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, StatusWord};

    fn data(bytes: &[u8]) -> Result<&[u8], StatusWord> {
        Command::parse(bytes).map(|command| command.data)
    }

    #[test]
    fn all_short_forms_are_read() {
        assert_eq!(data(&[0x80, 0xf2, 0, 0]), Ok(&[][..]));
        assert_eq!(data(&[0x80, 0xf2, 0, 0, 0]), Ok(&[][..]));
        assert_eq!(data(&[0x80, 0xf2, 0, 0, 7]), Ok(&[][..]));
        assert_eq!(data(&[0x80, 0xf2, 0, 0, 2, 8, 9]), Ok(&[8, 9][..]));
        assert_eq!(data(&[0x80, 0xf2, 0, 0, 2, 8, 9, 0]), Ok(&[8, 9][..]));
    }

    #[test]
    fn a_lying_length_byte_is_refused() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0x80, 0xf2, 0],
            &[0x80, 0xf2, 0, 0, 2, 8],
            &[0x80, 0xf2, 0, 0, 2, 8, 9, 0, 0],
            &[0x80, 0xf2, 0, 0, 0, 0, 1, 8],
        ] {
            assert_eq!(data(bytes), Err(StatusWord::WRONG_LENGTH), "{bytes:?}");
        }
    }

    #[test]
    fn an_inner_command_is_exact() {
        assert!(Command::parse_inner(&[0x80, 0xf2, 0, 0]).is_none());
        assert!(Command::parse_inner(&[0x80, 0xf2, 0, 0, 1]).is_none());
        assert!(Command::parse_inner(&[0x80, 0xf2, 0, 0, 0, 0]).is_none());
        assert!(Command::parse_inner(&[0x80, 0xf2, 0, 0, 0]).is_some());
    }
}
