//! The export log in a file: appended, synced, and cut back when a write fails.
//!
//! The invariant: after an error the file is as it was before, or the error is [`StoreError::Torn`]. And no line goes into
//! a file that is not the log any more: before each one, the name must still lead to this file, at the length we left it.
//! When the disk fails to sync, nobody knows what it holds: no more lines follow until the log was read again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use audit::{Head, LogStore, StoreError};
use proto::shell::file;

use crate::disk::{self, Disk};
use crate::files::{self, StateError};
use crate::metrics::Metrics;

/// An append-only file.
#[derive(Debug)]
pub struct FileStore {
    disk: Arc<dyn Disk>,
    file: File,
    length: u64,
    path: PathBuf,
    /// The file beside it that says how far it goes, once it was written.
    beside: Option<File>,
    metrics: Metrics,
}

impl FileStore {
    /// Returns the same store, which tells from here on how long its lines take.
    #[must_use]
    pub fn counting(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Makes a log at `path` whose first lines `begin` writes; the file appears there whole, with those lines, or not.
    ///
    /// # Errors
    /// [`StateError::Exists`], [`StateError::Io`], or the error of `begin`.
    pub fn create<L, E: From<StateError>>(path: &Path, begin: impl FnOnce(Self) -> Result<L, E>) -> Result<L, E> {
        Self::create_on(disk::os(), path, begin)
    }

    /// The same on another disk.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_on<L, E: From<StateError>>(
        disk: Arc<dyn Disk>,
        path: &Path,
        begin: impl FnOnce(Self) -> Result<L, E>,
    ) -> Result<L, E> {
        let failed = |source| StateError::io(path, source);
        if path.symlink_metadata().is_ok() {
            return Err(StateError::Exists { path: path.to_owned() }.into());
        }
        let log = begin(Self::begin(Arc::clone(&disk), path).map_err(failed)?)?;
        disk.rename(&beginning_of(path), path).and_then(|()| disk.sync_folder_of(path)).map_err(failed)?;
        Ok(log)
    }

    /// Makes the file of a log that begins, under the name that it has until its first lines are in.
    pub(crate) fn begin(disk: Arc<dyn Disk>, path: &Path) -> io::Result<Self> {
        let temporary = beginning_of(path);
        // What a crash left behind never became a log.
        disk.remove(&temporary)?;
        let file = disk.create(&temporary)?;
        Ok(Self { disk, file, length: 0, path: path.to_owned(), beside: None, metrics: Metrics::default() })
    }

    /// Opens an existing log for appending.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::Io`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::open_on(disk::os(), path)
    }

    /// The same on another disk.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StateError> {
        let file = OpenOptions::new().append(true).open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StateError::Missing { path: path.to_owned(), todo: "restore it from a backup" },
            _ => StateError::io(path, source),
        })?;
        let length = file.metadata().map_err(|source| StateError::io(path, source))?.len();
        Ok(Self { disk, file, length, path: path.to_owned(), beside: None, metrics: Metrics::default() })
    }

    /// Returns how far the log at `path` went when it was last written, if that was kept.
    ///
    /// # Errors
    /// [`StateError::NoHead`] when the file is there and does not tell, [`StateError::Io`].
    pub fn remembered(path: &Path) -> Result<Option<Head>, StateError> {
        let path = head_of(path);
        let no_head = || StateError::NoHead { path: path.clone() };
        let text = match files::read_text(&path, MAX_HEAD) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(StateError::Damaged { .. }) => return Err(no_head()),
            Err(error) => return Err(error),
        };
        text.trim_end().parse().map(Some).map_err(|_| no_head())
    }

    /// Returns whether the log's name, or the one it has while it begins, still leads to this file as we left it.
    fn is_in_place(&self) -> bool {
        let Ok(ours) = self.file.metadata() else { return false };
        (!ours.is_file() || ours.len() == self.length)
            && [self.path.clone(), beginning_of(&self.path)].iter().any(|path| leads_to(path, &self.file))
    }

    /// Appends a line, or cuts it off again.
    fn append(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let mut rest = line;
        while !rest.is_empty() {
            let error = match self.disk.write(&self.file, rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(n) => {
                    rest = rest.get(n..).unwrap_or(&[]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if rest.len() != line.len() && self.disk.cut(&self.file, self.length).is_err() {
                return Err(StoreError::Torn { source: error });
            }
            return match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Err(StoreError::Full),
                _ => Err(StoreError::Failed { source: error }),
            };
        }
        self.disk.sync(&self.file).map_err(|source| {
            // The line may be on the disk or not, whatever a second sync would say. What can be done is to cut it off.
            if let Err(error) = self.disk.cut(&self.file, self.length) {
                tracing::error!("the line that was not synced could not be cut off either: {error}");
            }
            StoreError::Torn { source }
        })?;
        self.length = self.length.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Writes down beside the log how far it goes. While it begins, the older file's head stands there.
    fn write_beside(&mut self, head: &Head) -> io::Result<()> {
        let (path, text) = (head_of(&self.path), format!("{head}\n"));
        let file = match self.beside.take().filter(|file| file.metadata().is_ok_and(|meta| meta.nlink() > 0)) {
            Some(file) => file,
            None if !leads_to(&self.path, &self.file) => return Ok(()),
            None if !path.exists() => {
                // Whole the first time: a file that a power cut left empty would be a damaged one.
                file::write_whole(&path, text.as_bytes())?;
                OpenOptions::new().write(true).open(path)?
            }
            None => OpenOptions::new().write(true).open(path)?,
        };
        self.disk.overwrite(&file, text.as_bytes())?;
        self.beside = Some(file);
        Ok(())
    }
}

/// The name of a log until its first lines are in.
pub(crate) fn beginning_of(path: &Path) -> PathBuf {
    file::beside(path, ".new")
}

/// The file beside a log that says how far it goes.
fn head_of(path: &Path) -> PathBuf {
    file::beside(path, audit::HEAD_SUFFIX)
}

/// A head is shorter.
const MAX_HEAD: usize = 1024;

fn leads_to(path: &Path, file: &File) -> bool {
    let Ok(ours) = file.metadata() else { return false };
    path.metadata().is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()))
}

