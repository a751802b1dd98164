//! Makes proofs in two passes over the files of a log: how far it goes, and then the nodes that are asked for.

use std::io::BufRead;

use super::path::{Gathering, to_head, to_line};
use super::{FORMAT, Of, Proof, TreeHead, signature_in, vouches};
use crate::entry::Event;
use crate::line::{Head, Line, LineHash};
use crate::replay::{self, Replay};
use crate::text::Text;
use crate::tree::Tree;
use crate::verify::{Bad, Lines};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotProve {
    /// A file cannot be read.
    #[error("the log cannot be read")]
    Read(#[from] std::io::Error),
    /// The log is not whole.
    #[error("the log is not whole, so nothing is proven of it: {bad}")]
    Bad {
        /// The first bad line.
        bad: Bad,
    },
    /// The log has no line at all.
    #[error("the log is empty")]
    Empty,
    /// The line comes after the head.
    #[error("line {line} comes after the head, which has {entries} entries; choose a later head")]
    AfterTheHead {
        /// The line.
        line: u64,
        /// How many lines the head has.
        entries: u64,
    },
    /// A line is in a file that is not there.
    #[error("line {line} is needed, and is in an older file of this log: name that file too")]
    OlderFile {
        /// The line.
        line: u64,
    },
    /// The head is not one of this log.
    #[error(
        "the log has other lines than the head with {entries} entries: it is of another log, or this one was written anew"
    )]
    OtherHead {
        /// How many lines the head has.
        entries: u64,
    },
    /// The log ends before a head of it.
    #[error("the log lost {lines}: a head with {} entries is known; look for them in a backup", lines.last)]
    Lost {
        /// What is missing at its end.
        lines: Lines,
    },
}

/// How far a log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The newest head.
    pub head: Head,
    /// How many entries the newest head has that a card signed in the line after it; 0 when there is none.
    pub signed: u64,
}

/// The first pass.
#[derive(Debug, Default)]
pub struct Survey {
    replay: Replay,
    signed: u64,
    /// The heads that the log must have, by their size.
    known: Vec<TreeHead>,
    /// The first of them that it does not have.
    other: Option<u64>,
}

impl Survey {
    /// Returns a survey of a log that must have these heads, all of its name. One of before the first file is not compared.
    #[must_use]
    pub fn against(known: impl IntoIterator<Item = TreeHead>) -> Self {
        let mut known: Vec<TreeHead> = known.into_iter().collect();
        known.sort_unstable_by_key(|head| head.entries);
        Self { known, ..Self::default() }
    }

    /// Reads the next file, the oldest first.
    ///
    /// # Errors
    /// [`CannotProve::Read`], [`CannotProve::Bad`].
    pub fn read(&mut self, file: impl BufRead) -> Result<(), CannotProve> {
        let Self { replay, signed, known, other } = self;
        let mut compare = |at: Option<Head>| {
            let is_other = |at: &TreeHead| of_size(known, at.entries).iter().any(|head| head != at);
            if let Some(at) = at.map(TreeHead::from).filter(is_other) {
                other.get_or_insert(at.entries);
            }
        };
        let mut is_first = replay.place().0.is_none();
        each(replay, file, |line, _, replay| {
            if let (true, Event::LogContinued { previous, .. }) = (is_first, &line.event) {
                compare(Some(*previous));
            }
            is_first = false;
            if !of_size(known, line.seq).is_empty() {
                compare(replay.head());
            }
            // That it speaks of the head before it was checked when the line was taken.
            if signature_in(&line.event).is_some_and(|(_, checked)| checked.is_ok()) {
                *signed = line.seq.saturating_sub(1);
            }
        })
    }

    /// Returns how far the log goes.
    ///
    /// # Errors
    /// [`CannotProve::Empty`]; [`CannotProve::OtherHead`] and [`CannotProve::Lost`] for a log without a head that it must have.
    pub fn finish(self) -> Result<Standing, CannotProve> {
        let head = self.replay.head().ok_or(CannotProve::Empty)?;
        if let Some(entries) = self.other {
            return Err(CannotProve::OtherHead { entries });
        }
        match self.known.last() {
            Some(last) if last.entries > head.entries => Err(lost(head.entries, last.entries)),
            _ => Ok(Standing { head, signed: self.signed }),
        }
    }
}

/// Returns the heads of this size, of those that are ordered by it.
fn of_size(known: &[TreeHead], entries: u64) -> &[TreeHead] {
    let first = known.partition_point(|head| head.entries < entries);
    let next = known.partition_point(|head| head.entries <= entries);
    known.get(first..next).unwrap_or_default()
}

fn lost(entries: u64, known: u64) -> CannotProve {
    CannotProve::Lost { lines: Lines::from_to(entries.saturating_add(1), known) }
}

/// What is to be proven of the head with so many entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// That the log has this line.
    Line(u64),
    /// That the log begins with the lines of this head.
    Since(TreeHead),
}

