//! What a log cannot answer: neither good nor bad, and said in every report.

use std::fmt;

use proto::{CardId, KeyPath};

use super::nonces::{Repeat, Tally};
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
    /// Whether somebody has the private key of one of two keys whose signatures share a nonce: the other follows then.
    SharedNonce(Box<Repeat>),
    /// Whether one key signed one hash with one nonce and two tweaks, which no line tells: its private key follows then.
    Tweaks(Box<Repeat>),
    /// Whether these signatures repeat a nonce: the log does not have theirs.
    NonceNotTold(Tally),
    /// Whether these signatures were made, and with which nonces.
    SignatureUnknown(Tally),
    /// What else follows from what left, or was seen: there is more of it than is followed.
    ClosureCutOff {
        /// The first line of which not all was followed.
        line: u64,
    },
    /// What follows together with what was written down without an account: there are too many accounts to count it to each.
    ListNotCounted {
        /// How many.
        accounts: u64,
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
            Self::SharedNonce(repeat) => {
                let Repeat { first, second, .. } = &**repeat;
                let ((one, at), (other, there)) = (&first.key, &second.key);
                write!(
                    f,
                    "lines {} and {}: {at} of {one} and {there} of {other} signed with one nonce: ",
                    first.line, second.line
                )?;
                f.write_str("who has the private key of one has that of the other")?;
                // One hash gives one signature, of which nothing follows.
                f.write_str(match (repeat.may_be_of_one_key(), repeat.one_hash) {
                    (true, false) => "; if these are two names of one key, everybody has it",
                    (true, true) => "; if these are two names of one key, this is one signature",
                    (false, _) => "",
                })
            }
            Self::Tweaks(repeat) => {
                let Repeat { first, second, .. } = &**repeat;
                let (wallet, path) = &first.key;
                write!(
                    f,
                    "lines {} and {}: {path} of {wallet} signed one hash with one nonce, tweaked: if the tweaks differ, its \
                     private key follows",
                    first.line, second.line
                )
            }
            Self::NonceNotTold(tally) => {
                write!(f, "{tally} without a nonce in the log: whether one repeats is not known")
            }
            Self::SignatureUnknown(tally) => {
                write!(f, "{tally} of unknown outcome, which may have been made: whether a nonce repeats is not known")
            }
            Self::ClosureCutOff { line } => write!(
                f,
                "from line {line} on what follows from what left is not told in full: there is more of it than is followed"
            ),
            Self::ListNotCounted { accounts } => write!(
                f,
                "what was written down without an account is not counted to each of {accounts} accounts: write down which"
            ),
            Self::NotChecked { heads, line } => {
                write!(f, "{heads} signed head(s) from line {line} on cannot be held against lines that are missing")
            }
        }
    }
}

/// `line(s) 4, 9 and 2 more: 4 signature(s)`
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, signatures } = self;
        for (at, line) in lines.iter().enumerate() {
            write!(f, "{}{line}", if at == 0 { "line(s) " } else { ", " })?;
        }
        let told = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if *signatures > told {
            write!(f, " and {} more", signatures.saturating_sub(told))?;
        }
        write!(f, ": {signatures} signature(s)")
    }
}