impl LogStore for FileStore {
    fn append_synced(&mut self, line: &[u8]) -> Result<(), StoreError> {
        if !self.is_in_place() {
            return Err(StoreError::Displaced);
        }
        let began = Instant::now();
        self.append(line)?;
        self.metrics.append(began.elapsed());
        Ok(())
    }

    fn remember(&mut self, head: &Head) {
        // In one write of less than a disk's sector, and not synced: that takes as long as a line itself. After a power cut
        // an older head may be there, which a longer log satisfies.
        if let Err(error) = self.write_beside(head) {
            tracing::warn!(%error, "how far the export log goes was not kept apart from it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn of(file: File, length: u64, path: &Path) -> FileStore {
        FileStore { disk: disk::os(), file, length, path: path.to_owned(), beside: None, metrics: Metrics::default() }
    }

    #[derive(Debug)]
    struct Any;
    impl From<StateError> for Any {
        fn from(_: StateError) -> Self {
            Self
        }
    }
    impl From<Infallible> for Any {
        fn from(never: Infallible) -> Self {
            match never {}
        }
    }

    #[test]
    fn lines_are_appended_to_a_file_of_mode_0600() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.log");
        let mut store = FileStore::create::<_, Any>(&path, |mut store| {
            store.append_synced(b"one\n").unwrap();
            Ok(store)
        })
        .unwrap();
        store.append_synced(b"two\n").unwrap();
        FileStore::open(&path).unwrap().append_synced(b"three\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let hash = audit::LineHash::of(b"three\n");
        let head = Head { log: audit::LogId::from([7; 16]), entries: 3, hash, root: audit::Root::leaf(&hash) };
        store.remember(&head);
        assert_eq!(FileStore::remembered(&path).unwrap(), Some(head));
        assert_eq!(std::fs::metadata(head_of(&path)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the log and its head");
        assert!(FileStore::create::<FileStore, Any>(&path, Ok).is_err(), "a log is never replaced");
    }

    #[test]
    fn attack_a_head_that_is_damaged_or_cannot_be_read_is_no_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.log");
        assert_eq!(FileStore::remembered(&path).unwrap(), None, "there is none");
        let hash = audit::LineHash::of(b"x");
        let head = Head { log: audit::LogId::from([7; 16]), entries: 3, hash, root: audit::Root::leaf(&hash) };
        let text = format!("{head}\n");
        let bad: [&[u8]; 5] = [b"", b"\n", &text.as_bytes()[..text.len() / 2], b"\xff\xfe", &[b'x'; MAX_HEAD + 1]];
        for bad in bad {
            std::fs::write(head_of(&path), bad).unwrap();
            let error = FileStore::remembered(&path).unwrap_err();
            assert!(matches!(error, StateError::NoHead { .. }), "{error}");
            assert!(error.to_string().contains("cardinal audit verify"), "{error}");
            assert_eq!(std::fs::read(head_of(&path)).unwrap(), bad, "it is left as it is");
        }
        std::fs::remove_file(head_of(&path)).unwrap();
        std::fs::create_dir(head_of(&path)).unwrap();
        assert!(matches!(FileStore::remembered(&path), Err(StateError::Io { .. })));
    }

    #[test]
    fn a_log_that_could_not_begin_does_not_appear() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.log");
        assert!(FileStore::create::<FileStore, Any>(&path, |_| Err(Any)).is_err());
        assert!(!path.exists());
        assert!(FileStore::create::<FileStore, Any>(&path, Ok).is_ok(), "the next try is not in the way of the first");
    }

    #[test]
    fn a_missing_log_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(FileStore::open(&dir.path().join("export.log")), Err(StateError::Missing { .. })));
    }

