//! Reads a log line by line and keeps what the next line must fit to. Opening and verifying are this and no more.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

use proto::Digest;

use crate::entry::{Event, FORMAT, Intent};
use crate::head::Statement;
use crate::line::{Decoder, Head, Line, LineHash, LogId, MAX_LINE};
use crate::operation::Operation;
use crate::tree::{Root, Tree};
use crate::verify::{Bad, What};

/// A log as far as it was read.
#[derive(Debug)]
pub(crate) struct Replay {
    log: Option<LogId>,
    entries: u64,
    last: Last,
    /// None after lines that are missing.
    tree: Option<Tree>,
    bytes: u64,
    open: BTreeMap<u64, Intent>,
    asked: BTreeMap<u64, Asked>,
    remembered: Option<Head>,
    decoder: Decoder,
}

/// What the next line must name as the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// There is none.
    None,
    Line(LineHash),
    /// It could not be read, so anything may be.
    Unreadable,
}

/// What a key was asked to state.
#[derive(Debug)]
struct Asked {
    head: Head,
    digest: Digest,
}

/// A line that was taken, and the intent that it ends.
pub(crate) type Taken = (Line, Option<Intent>);

impl Default for Replay {
    fn default() -> Self {
        Self::against(None)
    }
}

impl Replay {
    /// Returns the beginning of a log that must go as far as was remembered.
    pub(crate) fn against(remembered: Option<Head>) -> Self {
        Self {
            log: None,
            entries: 0,
            last: Last::None,
            tree: Some(Tree::default()),
            bytes: 0,
            open: BTreeMap::new(),
            asked: BTreeMap::new(),
            remembered,
            decoder: Decoder::default(),
        }
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
        while next(&mut from, &mut bytes)? {
            match self.take(&bytes) {
                Ok((line, ended)) => {
                    see(&line, ended.as_ref());
                    self.keep(line);
                }
                Err(bad) => return Ok(Some(bad)),
            }
        }
        Ok(self.missing())
    }

    /// Returns how far the log goes; nothing while it has no line, or after lines that are missing.
    pub(crate) fn head(&self) -> Option<Head> {
        let Last::Line(hash) = self.last else { return None };
        Some(Head { log: self.log?, entries: self.entries, hash, root: self.tree.as_ref()?.root() })
    }

    /// Returns the log's name, the number of the line that was read last, and its hash if it could be read.
    pub(crate) const fn place(&self) -> (Option<LogId>, u64, Option<LineHash>) {
        match self.last {
            Last::Line(hash) => (self.log, self.entries, Some(hash)),
            Last::None | Last::Unreadable => (self.log, self.entries, None),
        }
    }

    /// Returns the root over all lines, unless some are missing.
    pub(crate) fn root(&self) -> Option<Root> {
        self.tree.as_ref().map(Tree::root)
    }

    /// Returns whether lines are missing, so that no signature can be held against them.
    pub(crate) const fn is_broken(&self) -> bool {
        self.tree.is_none()
    }

    /// Returns the tree over the lines.
    pub(crate) fn into_tree(self) -> Tree {
        self.tree.unwrap_or_default()
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

    /// Takes the next line; [`Self::keep`] follows when it was looked at. Of a bad line nothing is taken.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Taken, Bad> {
        let expected = self.entries.saturating_add(1);
        let (line, hash) = self.decoder.decode(bytes).map_err(|why| Bad { line: expected, what: why.into() })?;
        if let (None, Event::LogContinued { .. }) = (self.log, &line.event) {
            self.carry_on(&line).map_err(|what| Bad { line: expected, what })?;
        }
        let seq = self.entries.saturating_add(1);
        let bad = |what| Bad { line: seq, what };
        if let Event::LogContinued { previous, .. } = &line.event
            && self.log != Some(previous.log)
        {
            return Err(bad(What::OtherBeginning));
        }
        if line.seq != seq {
            return Err(bad(What::OutOfSequence { found: line.seq }));
        }
        match self.last {
            // This line is whole, and it names another line before it: that one was replaced.
            Last::Line(last) if line.prev != last => return Err(Bad { line: self.entries, what: What::Replaced }),
            Last::None if line.prev != LineHash::ZERO => return Err(bad(What::NotTheFirstLine)),
            _ => {}
        }
        if self.remembered.is_some_and(|head| head.entries == seq && head.hash != hash) {
            return Err(bad(What::NotAsWritten));
        }
        let ended = self.check_event(&line).map_err(bad)?;
        self.commit(seq, hash, bytes.len());
        Ok((line, ended))
    }

    /// Keeps of a line that was taken what an outcome will end. Of a log with too many intents that nothing came of it
    /// gives the oldest back.
    pub(crate) fn keep(&mut self, line: Line) -> Option<(u64, Intent)> {
        let Event::Intent(intent) = line.event else { return None };
        self.open.insert(line.seq, intent);
        if self.open.len() > MOST_OPEN { self.open.pop_first() } else { None }
    }

