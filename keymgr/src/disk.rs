//! What a log asks of a file system, one method for each thing that can fail or be the last that a computer does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use proto::shell::file;

/// A file system.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Makes a file of mode 0600 for appending, where nothing is.
    ///
    /// # Errors
    /// The file system's.
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
    }

    /// Writes what it can of `bytes` at the end, and returns how much.
    ///
    /// # Errors
    /// The file system's.
    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    /// Returns when the content is on the disk.
    ///
    /// # Errors
    /// The file system's: what is on the disk is unknown then, also after a second try.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Cuts a file back, and returns when that is on the disk.
    ///
    /// # Errors
    /// The file system's.
    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)?;
        file.sync_all()
    }

    /// Writes a small file anew, in one write over what it held. Nothing waits for the disk.
    ///
    /// # Errors
    /// The file system's.
    fn overwrite(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, 0)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if file.metadata()?.len() == length { Ok(()) } else { file.set_len(length) }
    }

    /// Gives a file another name, at which nothing is.
    ///
    /// # Errors
    /// The file system's; [`io::ErrorKind::AlreadyExists`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, rustix::fs::RenameFlags::NOREPLACE)?;
        Ok(())
    }

    /// Removes what may be at this place.
    ///
    /// # Errors
    /// The file system's, unless there was nothing.
    fn remove(&self, path: &Path) -> io::Result<()> {
        file::remove_stale(path)
    }

    /// Returns when the names in the folder of `path` are on the disk.
    ///
    /// # Errors
    /// The file system's.
    fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        file::sync_folder_of(path)
    }
}

/// The operating system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Os;

impl Disk for Os {}

/// Returns the operating system's file system.
#[must_use]
pub fn os() -> Arc<dyn Disk> {
    Arc::new(Os)
}
