//! One private network at a time: a running `up` holds a lock on one file, in which stands its process id. The kernel lets
//! go of the lock with the process, so a crash leaves nothing to clean up.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use proto::rpc::Fault;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::CliError;

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
}

impl Hold {
    /// Takes the lock and writes our process id.
    ///
    /// # Errors
    /// [`Fault::InUse`] with the id of the process that holds it.
    pub(crate) fn take(path: &Path) -> Result<Self, CliError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(CliError::file(path))?;
        if !try_lock(path, &file)? {
            let by = pid_in(&mut file).map_or_else(String::new, |pid| format!(" (process {pid})"));
            let message = format!("the private network runs already{by}; `cardinal down` ends it");
            return Err(CliError::found(Fault::InUse, message));
        }
        let mut sign = || {
            file.set_len(0)?;
            write!(&mut file, "{}", std::process::id())
        };
        sign().map_err(CliError::file(path))?;
        Ok(Self { _file: file })
    }
}

/// A running `up`, held by a handle that no other process can come to mean.
#[derive(Debug)]
pub(crate) struct Holder {
    /// Its process id.
    pub(crate) pid: i32,
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
        let mut file = File::open(path).map_err(CliError::file(path))?;
        let pid = pid_in(&mut file).ok_or_else(nobody)?;
        let handle = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).ok_or_else(nobody)?;
        // Whoever had this id before the handle was opened may be gone; whoever holds the lock now wrote it.
        if is_held(path)? && pid_in(&mut File::open(path).map_err(CliError::file(path))?) == Some(pid) {
            Ok(Self { pid, handle })
        } else {
            Err(nobody())
        }
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
    match File::open(path) {
        Ok(file) => Ok(!try_lock(path, &file)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CliError::file(path)(error)),
    }
}

fn try_lock(path: &Path, file: &File) -> Result<bool, CliError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(CliError::file(path)(error.into())),
    }
}

fn pid_in(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
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
        assert_eq!(Holder::find(&path).unwrap().pid, i32::try_from(std::process::id()).unwrap());
        drop(first);
        assert_eq!(Holder::find(&path).unwrap_err().fault(), Some(Fault::NotRunning));
        Hold::take(&path).unwrap();
    }
}