    /// Goes on after a bad line, with what of it can be read.
    pub(crate) fn resume(&mut self, bytes: &[u8], bad: &Bad) -> Option<Taken> {
        let Ok((line, hash)) = self.decoder.decode(bytes) else {
            self.entries = self.entries.saturating_add(1);
            (self.last, self.tree) = (Last::Unreadable, None);
            return None;
        };
        // The line itself may be in its place, and what is wrong lies in what it says.
        let is_in_place = matches!(
            bad.what,
            What::OtherHead | What::NotAsWritten | What::OutcomeWithoutIntent { .. } | What::OtherBeginning
        );
        if !is_in_place {
            self.tree = None;
        }
        match &line.event {
            Event::LogCreated { log, .. } if self.log.is_none() => self.log = Some(*log),
            Event::LogContinued { previous, peaks, .. } => {
                self.log = Some(previous.log);
                self.tree = Tree::of(previous.entries, peaks.clone()).ok().filter(|tree| tree.root() == previous.root);
            }
            _ => {}
        }
        self.commit(line.seq, hash, bytes.len());
        let ended = match &line.event {
            Event::Outcome { intent, .. } => self.open.remove(intent),
            _ => None,
        };
        Some((line, ended))
    }

    fn commit(&mut self, seq: u64, hash: LineHash, bytes: usize) {
        self.entries = seq;
        self.last = Last::Line(hash);
        if let Some(tree) = &mut self.tree {
            tree.push(&hash);
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
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
            (Some(previous.log), previous.entries, Last::Line(previous.hash), Some(tree));
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
            (Event::Intent(intent), Some(_)) => self.note_statement(line.seq, intent),
            (Event::Outcome { intent, .. }, Some(_)) => {
                return self.open.remove(intent).map(Some).ok_or(What::OutcomeWithoutIntent { intent: *intent });
            }
            (Event::LogContinued { previous, peaks, .. }, Some(_)) => {
                let continues = |tree: &Tree| self.head() == Some(*previous) && tree.peaks() == peaks;
                if !self.tree.as_ref().is_some_and(continues) {
                    return Err(What::OtherBeginning);
                }
            }
            (Event::ChannelOpened(opened), Some(_)) => self.check_head(|head| opened.vouches_for(head))?,
            (Event::PairedChannelOpened(opened), Some(_)) => self.check_head(|head| opened.vouches_for(head))?,
            (Event::HeadSigned(signed), Some(_)) => self.check_head(|head| signed.vouches_for(head))?,
            (Event::Statement(statement), Some(_)) => self.check_statement(statement)?,
            (
                Event::LogOpened(_)
                | Event::PolicyChanged { .. }
                | Event::Refusal(_)
                | Event::Provisioning(_)
                | Event::Decoy(_)
                | Event::SecondWriter(_)
                | Event::Owner(_),
                Some(_),
            ) => {}
        }
        Ok(None)
    }

    fn check_head(&self, vouches: impl FnOnce(&Head) -> bool) -> Result<(), What> {
        // After lines that are missing nobody knows the head.
        if self.head().is_none_or(|head| vouches(&head)) { Ok(()) } else { Err(What::OtherHead) }
    }

    /// Remembers the head before the intent of a statement.
    fn note_statement(&mut self, seq: u64, intent: &Intent) {
        let Operation::Sign(signing) = &intent.request.operation else { return };
        let is_statement = intent.request.operation.is_statement();
        if let Some(head) = is_statement.then(|| self.head()).flatten() {
            self.asked.insert(seq, Asked { head, digest: signing.digest });
            if self.asked.len() > MOST_ASKED {
                self.asked.pop_first();
            }
        }
    }

    fn check_statement(&mut self, statement: &Statement) -> Result<(), What> {
        let missing = What::OutcomeWithoutIntent { intent: statement.intent };
        let Some(asked) = self.asked.remove(&statement.intent) else {
            return if self.is_broken() { Ok(()) } else { Err(missing) };
        };
        let signs = asked.digest == Digest::from(statement.salt);
        if signs && asked.head.salt(&statement.random) == statement.salt { Ok(()) } else { Err(What::OtherHead) }
    }
}

/// Reads the next line, newline included, into `bytes`; returns whether there was one.
pub(crate) fn next(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    bytes.clear();
    // One byte more than allowed is enough to know that a line is too long.
    let room = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
    let read = from.by_ref().take(room).read_until(b'\n', bytes)?;
    if read > MAX_LINE && bytes.last() != Some(&b'\n') {
        from.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

/// Intents whose outcome may still come.
const MOST_OPEN: usize = 1 << 16;
/// Statements that were asked for and not yet given: a manager asks for one at a time.
const MOST_ASKED: usize = 16;
