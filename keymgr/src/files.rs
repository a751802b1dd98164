//! Files that matter: read with a bound, written whole (temporary file, fsync, rename, fsync of the directory).
//!
//! The invariant: a state file that is missing or damaged is an error that says so; nothing is made anew in its place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use proto::rpc::Fault;

/// Why a state file or directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It should exist.
    #[error("{} is missing; {todo}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the owner can do.
        todo: &'static str,
    },
    /// It is not what was written.
    #[error("{} is damaged ({what}); restore it from a backup, nothing was overwritten", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another manager holds it.
    #[error("another key manager uses {}; stop it first", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Others could read or replace what is in it.
    #[error("{} must be a directory that belongs to you alone; run chmod 700 on it", path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// It is there and must not be replaced.
    #[error("{} exists already and is left as it is; choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("{}: {source}; check the rights and the free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

impl StateError {
    /// Returns the cause that crosses the socket.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } => Fault::StateMissing,
            Self::Damaged { .. } => Fault::StateDamaged,
            Self::InUse { .. } => Fault::InUse,
            Self::NotPrivate { .. } | Self::Exists { .. } => Fault::BadInput,
            Self::Io { .. } => Fault::DiskFull,
        }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}

/// Reads a text file of at most `limit` bytes; nothing when there is no such file.
///
/// # Errors
/// [`StateError::Damaged`] when it is longer or no UTF-8, [`StateError::Io`].
pub fn read_text(path: &Path, limit: u64) -> Result<Option<String>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::io(path, source)),
    };
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    if u64::try_from(read.map_err(|source| StateError::io(path, source))?).unwrap_or(u64::MAX) > limit {
        return Err(StateError::damaged(path, format!("longer than {limit} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| StateError::damaged(path, "not UTF-8"))
}

/// Writes a file whole, mode 0600: after a power cut it has the old content or the new one.
///
/// # Errors
/// [`StateError::Io`]; the file is as it was.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let temporary = beside(path);
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_dir_of(path)
    })();
    result.map_err(|source| {
        // What is half written is of no use, and it may be what fills the disk.
        drop(std::fs::remove_file(&temporary));
        StateError::io(path, source)
    })
}

/// Makes a directory of mode 0700 unless there is one, and checks that it is ours alone.
///
/// # Errors
/// [`StateError::NotPrivate`], [`StateError::Io`].
pub fn make_private_dir(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| StateError::io(path, source))?;
    check_private_dir(path)
}

/// Checks that a directory exists and is ours alone.
///
/// # Errors
/// [`StateError::Missing`], [`StateError::NotPrivate`], [`StateError::Io`].
pub fn check_private_dir(path: &Path) -> Result<(), StateError> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StateError::Missing { path: path.to_owned(), todo: "make a card with `soft-create` first" });
        }
        Err(source) => return Err(StateError::io(path, source)),
    };
    let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(StateError::NotPrivate { path: path.to_owned() }) }
}

/// Makes a rename or a new name in the directory of `path` last.
pub(crate) fn sync_dir_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Returns the name under which a file is written before it takes its place.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
