//! A disk that fails at one step, or at all from one step on, with real files below; and a manager's folder on it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use audit::{Event, Line};
use proto::rpc::Fault;
use readers::Readers;
use softcard::Model;

use super::*;
use crate::archive::{first_line, head_at};
use crate::daemon::{self, Config, DaemonError};
use crate::disk::{Disk, Os};
use crate::log_files::older_files;
use crate::profile::Profile;
use crate::reader::{AnyReader, ReaderName, SoftName, SoftReader};
use crate::store::FileStore;
use crate::trusted::Trusted;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The power goes, when so many parts of four of what is written are in the file. Nothing works afterwards.
    PowerCut(usize),
    /// This error, after half of what is written; the disk is well again afterwards.
    Fails(i32),
    /// The process stops at once.
    Abort,
}

/// A disk whose `at`-th step goes wrong.
#[derive(Debug)]
pub(crate) struct Faulty {
    at: AtomicUsize,
    how: How,
    steps: AtomicUsize,
}

impl Faulty {
    /// All goes well until it is armed.
    pub(crate) fn new(how: How) -> Arc<Self> {
        Arc::new(Self { at: AtomicUsize::new(usize::MAX), how, steps: AtomicUsize::new(0) })
    }

    /// The step after `after` more goes wrong.
    pub(crate) fn arm(&self, after: usize) {
        self.steps.store(0, Ordering::SeqCst);
        self.at.store(after, Ordering::SeqCst);
    }

    /// Returns how many steps there were since it was armed.
    pub(crate) fn steps(&self) -> usize {
        self.steps.load(Ordering::SeqCst)
    }

    /// Returns what happens at this step.
    fn step(&self) -> Option<How> {
        let (step, at) = (self.steps.fetch_add(1, Ordering::SeqCst), self.at.load(Ordering::SeqCst));
        match self.how {
            _ if step == at => Some(self.how),
            How::PowerCut(_) if step > at => Some(How::PowerCut(0)),
            _ => None,
        }
    }

    /// Does a step that cannot be done by halves.
    fn whole<V>(&self, work: impl FnOnce() -> io::Result<V>) -> io::Result<V> {
        match self.step() {
            None => work(),
            Some(How::PowerCut(4)) => {
                work()?;
                Err(io::Error::other("the power is gone"))
            }
            Some(How::PowerCut(_)) => Err(io::Error::other("the power is gone")),
            Some(How::Fails(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(How::Abort) => std::process::abort(),
        }
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.whole(|| Os.create(path))
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        let part = |of_four: usize| bytes.get(..bytes.len() * of_four / 4).unwrap_or(bytes);
        match self.step() {
            None => Os.write(file, bytes),
            Some(How::PowerCut(parts)) => {
                Os.write(file, part(parts))?;
                Err(io::Error::other("the power is gone"))
            }
            // A short write, and the error at the rest of it.
            Some(How::Fails(errno)) => {
                Os.write(file, part(2))?;
                Err(io::Error::from_raw_os_error(errno))
            }
            Some(How::Abort) => {
                Os.write(file, part(2))?;
                std::process::abort()
            }
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.whole(|| Os.sync(file))
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        self.whole(|| Os.cut(file, length))
    }

    fn overwrite(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        self.whole(|| Os.overwrite(file, bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole(|| Os.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.whole(|| Os.remove(path))
    }

    fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        self.whole(|| Os.sync_folder_of(path))
    }
}

/// A manager on files.
pub(crate) type FileBroker = Broker<AnyReader, FileStore>;

/// A manager's folder with an enrolled software card in it.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) longest_log: u64,
    pub(crate) _dir: Option<tempfile::TempDir>,
}

impl Folder {
    /// Enrols a card, whose first session is over.
    pub(crate) fn enrolled() -> Self {
        let dir = private_dir();
        let folder = Self { path: dir.path().to_owned(), longest_log: u64::MAX, _dir: Some(dir) };
        std::fs::create_dir(folder.path.join("cards")).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.path.join("cards"), std::fs::Permissions::from_mode(0o700)).unwrap();
        let (identity, _) = SoftReader::create(&name(), Model::V4_0, &folder.path).unwrap();
        std::fs::write(folder.path.join("manifest.toml"), manifest(&[identity.unwrap()])).unwrap();
        let puk = Puk::try_from(PUK.as_bytes()).unwrap();
        let enrolling = Enrolling { target: Default::default(), pin: pin(PIN), puk, key: KeySource::Generate };
        let mut broker = folder.broker(&crate::disk::os()).unwrap();
        broker.provision(enrolling, &why("enrol")).unwrap();
        folder
    }

    /// The folder at a path, which somebody else made.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), longest_log: u64::MAX, _dir: None }
    }

    /// The same content in a folder of its own.
    pub(crate) fn copy(&self) -> Self {
        let dir = private_dir();
        let status = std::process::Command::new("cp").arg("-a").arg(self.path.join(".")).arg(dir.path()).status();
        assert!(status.unwrap().success());
        Self { path: dir.path().to_owned(), longest_log: self.longest_log, _dir: Some(dir) }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("export.log")
    }

    /// A manager that starts now, with its log on this disk.
    pub(crate) fn broker(&self, disk: &Arc<dyn Disk>) -> Result<FileBroker, DaemonError> {
        let until = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            match self.try_broker(disk) {
                // What another test starts has our files too, and their locks, until it runs its own program.
                Err(error) if error.fault() == Some(Fault::InUse) && std::time::Instant::now() < until => {
                    std::thread::yield_now();
                }
                other => return other,
            }
        }
    }

    fn try_broker(&self, disk: &Arc<dyn Disk>) -> Result<FileBroker, DaemonError> {
        let config = Config {
            dir: self.path.clone(),
            socket: self.path.join("none.sock"),
            reader: ReaderName::Soft(name()),
            manifest: self.path.join("manifest.toml"),
            trusted: Trusted { test_authority: true, ..Trusted::default() },
            pin_lifetime: None,
            mirror: Some(DataSlot::Cash),
            longest_log: self.longest_log,
            metrics: Metrics::default(),
        };
        let profile = Profile::hold(&self.path)?;
        let mut broker =
            daemon::broker_on(disk, &config, &profile, &Readers::default(), crate::clock::SystemClock::start())?;
        broker.announce(None)?;
        Ok(broker)
    }

    /// Returns every line of every file of the log, which must follow each other without a gap.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let mut before = None;
        let older = older_files(&self.log()).unwrap();
        let files = older.iter().map(|file| (file.path.clone(), Some(file))).chain([(self.log(), None)]);
        for (path, put_away) in files {
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(audit::read(bytes.as_slice(), |line| lines.push(line.clone())).unwrap(), None, "{path:?}");
            if let Some(ended) = before {
                let Event::LogContinued { previous, .. } = first_line(bytes.as_slice()).unwrap().unwrap().event else {
                    panic!("{path:?} does not go on where the one before ends");
                };
                assert_eq!(Some(previous), ended);
            }
            let last = lines.last().unwrap().seq;
            if let Some(file) = put_away {
                assert_eq!((file.first, file.last), (first_line(bytes.as_slice()).unwrap().unwrap().seq, last));
            }
            before = Some(head_at(bytes.as_slice(), last).unwrap());
        }
        for (line, seq) in lines.iter().zip(1..) {
            assert_eq!(line.seq, seq);
        }
        lines
    }
}

fn name() -> SoftName {
    "card".parse().unwrap()
}
