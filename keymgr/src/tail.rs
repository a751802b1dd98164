//! The end of the log that no card has signed, nor keeps a mirror of: whose outcomes, how many, and since when.
//!
//! The invariant: what one card owes, no other card pays or gives up. A card that cannot sign owes nothing, so it is never
//! asked. An outcome of a card that had no identity of its own (a chip, or a blank one) any card of the log signs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::{CardId, Instant};

/// The outcomes of each card since it signed the head of the log last.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    owed: BTreeMap<CardId, Owed>,
    /// Cards that opened a channel and signed nothing: 2.2, 3.0, and those without a certificate.
    mute: BTreeSet<CardId>,
    /// Cards with an outcome since the head of the log was written into their memory.
    unmirrored: BTreeSet<CardId>,
}

#[derive(Debug)]
struct Owed {
    outcomes: u32,
    since: Instant,
}

impl Tail {
    /// Counts an outcome of this card's.
    pub(crate) fn grow(&mut self, card: CardId, now: Instant) {
        self.unmirrored.insert(card);
        if self.mute.contains(&card) {
            return;
        }
        let owed = self.owed.entry(card).or_insert(Owed { outcomes: 0, since: now });
        owed.outcomes = owed.outcomes.saturating_add(1);
    }

    /// This card signed the head.
    pub(crate) fn signed(&mut self, card: CardId) {
        self.mute.remove(&card);
        self.owed.retain(|other, _| *other != card && !is_nameless(other));
    }

    /// This card opened a channel and signed nothing.
    pub(crate) fn is_mute(&mut self, card: CardId) {
        self.mute.insert(card);
        self.give_up(&card);
    }

    /// This card keeps the head as it was a moment ago, or is not to keep it.
    pub(crate) fn mirrored(&mut self, card: &CardId) {
        self.unmirrored.remove(card);
    }

    /// Returns whether something came of an operation of this card's since it was given the head to keep.
    pub(crate) fn is_unmirrored(&self, card: &CardId) -> bool {
        self.unmirrored.contains(card)
    }

    /// Owes no signature of this card for what is there.
    pub(crate) fn give_up(&mut self, card: &CardId) {
        self.owed.remove(card);
    }

    /// Owes no signature of any card but these, which can still be asked.
    pub(crate) fn give_up_but(&mut self, askable: &[CardId]) {
        self.owed.retain(|card, _| askable.contains(card));
    }

    /// Returns whether a signature of any card is owed.
    pub(crate) fn is_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Returns whether a signature of this card is owed.
    pub(crate) fn is_owed_by(&self, card: &CardId) -> bool {
        self.owed.keys().any(|owing| owing == card || is_nameless(owing))
    }

    /// Returns the cards of which one is owed.
    pub(crate) fn owing(&self) -> Vec<CardId> {
        self.owed.keys().copied().collect()
    }

    /// Returns whether a signature is owed of any card but these.
    pub(crate) fn is_owed_but(&self, cards: &[CardId]) -> bool {
        self.owed.keys().any(|owing| !cards.contains(owing))
    }

    /// Returns whether one is owed for so many outcomes, or for so long, that it comes before other work.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.owed.values().any(|owed| owed.outcomes >= MOST || now.since(owed.since) >= LONGEST)
    }
}

/// Whether a card of this name never signs under it.
const fn is_nameless(card: &CardId) -> bool {
    matches!(card, CardId::Chip(_) | CardId::Blank(_))
}

/// A burst of so many outcomes is signed in the middle.
const MOST: u32 = 256;
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

    #[test]
    fn what_one_card_owes_no_other_pays_or_gives_up() {
        let cards = [1, 2, 3].map(|name| CardId::Instance([name; 16]));
        let ([owing, other, mute], mut tail) = (cards, Tail::default());
        tail.grow(owing, at(1));
        tail.grow(CardId::Blank([4; 16]), at(1));
        tail.is_mute(mute);
        tail.give_up(&other);
        assert!(tail.is_owed_by(&owing) && tail.is_owed_by(&other), "the blank card's outcome any card signs");
        tail.signed(other);
        assert!(tail.is_owed_by(&owing) && !tail.is_owed_by(&other));
        tail.give_up_but(&[owing]);
        assert!(tail.is_owed_by(&owing));
        tail.give_up_but(&[other]);
        assert!(!tail.is_owed());
    }
}
