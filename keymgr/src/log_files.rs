//! The files of one log: `export.log`, in which it goes on, and beside it `export.log.FIRST-LAST`, named by their lines.
//!
//! A rotation takes these steps, and a crash after any of them is made good at the next start:
//!
//! ```text
//! 1  export.log.new with its first line, which carries the head and the peaks, synced; the folder synced
//! 2  export.log becomes export.log.FIRST-LAST; the folder synced
//! 3  export.log.new becomes export.log; the folder synced
//! ```
//! The invariant: no line is ever in no file. While step 2 waits for step 3 there is no `export.log`, and that alone tells a
//! rotation that was cut off from a log that begins.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{Event, Head, Log, LogError, StoreError, When};
use proto::shell::file;

use crate::archive::{Anchor, Archive, first_line, head_at};
use crate::disk::{self, Disk};
use crate::files::StateError;
use crate::metrics::Metrics;
use crate::spool::Spool;
use crate::store::{FileStore, beginning_of};

/// The files of a log, and the heads that wait to be sent off.
#[derive(Debug)]
pub struct LogFiles {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The number of the first line in `path`.
    first: u64,
    longest: u64,
    spool: Spool,
    metrics: Metrics,
}

/// A file that was put away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its first line.
    pub first: u64,
    /// Its last line.
    pub last: u64,
}

impl LogFiles {
    /// Returns the files of the log at `path`, which is put away when it has so many bytes.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn of(path: &Path, longest: u64, spool: Spool, metrics: Metrics) -> Result<Self, StateError> {
        let first = File::open(path).and_then(|file| first_line(BufReader::new(file)));
        let first = first.map_err(|source| StateError::io(path, source))?.map_or(1, |line| line.seq);
        Ok(Self { disk: disk::os(), path: path.to_owned(), first, longest, spool, metrics })
    }

    /// The same on another disk.
    #[must_use]
    pub fn on(self, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..self }
    }

    fn try_rotate(&self, log: &Log<FileStore>, when: When) -> Result<Log<FileStore>, LogError> {
        let failed = |source| LogError::Store(StoreError::Failed { source });
        let (temporary, last) = (beginning_of(&self.path), log.head().entries);
        let away = put_away(&self.path, self.first, last);
        let store = FileStore::begin(Arc::clone(&self.disk), &self.path).map_err(failed)?;
        let next = log.continued(store.counting(self.metrics.clone()), when)?;
        self.disk.sync_folder_of(&self.path).map_err(failed)?;
        self.disk.rename(&self.path, &away).map_err(failed)?;
        let renamed = self.disk.sync_folder_of(&self.path).and_then(|()| self.disk.rename(&temporary, &self.path));
        if let Err(error) = renamed {
            // The log goes on in the older file, if that gets its name back; if not, no line is written any more.
            self.disk.rename(&away, &self.path).map_err(failed)?;
            return Err(failed(error));
        }
        if let Err(error) = self.disk.sync_folder_of(&self.path) {
            tracing::warn!("the name of the new file of the export log may not survive a power cut: {error}");
        }
        Ok(next)
    }
}

impl Archive<FileStore> for LogFiles {
    fn keep(&mut self, anchor: &Anchor) {
        self.spool.add(anchor);
    }

    fn is_full(&self) -> bool {
        self.path.metadata().is_ok_and(|meta| meta.len() >= self.longest)
    }

    fn rotate(&mut self, log: &Log<FileStore>, when: When) -> Result<Log<FileStore>, LogError> {
        match self.try_rotate(log, when) {
            Ok(next) => {
                self.first = next.head().entries;
                tracing::info!(first = self.first, "the export log goes on in another file");
                Ok(next)
            }
            Err(error) => {
                // Half a log would be in the way of the next try.
                drop(self.disk.remove(&beginning_of(&self.path)));
                Err(error)
            }
        }
    }

    fn head_at(&mut self, entries: u64) -> Result<Option<Head>, StateError> {
        let read = |path: &Path| {
            let found = File::open(path).and_then(|file| head_at(BufReader::new(file), entries));
            found.map_err(|source| StateError::io(path, source))
        };
        if entries.saturating_add(1) >= self.first {
            return read(&self.path);
        }
        let older = older_files(&self.path)?;
        if let Some(file) = older.iter().find(|file| file.first <= entries && entries <= file.last) {
            return read(&file.path);
        }
        if entries == 0 {
            return Ok(None);
        }
        // What cannot be read is not what never was.
        let first = older.iter().map(|file| file.last).filter(|last| *last < entries).max().unwrap_or(0);
        let next = older.iter().map(|file| file.first).filter(|first| *first > entries).min().unwrap_or(self.first);
        Err(missing(&self.path, first.saturating_add(1), next, TO_COMPARE))
    }
}

/// Returns the files that were put away, the oldest first.
///
/// # Errors
/// [`StateError::Io`].
pub fn older_files(path: &Path) -> Result<Vec<OlderFile>, StateError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut older = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| StateError::io(folder, source))? {
        let entry = entry.map_err(|source| StateError::io(folder, source))?;
        let found = entry.file_name();
        let range = found.to_str().and_then(|found| found.strip_prefix(&name)?.strip_prefix('.')?.split_once('-'));
        if let Some((first, last)) = range
            && let (Ok(first), Ok(last)) = (first.parse(), last.parse())
        {
            older.push(OlderFile { path: entry.path(), first, last });
        }
    }
    older.sort_by_key(|file| file.first);
    Ok(older)
}

/// Names the file that should hold the lines from `first` on, until those from `next` on.
pub(crate) fn missing(log: &Path, first: u64, next: u64, todo: &'static str) -> StateError {
    StateError::Missing { path: put_away(log, first, next.saturating_sub(1)), todo }
}

/// Makes good what a rotation that was cut off left behind, before the log is opened.
///
/// # Errors
/// [`StateError::Io`].
pub fn make_good(path: &Path) -> Result<(), StateError> {
    let failed = |source| StateError::io(path, source);
    let (os, temporary) = (disk::os(), beginning_of(path));
    if path.symlink_metadata().is_ok() {
        // Step 2 was not taken: the older file goes on.
        return os.remove(&temporary).map_err(failed);
    }
    let Some(newest) = older_files(path)?.pop().filter(|_| temporary.symlink_metadata().is_ok()) else { return Ok(()) };
    let carried = carried(&temporary).map_err(failed)?;
    let ended = File::open(&newest.path).and_then(|file| head_at(BufReader::new(file), newest.last)).map_err(failed)?;
    let went_on = if carried.is_some() && carried == ended { &temporary } else { &newest.path };
    tracing::warn!("the export log was being put away when this computer stopped; it goes on in {}", went_on.display());
    os.rename(went_on, path).and_then(|()| os.sync_folder_of(path)).map_err(failed)?;
    os.remove(&temporary).map_err(failed)
}

/// Returns the head that the first line of a file carries, if it is one that goes on.
fn carried(path: &Path) -> io::Result<Option<Head>> {
    Ok(match first_line(BufReader::new(File::open(path)?))?.map(|line| line.event) {
        Some(Event::LogContinued { previous, .. }) => Some(previous),
        _ => None,
    })
}

fn put_away(path: &Path, first: u64, last: u64) -> PathBuf {
    file::beside(path, &format!(".{first}-{last}"))
}

const TO_COMPARE: &str = "a card speaks of an entry in it; bring it back, or go on without it (`cardinal audit adopt`)";
