//! What a log says, all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::CardId;

use super::bad::Bad;
use super::coverage::Coverage;
use super::left::{Key, Left};
use super::nonces::Repeat;
use super::question::Question;
use super::verdict::{Finding, Lines, Verdict};
use crate::closure::{Closure, History};
use crate::line::Head;

/// What a log says.
#[derive(Debug, Clone)]
pub struct Report {
    /// How far the good lines go; nothing when there is none, or lines are missing before the last.
    pub head: Option<Head>,
    /// The lines that were there to be read; nothing when there was none.
    pub lines: Option<Lines>,
    /// When the first and the last of them were written, in milliseconds since 1970.
    pub written: Option<(u64, u64)>,
    /// The first bad line.
    pub bad: Option<Bad>,
    /// All that is not as it should be, by line: at most 1,000 findings.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more_findings: u64,
    /// Whether an anchor or the card says that this is the end.
    pub end_proven: bool,
    /// What no line tells: at most 1,000 questions.
    pub questions: Vec<Question>,
    /// How many more there were.
    pub more_questions: u64,
    /// Which card vouches for which lines.
    pub coverage: Coverage,
    /// What keys under a PIN stated of the log.
    pub statements: Vec<Stated>,
    /// Which managers wrote, from which line on: at most 1,000.
    pub managers: Vec<Manager>,
    /// What left, by key.
    pub left: BTreeMap<Key, Left>,
    /// All of which the closure is computed.
    pub history: History,
    /// What follows from what left, to whom it may.
    pub closure: Closure,
    /// Nonces that were used twice: at most 1,000. The closure has what follows from all.
    pub repeated_nonces: Vec<Repeat>,
    /// How many more there were.
    pub more_repeated_nonces: u64,
    /// The lines of intents without an outcome: outcome unknown, treat as exported.
    pub unknown: Vec<u64>,
    /// How many requests the manager refused.
    pub refusals: u64,
    /// How many cards were enrolled.
    pub provisionings: u64,
    /// The cards that were enrolled and not reset to their factory state since.
    pub enrolled: BTreeSet<CardId>,
    /// The cards that were enrolled, and reset since.
    pub erased: BTreeSet<CardId>,
    /// The cards to which a channel was opened.
    pub met: BTreeSet<CardId>,
}

/// A statement whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// The line.
    pub line: u64,
    /// The lines of which it speaks: all up to this one.
    pub covers: u64,
    /// The card.
    pub card: CardId,
    /// The key that signed, compressed. Who knows the account knows whether it is its.
    pub key: [u8; 33],
}

/// A start of a manager, or other rules under one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// The line.
    pub line: u64,
    /// Its version; none where only the rules changed.
    pub version: Option<String>,
    /// SHA-256 of its binary, when it could be read.
    pub binary: Option<[u8; 32]>,
    /// SHA-256 of the rules from there on.
    pub policy: [u8; 32],
    /// Whether cards of the public test authority are taken, where that was said.
    pub test_authority: Option<bool>,
}

impl Report {
    /// Returns the worst that is to be said.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let found = |verdict: &Verdict| self.findings.iter().any(|finding| finding.verdict == *verdict);
        let best = if self.end_proven && self.lines.is_some_and(|lines| lines.first == 1) {
            Verdict::Complete
        } else {
            Verdict::Consistent
        };
        Verdict::BY_BADNESS.into_iter().find(found).unwrap_or(best)
    }

    /// Returns whether every line fits to the ones before. That the log *ends* there is not proven by the log itself.
    #[must_use]
    pub const fn is_consistent(&self) -> bool {
        self.bad.is_none() && self.head.is_some()
    }

    /// Returns the number of the last line.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.lines.map_or(0, |lines| lines.last)
    }
}

/// The verdict in one line: how far the lines fit together, and the worst finding.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict();
        let worst = self.findings.iter().find(|finding| finding.verdict == verdict);
        let Some(lines) = self.lines.filter(|_| self.is_consistent()) else {
            return match (worst, self.bad) {
                (Some(finding), _) if self.lines.is_some() => write!(f, "{finding}"),
                (_, Some(bad)) => write!(f, "{bad}"),
                _ => f.write_str("no line at all: every line is missing"),
            };
        };
        if verdict == Verdict::Complete {
            let entries = lines.last;
            return match self.coverage.signed_to {
                0 => write!(f, "complete: {entries} entries, signed by no card, and this is the end"),
                signed => write!(f, "complete: {entries} entries, signed up to line {signed}, and this is the end"),
            };
        }
        if lines.first > 1 {
            write!(f, "begins at entry {}, ", lines.first)?;
        }
        let end = if self.end_proven { "and this is the end" } else { "end not proven" };
        write!(f, "consistent up to entry {}, {end}", lines.last)?;
        worst.map_or(Ok(()), |finding| write!(f, "; {finding}"))
    }
}
