//! Heads of a log that were kept somewhere else: they know how far it went, and what stood in it.

use std::fmt;

use crate::line::Head;

/// Where a head was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Off the box, by whoever verifies.
    Elsewhere,
    /// In the memory of the card.
    OnTheCard,
    /// Beside the log, by its writer: it catches accidents, not who can change both.
    Beside,
}

impl Kept {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Elsewhere, Self::OnTheCard, Self::Beside];
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elsewhere => "an anchor",
            Self::OnTheCard => "the card",
            Self::Beside => "the head beside the log",
        })
    }
}

/// A head that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The head.
    pub head: Head,
    /// Where.
    pub kept: Kept,
}

/// A line that is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not the head of a log: LOG-ID ENTRIES HASH ROOT")]
pub struct NotAnAnchor {
    /// Its number, from 1.
    pub line: u64,
}

impl Anchor {
    /// Returns the heads of a text: one a line, `LOG-ID ENTRIES HASH ROOT`, after which anything may follow. Empty lines
    /// and those that begin with `#` do not count.
    ///
    /// # Errors
    /// [`NotAnAnchor`].
    pub fn listed(text: &str) -> Result<Vec<Self>, NotAnAnchor> {
        let mut anchors = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let words: Vec<&str> = text.split_whitespace().take(4).collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            let head = words.join(" ").parse().map_err(|_| NotAnAnchor { line })?;
            anchors.push(Self { head, kept: Kept::Elsewhere });
        }
        Ok(anchors)
    }
}
