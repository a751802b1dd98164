//! What can be wrong with the files of a manager, and how they are read and written.
//!
//! The invariant: a state file that is missing or damaged is an error that says so; nothing is made anew in its place.

use std::io;
use std::path::{Path, PathBuf};

use proto::rpc::Fault;
use proto::shell::{file, folder};

use crate::policy::NotAPolicy;

/// Why a state file or directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It should exist.
    #[error("{} is missing; {todo}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the owner can do.
        todo: &'static str,
    },
    /// It is not what was written.
    #[error("{} is damaged ({what}); restore it from a backup, nothing was overwritten", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file beside the export log does not say how far the log goes.
    #[error(
        "{} does not say how far the export log goes; compare the log with an anchor, the card, or a backup (`cardinal audit \
         verify`), then remove this file to go on without it",
        path.display()
    )]
    NoHead {
        /// The file.
        path: PathBuf,
    },
    /// The owner wrote something that is no policy.
    #[error("{}, {error}; mend that line, `cardinal policy check {}` says whether it is right", path.display(), path.display())]
    NotAPolicy {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong there.
        error: NotAPolicy,
    },
    /// Another manager holds it.
    #[error("another key manager uses {}{}; stop it first", path.display(), by(*.pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it.
        pid: Option<u32>,
    },
    /// Others could read or replace what is in it.
    #[error("{} must be a directory that belongs to you alone; run chmod 700 on it", path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// It is there and must not be replaced.
    #[error("{} exists already and is left as it is; choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("{}: {source}; check the rights and the free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

impl StateError {
    /// Returns the cause that crosses the socket.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } => Fault::StateMissing,
            Self::Damaged { .. } | Self::NoHead { .. } => Fault::StateDamaged,
            Self::InUse { .. } | Self::Exists { .. } => Fault::InUse,
            Self::NotPrivate { .. } | Self::NotAPolicy { .. } => Fault::BadInput,
            Self::Io { .. } => Fault::DiskFull,
        }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}

/// Reads a text file of at most `limit` bytes; nothing when there is no such file.
///
/// # Errors
/// [`StateError::Damaged`] when it is longer or no UTF-8, [`StateError::Io`].
pub fn read_text(path: &Path, limit: usize) -> Result<Option<String>, StateError> {
    let mut bytes = match file::read_bounded(path, limit) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(StateError::damaged(path, error.to_string()));
        }
        Err(source) => return Err(StateError::io(path, source)),
    };
    String::from_utf8(std::mem::take(&mut *bytes)).map(Some).map_err(|_| StateError::damaged(path, "not UTF-8"))
}

/// Writes a file whole, mode 0600: after a power cut it has the old content or the new one.
///
/// # Errors
/// [`StateError::Io`]; the file is as it was.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), StateError> {
    file::write_whole(path, content).map_err(|source| StateError::io(path, source))
}

/// Makes a directory of mode 0700 unless there is one, and checks that it is ours alone.
///
/// # Errors
/// [`StateError::NotPrivate`], [`StateError::Io`].
pub fn make_private_dir(path: &Path) -> Result<(), StateError> {
    folder::make_private(path).map_err(|source| StateError::io(path, source))?;
    check_private_dir(path)
}

/// Checks that a directory exists and is ours alone.
///
/// # Errors
/// [`StateError::Missing`], [`StateError::NotPrivate`], [`StateError::Io`].
pub fn check_private_dir(path: &Path) -> Result<(), StateError> {
    match folder::is_private(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(StateError::NotPrivate { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StateError::Missing { path: path.to_owned(), todo: "make a card with `soft-create` first" })
        }
        Err(source) => Err(StateError::io(path, source)),
    }
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}
