//! The software card as a reader with a card in it.

use std::path::{Path, PathBuf};

use keycard::{CardTransport, TransportError};
use proto::shell::dice;
use softcard::{Model, SoftCard};

use super::name::SoftName;
use crate::files::{self, StateError};

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
