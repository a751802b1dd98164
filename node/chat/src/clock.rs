//! The Lamport clock of a chat (6/PAYLOADS, "Clock vs Timestamp and message ordering").
//!
//! A clock is a count that borrows its scale from milliseconds; it is no time. It only ever grows.

use proto::{UnixMillis, UnixSecs};

/// A chat-wide Lamport value. 0 stands for "none yet" and is never on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lamport(u64);

/// A clock that no honest author writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// The clock is 0.
    #[error("the clock is zero")]
    Zero,
    /// The clock is more than [`DRIFT_MILLIS`] ahead of the transport timestamp.
    #[error("the clock is too far ahead of the envelope")]
    Ahead,
}

impl Lamport {
    /// Returns this count as a clock.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Returns the count.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the clock of the next message of ours in a chat whose last clock is `self`: `max(now, last + 1)`.
    /// Nothing at the end of the numbers.
    #[must_use]
    pub fn next(self, now: UnixMillis) -> Option<Self> {
        Some(Self(now.get().max(self.0.checked_add(1)?)))
    }

    /// Checks the clock of a received message against the envelope's send time.
    ///
    /// Behind is legal: data sync sends again, mailservers answer late.
    ///
    /// # Errors
    /// [`ClockError::Zero`]; [`ClockError::Ahead`], which keeps strangers from lifting a chat's clock out of reach.
    pub fn check(self, sent: UnixSecs) -> Result<(), ClockError> {
        if self.0 == 0 {
            Err(ClockError::Zero)
        } else if self.0 > sent.to_millis().get().saturating_add(DRIFT_MILLIS) {
            Err(ClockError::Ahead)
        } else {
            Ok(())
        }
    }
}

/// How far a clock may be ahead of the transport timestamp: 120 s (6/PAYLOADS; status-go's
/// `MaxWhisperFutureDriftMs`).
pub const DRIFT_MILLIS: u64 = 120_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::{UnixMillis, UnixSecs};

    use super::{ClockError, Lamport};

    /// PAY-33: `max(now_ms, last + 1)`, initially now.
    #[test]
    fn the_next_clock_is_now_or_one_more_than_the_last() {
        let next = |last, now| Lamport::new(last).next(UnixMillis::new(now)).unwrap().get();
        assert_eq!(next(0, 1000), 1000);
        assert_eq!(next(999, 1000), 1000);
        assert_eq!(next(1000, 1000), 1001);
        assert_eq!(next(5000, 1000), 5001);
        assert_eq!(next(0, 0), 1);
        assert_eq!(Lamport::new(u64::MAX).next(UnixMillis::new(7)), None);
    }

    /// PAY-34: 120000 ms above the transport timestamp passes, 120001 does not.
    #[test]
    fn a_clock_may_be_two_minutes_ahead_of_its_envelope_and_no_more() {
        let sent = UnixSecs::new(1_600_000_000);
        let at = |offset: i64| Lamport::new(1_600_000_000_000_u64.checked_add_signed(offset).unwrap()).check(sent);
        assert_eq!(at(120_000), Ok(()));
        assert_eq!(at(120_001), Err(ClockError::Ahead));
        assert_eq!(at(-86_400_000), Ok(()));
        assert_eq!(Lamport::new(0).check(sent), Err(ClockError::Zero));
        assert_eq!(Lamport::new(u64::MAX).check(sent), Err(ClockError::Ahead));
        assert_eq!(Lamport::new(u64::MAX).check(UnixSecs::new(u64::MAX)), Ok(()));
    }

    proptest! {
        /// PAY-33: a clock grows whatever the wall clock does.
        #[test]
        fn the_next_clock_is_always_later(last: u64, now: u64) {
            if let Some(next) = Lamport::new(last).next(UnixMillis::new(now)) {
                prop_assert!(next > Lamport::new(last) && next.get() >= now);
            }
        }
    }
}
