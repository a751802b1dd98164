//! The writing side of the log: each entry is chained to the one before and synced before anyone is told.

use std::io::BufRead;

use crate::entry::{Caller, ChannelOpened, Decoy, Event, Intent, LogOpened, Outcome, Provisioning, Refusal};
use crate::head::{HeadSigned, SecondWriter, Statement};
use crate::line::{Head, Line, LineHash, LogId, NotALine, When};
use crate::owner::Owner;
use crate::paired::PairedChannelOpened;
use crate::recorded::{Recorded, Request};
use crate::replay::Replay;
use crate::store::{LogStore, StoreError};
use crate::text::Purpose;
use crate::tree::Tree;
use crate::verify::Bad;

/// An open log with its store.
#[derive(Debug)]
pub struct Log<S> {
    store: S,
    head: Head,
    tree: Tree,
    torn: bool,
}

/// Why an entry was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The store refused the line.
    #[error("the export log cannot be written")]
    Store(#[from] StoreError),
    /// An earlier line may be there in part, so nothing more is appended until the log is opened anew.
    #[error("the export log was torn by an earlier failure; check it with verify before you go on")]
    Torn,
    /// The entry does not fit a line.
    #[error("the entry does not fit a line of the export log")]
    TooLong,
}

/// Why a log cannot be continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It could not be read.
    #[error("the export log cannot be read")]
    Read(#[from] std::io::Error),
    /// It does not verify.
    #[error("the export log does not verify: {bad}; the lines before end at byte {good_bytes}")]
    Bad {
        /// The first bad line.
        bad: Bad,
        /// How many bytes the lines before it have.
        good_bytes: u64,
    },
    /// It has no line at all.
    #[error("the export log is empty")]
    Empty,
}