/// The second pass.
#[derive(Debug)]
pub struct Prover {
    replay: Replay,
    entries: u64,
    head: Option<TreeHead>,
    signed: Option<String>,
    works: Vec<Work>,
}

/// One proof in the making.
#[derive(Debug)]
struct Work {
    ask: Ask,
    gathering: Gathering,
    /// The line, or nothing for an older head that was found.
    found: Option<String>,
}

impl Prover {
    /// Returns a prover that proves this of the head with so many entries.
    ///
    /// # Errors
    /// [`CannotProve::AfterTheHead`].
    pub fn of(asks: &[Ask], entries: u64) -> Result<Self, CannotProve> {
        let work = |ask: &Ask| {
            let line = match ask {
                Ask::Line(line) => *line,
                Ask::Since(old) => old.entries,
            };
            if line > entries {
                return Err(CannotProve::AfterTheHead { line, entries });
            }
            let at = line.checked_sub(1).ok_or(CannotProve::Empty)?;
            let path = if matches!(ask, Ask::Line(_)) { to_line(at, entries) } else { to_head(line, entries) };
            Ok(Work { ask: *ask, gathering: Gathering::of(path), found: None })
        };
        let works = asks.iter().map(work).collect::<Result<_, _>>()?;
        Ok(Self { replay: Replay::default(), entries, head: None, signed: None, works })
    }

    /// Reads the next file, the oldest first.
    ///
    /// # Errors
    /// [`CannotProve::Read`], [`CannotProve::Bad`], [`CannotProve::OtherHead`].
    pub fn read(&mut self, file: impl BufRead) -> Result<(), CannotProve> {
        let Self { replay, entries, head, signed, works } = self;
        let mut is_first = replay.place().0.is_none();
        let mut other = None;
        each(replay, file, |line, bytes, replay| {
            let hash = LineHash::of(bytes);
            let text = || Some(String::from_utf8_lossy(bytes).into_owned());
            let mut stands = None;
            if let (true, Event::LogContinued { previous, peaks, .. }) = (is_first, &line.event) {
                if let Ok(tree) = Tree::of(previous.entries, peaks.clone()) {
                    works.iter_mut().for_each(|work| work.gathering.carry_on(&tree));
                }
                stands = Some(*previous);
            }
            is_first = false;
            let is_asked = |work: &Work| matches!(work.ask, Ask::Since(old) if old.entries == line.seq);
            let here = (line.seq == *entries || works.iter().any(is_asked)).then(|| replay.head()).flatten();
            for at in stands.into_iter().chain(here) {
                if at.entries == *entries {
                    *head = Some(at.into());
                }
                for work in works.iter_mut() {
                    if let Ask::Since(old) = work.ask
                        && old.entries == at.entries
                    {
                        work.found = Some(String::new());
                        if old != TreeHead::from(at) {
                            other = Some(CannotProve::OtherHead { entries: old.entries });
                        }
                    }
                }
            }
            for work in works.iter_mut() {
                work.gathering.take(line.seq.saturating_sub(1), &hash);
                if work.ask == Ask::Line(line.seq) {
                    work.found = text();
                }
            }
            let is_after = line.seq.checked_sub(1) == Some(*entries);
            if is_after
                && head.is_some_and(|head| vouches(&line.event, &head))
                && signature_in(&line.event).is_some_and(|(_, checked)| checked.is_ok())
            {
                *signed = text();
            }
        })?;
        other.map_or(Ok(()), Err)
    }

    /// Returns the proofs, in the order in which they were asked for.
    ///
    /// # Errors
    /// [`CannotProve::OlderFile`]; [`CannotProve::Lost`] for a log that ends before the head.
    pub fn finish(self) -> Result<Vec<Proof>, CannotProve> {
        let Self { replay, entries, head, signed, works } = self;
        let (_, last, _) = replay.place();
        let missing = || if last < entries { lost(last, entries) } else { CannotProve::OlderFile { line: entries } };
        let head = head.ok_or_else(missing)?;
        let prove = |Work { ask, gathering, found }: Work| {
            let (line, of) = match ask {
                Ask::Line(number) => (number, found.map(|entry| Of::Line { number, entry })),
                Ask::Since(old) => (old.entries, found.map(|_| Of::Head(old))),
            };
            let of = of.ok_or(CannotProve::OlderFile { line })?;
            let path = gathering.path().map_err(|at| CannotProve::OlderFile { line: at.saturating_add(1) })?;
            Ok(Proof { format: Text::lossy(FORMAT), head, of, path, signed: signed.clone() })
        };
        works.into_iter().map(prove).collect()
    }
}

/// Shows each line with its bytes, when it was taken.
fn each(
    replay: &mut Replay,
    mut file: impl BufRead,
    mut see: impl FnMut(&Line, &[u8], &Replay),
) -> Result<(), CannotProve> {
    let mut bytes = Vec::new();
    while replay::next(&mut file, &mut bytes)? {
        let (line, _) = replay.take(&bytes).map_err(|bad| CannotProve::Bad { bad })?;
        see(&line, &bytes, replay);
        replay.keep(line);
    }
    Ok(())
}
