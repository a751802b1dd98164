//! The names of readers, as `--reader` takes them.

use std::path::{Path, PathBuf};

use readers::Choice;

/// The name of a reader, as `--reader` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderName {
    /// `auto`: the only PC/SC reader with a card in it.
    Auto,
    /// `pcsc:NAME`: the PC/SC reader of this name, or the only one whose name has this in it.
    Pcsc(String),
    /// `soft:NAME`: a software card.
    Soft(SoftName),
}

/// The name of a software card: 1 to 32 of `a-z 0-9 - _`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SoftName(String);

/// Text that names no reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAReader {
    /// Not of a form that names one.
    #[error("no such reader; name one as auto, pcsc:NAME or soft:NAME, `cardinal readers` lists those of PC/SC")]
    Unknown,
    /// Not a file name that is the same everywhere.
    #[error("the name of a software card is 1 to 32 of a-z, 0-9, - and _")]
    Name,
}

impl std::str::FromStr for ReaderName {
    type Err = NotAReader;

    fn from_str(text: &str) -> Result<Self, NotAReader> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            Some(("pcsc", name)) if !name.is_empty() => Ok(Self::Pcsc(name.to_owned())),
            Some(("soft", name)) => name.parse().map(Self::Soft),
            _ => Err(NotAReader::Unknown),
        }
    }
}

impl std::str::FromStr for SoftName {
    type Err = NotAReader;

    fn from_str(text: &str) -> Result<Self, NotAReader> {
        let fits = (1..=32).contains(&text.len());
        if fits && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAReader::Name)
        }
    }
}

impl std::fmt::Display for ReaderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Pcsc(name) => write!(f, "pcsc:{name}"),
            Self::Soft(name) => write!(f, "soft:{}", name.0),
        }
    }
}

impl ReaderName {
    /// Returns which of the PC/SC readers this names, unless it is a software card.
    #[must_use]
    pub fn choice(&self) -> Option<Choice> {
        match self {
            Self::Auto => Some(Choice::OnlyWithCard),
            Self::Pcsc(name) => Some(Choice::Named(name.clone())),
            Self::Soft(_) => None,
        }
    }
}

impl SoftName {
    /// Returns where the card of this name is kept in a profile.
    #[must_use]
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join("cards").join(format!("{}.json", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_named_or_there_is_none() {
        for text in ["soft:alice", "pcsc:ACS ACR39U ICC Reader 00 00", "pcsc:a:b", "auto"] {
            assert_eq!(text.parse::<ReaderName>().unwrap().to_string(), text);
        }
        for (text, want) in [
            ("", NotAReader::Unknown),
            ("alice", NotAReader::Unknown),
            ("pcsc:", NotAReader::Unknown),
            ("Auto", NotAReader::Unknown),
            ("soft:", NotAReader::Name),
            ("soft:../x", NotAReader::Name),
            ("soft:A", NotAReader::Name),
        ] {
            assert_eq!(text.parse::<ReaderName>(), Err(want), "{text}");
        }
    }
}
