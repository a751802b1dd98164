//! The files of one log: the newest, and the older ones that were rotated away, read one after the other as what they are,
//! one log.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use audit::line::{Line, MAX_LINE};
use audit::{Auditor, HEAD_SUFFIX, Head, Report};
use proto::rpc::Fault;
use proto::shell::file;

use super::args::LogArgs;
use crate::error::CliError;
use crate::paths::Layout;

/// The files of one log, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    newest: PathBuf,
    all: Vec<PathBuf>,
}

impl LogFiles {
    /// Returns the files that a command line means.
    ///
    /// # Errors
    /// [`Fault::StateMissing`] and [`Fault::BadInput`] for what is no log's file.
    pub(crate) fn of(args: &LogArgs) -> Result<Self, CliError> {
        match args.files.split_first() {
            Some((newest, others)) => Self::with(newest, others),
            None => Self::with(&Layout::of_user()?.choose(args.profile.profile.as_deref())?.log(), &[]),
        }
    }

    /// Returns the files of the log whose newest is this.
    ///
    /// # Errors
    /// [`Fault::StateMissing`] and [`Fault::BadInput`] for what is no log's file.
    pub(crate) fn beside(newest: &Path) -> Result<Self, CliError> {
        Self::with(newest, &[])
    }

    fn with(newest: &Path, named: &[PathBuf]) -> Result<Self, CliError> {
        let mut older: BTreeSet<(u64, PathBuf)> = BTreeSet::new();
        for path in named {
            // By the number of its first line files are put in order; one that has none comes last.
            older.insert((first_line(path)?.map_or(u64::MAX, |line| line.seq), path.clone()));
        }
        for (first, path) in rotated(newest) {
            // The same file may be named and lie beside.
            if !older.iter().any(|(known, _)| *known == first) {
                older.insert((first, path));
            }
        }
        open(newest)?;
        let all = older.into_iter().map(|(_, path)| path).chain([newest.to_owned()]).collect();
        Ok(Self { newest: newest.to_owned(), all })
    }

    /// Returns the newest file, which people call the log.
    pub(crate) fn newest(&self) -> &Path {
        &self.newest
    }

    /// Returns all files, oldest first.
    pub(crate) fn all(&self) -> &[PathBuf] {
        &self.all
    }

    /// Returns the file in which its manager remembers how far the log goes, whether it is there or not.
    pub(super) fn head(&self) -> PathBuf {
        file::beside(&self.newest, HEAD_SUFFIX)
    }

    /// Returns each file with its name, opened.
    ///
    /// # Errors
    /// [`Fault::StateMissing`] and [`Fault::BadInput`] for what is no log's file.
    pub(super) fn opened(&self) -> Result<Vec<(&Path, BufReader<File>)>, CliError> {
        self.all.iter().map(|path| Ok((path.as_path(), open(path)?))).collect()
    }

    /// Returns the first line, if it is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn first(&self) -> Result<Option<Line>, CliError> {
        self.all.first().map_or(Ok(None), |path| first_line(path))
    }

    /// Returns how far the log went when its manager last wrote it, if that stands beside it.
    ///
    /// # Errors
    /// [`Fault::StateDamaged`] when the file is there and does not tell; when it cannot be read.
    pub(crate) fn remembered(&self) -> Result<Option<Head>, CliError> {
        let path = self.head();
        let bytes = match file::read_bounded(&path, MAX_HEAD) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => {
                        no_head(&path)
                    }
                    _ => CliError::file(&path)(error),
                });
            }
        };
        let head = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim_end().parse().ok());
        head.map(Some).ok_or_else(|| no_head(&path))
    }

    /// Has an auditor read all files.
    ///
    /// # Errors
    /// [`Fault::StateMissing`] and [`Fault::BadInput`] for what is no log's file; what is wrong with the log is in the report.
    pub(crate) fn audited(&self, mut auditor: Auditor) -> Result<Report, CliError> {
        for (path, file) in self.opened()? {
            auditor.read(file, |_, _| {}).map_err(CliError::file(path))?;
        }
        Ok(auditor.finish())
    }

    /// Shows each line to `see`, up to the first that is none, and returns how many there are. The last line of a file ends
    /// with it, whole or not.
    ///
    /// # Errors
    /// [`Fault::LogBad`] at that line; what `see` says.
    pub(crate) fn each(&self, mut see: impl FnMut(&Line, &[u8]) -> Result<(), CliError>) -> Result<u64, CliError> {
        let mut count = 0u64;
        let mut bytes = Vec::new();
        for (path, mut lines) in self.opened()? {
            for number in 1u64.. {
                bytes.clear();
                let room = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
                lines.by_ref().take(room).read_until(b'\n', &mut bytes).map_err(CliError::file(path))?;
                if bytes.is_empty() {
                    break;
                }
                let line = Line::decode(&bytes).map_err(|why| {
                    let file = path.display();
                    let message = format!("{file}: line {number} of it: {why}; `cardinal audit verify` says more");
                    CliError::found(Fault::LogBad, message)
                })?;
                count = count.saturating_add(1);
                see(&line, &bytes)?;
            }
        }
        Ok(count)
    }
}

