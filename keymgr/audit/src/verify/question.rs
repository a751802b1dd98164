//! What a log cannot answer: neither good nor bad, and said in every report.

use std::fmt;

use proto::{CardId, KeyPath};

use super::verdict::Lines;
use crate::closure::Wallet;

/// Something that no line of the log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// What the entries before the first file say.
    Begins {
        /// The first entry that was there to be read.
        entry: u64,
    },
    /// What other programs did with a card while its reader was lent to them.
    Lent {
        /// The card; none when all readers were.
        card: Option<CardId>,
        /// From the line that lends to the one that takes back, or to the end.
        lines: Lines,
        /// Whether it was taken back.
        returned: bool,
    },
    /// Whether the operation was done: nobody saw how it ended.
    Unknown {
        /// The line of the intent.
        line: u64,
    },
    /// Whether the computer slept, or its clock was set forward.
    Ahead {
        /// Where.
        lines: Lines,
        /// By so many milliseconds.
        millis: u64,
    },
    /// Who has seen the seed before the card was enrolled.
    SeedOfUnknownOrigin {
        /// The card.
        card: CardId,
        /// Where it was enrolled.
        line: u64,
    },
    /// Whether two fingerprints are of one key: the owner has them keyed, or the second is a decoy's.
    Fingerprints {
        /// The account.
        wallet: Box<Wallet>,
        /// The key.
        path: KeyPath,
        /// The line of the first.
        before: u64,
        /// The line of the second.
        line: u64,
    },
    /// Which key of a card signed: the place depends on what other programs did.
    UnknownPlace {
        /// The line of the intent.
        line: u64,
    },
    /// Whether later signatures repeat a nonce: more were made than are compared.
    NoncesNotCompared {
        /// The first signature that was not compared.
        line: u64,
    },
    /// Whether signatures after a break speak of the right head.
    NotChecked {
        /// How many signed heads could not be held against the lines.
        heads: u64,
        /// The first of them.
        line: u64,
    },
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins { entry } => write!(f, "the files begin at entry {entry}; what was before is not told"),
            Self::Lent { card, lines, returned } => {
                match card {
                    Some(card) => write!(f, "{lines}: the reader of {card} was lent")?,
                    None => write!(f, "{lines}: the readers were lent")?,
                }
                f.write_str(if *returned { "" } else { " and not taken back" })?;
                f.write_str(": what other programs did then cannot be seen")
            }
            Self::Unknown { line } => write!(f, "line {line}: outcome unknown, treat as exported"),
            Self::Ahead { lines, millis } => {
                write!(f, "{lines}: the computer slept, or its clock was set forward by {} s", millis / 1000)
            }
            Self::SeedOfUnknownOrigin { card, line } => {
                write!(f, "line {line}: the key of {card} is from before the enrolment; who has seen it is not known")
            }
            Self::Fingerprints { wallet, path, before, line } => write!(
                f,
                "line {line}: {path} of {wallet} has another fingerprint than in line {before}: they are keyed, or it is a \
                 decoy's"
            ),
            Self::UnknownPlace { line } => write!(f, "line {line}: which key signed is not known"),
            Self::NoncesNotCompared { line } => {
                write!(f, "from line {line} on nonces are not compared: there are too many signatures")
            }
            Self::NotChecked { heads, line } => {
                write!(f, "{heads} signed head(s) from line {line} on cannot be held against lines that are missing")
            }
        }
    }
}
