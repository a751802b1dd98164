//! Every case of the drill: what was done, and what the verifier must say, without and with a head that was kept elsewhere.

use std::path::{Path, PathBuf};

use audit::verify::Verdict;
use proto::shell::file;

use super::edit;
use crate::error::CliError;

/// One case.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// Its name, which is that of its folder.
    pub(super) name: &'static str,
    /// What was done.
    pub(super) says: &'static str,
    /// Which authority is taken.
    pub(super) ca: &'static str,
    /// What the verifier must say from the log alone.
    pub(super) alone: Verdict,
    /// What it must say when the newest head is known.
    pub(super) anchored: Verdict,
    make: fn(&Histories) -> Result<Made, CliError>,
}

/// The files of a case.
struct Made {
    /// The log, oldest file first; names count from the newest.
    log: Vec<(String, Vec<u8>)>,
    /// The heads that were kept elsewhere.
    heads: Vec<u8>,
}

/// The histories that the key manager performed.
#[derive(Debug)]
pub(super) struct Histories(PathBuf);

impl Case {
    /// A log without a line, about which a test decides what is said.
    #[cfg(test)]
    pub(super) const EMPTY: Self = Self {
        name: "empty",
        says: "nothing",
        ca: "test",
        alone: Verdict::Consistent,
        anchored: Verdict::Truncated,
        make: |_| Ok(Made { log: vec![(LOG.to_owned(), Vec::new())], heads: Vec::new() }),
    };

    /// Writes the files of the case into its folder, and returns the log and the heads.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(super) fn lay_out(&self, histories: &Histories, dir: &Path) -> Result<(PathBuf, PathBuf), CliError> {
        let dir = dir.join(self.name);
        crate::paths::make_private(&dir)?;
        let made = (self.make)(histories)?;
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            file::write_whole(&path, bytes).map_err(CliError::file(&path)).map(|()| path)
        };
        for (name, bytes) in &made.log {
            put(name, bytes)?;
        }
        Ok((dir.join(LOG), put("heads", &made.heads)?))
    }
}

