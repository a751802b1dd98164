//! Both clocks, for the log and the PIN's lifetime.

use audit::When;
use proto::Instant;
use proto::shell::clock;

/// Tells the time.
pub trait Clock {
    /// Returns what both clocks show.
    fn now(&self) -> When;
}

/// The clocks of the operating system; the monotonic one begins when this is made.
#[derive(Debug)]
pub struct SystemClock(std::time::Instant);

impl SystemClock {
    /// Starts the monotonic clock.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> When {
        When { unix: clock::unix(), monotonic: Instant::from_start(self.0.elapsed()) }
    }
}
