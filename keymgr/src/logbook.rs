//! The log of a profile when a manager starts: begun, or made good, checked and continued.
//!
//! Every line of the file in which the log goes on is checked, and that it goes as far as was remembered. The files that were
//! put away are not read again: `cardinal audit verify` does that. So of a card that was enrolled in one of them, the pins
//! alone tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use audit::{Event, Line, Log, LogId, Operation, Outcome};
use proto::CardId;
use proto::shell::dice;
use rand_core::Rng as _;

use crate::clock::Clock;
use crate::daemon::DaemonError;
use crate::disk::Disk;
use crate::files::StateError;
use crate::log_files::{self, older_files};
use crate::metrics::Metrics;
use crate::pins::PinnedCards;
use crate::store::FileStore;

/// What a log tells.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The cards that were enrolled.
    pub(crate) enrolled: BTreeSet<CardId>,
    /// Those that were enrolled, and reset to their factory state.
    pub(crate) erased: BTreeSet<CardId>,
    /// SHA-256 of the rules that were in force last.
    pub(crate) policy: Option<[u8; 32]>,
    /// The cards to which a channel was opened.
    met: BTreeSet<CardId>,
    /// Whether there is more in files that were put away.
    goes_on: bool,
    /// Resets whose outcome is not known.
    resets: BTreeMap<u64, CardId>,
}

impl Told {
    fn hear(&mut self, line: &Line) {
        match &line.event {
            Event::LogContinued { .. } => self.goes_on = true,
            Event::LogOpened(opened) => self.policy = Some(opened.policy),
            Event::PolicyChanged { to, .. } => self.policy = Some(*to),
            Event::ChannelOpened(opened) => drop(self.met.insert(opened.card)),
            Event::PairedChannelOpened(opened) => drop(self.met.insert(opened.card)),
            Event::Provisioning(provisioning) => {
                self.erased.remove(&provisioning.card);
                self.enrolled.insert(provisioning.card);
            }
            Event::Intent(intent) if intent.request.operation == Operation::FactoryReset => {
                self.resets.insert(line.seq, intent.request.card);
            }
            Event::Outcome { intent, outcome } => {
                if let Some(card) = self.resets.remove(intent)
                    && matches!(outcome, Outcome::Done { .. })
                    && (self.enrolled.remove(&card) || self.goes_on)
                {
                    self.erased.insert(card);
                }
            }
            _ => {}
        }
    }

    fn of(path: &Path, mut told: Self) -> Result<Self, StateError> {
        let failed = |source| StateError::io(path, source);
        let file = File::open(path).map_err(failed)?;
        // What is bad is found when the log is opened.
        audit::read(BufReader::new(file), |line| told.hear(line)).map_err(failed)?;
        Ok(told)
    }
}

/// Continues the log, or begins it on the first start, and returns what it tells.
///
/// # Errors
/// [`DaemonError`]; nothing was changed then.
pub(crate) fn open(
    path: &Path,
    disk: &Arc<dyn Disk>,
    pinned: &PinnedCards,
    clock: &dyn Clock,
    metrics: &Metrics,
) -> Result<(Log<FileStore>, Told), DaemonError> {
    log_files::make_good(path)?;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && FileStore::remembered(path)?.is_some() => {
            let todo = "export.log.head says that there was one: restore it from a backup";
            return Err(StateError::Missing { path: path.to_owned(), todo }.into());
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !older_files(path)?.is_empty() => {
            let todo = "older files of it are there, so there was one: restore it from a backup";
            return Err(StateError::Missing { path: path.to_owned(), todo }.into());
        }
        Err(error) if error.kind() == ErrorKind::NotFound && pinned.is_empty() => {
            let mut id = [0; 16];
            dice().fill_bytes(&mut id);
            let log = FileStore::create_on(Arc::clone(disk), path, |store: FileStore| {
                Log::create(store.counting(metrics.clone()), LogId::from(id), clock.now()).map_err(DaemonError::from)
            })?;
            return Ok((log, Told::default()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let todo = "a card is enrolled here, so there was one: restore it from a backup";
            return Err(StateError::Missing { path: path.to_owned(), todo }.into());
        }
        Err(source) => return Err(StateError::io(path, source).into()),
    };
    let store = FileStore::open_on(Arc::clone(disk), path)?.counting(metrics.clone());
    let log = Log::open(store, BufReader::new(file), FileStore::remembered(path)?)
        .map_err(|source| DaemonError::LogBad { path: path.to_owned(), source })?;
    let mut told = Told::of(path, Told::default())?;
    if told.goes_on {
        told = told_by_pins(path, pinned, told)?;
        tracing::info!("the export log goes on in this file: run `cardinal audit verify` to check the older ones");
    }
    if told.enrolled.iter().any(|card| pinned.find(card).is_none()) {
        let path = path.with_file_name("pins.toml");
        let todo = "the export log tells of an enrolled card: restore the pins from a backup";
        return Err(StateError::Missing { path, todo }.into());
    }
    // A log that met the card and does not tell of its enrolment was cut off between the two files: that is made good when
    // the card is unlocked. One that never met it is another log.
    let knows = |card: &CardId| [&told.met, &told.enrolled, &told.erased].iter().any(|set| set.contains(card));
    if pinned.all().any(|pins| !knows(&pins.card)) {
        let what = "pins.toml tells of an enrolled card and this log of none; restore the log from a backup";
        return Err(StateError::damaged(path, what).into());
    }
    Ok((log, told))
}

/// Of the cards that were enrolled in an older file the pins tell; when there are none, all files are read.
fn told_by_pins(path: &Path, pinned: &PinnedCards, mut told: Told) -> Result<Told, StateError> {
    if pinned.is_empty() {
        let mut all = Told::default();
        for file in older_files(path)? {
            all = Told::of(&file.path, all)?;
        }
        return Told::of(path, all);
    }
    for pins in pinned.all() {
        if !told.erased.contains(&pins.card) {
            told.enrolled.insert(pins.card);
        }
    }
    Ok(told)
}