fn no_head(path: &Path) -> CliError {
    let message = format!(
        "{} does not say how far the log goes; compare the log with an anchor or the card, then move that file away and try \
         again",
        path.display()
    );
    CliError::found(Fault::StateDamaged, message)
}

/// Opens one file of a log.
fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    let refused = |message: String| Err(CliError::found(Fault::BadInput, message));
    let found = path.metadata().map_err(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return CliError::file(path)(error);
        }
        let message = format!("there is no export log at {}; name the file, or choose a --profile", path.display());
        CliError::found(Fault::StateMissing, message)
    })?;
    if found.is_dir() {
        let log = path.join("export.log");
        return refused(format!("{} is a folder; name the log itself, for example {}", path.display(), log.display()));
    }
    if !found.is_file() {
        // It might never end, or never begin.
        return refused(format!("{} is no file; copy what it holds into one, and name that", path.display()));
    }
    let file = file::open(path).map_err(CliError::file(path))?;
    Ok(BufReader::with_capacity(BUFFER, file))
}

/// Returns a file's first line, if it is one.
fn first_line(path: &Path) -> Result<Option<Line>, CliError> {
    let mut bytes = Vec::new();
    let room = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    open(path)?.take(room).read_until(b'\n', &mut bytes).map_err(CliError::file(path))?;
    Ok(Line::decode(&bytes).ok())
}

/// Returns the files beside a log that are named like its older ones, with the number of their first line.
fn rotated(newest: &Path) -> Vec<(u64, PathBuf)> {
    let (Some(folder), Some(name)) = (newest.parent(), newest.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let range = |entry: std::fs::DirEntry| {
        let found = entry.file_name();
        let (first, last) = found.to_str()?.strip_prefix(name)?.strip_prefix('.')?.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then(|| (first, folder.join(found)))
    };
    entries.flatten().filter_map(range).collect()
}

/// Hashing is faster than many small reads.
const BUFFER: usize = 256 * 1024;
/// A head is shorter.
const MAX_HEAD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_files_beside_a_log_are_read_before_it_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, text) in [
            ("export.log", "c"),
            ("export.log.1-9", "a without its end"),
            ("export.log.10-11", "b"),
            ("export.log.head", "x"),
            ("export.log.9-1", "x"),
            ("export.log.1-9.bak", "x"),
            ("other.log.1-2", "x"),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        let files = LogFiles::beside(&at("export.log")).unwrap();
        let texts: Vec<String> = files
            .opened()
            .unwrap()
            .into_iter()
            .map(|(_, mut file)| {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            })
            .collect();
        assert_eq!(texts, ["a without its end", "b", "c"]);
    }

    /// A line that was cut off does not take the first one of the next file with it.
    #[test]
    fn the_cut_off_end_of_an_older_file_is_named_with_that_file() {
        let dir = tempfile::tempdir().unwrap();
        let event = audit::Event::created([7; 16].into());
        let line = Line { seq: 1, unix_ms: 1, mono_ms: 1, prev: audit::LineHash::ZERO, event }.encode().unwrap();
        let older = dir.path().join("export.log.1-2");
        std::fs::write(&older, [&line[..], &line[..30]].concat()).unwrap();
        std::fs::write(dir.path().join("export.log"), &line).unwrap();
        let files = LogFiles::beside(&dir.path().join("export.log")).unwrap();
        let mut seen = 0;
        let error = files.each(|line, _| {
            seen = line.seq;
            Ok(())
        });
        let error = error.unwrap_err();
        let says = format!("{}: line 2 of it: cut off", older.display());
        assert!(error.to_string().starts_with(&says), "{error}");
        assert_eq!((seen, error.fault()), (1, Some(Fault::LogBad)));
    }

    #[test]
    fn a_head_that_does_not_tell_is_no_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("export.log");
        std::fs::write(&log, "").unwrap();
        let files = LogFiles::beside(&log).unwrap();
        assert!(files.remembered().unwrap().is_none());
        for bad in [vec![], b"LOG 3".to_vec(), vec![0xff], vec![b'x'; MAX_HEAD + 1]] {
            std::fs::write(dir.path().join("export.log.head"), bad).unwrap();
            assert_eq!(files.remembered().err().and_then(|error| error.fault()), Some(Fault::StateDamaged));
        }
        std::fs::remove_file(files.head()).unwrap();
        std::fs::create_dir(files.head()).unwrap();
        assert_eq!(files.remembered().err().and_then(|error| error.fault()), Some(Fault::StateDamaged));
    }

    #[test]
    fn what_is_no_file_is_named_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fault = |path: &Path| LogFiles::beside(path).err().and_then(|error| error.fault());
        assert_eq!(fault(dir.path()), Some(Fault::BadInput));
        assert_eq!(fault(&dir.path().join("none")), Some(Fault::StateMissing));
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let held = File::options().read(true).write(true).open(&pipe).unwrap();
        assert_eq!(fault(&pipe), Some(Fault::BadInput));
        drop(held);
    }
}
