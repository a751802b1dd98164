//! Both clocks, for the log and the PIN's lifetime.

use std::time::Duration;

use audit::When;
use proto::Instant;
use proto::shell::clock;
use rustix::time::{ClockId, clock_gettime};

/// Tells the time.
pub trait Clock {
    /// Returns what both clocks show.
    fn now(&self) -> When;
}

/// The clocks of the operating system; the monotonic one begins when this is made and goes on while the computer sleeps,
/// so that a sleep does not lengthen the PIN's lifetime.
#[derive(Debug)]
pub struct SystemClock(Duration);

impl SystemClock {
    /// Starts the monotonic clock.
    #[must_use]
    pub fn start() -> Self {
        Self(since_boot())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> When {
        When { unix: clock::unix(), monotonic: Instant::from_start(since_boot().saturating_sub(self.0)) }
    }
}

fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_is_the_one_that_a_sleeping_computer_does_not_stop() {
        let clock = SystemClock(Duration::ZERO);
        let before = since_boot();
        let now = clock.now().monotonic.since_start();
        assert!(before <= now && now <= since_boot());
        assert!(SystemClock::start().now().monotonic.since_start() <= since_boot() - before);
    }
}
