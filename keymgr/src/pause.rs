//! What keeps wrong PINs from being spent in a row.
//!
//! Only `Unlock` carries a PIN, and it is for the owner alone: no request for a key does. The kernel cannot tell the owner
//! from another program of the same user, so the rule holds for all of them: after each wrong PIN the manager takes none
//! for a while, twice as long each time, until one is right, and the card's last try needs a word of its own. Each try that
//! was spent is in the log, so nobody spends them unseen.

use std::time::Duration;

use proto::Instant;

/// How many PINs were wrong since the last right one, and when the next may be tried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pause {
    wrong: u32,
    until: Instant,
}

impl Pause {
    /// Returns how many more seconds no PIN is taken, rounded up; nothing when one is.
    pub(crate) fn left(&self, now: Instant) -> Option<u64> {
        let left = self.until.since(now);
        (!left.is_zero()).then(|| left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)))
    }

    /// A PIN was wrong.
    pub(crate) fn wrong(&mut self, now: Instant) {
        let pause = FIRST.saturating_mul(1 << self.wrong.min(DOUBLINGS));
        self.wrong = self.wrong.saturating_add(1);
        self.until = now.after(pause);
    }

    /// A PIN was right.
    pub(crate) fn right(&mut self) {
        *self = Self::default();
    }
}

const FIRST: Duration = Duration::from_secs(2);
/// A little more than an hour at most.
const DOUBLINGS: u32 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_pin_doubles_the_pause_up_to_about_an_hour_and_a_right_one_ends_it() {
        let mut now = Instant::default();
        let mut pause = Pause::default();
        assert_eq!(pause.left(now), None);
        for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096] {
            pause.wrong(now);
            assert_eq!(pause.left(now), Some(seconds));
            now = now.after(Duration::from_millis(seconds * 1000 - 1));
            assert_eq!(pause.left(now), Some(1));
            now = now.after(Duration::from_millis(1));
            assert_eq!(pause.left(now), None);
        }
        pause.wrong(now);
        pause.right();
        assert_eq!(pause.left(now), None);
        pause.wrong(now);
        assert_eq!(pause.left(now), Some(2));
    }
}
