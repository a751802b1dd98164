//! Where a card finds the key that it shall use.
//!
//! Applet 4.0 knows paths from the master key only. Older ones also keep a current path (DERIVE KEY) and one for signing
//! without a PIN (SET PINLESS PATH), and take paths from the current key or its parent.

use std::fmt;
use std::str::FromStr;

use crate::path::{KeyPath, PathError};

/// The place of a key on a card: `m/…`, `parent/…`, `current/…` or `pinless`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPlace {
    /// A path from the master key.
    Absolute(KeyPath),
    /// A path from the parent of the card's current key.
    BelowParent(KeyPath),
    /// A path from the card's current key.
    BelowCurrent(KeyPath),
    /// The key that signs without a PIN.
    Pinless,
}

impl KeyPlace {
    /// Returns the place of the card's current key.
    #[must_use]
    pub const fn current() -> Self {
        Self::BelowCurrent(KeyPath::master())
    }

    /// Returns the path from the master key, if this is one.
    #[must_use]
    pub const fn absolute(&self) -> Option<&KeyPath> {
        match self {
            Self::Absolute(path) => Some(path),
            Self::BelowParent(_) | Self::BelowCurrent(_) | Self::Pinless => None,
        }
    }
}

impl From<KeyPath> for KeyPlace {
    fn from(path: KeyPath) -> Self {
        Self::Absolute(path)
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, path) = match self {
            Self::Absolute(path) => return path.fmt(f),
            Self::BelowParent(path) => ("parent", path),
            Self::BelowCurrent(path) => ("current", path),
            Self::Pinless => return f.write_str("pinless"),
        };
        f.write_str(start)?;
        let path = path.to_string();
        f.write_str(path.strip_prefix('m').unwrap_or(&path))
    }
}

/// Reads what `Display` writes.
impl FromStr for KeyPlace {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let (start, rest) = text.split_at(text.find('/').unwrap_or(text.len()));
        let below = || format!("m{rest}").parse();
        match start {
            "pinless" if rest.is_empty() => Ok(Self::Pinless),
            "parent" => below().map(Self::BelowParent),
            "current" => below().map(Self::BelowCurrent),
            _ => text.parse().map(Self::Absolute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_what_it_prints() {
        for text in ["m", "m/44'/0", "current", "current/1'/2", "parent", "parent/7", "pinless"] {
            assert_eq!(text.parse::<KeyPlace>().unwrap().to_string(), text);
        }
        assert_eq!("current".parse(), Ok(KeyPlace::current()));
        assert_eq!("m/1".parse::<KeyPlace>().unwrap().absolute(), Some(&"m/1".parse().unwrap()));
        assert_eq!(KeyPlace::current().absolute(), None);
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in ["", "/", "pinless/", "pinless/1", "current/", "currently", "parent//1", "m/", "Current", "1/2"] {
            assert_eq!(text.parse::<KeyPlace>(), Err(PathError::Malformed), "{text}");
        }
        assert_eq!(format!("parent{}", "/1".repeat(11)).parse::<KeyPlace>(), Err(PathError::TooDeep));
    }
}
