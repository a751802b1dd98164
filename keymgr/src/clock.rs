//! Both clocks, for the log and the PIN's lifetime.

use std::time::{SystemTime, UNIX_EPOCH};

use audit::When;
use proto::{Instant, UnixMillis};

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
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        When {
            unix: UnixMillis::new(u64::try_from(unix).unwrap_or(u64::MAX)),
            monotonic: Instant::from_start(self.0.elapsed()),
        }
    }
}
