//! Which lines are vouched for by which card.

use std::fmt;

use proto::CardId;

use super::verdict::Lines;
use crate::entry::Event;
use crate::evidence::Authority;
use crate::line::Line;

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
    /// In the order of the lines; at most 4,096.
    pub spans: Vec<Span>,
    /// The signatures after those of the spans, of whatever cards.
    pub more: Option<More>,
    /// The last line that a card of a taken authority vouches for; 0 when none is.
    pub signed_to: u64,
    /// What came after that line and the signature itself.
    pub tail: Tail,
}

/// Signatures that are only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct More {
    /// The lines that they added to what was covered before.
    pub covers: Lines,
    /// How many.
    pub signatures: u64,
}

/// Lines that no card of a taken authority signed, by what they tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tail {
    /// The lines.
    pub lines: Option<Lines>,
    /// What cards were asked.
    pub intents: u64,
    /// What came of it.
    pub outcomes: u64,
    /// What owners did.
    pub deeds: u64,
    /// Uses of a decoy.
    pub decoys: u64,
    /// All else.
    pub others: u64,
}

/// `lines 7-9: 1 intent(s), 2 other line(s)`
impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, intents, outcomes, deeds, decoys, others } = self;
        let Some(lines) = lines else { return f.write_str("no line") };
        write!(f, "{lines}")?;
        let kinds = [
            (intents, "intent(s)"),
            (outcomes, "outcome(s)"),
            (deeds, "deed(s) of an owner"),
            (decoys, "use(s) of a decoy"),
            (others, "other line(s)"),
        ];
        let mut before = ": ";
        for (count, kind) in kinds.into_iter().filter(|(count, _)| **count > 0) {
            write!(f, "{before}{count} {kind}")?;
            before = ", ";
        }
        Ok(())
    }
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
            self.tail = Tail::default();
        }
        if let Some(more) = &mut self.more {
            more.covers.last = covered;
            more.signatures = more.signatures.saturating_add(1);
            return;
        }
        if let Some(span) = self.spans.last_mut().filter(|span| span.card == card && span.taken == taken) {
            span.covers.last = covered;
            span.evidence.last = line;
            span.signatures = span.signatures.saturating_add(1);
            return;
        }
        let first = self.spans.last().map_or(1, |span| span.covers.last.saturating_add(1));
        let covers = Lines::from_to(first, covered);
        if self.spans.len() >= MOST_SPANS {
            self.more = Some(More { covers, signatures: 1 });
            return;
        }
        self.spans.push(Span {
            covers,
            evidence: Lines::one(line),
            signatures: 1,
            card,
            identity,
            authority: authority.map_or_else(|| "nobody".to_owned(), |authority| authority.to_string()),
            taken,
        });
    }

    /// Takes a line, after its signature if it has one.
    pub(super) fn pass(&mut self, line: &Line) {
        let is_the_signature = self.signed_to > 0 && line.seq == self.signed_to.saturating_add(1);
        if is_the_signature && self.tail.lines.is_none() {
            return;
        }
        let tail = &mut self.tail;
        let count = match line.event {
            Event::Intent(_) => &mut tail.intents,
            Event::Outcome { .. } => &mut tail.outcomes,
            Event::Owner(_) => &mut tail.deeds,
            Event::Decoy(_) => &mut tail.decoys,
            _ => &mut tail.others,
        };
        *count = count.saturating_add(1);
        let first = tail.lines.map_or(line.seq, |lines| lines.first);
        tail.lines = Some(Lines::from_to(first, line.seq));
    }
}

const MOST_SPANS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cards take turns for longer than spans are kept: nothing is told of the wrong card.
    #[test]
    fn signatures_past_the_last_span_are_counted_and_not_given_to_another_card() {
        let mut coverage = Coverage::default();
        let signatures = MOST_SPANS as u64 + 10;
        for n in 0..signatures {
            let (card, taken) = (CardId::Instance([(n % 2) as u8; 16]), n % 2 == 0);
            coverage.add(Signed { line: 2 + n, card, identity: [2; 33], authority: None, taken });
        }
        let last = coverage.spans.last().unwrap();
        assert_eq!((coverage.spans.len(), last.signatures), (MOST_SPANS, 1));
        let covers = Lines::from_to(MOST_SPANS as u64 + 1, signatures);
        assert_eq!(coverage.more, Some(More { covers, signatures: 10 }));
        assert_eq!(coverage.signed_to, signatures - 1, "the last one is not taken");
    }
}
