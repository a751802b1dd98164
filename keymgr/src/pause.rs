//! What keeps wrong PINs from being spent in a row, for each card by itself.
//!
//! Only `Unlock` carries a PIN, and it is for the owner alone: no request for a key does. The kernel cannot tell the owner
//! from another program of the same user, so the rule holds for all of them: after each wrong PIN the manager takes none
//! for a while, twice as long each time, until one is right, and the card's last try needs a word of its own. Each try that
//! was spent is in the log, so nobody spends them unseen.

use std::collections::BTreeMap;
use std::time::Duration;

use audit::When;
use proto::{CardId, Instant, UnixMillis};
use serde::{Deserialize, Serialize};

/// The pauses of all to whom a no was said: cards on which a PIN was wrong, users whom their owner denied something.
#[derive(Debug)]
pub(crate) struct Pauses<K> {
    /// After the first no.
    first: Duration,
    /// How often it doubles.
    doublings: u32,
    of: BTreeMap<K, Pause>,
}

impl<K: Copy + Ord> Pauses<K> {
    /// Returns that the first pause is so long, and doubles so many times.
    pub(crate) const fn new(first: Duration, doublings: u32) -> Self {
        Self { first, doublings, of: BTreeMap::new() }
    }

    /// Returns for how many more seconds nothing is taken, rounded up; nothing when it is.
    pub(crate) fn left(&self, whose: &K, now: Instant) -> Option<u64> {
        self.of.get(whose).and_then(|pause| pause.left(now))
    }

    /// The answer was no.
    pub(crate) fn wrong(&mut self, whose: K, now: Instant) {
        // Whoever has that many cards gains nothing by the pause of the one that may be tried first.
        if self.of.len() >= MOST && !self.of.contains_key(&whose) {
            let first = self.of.iter().min_by_key(|(_, pause)| pause.until).map(|(whose, _)| *whose);
            first.map(|first| self.of.remove(&first));
        }
        let wrong = self.of.get(&whose).map_or(0, |pause| pause.wrong);
        let until = now.after(self.length(wrong));
        self.of.insert(whose, Pause { wrong: wrong.saturating_add(1), until });
    }

    /// Returns how long the pause is after so many times before this one.
    fn length(&self, before: u32) -> Duration {
        self.first.saturating_mul(1 << before.min(self.doublings))
    }

    /// The answer was yes.
    pub(crate) fn right(&mut self, whose: &K) {
        self.of.remove(whose);
    }
}

/// How many PINs of a card were wrong in a row, and when the last was: what a manager that starts anew knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrongPins {
    times: u32,
    #[serde(rename = "unix_ms")]
    at: u64,
}

impl Pauses<CardId> {
    /// Returns what is to be remembered of a card on which a PIN was wrong just now.
    pub(crate) fn wrong_now(&self, card: &CardId, now: UnixMillis) -> Option<WrongPins> {
        self.of.get(card).map(|pause| WrongPins { times: pause.wrong, at: now.get() })
    }

    /// Goes on with what was remembered of a card. A clock that was set back gains nothing, and one that was set forward
    /// is its owner's: who sets it can do everything.
    pub(crate) fn recall(&mut self, card: CardId, wrong: WrongPins, now: When) {
        let length = self.length(wrong.times.saturating_sub(1));
        let passed = Duration::from_millis(now.unix.get().saturating_sub(wrong.at));
        let until = now.monotonic.after(length.saturating_sub(passed));
        self.of.insert(card, Pause { wrong: wrong.times, until });
    }

    /// Returns those of cards on which a PIN was wrong.
    pub(crate) const fn of_cards() -> Self {
        Self::new(FIRST, DOUBLINGS)
    }
}

/// How many times in a row the answer was no, and when it may be yes again.
#[derive(Debug, Clone, Copy, Default)]
struct Pause {
    wrong: u32,
    until: Instant,
}

impl Pause {
    /// Returns how many more seconds nothing is taken, rounded up; nothing when it is.
    fn left(self, now: Instant) -> Option<u64> {
        let left = self.until.since(now);
        (!left.is_zero()).then(|| left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)))
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
        let mut pauses = Pauses::of_cards();
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
    fn attack_a_pause_goes_on_in_a_manager_that_starts_anew_and_a_clock_that_was_set_back_shortens_none() {
        let at = |unix: u64, secs: u64| When {
            unix: UnixMillis::new(unix * 1000),
            monotonic: Instant::from_start(Duration::from_secs(secs)),
        };
        let mut pauses = Pauses::of_cards();
        for _ in 0..5 {
            pauses.wrong(CARD, at(1000, 7).monotonic);
        }
        let kept = pauses.wrong_now(&CARD, at(1000, 7).unix).unwrap();
        assert_eq!((pauses.left(&CARD, at(1000, 7).monotonic), kept.times), (Some(32), 5));
        assert_eq!(pauses.wrong_now(&OTHER, at(1000, 7).unix), None);
        for (now, left) in [(1000, Some(32)), (1010, Some(22)), (1032, None), (999, Some(32)), (5000, None)] {
            let mut again = Pauses::of_cards();
            again.recall(CARD, kept, at(now, 0));
            assert_eq!(again.left(&CARD, at(now, 0).monotonic), left, "{now}");
            again.wrong(CARD, at(now, 0).monotonic);
            assert_eq!(again.left(&CARD, at(now, 0).monotonic), Some(64), "the count goes on");
        }
        let most = WrongPins { times: u32::MAX, at: u64::MAX };
        pauses.recall(CARD, most, at(1, 0));
        assert_eq!(pauses.left(&CARD, at(1, 0).monotonic), Some(4096));
    }

    #[test]
    fn a_wrong_pin_of_one_card_makes_no_other_wait_and_pauses_are_bounded_in_number() {
        let mut pauses = Pauses::of_cards();
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
        assert_eq!((pauses.of.len(), pauses.left(&CARD, now)), (MOST, None));
    }
}