    #[test]
    fn a_full_disk_is_named_and_leaves_nothing_behind() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut store = of(file, 0, Path::new("/dev/full"));
        assert!(matches!(store.append_synced(b"line\n"), Err(StoreError::Full)));
    }

    #[test]
    fn a_write_that_is_not_allowed_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.log");
        std::fs::write(&path, b"one\n").unwrap();
        let mut store = of(File::open(&path).unwrap(), 4, &path);
        assert!(matches!(store.append_synced(b"two\n"), Err(StoreError::Failed { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
    }

    #[test]
    fn nothing_is_written_to_a_log_that_another_program_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.log");
        let fresh = || {
            std::fs::write(&path, b"one\n").unwrap();
            FileStore::open(&path).unwrap()
        };
        let touches: [(&str, &dyn Fn()); 4] = [
            ("removed", &|| std::fs::remove_file(&path).unwrap()),
            ("replaced", &|| {
                std::fs::rename(
                    {
                        std::fs::write(dir.path().join("copy"), b"one\n").unwrap();
                        dir.path().join("copy")
                    },
                    &path,
                )
                .unwrap()
            }),
            ("cut", &|| std::fs::write(&path, b"o").unwrap()),
            ("longer", &|| std::fs::write(&path, b"one\njunk").unwrap()),
        ];
        for (what, touch) in touches {
            let mut store = fresh();
            touch();
            assert!(matches!(store.append_synced(b"two\n"), Err(StoreError::Displaced)), "{what}");
        }
        fresh().append_synced(b"two\n").unwrap();
    }

    /// The limit on a file's size lets a part of a line through, as a full disk does. It holds for a whole process, and
    /// its signal must be ignored, so this test runs once more in a process of its own.
    #[test]
    fn a_line_that_was_written_in_part_is_cut_back_and_the_log_goes_on() {
        const MARK: &str = "CARDINAL_TEST_LIMITED";
        if std::env::var_os(MARK).is_some() {
            return with_a_limit_on_the_size_of_files();
        }
        let name = "store::tests::a_line_that_was_written_in_part_is_cut_back_and_the_log_goes_on";
        let output = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(MARK, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    fn with_a_limit_on_the_size_of_files() {
        use proto::{Instant, UnixMillis};
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let when = audit::When { unix: UnixMillis::new(1), monotonic: Instant::default() };
        let opened = || audit::LogOpened {
            version: audit::Text::lossy("1"),
            binary: None,
            policy: [0; 32],
            test_authority: false,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.log");
        let mut log = FileStore::create::<_, Any>(&path, |store| {
            Ok(audit::Log::create(store, audit::LogId::from([7; 16]), when).unwrap())
        })
        .unwrap();
        let good = std::fs::read(&path).unwrap();
        let free = getrlimit(Resource::Fsize);
        let room = u64::try_from(good.len()).unwrap() + 10;
        setrlimit(Resource::Fsize, Rlimit { current: Some(room), ..free }).unwrap();
        for _ in 0..2 {
            let error = log.opened(when, opened()).unwrap_err();
            assert!(matches!(error, audit::LogError::Store(StoreError::Failed { .. })), "{error:?}");
            assert_eq!(std::fs::read(&path).unwrap(), good, "nothing of the line is left");
        }
        setrlimit(Resource::Fsize, free).unwrap();
        log.opened(when, opened()).unwrap();
        let report =
            audit::verify(std::fs::read(&path).unwrap().as_slice(), FileStore::remembered(&path).unwrap()).unwrap();
        assert!(report.is_consistent());
        assert_eq!(report.entries(), 2);
    }

    /// A pipe takes a part of a long line, and nothing can be cut off it.
    #[test]
    fn a_part_of_a_line_that_cannot_be_cut_off_is_told() {
        use rustix::fs::{CWD, FileType, Mode, OFlags};

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.log");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::empty()).unwrap());
        let mut store = of(file, 0, &path);
        let line = vec![b'x'; 4 << 20];
        assert!(matches!(store.append_synced(&line), Err(StoreError::Torn { .. })));
    }
}
