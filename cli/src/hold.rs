//! One private network at a time: a running `up` holds a lock on one file, in which stands its process id. The kernel lets
//! go of the lock with the process, so a crash leaves nothing to clean up.

use std::os::fd::OwnedFd;
use std::path::Path;

use proto::rpc::Fault;
use proto::shell::{Lock, LockError, lock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::CliError;

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    _lock: Lock,
}

impl Hold {
    /// Takes the lock and writes our process id.
    ///
    /// # Errors
    /// [`Fault::InUse`] with the id of the process that holds it.
    pub(crate) fn take(path: &Path) -> Result<Self, CliError> {
        match Lock::take(path) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(LockError::Held { pid }) => {
                let by = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                let message = format!("the private network runs already{by}; `cardinal down` ends it");
                Err(CliError::found(Fault::InUse, message))
            }
            Err(LockError::Io(error)) => Err(CliError::file(path)(error)),
        }
    }
}

/// A running `up`, held by a handle that no other process can come to mean.
#[derive(Debug)]
pub(crate) struct Holder {
    /// Its process id.
    pub(crate) pid: u32,
    handle: OwnedFd,
}

impl Holder {
    /// Returns the process that holds the lock.
    ///
    /// # Errors
    /// [`Fault::NotRunning`] when nobody does.
    pub(crate) fn find(path: &Path) -> Result<Self, CliError> {
        let nobody =
            || CliError::found(Fault::NotRunning, "the private network is not running; `cardinal up` starts it");
        if !is_held(path)? {
            return Err(nobody());
        }
        let holder = || lock::last_holder(path).map_err(CliError::file(path));
        let pid = holder()?.ok_or_else(nobody)?;
        let handle = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            .ok_or_else(nobody)?;
        // Whoever had this id before the handle was opened may be gone; whoever holds the lock now wrote it.
        if is_held(path)? && holder()? == Some(pid) { Ok(Self { pid, handle }) } else { Err(nobody()) }
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// [`CliError::Other`] when the kernel refuses.
    pub(crate) fn ask_to_end(&self) -> Result<(), CliError> {
        match pidfd_send_signal(&self.handle, Signal::TERM) {
            // It is gone already, which is what was wanted.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(CliError::Other(format!("process {} cannot be asked to end ({error})", self.pid))),
        }
    }
}

/// Returns whether somebody holds the lock.
///
/// # Errors
/// [`CliError::File`] when the file cannot be opened.
pub(crate) fn is_held(path: &Path) -> Result<bool, CliError> {
    lock::is_held(path).map_err(CliError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("up.lock");
        assert_eq!(Holder::find(&path).unwrap_err().fault(), Some(Fault::NotRunning));
        let first = Hold::take(&path).unwrap();
        let error = Hold::take(&path).unwrap_err();
        assert_eq!(error.fault(), Some(Fault::InUse));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        assert_eq!(Holder::find(&path).unwrap().pid, std::process::id());
        drop(first);
        assert_eq!(Holder::find(&path).unwrap_err().fault(), Some(Fault::NotRunning));
        Hold::take(&path).unwrap();
    }
}