impl<S: LogStore> Log<S> {
    /// Begins a log in an empty store.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn create(store: S, log: LogId, when: When) -> Result<Self, LogError> {
        let tree = Tree::default();
        let head = Head { log, entries: 0, hash: LineHash::ZERO, root: tree.root() };
        let mut begun = Self { store, head, tree, torn: false };
        begun.append(when, Event::created(log))?;
        Ok(begun)
    }

    /// Goes on in an empty store, whose first line carries on from this log's last.
    ///
    /// # Errors
    /// [`LogError`]; what is left of the new store is worth nothing then, and this log goes on as it is.
    pub fn continued(&self, store: S, when: When) -> Result<Self, LogError> {
        if self.torn {
            return Err(LogError::Torn);
        }
        let mut next = Self { store, head: self.head, tree: self.tree.clone(), torn: false };
        next.append(when, Event::continued(self.head, self.tree.peaks().to_vec()))?;
        Ok(next)
    }

    /// Continues the log whose lines `existing` yields, after checking every one of them, and that they go as far as
    /// was remembered.
    ///
    /// # Errors
    /// [`OpenError`]: nothing is written then.
    pub fn open(store: S, existing: impl BufRead, remembered: Option<Head>) -> Result<Self, OpenError> {
        let mut replay = Replay::against(remembered);
        if let Some(bad) = replay.read(existing, |_, _| {})? {
            return Err(OpenError::Bad { bad, good_bytes: replay.bytes() });
        }
        let head = replay.head().ok_or(OpenError::Empty)?;
        Ok(Self { store, head, tree: replay.into_tree(), torn: false })
    }

    /// Records what is about to be asked of a card. Only this makes a [`Recorded`].
    ///
    /// # Errors
    /// [`LogError`]: the card must not be asked.
    pub fn intent(
        &mut self,
        when: When,
        request: Request,
        purpose: Purpose,
        caller: Caller,
        policy: [u8; 32],
    ) -> Result<Recorded, LogError> {
        let intent = Intent { request: request.clone(), purpose, caller, policy };
        let seq = self.append(when, Event::Intent(intent))?;
        Ok(Recorded::new(request, seq))
    }

    /// Records what came of it, which ends the receipt.
    ///
    /// # Errors
    /// [`LogError`]: what came out of the card must be wiped.
    pub fn outcome(&mut self, when: When, recorded: Recorded, outcome: Outcome) -> Result<u64, LogError> {
        self.append(when, Event::Outcome { intent: recorded.seq(), outcome })
    }

    /// Records that the manager refused something.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn refusal(&mut self, when: When, refusal: Refusal) -> Result<u64, LogError> {
        self.append(when, Event::Refusal(refusal))
    }

    /// Records that a card was enrolled.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn provisioning(&mut self, when: When, provisioning: Provisioning) -> Result<u64, LogError> {
        self.append(when, Event::Provisioning(provisioning))
    }

    /// Records that a card shows other keys than before, and that they are used.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn decoy(&mut self, when: When, decoy: Decoy) -> Result<u64, LogError> {
        self.append(when, Event::Decoy(decoy))
    }

    /// Records what an owner does, before it is done.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn owner(&mut self, when: When, owner: Owner) -> Result<u64, LogError> {
        self.append(when, Event::Owner(owner))
    }

    /// Records the evidence of a channel opening, whose salt must be [`Head::salt`] of [`Self::head`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn channel_opened(&mut self, when: When, opened: ChannelOpened) -> Result<u64, LogError> {
        self.append(when, Event::ChannelOpened(Box::new(opened)))
    }

    /// Records the evidence of a channel opened with a pairing. What the card signed, if it did, is [`Head::salt`] of
    /// [`Self::head`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn paired_channel_opened(&mut self, when: When, opened: PairedChannelOpened) -> Result<u64, LogError> {
        self.append(when, Event::PairedChannelOpened(Box::new(opened)))
    }

    /// Records that a card signed [`Self::head`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn head_signed(&mut self, when: When, signed: HeadSigned) -> Result<u64, LogError> {
        self.append(when, Event::HeadSigned(Box::new(signed)))
    }

    /// Records that a key signed the head before the intent of that signature.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn statement(&mut self, when: When, statement: Statement) -> Result<u64, LogError> {
        self.append(when, Event::Statement(Box::new(statement)))
    }

    /// Records that a card remembers a head that this log never had.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn second_writer(&mut self, when: When, found: SecondWriter) -> Result<u64, LogError> {
        self.append(when, Event::SecondWriter(found))
    }

    /// Records that other rules are in force from here on.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn policy_changed(&mut self, when: When, from: [u8; 32], to: [u8; 32]) -> Result<u64, LogError> {
        self.append(when, Event::PolicyChanged { from, to })
    }

    /// Records which manager writes from here on.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn opened(&mut self, when: When, opened: LogOpened) -> Result<u64, LogError> {
        self.append(when, Event::LogOpened(opened))
    }

    /// Returns how far the log goes.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, when: When, event: Event) -> Result<u64, LogError> {
        if self.torn {
            return Err(LogError::Torn);
        }
        let seq = self.head.entries.saturating_add(1);
        let mono = when.monotonic.since_start().as_millis();
        let line = Line {
            seq,
            unix_ms: when.unix.get(),
            mono_ms: u64::try_from(mono).unwrap_or(u64::MAX),
            prev: self.head.hash,
            event,
        };
        let bytes = line.encode().map_err(|why| match why {
            NotALine::TooLong | NotALine::CutOff | NotALine::Altered | NotALine::Malformed => LogError::TooLong,
        })?;
        match self.store.append_synced(&bytes) {
            Ok(()) => {
                let hash = LineHash::of(&bytes);
                self.tree.push(&hash);
                self.head = Head { log: self.head.log, entries: seq, hash, root: self.tree.root() };
                self.store.remember(&self.head);
                Ok(seq)
            }
            Err(error) => {
                self.torn = matches!(error, StoreError::Torn { .. });
                Err(error.into())
            }
        }
    }
}
