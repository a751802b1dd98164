//! The profile directory of a node: whose it is while it runs, and whether it is new.
//!
//! ```text
//! DIR/lock          held while a node runs on this profile; names its process
//! DIR/profile       one word: "making" while the first start makes the other files, "made" ever after
//! DIR/nodekey       the static key of RLPx
//! DIR/store.sqlite  messages and clocks (not for a relay)
//! ```
//!
//! The invariant: a file that should exist and does not is an error that says so, even when all of them are gone. A
//! first start is one where none of them exists, or that finds the word of a first start that was cut short.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use proto::shell::{Lock, LockError, file, folder};

use crate::error::NodeError;

/// A profile directory that this process holds; dropping it lets go.
#[derive(Debug)]
pub struct Profile {
    dir: PathBuf,
    fresh: bool,
    _lock: Lock,
}

impl Profile {
    /// Takes the directory, making it (0700) when there is none.
    ///
    /// # Errors
    /// [`NodeError::NotPrivate`], [`NodeError::InUse`] with the process that holds it, [`NodeError::Damaged`],
    /// [`NodeError::Disk`].
    pub fn hold(dir: &Path) -> Result<Self, NodeError> {
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source| NodeError::Disk { path, source }
        };
        folder::make_private(dir).map_err(disk(dir))?;
        if !folder::is_private(dir).map_err(disk(dir))? {
            return Err(NodeError::NotPrivate { dir: dir.to_owned() });
        }
        let path = dir.join("lock");
        let lock = Lock::take(&path).map_err(|error| match error {
            LockError::Held { pid } => NodeError::InUse { dir: dir.to_owned(), pid },
            LockError::Io(source) => disk(&path)(source),
        })?;
        let mut profile = Self { dir: dir.to_owned(), fresh: false, _lock: lock };
        let mark = profile.mark();
        profile.fresh = match file::read_bounded(&mark, MAKING.len()) {
            Ok(word) if word.as_slice() == MAKING => true,
            Ok(word) if word.as_slice() == MADE => false,
            Ok(_) => return Err(damaged(mark)),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(damaged(mark)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let none = !profile.nodekey().exists() && !profile.store().exists();
                file::write_whole(&mark, if none { MAKING } else { MADE }).map_err(disk(&mark))?;
                none
            }
            Err(source) => return Err(disk(&mark)(source)),
        };
        Ok(profile)
    }

    /// Returns whether files that do not exist yet may be made.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Says that every file of the profile stands, so that a missing one is an error from here on.
    ///
    /// # Errors
    /// [`NodeError::Disk`].
    pub fn complete(&mut self) -> Result<(), NodeError> {
        if self.fresh {
            let mark = self.mark();
            file::write_whole(&mark, MADE).map_err(|source| NodeError::Disk { path: mark, source })?;
            self.fresh = false;
        }
        Ok(())
    }

    /// Returns where the node key is.
    #[must_use]
    pub fn nodekey(&self) -> PathBuf {
        self.dir.join("nodekey")
    }

    /// Returns where the store is.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.dir.join("store.sqlite")
    }

    fn mark(&self) -> PathBuf {
        self.dir.join("profile")
    }
}

fn damaged(path: PathBuf) -> NodeError {
    NodeError::Damaged { path, what: "the word \"making\" or \"made\"" }
}

/// While the first start has not made everything. The longest word.
const MAKING: &[u8] = b"making\n";
/// From then on.
const MADE: &[u8] = b"made\n";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proto::rpc::Fault;
    use tempfile::TempDir;

    use super::*;

    fn private() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn a_profile_in_use_names_the_process_that_holds_it() {
        let dir = private();
        let held = Profile::hold(dir.path()).unwrap();
        let Err(NodeError::InUse { pid, .. }) = Profile::hold(dir.path()) else { panic!("held twice") };
        assert_eq!(pid, Some(std::process::id()));
        drop(held);
        assert!(Profile::hold(dir.path()).is_ok());
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let dir = private();
        drop(Profile::hold(dir.path()).unwrap());
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        let Err(error @ NodeError::NotPrivate { .. }) = Profile::hold(dir.path()) else { panic!("held") };
        assert_eq!(error.fault(), Fault::BadInput);
    }

    #[test]
    fn only_a_first_start_is_fresh_and_one_cut_short_still_is() {
        let dir = private();
        let profile = Profile::hold(dir.path()).unwrap();
        assert!(profile.is_fresh());
        std::fs::write(profile.nodekey(), "x").unwrap();
        drop(profile);
        let mut profile = Profile::hold(dir.path()).unwrap();
        assert!(profile.is_fresh(), "the first start was cut short");
        profile.complete().unwrap();
        std::fs::remove_file(profile.nodekey()).unwrap();
        drop(profile);
        assert!(!Profile::hold(dir.path()).unwrap().is_fresh(), "everything is missing, not new");
    }

    #[test]
    fn a_profile_with_state_and_without_its_mark_is_not_new() {
        let dir = private();
        std::fs::write(dir.path().join("nodekey"), "x").unwrap();
        assert!(!Profile::hold(dir.path()).unwrap().is_fresh());
        std::fs::remove_file(dir.path().join("nodekey")).unwrap();
        assert!(!Profile::hold(dir.path()).unwrap().is_fresh(), "it has its mark from then on");
    }

    #[test]
    fn a_damaged_mark_is_named_and_never_replaced() {
        for content in [&b""[..], b"made", b"mad", &[b'm'; 4096]] {
            let dir = private();
            let mark = dir.path().join("profile");
            std::fs::write(&mark, content).unwrap();
            assert!(matches!(Profile::hold(dir.path()), Err(NodeError::Damaged { path, .. }) if path == mark));
            assert_eq!(std::fs::read(&mark).unwrap(), content);
        }
    }
}
