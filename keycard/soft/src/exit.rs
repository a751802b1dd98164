//! Why the program ends with an error, and the exit code that says so. The codes mean what they mean for `cardinal`.

use std::io;

use softcard::StateError;
use softcard::replay::ReplayError;

/// A verb that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// The card's file cannot be used.
    #[error("{error}{}", todo(error))]
    State {
        /// Why.
        #[from]
        error: StateError,
    },
    /// An option makes no sense.
    #[error("{what}")]
    Usage {
        /// Which, and why.
        what: String,
    },
    /// The card differs from the recordings.
    #[error("the card differs from the recordings in {count} sequences")]
    Mismatches {
        /// In how many sequences.
        count: usize,
    },
    /// A recording cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Nobody can be served at this address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The operating system refused.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            Self::State { error: StateError::InUse { .. } | StateError::Exists { .. } } | Self::Listen { .. } => 30,
            Self::State { error: StateError::Missing { .. } } => 31,
            Self::State { error: StateError::Damaged { .. } | StateError::Older { .. } } => 32,
            Self::State { error: StateError::Io { .. } } => 34,
            Self::Replay(_) => 41,
            Self::State { .. } | Self::Mismatches { .. } | Self::System(_) => 1,
        }
    }
}

/// Returns how to make the card that is missing.
fn todo(error: &StateError) -> String {
    match error {
        StateError::Missing { path } => format!(" (softcard create --card {})", path.display()),
        _ => String::new(),
    }
}

/// The codes, for `--help`.
pub(crate) const TABLE: &str = "\
Exit codes:
   0  done
   1  another error, or a card that differs from its recordings
   2  wrong usage
  30  the card is in use, there is one already, or the address is taken
  31  there is no card in this file
  32  the card's file is damaged, or of an older form
  34  the card's file cannot be read or written
  41  a recording is malformed, or cannot be read";
