//! The two bytes that end every answer (reference: Keycard applet, status words).

use std::fmt;

/// `SW1 SW2`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusWord(u16);

impl StatusWord {
    /// Done. An uninitialised applet 4.0 also answers it for commands that it ignored.
    pub const OK: Self = Self(0x9000);
    /// The secure channel is broken: its keys are erased on the card.
    pub(crate) const CHANNEL_BROKEN: Self = Self(0x6982);
    /// Something must come first; for SELECT of applet 4.0: the card has no identity certificate yet.
    pub const PRECONDITION: Self = Self(0x6985);
    /// No free pairing slot.
    pub(crate) const NO_SLOT: Self = Self(0x6A84);
    /// Wrong parameters; of OPEN SECURE CHANNEL and UNPAIR: no such slot, or a free one.
    pub(crate) const WRONG_PARAMETERS: Self = Self(0x6A86);
    /// An instruction that the applet does not know, or not in this state.
    pub(crate) const UNKNOWN_INSTRUCTION: Self = Self(0x6D00);
    /// Data of the wrong form.
    pub(crate) const MALFORMED: Self = Self(0x6A80);
    /// Refused for good, after too many wrong keys (GlobalPlatform).
    pub(crate) const BLOCKED: Self = Self(0x6983);
    /// Nothing of this name is there (GlobalPlatform).
    pub(crate) const NOT_REFERENCED: Self = Self(0x6A88);
    /// The applet stumbled.
    pub(crate) const INTERNAL: Self = Self(0x6F00);
    /// No such applet on this card.
    pub(crate) const NOT_FOUND: Self = Self(0x6A82);

    /// Returns `SW1, SW2`.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    /// Returns the tries left that `63Cn` reports, or nothing for any other word.
    #[must_use]
    pub const fn tries_left(self) -> Option<u8> {
        let [_, low] = self.to_bytes();
        if self.0 & 0xfff0 == 0x63c0 { Some(low & 0x0f) } else { None }
    }

    /// Returns what the applet means by it.
    const fn meaning(self) -> &'static str {
        match self.0 {
            0x6982 => "the secure channel is broken",
            0x6984 => "no such key can be derived",
            0x6985 => "something is missing first: a key, the PIN, or a path that may leave the card",
            0x6a80 => "malformed data",
            0x6a81 => "no such algorithm",
            0x6a82 => "no such applet",
            0x6a84 => "no free pairing slot",
            0x6a86 => "wrong parameters",
            0x6a88 => "no key signs without a PIN",
            0x6b00 => "no such form of the command, or the master key, which has no parent",
            0x6d00 => "unknown command, or not in this state",
            _ => "unexpected status word",
        }
    }
}

impl From<[u8; 2]> for StatusWord {
    fn from(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }
}

/// Four hexadecimal digits.
impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

/// The digits and what the applet means by them.
impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.meaning())
    }
}

#[cfg(test)]
mod tests {
    use super::StatusWord;

    #[test]
    fn only_63c0_to_63cf_report_tries() {
        assert_eq!(StatusWord::from([0x63, 0xc2]).tries_left(), Some(2));
        assert_eq!(StatusWord::from([0x63, 0xc0]).tries_left(), Some(0));
        for other in [[0x63, 0x00], [0x63, 0xd2], [0x90, 0x00], [0x62, 0xc2]] {
            assert_eq!(StatusWord::from(other).tries_left(), None);
        }
    }

    #[test]
    fn a_status_word_prints_as_four_digits() {
        assert_eq!(StatusWord::from([0x69, 0x85]).to_string(), "6985");
    }
}
