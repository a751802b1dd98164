//! Reads a log line by line and keeps what the next line must fit to. Opening and verifying are this and no more.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

use crate::entry::{Event, FORMAT, Intent};
use crate::line::{Head, Line, LineHash, LogId, MAX_LINE, NotALine};
use crate::tree::Tree;
use crate::verify::{Bad, What};

/// A log as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    log: Option<LogId>,
    entries: u64,
    last: Option<LineHash>,
    tree: Tree,
    bytes: u64,
    open: BTreeMap<u64, Intent>,
    remembered: Option<Head>,
}

impl Replay {
    /// Returns the beginning of a log that must go as far as was remembered.
    pub(crate) fn against(remembered: Option<Head>) -> Self {
        Self { remembered, ..Self::default() }
    }

    /// Reads every line and shows each good one to `see`, with the intent that an outcome ends.
    ///
    /// Returns the first line that is bad, if any; nothing of it and after it was taken.
    pub(crate) fn read(
        &mut self,
        mut from: impl BufRead,
        mut see: impl FnMut(&Line, Option<&Intent>),
    ) -> std::io::Result<Option<Bad>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            // One byte more than allowed is enough to know that a line is too long.
            let room = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
            from.by_ref().take(room).read_until(b'\n', &mut bytes)?;
            if bytes.is_empty() {
                return Ok(self.missing());
            }
            if let Err(bad) = self.take(&bytes, &mut see) {
                return Ok(Some(bad));
            }
        }
    }

    /// Returns how far the log goes; nothing while it has no line.
    pub(crate) fn head(&self) -> Option<Head> {
        Some(Head { log: self.log?, entries: self.entries, hash: self.last?, root: self.tree.root() })
    }

    /// Returns the tree over the lines.
    pub(crate) fn into_tree(self) -> Tree {
        self.tree
    }

    /// Returns how many bytes the good lines have.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the intents without an outcome, by line.
    pub(crate) fn into_open(self) -> BTreeMap<u64, Intent> {
        self.open
    }

    /// Returns the first of the lines that were written and are not there.
    fn missing(&self) -> Option<Bad> {
        let written = self.remembered.map(|head| head.entries).filter(|written| *written > self.entries)?;
        Some(Bad { line: self.entries.saturating_add(1), what: What::Missing { written } })
    }

    fn take(&mut self, bytes: &[u8], see: &mut impl FnMut(&Line, Option<&Intent>)) -> Result<(), Bad> {
        let seq = self.entries.saturating_add(1);
        let bad = |what| Bad { line: seq, what };
        let line = Line::decode(bytes).map_err(|why| {
            bad(match why {
                NotALine::TooLong => What::TooLong,
                NotALine::CutOff => What::CutOff,
                NotALine::Altered => What::Altered,
                NotALine::Malformed => What::Malformed,
            })
        })?;
        if let (None, Event::LogContinued { .. }) = (self.log, &line.event) {
            self.carry_on(&line).map_err(bad)?;
        }
        let seq = self.entries.saturating_add(1);
        if line.seq != seq {
            return Err(bad(What::OutOfSequence { found: line.seq }));
        }
        match self.last {
            // This line is whole, and it names another line before it: that one was replaced.
            Some(last) if line.prev != last => return Err(Bad { line: self.entries, what: What::Replaced }),
            None if line.prev != LineHash::ZERO => return Err(bad(What::NotTheFirstLine)),
            _ => {}
        }
        let hash = LineHash::of(bytes);
        if self.remembered.is_some_and(|head| head.entries == seq && head.hash != hash) {
            return Err(bad(What::NotAsWritten));
        }
        let ended = self.check_event(&line).map_err(bad)?;
        see(&line, ended.as_ref());
        self.entries = seq;
        self.last = Some(hash);
        self.tree.push(&hash);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Takes the place of a file that begins where another ended: what that one held is not known here.
    fn carry_on(&mut self, first: &Line) -> Result<(), What> {
        let Event::LogContinued { format, previous, peaks } = &first.event else { return Ok(()) };
        if format.as_str() != FORMAT {
            return Err(What::UnknownFormat);
        }
        let tree = Tree::of(previous.entries, peaks.clone()).map_err(|_| What::Malformed)?;
        if previous.entries == 0 || tree.root() != previous.root {
            return Err(What::Malformed);
        }
        (self.log, self.entries, self.last, self.tree) =
            (Some(previous.log), previous.entries, Some(previous.hash), tree);
        Ok(())
    }

    fn check_event(&mut self, line: &Line) -> Result<Option<Intent>, What> {
        match (&line.event, self.log) {
            (Event::LogCreated { format, log }, None) => {
                if format.as_str() != FORMAT {
                    return Err(What::UnknownFormat);
                }
                self.log = Some(*log);
            }
            (_, None) | (Event::LogCreated { .. }, Some(_)) => return Err(What::NotTheFirstLine),
            (Event::Intent(intent), Some(_)) => {
                self.open.insert(line.seq, intent.clone());
            }
            (Event::Outcome { intent, .. }, Some(_)) => {
                return self.open.remove(intent).map(Some).ok_or(What::OutcomeWithoutIntent { intent: *intent });
            }
            (Event::LogContinued { previous, peaks, .. }, Some(_)) => {
                if self.head() != Some(*previous) || self.tree.peaks() != peaks {
                    return Err(What::OtherHead);
                }
            }
            (Event::ChannelOpened(opened), Some(_)) => {
                self.check_head(|head| opened.vouches_for(head))?;
            }
            (Event::PairedChannelOpened(opened), Some(_)) => {
                self.check_head(|head| opened.vouches_for(head))?;
            }
            (Event::HeadSigned(signed), Some(_)) => {
                self.check_head(|head| signed.vouches_for(head))?;
            }
            (
                Event::LogOpened(_)
                | Event::PolicyChanged { .. }
                | Event::Refusal(_)
                | Event::Provisioning(_)
                | Event::Decoy(_)
                | Event::Statement(_)
                | Event::SecondWriter(_)
                | Event::Owner(_),
                Some(_),
            ) => {}
        }
        Ok(None)
    }

    fn check_head(&self, vouches: impl FnOnce(&Head) -> bool) -> Result<(), What> {
        if self.head().is_some_and(|head| vouches(&head)) { Ok(()) } else { Err(What::OtherHead) }
    }
}
