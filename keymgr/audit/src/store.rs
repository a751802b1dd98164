//! Where the lines go: a file in the key manager, memory that fails on purpose in tests.

use std::io;

/// Keeps lines for good.
pub trait LogStore {
    /// Appends `line`, which ends in a newline, and returns only when it would survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Full`] and [`StoreError::Failed`] promise that nothing of the line is left in the store;
    /// [`StoreError::Torn`] does not.
    fn append_synced(&mut self, line: &[u8]) -> Result<(), StoreError>;
}

/// Why a line is not in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space is left; the store is as it was.
    #[error("the disk is full")]
    Full,
    /// Writing failed; the store is as it was.
    #[error("the log cannot be written")]
    Failed {
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// Writing failed and could not be undone: part of a line may be there.
    #[error("the log was written in part and could not be cut back")]
    Torn {
        /// What failed.
        #[source]
        source: io::Error,
    },
}
