//! What ends a verb from outside: Ctrl-C, SIGTERM, a terminal that closes, a parent that dies.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::CliError;

/// The signals that end a verb in good order.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
    /// Nothing when no parent is followed.
    orphaned: Option<oneshot::Receiver<()>>,
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
            orphaned: None,
        })
    }

    /// Takes the end of the process that started us for a signal. The kernel's own signal for that (`PR_SET_PDEATHSIG`)
    /// would not do: it comes when the thread ends that started us, and a parent may have others.
    pub(crate) fn follow_parent(&mut self) {
        // A parent outside our namespace of processes has no id here and cannot be followed.
        let Some(parent) = getppid() else { return };
        let (say, orphaned) = oneshot::channel();
        // Our own end does not wait for this thread.
        std::thread::spawn(move || {
            outlive(parent);
            let _ = say.send(());
        });
        self.orphaned = Some(orphaned);
    }

    /// Returns once one of them has come, as the error that ends the verb.
    pub(crate) async fn received(&mut self) -> CliError {
        let (name, number) = tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", 2),
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.hangup.recv() => ("SIGHUP", 1),
            // It counts as SIGTERM.
            () = ended(&mut self.orphaned) => ("its parent's end", 15),
        };
        CliError::Interrupted { name, code: 128 + number }
    }
}

/// Returns once the parent that is followed has ended.
async fn ended(orphaned: &mut Option<oneshot::Receiver<()>>) {
    match orphaned {
        Some(said) => drop(said.await),
        None => std::future::pending().await,
    }
}

/// Blocks until this process is our parent no more.
fn outlive(parent: Pid) {
    // Readable once the process has ended. Kernels before 5.3 and some sandboxes have none: then looking must do.
    let handle = pidfd_open(parent, PidfdFlags::empty()).ok();
    while getppid() == Some(parent) {
        let ended = handle.as_ref().map(|handle| poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&LOOK)));
        if !matches!(ended, Some(Ok(0))) {
            // No handle, or the last moment of a parent that has children to hand over.
            std::thread::sleep(MOMENT);
        }
    }
}

/// How long one wait for the parent's end takes.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// Between two looks without a wait.
const MOMENT: Duration = Duration::from_millis(100);
