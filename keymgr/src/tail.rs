//! The end of the log that no card has signed, nor keeps a mirror of: how many outcomes, since when, and whose.
//!
//! The invariant: a card that cannot sign owes no signature, so it is never asked for one.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::{CardId, Instant};

/// The outcomes since a card signed the head of the log last.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    outcomes: u32,
    since: Option<Instant>,
    /// Cards that opened a channel and signed nothing: 2.2, 3.0, and those without a certificate.
    mute: BTreeSet<CardId>,
    /// Cards with an outcome since the head of the log was written into their memory.
    unmirrored: BTreeSet<CardId>,
}

impl Tail {
    /// Counts an outcome of this card's.
    pub(crate) fn grow(&mut self, card: CardId, now: Instant) {
        self.unmirrored.insert(card);
        if self.mute.contains(&card) {
            return;
        }
        self.outcomes = self.outcomes.saturating_add(1);
        self.since.get_or_insert(now);
    }

    /// This card signed the head.
    pub(crate) fn signed(&mut self, card: CardId) {
        self.mute.remove(&card);
        self.give_up();
    }

    /// This card opened a channel and signed nothing.
    pub(crate) fn is_mute(&mut self, card: CardId) {
        self.mute.insert(card);
        self.give_up();
    }

    /// This card keeps the head as it was a moment ago, or is not to keep it.
    pub(crate) fn mirrored(&mut self, card: &CardId) {
        self.unmirrored.remove(card);
    }

    /// Returns whether something came of an operation of this card's since it was given the head to keep.
    pub(crate) fn is_unmirrored(&self, card: &CardId) -> bool {
        self.unmirrored.contains(card)
    }

    /// Owes no signature for what is there.
    pub(crate) const fn give_up(&mut self) {
        (self.outcomes, self.since) = (0, None);
    }

    /// Returns whether a signature is owed.
    pub(crate) const fn is_owed(&self) -> bool {
        self.outcomes > 0
    }

    /// Returns whether it is owed for so many outcomes, or for so long, that it comes before other work.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.outcomes >= MOST || self.since.is_some_and(|since| now.since(since) >= LONGEST)
    }
}

/// A burst of so many outcomes is signed in the middle.
const MOST: u32 = 64;
/// A burst that lasts so long is signed in the middle.
const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_burst_is_overdue_when_it_is_long_or_old() {
        let (card, mut tail) = (CardId::Instance([1; 16]), Tail::default());
        assert!(!tail.is_owed() && !tail.is_overdue(at(100)));
        tail.grow(card, at(5));
        assert!(tail.is_owed() && !tail.is_overdue(at(5)) && tail.is_overdue(at(6)));
        tail.signed(card);
        assert!(!tail.is_owed() && !tail.is_overdue(at(100)));
        for _ in 0..MOST {
            assert!(!tail.is_overdue(at(7)));
            tail.grow(card, at(7));
        }
        assert!(tail.is_overdue(at(7)));
    }

    #[test]
    fn a_card_that_signs_nothing_owes_nothing() {
        let (mute, other, mut tail) = (CardId::Instance([1; 16]), CardId::Instance([2; 16]), Tail::default());
        tail.grow(mute, at(1));
        tail.is_mute(mute);
        tail.grow(mute, at(1));
        assert!(!tail.is_owed());
        tail.grow(other, at(1));
        assert!(tail.is_owed());
    }
}
