//! The ways to a card, asked for by name: `soft:NAME` is the software card in `cards/NAME.json` of the profile.
//!
//! There is no fallback from one to another: a name that is not known is an error.

use std::path::{Path, PathBuf};

use keycard::{CardTransport, TransportError};
use proto::shell::dice;
use softcard::{Model, SoftCard};

use crate::cards::seat::Readers;
use crate::error::BrokerError;
use crate::files::{self, StateError};

/// The name of a reader, as `--reader` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderName {
    /// A software card.
    Soft(SoftName),
}

/// The name of a software card: 1 to 32 of `a-z 0-9 - _`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftName(String);

/// Text that names no reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAReader {
    /// Not `soft:NAME`.
    #[error("no such reader; name a software card as soft:NAME")]
    Unknown,
    /// Not a file name that is the same everywhere.
    #[error("the name of a software card is 1 to 32 of a-z, 0-9, - and _")]
    Name,
}

impl std::str::FromStr for ReaderName {
    type Err = NotAReader;

    fn from_str(text: &str) -> Result<Self, NotAReader> {
        text.strip_prefix("soft:").ok_or(NotAReader::Unknown)?.parse().map(Self::Soft)
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
            Self::Soft(name) => write!(f, "soft:{}", name.0),
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

/// The software card as a reader with a card in it.
pub struct SoftReader(SoftCard);

impl SoftReader {
    /// Puts the card of this name into its reader.
    ///
    /// # Errors
    /// [`StateError`]: missing, damaged, in use.
    pub fn load(name: &SoftName, dir: &Path) -> Result<Self, StateError> {
        let path = name.path(dir);
        SoftCard::load(&path, Box::new(dice())).map(Self).map_err(|error| of_card(error, &path))
    }

    /// Makes a blank card of this name and returns its identity key, if it has one, and its file.
    ///
    /// # Errors
    /// [`StateError`]: it exists already, or the file system.
    pub fn create(name: &SoftName, model: Model, dir: &Path) -> Result<(Option<[u8; 33]>, PathBuf), StateError> {
        files::make_private_dir(dir)?;
        files::make_private_dir(&dir.join("cards"))?;
        let path = name.path(dir);
        let card = SoftCard::create(&path, model, Box::new(dice())).map_err(|error| of_card(error, &path))?;
        Ok((card.identity(), path))
    }
}

/// The software cards of a profile beside the one that the manager serves.
pub struct SoftReaders {
    dir: PathBuf,
    own: SoftName,
}

impl SoftReaders {
    /// Returns those in the profile's directory without `own`.
    #[must_use]
    pub fn new(dir: &Path, own: SoftName) -> Self {
        Self { dir: dir.to_owned(), own }
    }
}

impl Readers<SoftReader> for SoftReaders {
    fn names(&mut self) -> Result<Vec<String>, BrokerError> {
        let folder = self.dir.join("cards");
        let entries = std::fs::read_dir(&folder).map_err(|source| StateError::io(&folder, source))?;
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse::<SoftName>().ok())
            .filter(|name| *name != self.own)
            .map(|name| ReaderName::Soft(name).to_string())
            .collect();
        names.sort();
        Ok(names)
    }

    fn connect(&mut self, name: &str) -> Result<SoftReader, BrokerError> {
        let ReaderName::Soft(name) =
            name.parse().map_err(|error: NotAReader| BrokerError::bad_input(error.to_string()))?;
        Ok(SoftReader::load(&name, &self.dir)?)
    }
}

impl From<SoftCard> for SoftReader {
    fn from(card: SoftCard) -> Self {
        Self(card)
    }
}

impl CardTransport for SoftReader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let answer = self.0.transmit(command);
        match self.0.fault() {
            Some(softcard::StateError::Io { path, source, .. }) => {
                Err(TransportError::store(format!("{}: {source}; check the rights and the free space", path.display())))
            }
            Some(fault) => Err(TransportError::store(fault.to_string())),
            None => Ok(answer),
        }
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.0.power_cycle();
        Ok(())
    }
}

fn of_card(error: softcard::StateError, path: &Path) -> StateError {
    match error {
        softcard::StateError::Missing { path } => {
            StateError::Missing { path, todo: "make the card with `cardinal-keymgr soft-create`, or restore its file" }
        }
        softcard::StateError::Damaged { path, what } => StateError::damaged(&path, what),
        softcard::StateError::InUse { path, pid } => StateError::InUse { path, pid },
        softcard::StateError::Exists { path } => StateError::Exists { path },
        softcard::StateError::Io { path, source, .. } => StateError::Io { path, source },
        other => StateError::io(path, std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_named_or_there_is_none() {
        assert_eq!("soft:alice".parse::<ReaderName>().unwrap().to_string(), "soft:alice");
        for (text, want) in [
            ("", NotAReader::Unknown),
            ("alice", NotAReader::Unknown),
            ("pcsc:0", NotAReader::Unknown),
            ("soft:", NotAReader::Name),
            ("soft:../x", NotAReader::Name),
            ("soft:A", NotAReader::Name),
        ] {
            assert_eq!(text.parse::<ReaderName>(), Err(want), "{text}");
        }
    }

    #[test]
    fn a_card_is_made_once_and_a_missing_or_damaged_one_is_an_error() {
        let dir = crate::tests::private_dir();
        let name: SoftName = "alice".parse().unwrap();
        assert!(matches!(SoftReader::load(&name, dir.path()), Err(StateError::Missing { .. })));
        let (_, path) = SoftReader::create(&name, Model::V4_0, dir.path()).unwrap();
        assert!(matches!(SoftReader::create(&name, Model::V4_0, dir.path()), Err(StateError::Exists { .. })));
        let held = SoftReader::load(&name, dir.path()).unwrap();
        assert!(matches!(SoftReader::load(&name, dir.path()), Err(StateError::InUse { .. })));
        drop(held);
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(SoftReader::load(&name, dir.path()), Err(StateError::Damaged { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"{}", "nothing was overwritten");
    }
}
