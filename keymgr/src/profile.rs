//! The directory of one manager: where its files are, held by one process at a time.

use std::path::{Path, PathBuf};

use proto::shell::{Lock, LockError};

use crate::files::{self, StateError};
use crate::spool;

/// A directory that is ours until dropped.
#[derive(Debug)]
pub struct Profile {
    dir: PathBuf,
    _lock: Lock,
}

impl Profile {
    /// Takes the directory.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::NotPrivate`], [`StateError::InUse`] when another manager has it.
    pub fn hold(dir: &Path) -> Result<Self, StateError> {
        files::check_private_dir(dir)?;
        let path = dir.join("lock");
        match Lock::take(&path) {
            Ok(lock) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(LockError::Held { pid }) => Err(StateError::InUse { path: dir.to_owned(), pid }),
            Err(LockError::Io(source)) => Err(StateError::io(&path, source)),
        }
    }

    /// Returns the export log's file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("export.log")
    }

    /// Returns the file of what is pinned.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.dir.join("pins.toml")
    }

    /// Returns the file of the cards that were met.
    #[must_use]
    pub fn cards(&self) -> PathBuf {
        self.dir.join("cards.toml")
    }

    /// Returns the file of the pairings.
    #[must_use]
    pub fn pairings(&self) -> PathBuf {
        self.dir.join("pairings.json")
    }

    /// Returns the policy's file.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.dir.join("policy.toml")
    }

    /// Returns the folder of the heads that wait to be sent off.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        spool::folder_in(&self.dir)
    }

    /// Returns the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_manager_holds_a_directory_at_a_time() {
        let dir = crate::tests::private_dir();
        let held = Profile::hold(dir.path()).unwrap();
        assert!(matches!(Profile::hold(dir.path()), Err(StateError::InUse { pid: Some(_), .. })));
        drop(held);
        assert!(Profile::hold(dir.path()).is_ok());
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Profile::hold(dir.path()), Err(StateError::NotPrivate { .. })));
        assert!(matches!(Profile::hold(&dir.path().join("none")), Err(StateError::Missing { .. })));
    }
}
