//! The pace of the thread: events that come thick and fast are taken in crowds.
//!
//! Each packet that wakes the thread by itself costs a switch to it and back, a read, and one write for every peer that
//! wants it. So a thread that has woken more often than once in [`REST`] for a while rests before it waits again: what
//! comes meanwhile is read, sent on and written together. A thread that has little to do never rests, so a handshake or a
//! single envelope is not delayed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Returns what the runtime is to call before its thread waits.
pub(crate) fn paced() -> impl Fn() + Send + Sync + 'static {
    let pace = Mutex::new(Pace::new(Instant::now()));
    move || {
        let rest = pace.lock().unwrap_or_else(PoisonError::into_inner).rest(Instant::now());
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }
}

struct Pace {
    /// When as many times as the thread waited would have passed at one in [`REST`].
    due: Instant,
}

impl Pace {
    const fn new(now: Instant) -> Self {
        Self { due: now }
    }

    /// Counts one more time, and returns how long to rest first.
    fn rest(&mut self, now: Instant) -> Duration {
        self.due = self.due.max(now) + REST;
        self.due.saturating_duration_since(now + BURST)
    }
}

/// The least time between two wakes of a busy thread. It is the price in latency of one hop.
const REST: Duration = Duration::from_millis(3);
/// How far ahead of that a thread may be before it rests: 32 times.
const BURST: Duration = Duration::from_millis(96);

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long the thread rests in the end when something comes this often, and after how many times first.
    fn waiting(every: Duration, times: u32) -> (Duration, Option<u32>) {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let (mut rest, mut first) = (Duration::ZERO, None);
        for time in 0..times {
            rest = pace.rest(now);
            if !rest.is_zero() {
                first = first.or(Some(time));
            }
            now += rest.max(every);
        }
        (rest, first)
    }

    #[test]
    fn a_thread_with_little_to_do_never_rests() {
        assert_eq!(waiting(REST, 1000), (Duration::ZERO, None));
        assert_eq!(waiting(Duration::from_micros(1), 32), (Duration::ZERO, None), "nor in a burst");
    }

    #[test]
    fn a_busy_thread_wakes_once_in_a_rest() {
        let (rest, first) = waiting(Duration::from_millis(1), 1000);
        assert_eq!(rest, REST);
        assert!(first.is_some_and(|first| first >= 32));
    }
}
