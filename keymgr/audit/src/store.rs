//! Where the lines go: a file in the key manager, memory that fails on purpose in tests.

use std::io;

use crate::line::Head;

/// What the file that holds a log's remembered head is named: the log's own name and this.
pub const HEAD_SUFFIX: &str = ".head";

/// Keeps lines for good.
pub trait LogStore {
    /// Appends `line`, which ends in a newline, and returns only when it would survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Torn`] when part of the line may be left in the store; all others promise that nothing is.
    fn append_synced(&mut self, line: &[u8]) -> Result<(), StoreError>;

    /// Remembers apart from the lines how far they go, so that a log that lost its last lines shows. It may lag behind
    /// after a crash, and whoever can change the log can change it too: it catches accidents, not an attacker.
    fn remember(&mut self, head: &Head);
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
    /// Another program removed, replaced or changed the log; nothing was written.
    #[error("another program removed, replaced or changed the log")]
    Displaced,
    /// Writing failed and could not be undone: part of a line may be there.
    #[error("the log was written in part and could not be cut back")]
    Torn {
        /// What failed.
        #[source]
        source: io::Error,
    },
}
