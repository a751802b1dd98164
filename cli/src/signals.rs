//! What ends a verb from outside: Ctrl-C, SIGTERM, a terminal that closes, a parent that dies.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::error::CliError;

/// The signals that end a verb in good order.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
}

impl Signals {
    /// Takes the signals over from their default, which is to die on the spot.
    ///
    /// # Errors
    /// [`CliError::Other`] when the kernel refuses.
    pub(crate) fn listen() -> Result<Self, CliError> {
        let stream = |kind| signal(kind).map_err(|error| CliError::Other(format!("signals: {error}")));
        Ok(Self {
            interrupt: stream(SignalKind::interrupt())?,
            terminate: stream(SignalKind::terminate())?,
            hangup: stream(SignalKind::hangup())?,
        })
    }

    /// Takes the death of our parent for SIGTERM.
    ///
    /// # Errors
    /// [`CliError::Other`] when the kernel refuses or the parent is dead already.
    pub(crate) fn follow_parent() -> Result<(), CliError> {
        let parent = getppid();
        set_parent_process_death_signal(Some(Signal::TERM))
            .map_err(|error| CliError::Other(format!("cannot follow the parent process: {error}")))?;
        // It may have died before the kernel knew that we care.
        if getppid() == parent { Ok(()) } else { Err(CliError::Interrupted { name: "its parent's end", code: 143 }) }
    }

    /// Returns once one of them has come, as the error that ends the verb.
    pub(crate) async fn received(&mut self) -> CliError {
        let (name, number) = tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", 2),
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.hangup.recv() => ("SIGHUP", 1),
        };
        CliError::Interrupted { name, code: 128 + number }
    }
}