impl Histories {
    /// Returns those in a folder.
    pub(super) const fn in_folder(dir: PathBuf) -> Self {
        Self(dir)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, CliError> {
        let path = self.0.join(name);
        std::fs::read(&path).map_err(CliError::file(&path))
    }

    fn lines(&self, name: &str) -> Result<edit::Lines, CliError> {
        edit::decode(&self.read(&format!("{name}/export.log"))?)
    }

    /// Returns a log with these bytes, whose heads are those of a history.
    fn with(&self, bytes: Vec<u8>, history: &str) -> Result<Made, CliError> {
        Ok(Made { log: vec![(LOG.to_owned(), bytes)], heads: self.read(&format!("{history}/{SPOOL}"))? })
    }

    /// Returns a history as it is.
    fn whole(&self, history: &str) -> Result<Made, CliError> {
        self.with(self.read(&format!("{history}/export.log"))?, history)
    }

    /// Returns the honest log after an edit that makes the chain anew.
    fn forged(&self, change: impl FnOnce(&mut edit::Lines)) -> Result<Made, CliError> {
        let mut lines = self.lines(HONEST)?;
        change(&mut lines);
        self.with(edit::rechained(lines)?, HONEST)
    }
}

/// Every case, the honest ones first.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "honest",
        says: "three days of a 4.0 card, nothing was changed",
        ca: "test",
        alone: Verdict::Consistent,
        anchored: Verdict::Complete,
        make: |histories| histories.whole(HONEST),
    },
    Case {
        name: "honest-v3-2",
        says: "two days of a 3.2 card, nothing was changed",
        ca: "test",
        alone: Verdict::Consistent,
        anchored: Verdict::Complete,
        make: |histories| histories.whole("v3-2"),
    },
    Case {
        name: "honest-rotated",
        says: "a log in several files, all of them there",
        ca: "test",
        alone: Verdict::Consistent,
        anchored: Verdict::Complete,
        make: |histories| rotated(histories, false),
    },
    Case {
        name: "cut-tail",
        says: "the last lines are cut off, up to an older signature of the card",
        ca: "test",
        alone: Verdict::Consistent,
        anchored: Verdict::Truncated,
        make: |histories| {
            let mut lines = histories.lines(HONEST)?;
            let signed = edit::signatures(&lines);
            let older = signed.len().checked_sub(3).and_then(|at| signed.get(at)).copied().unwrap_or(0);
            lines.truncate(older.saturating_add(1));
            histories.with(edit::encode(&lines)?, HONEST)
        },
    },
    Case {
        name: "old-log",
        says: "the log of yesterday is put in the place of today's",
        ca: "test",
        alone: Verdict::Consistent,
        anchored: Verdict::Truncated,
        make: |histories| histories.with(histories.read("honest/earlier.log")?, HONEST),
    },
    Case {
        name: "restored",
        says: "the computer is set back to a snapshot and goes on, with a card that has lived through more",
        ca: "test",
        alone: Verdict::RolledBack,
        anchored: Verdict::RolledBack,
        make: |histories| histories.whole("restored"),
    },
    Case {
        name: "second-cardinal",
        says: "the card was used by another Cardinal for a day",
        ca: "test",
        alone: Verdict::RolledBack,
        anchored: Verdict::RolledBack,
        make: |histories| histories.whole("second/ours"),
    },
    Case {
        name: "swapped-lines",
        says: "two lines are swapped",
        ca: "test",
        alone: Verdict::Altered,
        anchored: Verdict::Altered,
        make: |histories| {
            let mut lines = histories.lines(HONEST)?;
            if let Some(at) = edit::intent_for(&lines, CHAT) {
                lines.swap(at, at.saturating_add(2));
            }
            histories.with(edit::encode(&lines)?, HONEST)
        },
    },
    Case {
        name: "swapped-rechained",
        says: "two lines are swapped, and the chain and the checksums are made anew",
        ca: "test",
        alone: Verdict::Altered,
        anchored: Verdict::Altered,
        make: |histories| {
            histories.forged(|lines| {
                let refusals: Vec<usize> =
                    (0..lines.len()).filter(|at| lines.get(*at).is_some_and(is_plain)).take(2).collect();
                if let [first, second] = *refusals.as_slice() {
                    lines.swap(first, second);
                }
            })
        },
    },
    Case {
        name: "edited-purpose",
        says: "the purpose of an export is changed, and the chain and the checksums are made anew",
        ca: "test",
        alone: Verdict::Altered,
        anchored: Verdict::Altered,
        make: |histories| {
            let purpose = "backup".parse().map_err(|_| CliError::Other("no purpose".to_owned()))?;
            histories.forged(|lines| {
                let at = edit::intent_for(lines, CHAT);
                if let Some(line) = at.and_then(|at| lines.get_mut(at)) {
                    edit::set_purpose(line, purpose);
                }
            })
        },
    },
    Case {
        name: "removed-middle",
        says: "an export in the middle is removed",
        ca: "test",
        alone: Verdict::Gap,
        anchored: Verdict::Gap,
        make: |histories| {
            let mut lines = histories.lines(HONEST)?;
            if let Some(at) = edit::intent_for(&lines, CHAT) {
                lines.drain(at..at.saturating_add(2).min(lines.len()));
            }
            histories.with(edit::encode(&lines)?, HONEST)
        },
    },
    Case {
        name: "removed-rechained",
        says: "a refusal is removed, and the numbers, the chain and the checksums are made anew",
        ca: "test",
        alone: Verdict::Altered,
        anchored: Verdict::Altered,
        make: |histories| {
            histories.forged(|lines| {
                if let Some(at) = lines.iter().position(|line| matches!(line.event, audit::Event::Refusal(_))) {
                    lines.remove(at);
                }
            })
        },
    },
    Case {
        name: "spliced",
        says: "the first lines of another card's log stand before the last ones of this",
        ca: "test",
        alone: Verdict::Altered,
        anchored: Verdict::Altered,
        make: |histories| {
            let mut lines = histories.lines("other")?;
            let ours = histories.lines(HONEST)?;
            let half = lines.len() / 2;
            lines.truncate(half);
            lines.extend(ours.into_iter().skip(half));
            histories.with(edit::rechained(lines)?, HONEST)
        },
    },
    Case {
        name: "replayed-head",
        says: "an old signature of the card is shown once more at the end",
        ca: "test",
        alone: Verdict::Altered,
        anchored: Verdict::Altered,
        make: |histories| {
            histories.forged(|lines| {
                let old = edit::signatures(lines).first().and_then(|at| lines.get(*at)).cloned();
                let last = lines.last().map(|line| (line.unix_ms, line.mono_ms));
                if let (Some(mut old), Some((unix_ms, mono_ms))) = (old, last) {
                    (old.unix_ms, old.mono_ms) = (unix_ms, mono_ms);
                    lines.push(old);
                }
            })
        },
    },
    Case {
        name: "forged-signature",
        says: "a bit of the card's last signature is changed, and the chain and the checksums are made anew",
        ca: "test",
        alone: Verdict::Altered,
        anchored: Verdict::Altered,
        make: |histories| {
            histories.forged(|lines| {
                let last = edit::signatures(lines).last().copied();
                if let Some(line) = last.and_then(|at| lines.get_mut(at)) {
                    edit::spoil_signature(line);
                }
            })
        },
    },
    Case {
        name: "file-missing",
        says: "of a log in several files one in the middle is missing",
        ca: "test",
        alone: Verdict::Gap,
        anchored: Verdict::Gap,
        make: |histories| rotated(histories, true),
    },
    Case {
        name: "clock-back",
        says: "the computer's clock is set back by a week",
        ca: "test",
        alone: Verdict::ClockStep,
        anchored: Verdict::ClockStep,
        make: |histories| histories.whole("clock-back"),
    },
    Case {
        name: "future",
        says: "the log is from a time to come",
        ca: "test",
        alone: Verdict::ClockStep,
        anchored: Verdict::ClockStep,
        make: |histories| histories.whole("future"),
    },
    Case {
        name: "decoy",
        says: "the owner was forced to unlock the card and entered the duress PIN",
        ca: "test",
        alone: Verdict::DecoyWallet,
        anchored: Verdict::DecoyWallet,
        make: |histories| histories.whole("decoy"),
    },
    Case {
        name: "unsigned-tail",
        says: "an export that never was is written at the end",
        ca: "test",
        alone: Verdict::UnsignedTail,
        anchored: Verdict::UnsignedTail,
        make: |histories| histories.forged(edit::repeat_last_operation),
    },
    Case {
        name: "unsigned-card",
        says: "a 3.0 card, which signs nothing",
        ca: "test",
        alone: Verdict::UnsignedCard,
        anchored: Verdict::UnsignedCard,
        make: |histories| {
            let log = histories.read("v3-0/export.log")?;
            // Its heads are signed by nobody, so none is kept: its own last line, on paper.
            let head = audit::verify(log.as_slice(), None).ok().and_then(|report| report.head);
            let heads = head.map(|head| format!("{head}\n")).unwrap_or_default().into_bytes();
            Ok(Made { log: vec![(LOG.to_owned(), log)], heads })
        },
    },
    Case {
        name: "test-authority",
        says: "the honest log, but only cards on sale are taken",
        ca: "production",
        alone: Verdict::UnsignedCard,
        anchored: Verdict::UnsignedCard,
        make: |histories| histories.whole(HONEST),
    },
];

fn is_plain(line: &audit::Line) -> bool {
    matches!(line.event, audit::Event::Refusal(_))
}

/// Returns the log in several files, with or without one in the middle.
fn rotated(histories: &Histories, without_one: bool) -> Result<Made, CliError> {
    let dir = histories.0.join("rotated");
    let mut log = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(CliError::file(&dir))? {
        let name = entry.map_err(CliError::file(&dir))?.file_name().to_string_lossy().into_owned();
        if name == LOG || name.strip_prefix("export.log.").is_some_and(|range| range.contains('-')) {
            let bytes = histories.read(&format!("rotated/{name}"))?;
            let first = edit::decode(&bytes)?.first().map_or(0, |line| line.seq);
            log.push((first, name, bytes));
        }
    }
    log.sort();
    if without_one && log.len() > 2 {
        log.remove(log.len() / 2);
    }
    let log = log.into_iter().map(|(_, name, bytes)| (name, bytes)).collect();
    Ok(Made { log, heads: histories.read(&format!("rotated/{SPOOL}"))? })
}

const LOG: &str = "export.log";
const SPOOL: &str = "spool/heads.jsonl";
const HONEST: &str = "honest";
const CHAT: &str = proto::purpose::CHAT;
