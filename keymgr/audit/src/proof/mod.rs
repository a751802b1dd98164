//! Proofs of one line, or of an older head, without the other lines (RFC 6962, sections 2.1.1 and 2.1.2).
//!
//! ```text
//! {"format":"cardinal-proof/1","head":HEAD,"of":{"line":{"number":N,"entry":"THE LINE"}},"path":[ROOT...],"signed":LINE}
//! {"format":"cardinal-proof/1","head":HEAD,"of":{"head":HEAD},"path":[ROOT...],"signed":null}
//! HEAD = {"log":"<32 hex>","entries":N,"root":"<64 hex>"}
//! ```
//! The first shows that the log of `head` has this line; the second that it begins with all lines of the older head. A head
//! is as good as who vouches for it: `signed` is the line after it, when a card signs the head in that line, and can be
//! checked by itself; else whoever checks must have kept one of the heads. A proof says nothing of what other lines tell.
//!
//! A proof needs the file with its line, or with the end of the older head, and all files after that. What was before is in
//! the peaks that this file carries.

mod path;
mod prover;

use proto::CardId;
use serde::{Deserialize, Serialize};

use crate::entry::Event;
use crate::evidence::{Authority, Certificates, Checked, Unsigned};
use crate::line::{Head, Line, LineHash, LogId};
use crate::text::Text;
use crate::tree::Root;

pub use prover::{Ask, CannotProve, Prover, Standing, Survey};

/// The `format` of a proof.
pub const FORMAT: &str = "cardinal-proof/1";

/// A head as proofs have it. The hash of the last line is not in the tree's root, so it is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    /// The log.
    pub log: LogId,
    /// How many lines it has.
    pub entries: u64,
    /// The root of the tree over them.
    pub root: Root,
}

impl From<Head> for TreeHead {
    fn from(Head { log, entries, root, .. }: Head) -> Self {
        Self { log, entries, root }
    }
}

/// A proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The form, [`FORMAT`].
    pub format: Text<32>,
    /// The head to which it leads.
    pub head: TreeHead,
    /// From where.
    pub of: Of,
    /// The nodes on the way.
    pub path: Vec<Root>,
    /// The line after the head, newline included, when a card signs the head in it.
    pub signed: Option<String>,
}

/// What a proof is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Of {
    /// One line is in the log.
    Line {
        /// Its number, from 1.
        number: u64,
        /// Its bytes, newline included.
        entry: String,
    },
    /// The log begins with all lines of an older head.
    Head(TreeHead),
}

/// What a proof that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The line, where it is of one.
    pub line: Option<Line>,
    /// The card that signed the head.
    pub signed: Option<SignedBy>,
}

/// A card that signed a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// The card, as the line names it.
    pub card: CardId,
    /// Its identity key, compressed.
    pub identity: [u8; 33],
    /// Who certified it.
    pub authority: Option<Authority>,
    /// When, by the clock of the computer that wrote the line: milliseconds since 1970.
    pub unix_ms: u64,
}

/// Why something is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotProven {
    /// A form that is not known here.
    #[error("a proof of another format than {FORMAT}")]
    UnknownFormat,
    /// What it has for a line is none, or has another number.
    #[error("its entry is no line of a log, or not the one of that number")]
    NotThatLine,
    /// The heads are of two logs.
    #[error("its heads are of two logs")]
    OtherLog,
    /// The path does not lead to the root.
    #[error("its path does not lead to the root of its head: the log of that head has something else there")]
    OtherRoot,
    /// The line after the head is none, or signs another head.
    #[error("the signature that it shows is not one of its head")]
    OtherHead,
    /// The line after the head shows a signature that is none.
    #[error("the signature that it shows does not hold: {0}")]
    Unsigned(Unsigned),
}

impl Proof {
    /// Checks that the path leads to the head, and the card's signature of that head, if it has one. Whether the card, or
    /// else the head, is one to be believed is for the caller to say.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn check(&self) -> Result<Proven, NotProven> {
        if self.format.as_str() != FORMAT {
            return Err(NotProven::UnknownFormat);
        }
        let line = match &self.of {
            Of::Line { number, entry } => Some(self.check_line(*number, entry)?),
            Of::Head(old) => {
                if old.log != self.head.log {
                    return Err(NotProven::OtherLog);
                }
                let (old, new) = ((old.root, old.entries), (self.head.root, self.head.entries));
                if !path::goes_on(old, new, &self.path) {
                    return Err(NotProven::OtherRoot);
                }
                None
            }
        };
        let signed = self.signed.as_ref().map(|line| self.check_signed(line)).transpose()?;
        Ok(Proven { line, signed })
    }

    fn check_line(&self, number: u64, entry: &str) -> Result<Line, NotProven> {
        let line = Line::decode(entry.as_bytes()).map_err(|_| NotProven::NotThatLine)?;
        let at = number.checked_sub(1).filter(|_| line.seq == number).ok_or(NotProven::NotThatLine)?;
        let leaf = Root::leaf(&LineHash::of(entry.as_bytes()));
        if path::root_from_line(leaf, at, self.head.entries, &self.path) == Some(self.head.root) {
            Ok(line)
        } else {
            Err(NotProven::OtherRoot)
        }
    }

    fn check_signed(&self, line: &str) -> Result<SignedBy, NotProven> {
        let line = Line::decode(line.as_bytes()).map_err(|_| NotProven::OtherHead)?;
        if line.seq.checked_sub(1) != Some(self.head.entries) || !vouches(&line.event, &self.head) {
            return Err(NotProven::OtherHead);
        }
        let (card, checked) = signature_in(&line.event).ok_or(NotProven::OtherHead)?;
        let Checked { identity, authority, .. } = checked.map_err(NotProven::Unsigned)?;
        Ok(SignedBy { card, identity: identity.to_compressed(), authority, unix_ms: line.unix_ms })
    }
}

/// Returns whether what a card signs in a line is this head.
fn vouches(event: &Event, &TreeHead { log, entries, root }: &TreeHead) -> bool {
    // No signature is over the hash of the last line.
    let head = Head { log, entries, hash: LineHash::ZERO, root };
    match event {
        Event::ChannelOpened(opened) => opened.vouches_for(&head),
        Event::PairedChannelOpened(opened) => opened.vouches_for(&head),
        Event::HeadSigned(signed) => signed.vouches_for(&head),
        _ => false,
    }
}

/// Returns the card that signs a head in a line, and whether the signature holds; nothing for a line without one.
fn signature_in(event: &Event) -> Option<(CardId, Result<Checked, Unsigned>)> {
    let mut known = Certificates::default();
    match event {
        Event::ChannelOpened(opened) => Some((opened.card, opened.check(&mut known))),
        Event::PairedChannelOpened(opened) => Some((opened.card, opened.check(&mut known)?)),
        Event::HeadSigned(signed) => Some((signed.card, signed.check(&mut known))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
