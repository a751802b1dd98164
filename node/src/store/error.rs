//! Why the store cannot be opened, read or written.

use std::path::{Path, PathBuf};

use proto::rpc::Fault;
use rusqlite::ErrorCode;

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file should exist and does not.
    #[error("the store {} is missing; restore it from a backup, or start over with an empty directory", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not the store that was written.
    #[error("the store {} is damaged ({what}); restore it from a backup, or move it away to start over", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: &'static str,
    },
    /// The file was written with the keys of another card.
    #[error("the store {} belongs to another identity; use the card it was made with, or another directory", path.display())]
    OtherKey {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program wrote it.
    #[error("the store {} has version {found}, this program knows {known}; install a newer cardinal", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// Nothing was written.
    #[error("the store {} cannot be written ({source}); free some space or mend its permissions", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: rusqlite::Error,
    },
    /// The database refuses for a reason of its own.
    #[error("the store {} failed ({source}); start the node again", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: rusqlite::Error,
    },
    /// The writer has stopped.
    #[error("the store is closed; start the node again")]
    Closed,
}

impl StoreError {
    /// Sorts what the database says by who can act.
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied,
            ) => Self::DiskFull { path, source },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, what: "a page does not verify" }
            }
            _ => Self::Failed { path, source },
        }
    }

    /// Returns the cause that names the exit code.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } => Fault::StateMissing,
            Self::Damaged { .. } | Self::Newer { .. } | Self::Failed { .. } => Fault::StateDamaged,
            Self::OtherKey { .. } => Fault::OtherKey,
            Self::DiskFull { .. } => Fault::DiskFull,
            Self::Closed => Fault::NotRunning,
        }
    }
}
