//! What an auditor says of a log, and the findings it rests on.

use std::fmt;

use proto::{CardId, KeyPath};

use super::anchor::Anchor;
use super::bad::What;
use crate::closure::Wallet;
use crate::line::Head;

/// What is to be thought of a log, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every line is as it was written, signed by a card, and an anchor or the card says that this is the end.
    Complete,
    /// Every line fits to the ones before; nothing says that this is the end.
    Consistent,
    /// Lines are missing between others.
    Gap,
    /// A line is not as it was written.
    Altered,
    /// Lines at the end are missing.
    Truncated,
    /// The log is an older or another one than the card or an anchor knows.
    RolledBack,
    /// No card signed what came after some line.
    UnsignedTail,
    /// The wall clock was set.
    ClockStep,
    /// A card showed other keys than before, as it does under its duress PIN.
    DecoyWallet,
    /// No card that is taken for genuine vouches for some lines.
    UnsignedCard,
}

impl Verdict {
    /// Every verdict, the worst first.
    pub const BY_BADNESS: [Self; 10] = [
        Self::Altered,
        Self::Gap,
        Self::Truncated,
        Self::RolledBack,
        Self::DecoyWallet,
        Self::ClockStep,
        Self::UnsignedTail,
        Self::UnsignedCard,
        Self::Consistent,
        Self::Complete,
    ];

    /// Returns the name that programs read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Consistent => "consistent",
            Self::Gap => "gap",
            Self::Altered => "altered",
            Self::Truncated => "truncated",
            Self::RolledBack => "rolled-back",
            Self::UnsignedTail => "unsigned-tail",
            Self::ClockStep => "clock-step",
            Self::DecoyWallet => "decoy-wallet",
            Self::UnsignedCard => "unsigned-card",
        }
    }
}

/// The name in words.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.name().split('-');
        f.write_str(words.next().unwrap_or_default())?;
        words.try_for_each(|word| write!(f, " {word}"))
    }
}

/// Lines from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lines {
    /// The first, from 1.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Lines {
    /// Returns one line.
    #[must_use]
    pub const fn one(line: u64) -> Self {
        Self { first: line, last: line }
    }

    /// Returns the lines from `first` to `last`; one line when `last` is before it.
    #[must_use]
    pub const fn from_to(first: u64, last: u64) -> Self {
        Self { first, last: if last < first { first } else { last } }
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "line {first}") } else { write!(f, "lines {first}-{last}") }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub lines: Lines,
    /// What for a verdict it asks for.
    pub verdict: Verdict,
    /// What it is.
    pub why: Why,
}

/// `altered, line 7: …`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.verdict, self.lines, self.why)
    }
}

/// What a finding is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Something about the line itself.
    #[error("{0}")]
    Line(What),
    /// The lines are not in the file.
    #[error("removed: the line after them is there, they are not")]
    Removed,
    /// The file has nothing in it.
    #[error("no line at all: every line is missing")]
    Nothing,
    /// An anchor knows more lines than there are.
    #[error("not there, but {} knew {} entries", .anchor.kept, .anchor.head.entries)]
    AnchorKnowsMore {
        /// What knew them.
        anchor: Anchor,
    },
    /// An anchor knows another line at this place.
    #[error("{} has another line here: the log from there on was written anew", .anchor.kept)]
    AnchorKnowsOther {
        /// What knew it.
        anchor: Anchor,
    },
    /// None of the anchors is of this log.
    #[error("{} is of the log {}, this is another", .anchor.kept, .anchor.head.log)]
    AnchorOfOtherLog {
        /// One of them.
        anchor: Anchor,
    },
    /// The card remembered more of this log than the lines before.
    #[error("the card remembered {} entries of this log: it was set back", .found.entries)]
    CardRemembersMore {
        /// What it remembered.
        found: Head,
    },
    /// The card remembered another log.
    #[error("the card remembered the log {}: another manager writes about this card", .found.log)]
    CardRemembersOther {
        /// What it remembered.
        found: Head,
    },
    /// Outcomes that no signature covers.
    #[error("{outcomes} outcome(s) after the last signature of a card: who has the file could change them")]
    NotSigned {
        /// How many.
        outcomes: u64,
    },
    /// The wall clock went back, against the monotonic one or from one run of a manager to the next.
    #[error("the wall clock was set back by {} s here (tolerance {} s)", .millis / 1000, .tolerance / 1000)]
    SetBack {
        /// By so many milliseconds.
        millis: u64,
        /// So many would not have been told.
        tolerance: u64,
    },
    /// The wall clock went ahead of the monotonic one, which counts sleep too.
    #[error(
        "the wall clock was set forward by {} s here (tolerance {} s), or the virtual machine was paused",
        .millis / 1000, .tolerance / 1000
    )]
    SetForward {
        /// By so many milliseconds.
        millis: u64,
        /// So many would not have been told.
        tolerance: u64,
    },
    /// The monotonic clock went back without a manager having been started.
    #[error("the monotonic clock went back by {millis} ms without a start of the manager")]
    Backwards {
        /// By so many milliseconds.
        millis: u64,
    },
    /// Written later than now.
    #[error("written up to {} s later than now: a log from the future", .millis / 1000)]
    FromTheFuture {
        /// By so many milliseconds.
        millis: u64,
    },
    /// The manager itself says that the card showed its decoy.
    #[error("the decoy keys of {card} were used")]
    Decoy {
        /// The card.
        card: CardId,
    },
    /// One key of one account has two fingerprints.
    #[error("the key at {path} of {wallet} is another one than in line {before}")]
    OtherKey {
        /// The account.
        wallet: Box<Wallet>,
        /// The key.
        path: KeyPath,
        /// Where the other one was seen.
        before: u64,
    },
    /// The card cannot sign, or has no certificate.
    #[error("{card} (applet {applet}) signs nothing: only the file vouches for these lines")]
    SignsNothing {
        /// The card.
        card: CardId,
        /// Its version.
        applet: String,
    },
    /// The card signs, but its authority is not one that was named.
    #[error("{card} is certified by {authority}, which is not taken")]
    NotTaken {
        /// The card.
        card: CardId,
        /// Who certified it.
        authority: String,
    },
}
