//! The name of a public chat, which is also its id (6/PAYLOADS, "Chats").

use std::fmt;

/// A public chat's name: UTF-8, never empty, as the user wrote it but for a `#` in front.
///
/// Two names are the same chat only when their bytes are: case, spaces and forms of Unicode count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatName(String);

/// A text that cannot name a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAName {
    /// No text at all: the peers refuse messages with an empty chat id.
    #[error("a chat needs a name")]
    Empty,
    /// Longer than [`ChatName::MAX_LEN`].
    #[error("a chat's name has at most {} bytes", ChatName::MAX_LEN)]
    TooLong,
}

impl ChatName {
    /// The longest name in bytes. Ours: the peers know no bound, and a name is kept and indexed for ever.
    pub const MAX_LEN: usize = 512;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ChatName {
    type Error = NotAName;

    fn try_from(text: &str) -> Result<Self, NotAName> {
        match text.len() {
            0 => Err(NotAName::Empty),
            1..=Self::MAX_LEN => Ok(Self(text.to_owned())),
            _ => Err(NotAName::TooLong),
        }
    }
}

impl fmt::Display for ChatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Short: which chats somebody reads is personal.
impl fmt::Debug for ChatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatName({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{ChatName, NotAName};

    #[test]
    fn a_name_is_kept_byte_for_byte() {
        assert_eq!(ChatName::try_from(" Status").unwrap().as_str(), " Status");
        assert_ne!(ChatName::try_from("Status"), ChatName::try_from("status"));
    }

    #[test]
    fn an_empty_or_endless_name_is_refused() {
        assert_eq!(ChatName::try_from(""), Err(NotAName::Empty));
        assert!(ChatName::try_from("x".repeat(512).as_str()).is_ok());
        assert_eq!(ChatName::try_from("x".repeat(513).as_str()), Err(NotAName::TooLong));
    }

    #[test]
    fn debug_does_not_show_the_name() {
        assert_eq!(format!("{:?}", ChatName::try_from("demo").unwrap()), "ChatName(4 bytes)");
    }
}
