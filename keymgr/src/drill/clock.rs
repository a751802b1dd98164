//! A clock that a drill moves: days pass in it at once, and it can be set back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::When;
use proto::{Instant, UnixMillis};

use crate::clock::Clock;

/// The wall clock of one computer, and how long it has been running.
#[derive(Debug, Clone)]
pub(super) struct LentClock {
    unix: Arc<AtomicU64>,
    running: Arc<AtomicU64>,
}

/// What a process that starts there sees.
struct Started {
    clock: LentClock,
    at: u64,
}

impl LentClock {
    /// Returns a clock that shows this moment.
    pub(super) fn showing(unix: UnixMillis) -> Self {
        Self { unix: Arc::new(AtomicU64::new(unix.get())), running: Arc::default() }
    }

    /// Returns the clock as a process sees it that starts now.
    pub(super) fn started(&self) -> impl Clock + Send + 'static {
        Started { clock: self.clone(), at: self.running.load(Ordering::Relaxed) }
    }

    /// Lets time pass.
    pub(super) fn pass(&self, time: Duration) {
        let millis = millis(time);
        self.unix.fetch_add(millis, Ordering::Relaxed);
        self.running.fetch_add(millis, Ordering::Relaxed);
    }

    /// Sets the wall clock back; the computer runs on.
    pub(super) fn set_back(&self, by: Duration) {
        self.unix.fetch_sub(millis(by), Ordering::Relaxed);
    }

    /// Sets the wall clock ahead; the computer runs on.
    pub(super) fn set_ahead(&self, by: Duration) {
        self.unix.fetch_add(millis(by), Ordering::Relaxed);
    }
}

impl Clock for Started {
    /// Each look takes a moment, so that no two lines are of the same time.
    fn now(&self) -> When {
        self.clock.pass(LOOK);
        let running = self.clock.running.load(Ordering::Relaxed).saturating_sub(self.at);
        When {
            unix: UnixMillis::new(self.clock.unix.load(Ordering::Relaxed)),
            monotonic: Instant::from_start(Duration::from_millis(running)),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// About what a card takes for a command.
const LOOK: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_computer() {
        let clock = LentClock::showing(UnixMillis::new(1_000_000));
        let started = clock.started();
        let before = started.now();
        clock.set_back(Duration::from_secs(60));
        let after = started.now();
        assert!(after.unix < before.unix && after.monotonic > before.monotonic);
        assert!(clock.started().now().monotonic < after.monotonic, "a later process begins again");
    }
}
