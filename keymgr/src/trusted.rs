//! Whose word a manager takes for a card: the authority of the cards on sale, and what its owner adds in files.

use std::path::{Path, PathBuf};

use keycard::{BadList, Trust};

use crate::files::{self, StateError};

/// What is added to the authority of the cards on sale.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// Whether cards of the public test authority are taken.
    pub test_authority: bool,
    /// A file with the keys of further authorities, one in a line.
    pub authorities: Option<PathBuf>,
    /// A file with the identity keys of cards that are taken whoever signed for them, one in a line.
    pub cards: Option<PathBuf>,
}

impl Trusted {
    /// Reads the files.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::Damaged`] with the line, [`StateError::Io`].
    pub fn read(&self) -> Result<Trust, StateError> {
        let mut trust = Trust::production();
        if self.test_authority {
            trust = trust.with_test_authority();
        }
        if let Some(path) = &self.authorities {
            trust = trust.with_authorities(&text(path)?).map_err(|error| bad(path, error))?;
        }
        if let Some(path) = &self.cards {
            trust = trust.with_identities(&text(path)?).map_err(|error| bad(path, error))?;
        }
        Ok(trust)
    }
}

fn text(path: &Path) -> Result<String, StateError> {
    files::read_text(path, MAX_BYTES)?.ok_or_else(|| StateError::Missing {
        path: path.to_owned(),
        todo: "write one compressed public key in hexadecimal a line, or leave the option out",
    })
}

fn bad(path: &Path, error: BadList) -> StateError {
    StateError::damaged(path, error.to_string())
}

const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    const TEST: &str = "025877220aaae6e54a6f974602d5995c0fe24a3ea7ddabd8644bec795b9da00743";

    #[test]
    fn the_files_add_to_the_authority_of_the_cards_on_sale() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, format!("{KEY} # ours\n")).unwrap();
        let key = proto::ChatKey::try_from(hex::decode(KEY).unwrap().as_slice()).unwrap();
        let trusted = Trusted { authorities: Some(path.clone()), ..Trusted::default() };
        assert_eq!(trusted.read().unwrap(), Trust::production().with_authority(keycard::Authority::Other(key)));
        let trusted = Trusted { cards: Some(path), ..Trusted::default() };
        assert!(trusted.read().unwrap().lists(&key));
        assert_eq!(Trusted::default().read().unwrap(), Trust::production());
    }

    #[test]
    fn a_missing_file_a_bad_line_and_the_test_authority_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let trusted = Trusted { authorities: Some(path.clone()), ..Trusted::default() };
        assert!(matches!(trusted.read(), Err(StateError::Missing { .. })));
        for (text, want) in [("\n02", "line 2"), (TEST, "test authority")] {
            std::fs::write(&path, text).unwrap();
            let error = trusted.read().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
