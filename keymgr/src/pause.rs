//! What keeps wrong PINs from being spent in a row, for each card by itself.
//!
//! Only `Unlock` carries a PIN, and it is for the owner alone: no request for a key does. The kernel cannot tell the owner
//! from another program of the same user, so the rule holds for all of them: after each wrong PIN the manager takes none
//! for a while, twice as long each time, until one is right, and the card's last try needs a word of its own. Each try that
//! was spent is in the log, so nobody spends them unseen.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::{CardId, Instant};

/// The pauses of all cards on which a PIN was wrong.
#[derive(Debug, Default)]
pub(crate) struct Pauses(BTreeMap<CardId, Pause>);

impl Pauses {
    /// Returns how many more seconds this card is given no PIN, rounded up; nothing when it is.
    pub(crate) fn left(&self, card: &CardId, now: Instant) -> Option<u64> {
        self.0.get(card).and_then(|pause| pause.left(now))
    }

    /// The card's PIN was wrong.
    pub(crate) fn wrong(&mut self, card: CardId, now: Instant) {
        // Whoever has that many cards gains nothing by the pause of the one that may be tried first.
        if self.0.len() >= MOST && !self.0.contains_key(&card) {
            let first = self.0.iter().min_by_key(|(_, pause)| pause.until).map(|(card, _)| *card);
            first.map(|first| self.0.remove(&first));
        }
        self.0.entry(card).or_default().wrong(now);
    }

    /// The card's PIN was right.
    pub(crate) fn right(&mut self, card: &CardId) {
        self.0.remove(card);
    }
}

/// How many PINs were wrong since the last right one, and when the next may be tried.
#[derive(Debug, Clone, Copy, Default)]
struct Pause {
    wrong: u32,
    until: Instant,
}

impl Pause {
    /// Returns how many more seconds no PIN is taken, rounded up; nothing when one is.
    fn left(self, now: Instant) -> Option<u64> {
        let left = self.until.since(now);
        (!left.is_zero()).then(|| left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)))
    }

    /// A PIN was wrong.
    fn wrong(&mut self, now: Instant) {
        let pause = FIRST.saturating_mul(1 << self.wrong.min(DOUBLINGS));
        self.wrong = self.wrong.saturating_add(1);
        self.until = now.after(pause);
    }
}

const FIRST: Duration = Duration::from_secs(2);
/// A little more than an hour at most.
const DOUBLINGS: u32 = 11;
/// As many cards as are remembered (`cards::known`).
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: CardId = CardId::Instance([1; 16]);
    const OTHER: CardId = CardId::Instance([2; 16]);

    #[test]
    fn each_wrong_pin_doubles_the_pause_up_to_about_an_hour_and_a_right_one_ends_it() {
        let mut now = Instant::default();
        let mut pauses = Pauses::default();
        assert_eq!(pauses.left(&CARD, now), None);
        for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096] {
            pauses.wrong(CARD, now);
            assert_eq!(pauses.left(&CARD, now), Some(seconds));
            now = now.after(Duration::from_millis(seconds * 1000 - 1));
            assert_eq!(pauses.left(&CARD, now), Some(1));
            now = now.after(Duration::from_millis(1));
            assert_eq!(pauses.left(&CARD, now), None);
        }
        pauses.wrong(CARD, now);
        pauses.right(&CARD);
        assert_eq!(pauses.left(&CARD, now), None);
        pauses.wrong(CARD, now);
        assert_eq!(pauses.left(&CARD, now), Some(2));
    }

    #[test]
    fn a_wrong_pin_of_one_card_makes_no_other_wait_and_pauses_are_bounded_in_number() {
        let mut pauses = Pauses::default();
        let now = Instant::default();
        pauses.wrong(CARD, now);
        assert_eq!((pauses.left(&CARD, now), pauses.left(&OTHER, now)), (Some(2), None));
        pauses.right(&OTHER);
        assert_eq!(pauses.left(&CARD, now), Some(2));
        for n in 0..2000_u16 {
            let mut id = [0; 33];
            id[..2].copy_from_slice(&n.to_be_bytes());
            pauses.wrong(CardId::Identity(id), now.after(Duration::from_secs(1)));
        }
        assert_eq!((pauses.0.len(), pauses.left(&CARD, now)), (MOST, None));
    }
}
