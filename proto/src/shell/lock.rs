//! A lock file: held (flock) by one process at a time, whose id stands in it.
//!
//! The kernel lets go of the lock with the process, so a crash leaves nothing to clean up: a file that is there says
//! nothing, and the id in it counts only while the lock is held.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Why a lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody holds it.
    #[error("in use{}", pid.map_or_else(String::new, |pid| format!(" by process {pid}")))]
    Held {
        /// Who, by the file's word.
        pid: Option<u32>,
    },
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock at `path`, whose file (mode 0600) is made if there is none, and writes our process id.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut lock = Self::on(file)?;
        lock.file.set_len(0)?;
        lock.file.rewind()?;
        writeln!(lock.file, "{}", std::process::id())?;
        Ok(lock)
    }

    fn on(file: File) -> Result<Self, LockError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { pid: pid_in(&file) }),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

impl Drop for Lock {
    /// A program that another thread is about to start has a copy of the file, and would hold the lock a moment longer.
    fn drop(&mut self) {
        drop(self.file.unlock());
    }
}

/// Returns whether somebody holds the lock at `path`; nobody does when there is no file.
///
/// # Errors
/// The file system's.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match Lock::on(file) {
        Ok(_) => Ok(false),
        Err(LockError::Held { .. }) => Ok(true),
        Err(LockError::Io(error)) => Err(error),
    }
}

/// Returns the process that held the lock at `path` last. Whether it still does, [`is_held`] says.
///
/// # Errors
/// The file system's.
pub fn last_holder(path: &Path) -> io::Result<Option<u32>> {
    File::open(path).map(|file| pid_in(&file))
}

fn pid_in(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_names_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_held(&path).unwrap());
        std::fs::write(&path, "123456789 what a crash left").unwrap();
        let held = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("in use by process {}", std::process::id()));
        assert!(is_held(&path).unwrap());
        assert_eq!(last_holder(&path).unwrap(), Some(std::process::id()));
        drop(held);
        assert!(!is_held(&path).unwrap());
        assert!(Lock::take(&path).is_ok());
    }

    #[test]
    fn a_lock_that_is_given_back_is_not_held_by_a_copy_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path).unwrap();
        let _copy = held.file.try_clone().unwrap();
        drop(held);
        assert!(Lock::take(&path).is_ok());
    }

    #[test]
    fn a_lock_file_without_a_process_id_is_still_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = Lock::take(&path).unwrap();
        for text in ["", "nobody", "-3", "0", "1"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Lock::take(&path), Err(LockError::Held { pid: None })), "{text}");
        }
    }
}
