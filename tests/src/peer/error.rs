//! What goes wrong with a peer, in words that say which program, what was awaited and what it said last.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use super::said::Said;

/// How a scenario ends: with nothing to say, or with why it failed.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A program that does not do what is asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It could not be started.
    #[error("{program} cannot be started: {source}")]
    NotStarted {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not there, for a reason that the setup found.
    #[error("{program} is not there: {why}")]
    Missing {
        /// Which.
        program: &'static str,
        /// Why.
        why: String,
    },
    /// No setup could have it run on this machine.
    #[error("{program} cannot run here: {why}")]
    Impossible {
        /// Which.
        program: &'static str,
        /// Why.
        why: String,
    },
    /// It ended when something was still expected of it.
    #[error("{program} ended ({status}) while {awaited} was awaited{said}")]
    Ended {
        /// Which.
        program: String,
        /// How.
        status: ExitStatus,
        /// What was expected.
        awaited: String,
        /// Its last lines.
        said: Said,
    },
    /// It is there and does not say what is expected.
    #[error("{program} did not come up with {awaited} within {within:?}{said}")]
    Silent {
        /// Which.
        program: String,
        /// What was expected.
        awaited: String,
        /// The time it had.
        within: Duration,
        /// Its last lines.
        said: Said,
    },
    /// It does not do a command.
    #[error("{program} refused {command}: {why}{said}")]
    Refused {
        /// Which.
        program: String,
        /// Which command.
        command: String,
        /// Its own words.
        why: String,
        /// Its last lines.
        said: Said,
    },
}
