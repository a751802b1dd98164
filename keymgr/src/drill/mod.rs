//! Histories for `cardinal audit drill`: managers in this process, with software cards and a clock that is lent, do what
//! honest people and others do.
//!
//! Each history is a manager's folder as it would be found. The edits of a log that need no card are made by `cardinal`,
//! which must find out about all of them by itself. Nothing here is spared: the cards, the managers and the logs are the
//! real ones.

mod clock;
mod site;

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::UnixMillis;
use proto::rpc::Fault;
use proto::shell::clock::unix;
use softcard::Model;

use crate::daemon::DaemonError;
use crate::error::BrokerError;
use crate::files::{self, StateError};

use self::clock::LentClock;
use self::site::{Site, copy};

/// Why a history was not performed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// A manager did not start.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// A manager did not do what its owner asked.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A manager's folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file of a drill.
    #[error("{}: {source}; name an empty folder with enough space", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
}

impl DrillError {
    /// Returns the cause that names the exit code, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Daemon(error) => error.fault(),
            Self::Broker(error) => Some(error.fault()),
            Self::State(error) => Some(error.fault()),
            Self::File { .. } => Some(Fault::DiskFull),
        }
    }
}

/// Performs every history in a folder of its own below `dir`, and returns their names.
///
/// # Errors
/// [`DrillError`]; what was performed by then stays there.
pub fn perform(dir: &Path) -> Result<Vec<&'static str>, DrillError> {
    files::make_private_dir(dir)?;
    // A month ago, so that no line is of a time to come.
    let began = UnixMillis::new(unix().get().saturating_sub(30 * DAY_MS));
    let histories: [(&'static str, History); 10] = [
        ("honest", honest),
        ("other", plain_v4),
        ("v3-2", plain_v3_2),
        ("v3-0", plain_v3_0),
        ("restored", restored),
        ("second", second),
        ("clock-back", clock_back),
        ("future", future),
        ("decoy", decoy),
        ("rotated", rotated),
    ];
    for (name, history) in histories {
        history(&dir.join(name), LentClock::showing(began))?;
    }
    Ok(histories.map(|(name, _)| name).to_vec())
}

type History = fn(&Path, LentClock) -> Result<(), DrillError>;

/// Three days; `earlier.log` is the log as it stood after the second.
fn honest(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    let site = Site::with_blank_card(dir.to_owned(), Model::V4_0, clock)?;
    site.begin()?;
    site.day()?;
    site.keep_copy("earlier.log")?;
    site.day()
}

fn plain(dir: &Path, clock: LentClock, model: Model) -> Result<(), DrillError> {
    let site = Site::with_blank_card(dir.to_owned(), model, clock)?;
    site.begin()?;
    site.day()
}

fn plain_v4(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    plain(dir, clock, Model::V4_0)
}

fn plain_v3_2(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    plain(dir, clock, Model::V3_2)
}

/// A card that signs nothing.
fn plain_v3_0(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    plain(dir, clock, Model::V3_0)
}

/// The computer's disk is set back to how it was after the second day, and its manager goes on from there. The card has
/// lived through the third.
fn restored(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    let site = Site::with_blank_card(dir.to_owned(), Model::V4_0, clock)?;
    site.begin()?;
    site.day()?;
    let snapshot = files_of(dir)?;
    site.day()?;
    for (path, bytes) in snapshot {
        files::write_whole(&path, &bytes)?;
    }
    site.day()
}

/// The card is used by another Cardinal for a day, and comes back.
fn second(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    files::make_private_dir(dir)?;
    let ours = Site::with_blank_card(dir.join("ours"), Model::V4_0, clock)?;
    ours.begin()?;
    let theirs = Site::without_card(dir.join("theirs"), ours.clock().clone())?;
    copy(&ours.card(), &theirs.card())?;
    theirs.adopt()?;
    copy(&theirs.card(), &ours.card())?;
    ours.day()
}

/// Between two days the computer's clock is set back by a week.
fn clock_back(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    let site = Site::with_blank_card(dir.to_owned(), Model::V4_0, clock)?;
    site.begin()?;
    site.clock().set_back(Duration::from_secs(7 * 24 * 3600));
    site.day()
}

/// The computer's clock is years ahead.
fn future(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    clock.set_ahead(Duration::from_secs(5 * 365 * 24 * 3600));
    plain(dir, clock, Model::V4_0)
}

/// The owner is forced to unlock the card, and uses the PIN that shows another wallet.
fn decoy(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    let site = Site::with_blank_card(dir.to_owned(), Model::V4_0, clock)?;
    site.begin()?;
    site.day_under_duress()
}

/// A log that goes on in another file about every day.
fn rotated(dir: &Path, clock: LentClock) -> Result<(), DrillError> {
    let site = Site::with_blank_card(dir.to_owned(), Model::V4_0, clock)?.with_short_files();
    site.begin()?;
    (0..4).try_for_each(|_| site.day())
}

/// Returns the content of every file that the disk of a computer holds, without the card, which is no part of it.
fn files_of(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, DrillError> {
    let failed = |source| DrillError::File { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.file_name().is_none_or(|name| name != "lock") {
            let bytes = std::fs::read(&path).map_err(failed)?;
            found.push((path, bytes));
        }
    }
    Ok(found)
}

const DAY_MS: u64 = 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_history_is_performed_and_every_chain_in_it_is_whole() {
        let dir = crate::tests::private_dir();
        let names = perform(dir.path()).unwrap();
        assert_eq!(names.len(), 10);
        for name in names {
            let log = match name {
                "second" => dir.path().join("second/ours/export.log"),
                name => dir.path().join(name).join("export.log"),
            };
            let report = audit::verify(std::fs::read(&log).unwrap().as_slice(), None).unwrap();
            assert_eq!(report.bad, None, "{name}");
            assert!(report.entries() > 20, "{name}");
            assert_eq!(log.with_file_name("spool").join("heads.jsonl").exists(), name != "v3-0", "{name}");
        }
    }
}
