//! What is wrong with a line, taken for itself and in its place.

use std::fmt;

use crate::evidence::Unsigned;
use crate::line::NotALine;

/// The first bad line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: What,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum What {
    /// Its own checksum does not fit.
    #[error("altered (its checksum does not fit)")]
    Altered,
    /// It is whole, but the line after it names another one in its place.
    #[error("replaced (the line after it carries the hash of another line)")]
    Replaced,
    /// It is no entry in its one form.
    #[error("malformed")]
    Malformed,
    /// Longer than a line may be.
    #[error("longer than a line may be")]
    TooLong,
    /// The last line has no newline.
    #[error("cut off: its writing was not finished, so nothing followed from it")]
    CutOff,
    /// It is not there, though it was written: the log lost its end.
    #[error("missing: {written} lines were written, the log was cut")]
    Missing {
        /// How many lines there should be at least.
        written: u64,
    },
    /// It is whole, but another line was written in its place.
    #[error("not the line that was written")]
    NotAsWritten,
    /// It is not the next one: lines were removed, inserted or swapped.
    #[error("out of sequence: it says that it is line {found}; lines were removed, inserted or swapped")]
    OutOfSequence {
        /// The number it carries.
        found: u64,
    },
    /// A log begins with the line that names it, and has only one such line.
    #[error("not what a log begins with, or a second beginning")]
    NotTheFirstLine,
    /// A form of lines that is not known here.
    #[error("a log of another format")]
    UnknownFormat,
    /// It ends an intent that is not open.
    #[error("an outcome without an intent (line {intent})")]
    OutcomeWithoutIntent {
        /// The line it refers to.
        intent: u64,
    },
    /// The card signed the head of other lines than those before.
    #[error("the card's signature speaks of another history than the lines before")]
    OtherHead,
    /// It goes on from another log than the one before.
    #[error("it goes on from other lines than those before")]
    OtherBeginning,
    /// It shows a card's signature that is none.
    #[error("{0}")]
    Unsigned(Unsigned),
    /// The identity of its card signed for a card of the other generation too: a device may stand in between.
    #[error("the identity of this card was seen on a card of another generation")]
    OtherGeneration,
}

impl From<NotALine> for What {
    fn from(why: NotALine) -> Self {
        match why {
            NotALine::TooLong => Self::TooLong,
            NotALine::CutOff => Self::CutOff,
            NotALine::Altered => Self::Altered,
            NotALine::Malformed => Self::Malformed,
        }
    }
}
