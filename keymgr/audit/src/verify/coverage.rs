//! Which lines are vouched for by which card.

use proto::CardId;

use super::verdict::Lines;
use crate::evidence::Authority;

/// Lines whose last state one card signed, one signature or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The lines that these signatures added to what was covered before.
    pub covers: Lines,
    /// The lines with the signatures.
    pub evidence: Lines,
    /// How many signatures.
    pub signatures: u64,
    /// The card.
    pub card: CardId,
    /// Its identity key, compressed.
    pub identity: [u8; 33],
    /// Who certified it: `production`, `test`, a key in hexadecimal, or `nobody`.
    pub authority: String,
    /// Whether that authority is one of those that were named.
    pub taken: bool,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// In the order of the lines; at most 4,096, further ones are told with the last.
    pub spans: Vec<Span>,
    /// The last line that a card of a taken authority vouches for; 0 when none is.
    pub signed_to: u64,
}

/// One signature that holds.
pub(super) struct Signed {
    pub(super) line: u64,
    pub(super) card: CardId,
    pub(super) identity: [u8; 33],
    pub(super) authority: Option<Authority>,
    pub(super) taken: bool,
}

impl Coverage {
    /// Takes the next signature, which speaks of all lines before its own.
    pub(super) fn add(&mut self, signed: Signed) {
        let Signed { line, card, identity, authority, taken } = signed;
        let covered = line.saturating_sub(1);
        if taken {
            self.signed_to = covered;
        }
        let is_full = self.spans.len() >= MOST_SPANS;
        if let Some(span) = self.spans.last_mut().filter(|span| is_full || span.card == card && span.taken == taken) {
            span.covers.last = covered;
            span.evidence.last = line;
            span.signatures = span.signatures.saturating_add(1);
            return;
        }
        let first = self.spans.last().map_or(1, |span| span.covers.last.saturating_add(1));
        self.spans.push(Span {
            covers: Lines::from_to(first, covered),
            evidence: Lines::one(line),
            signatures: 1,
            card,
            identity,
            authority: authority.map_or_else(|| "nobody".to_owned(), |authority| authority.to_string()),
            taken,
        });
    }
}

const MOST_SPANS: usize = 4096;
