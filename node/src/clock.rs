//! The clocks of this process, as the machines want them: a monotonic one with its own beginning, and the wall clock.

use proto::shell::{clock, dice};
use proto::{Instant, Turn, UnixMillis};

/// Both clocks, with one beginning for the whole node.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// Returns a clock that begins here.
    #[must_use]
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// Returns the time since the beginning.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_start(self.start.elapsed())
    }

    /// Returns the wall clock; 1970 when it is set to before that.
    #[must_use]
    pub fn unix(&self) -> UnixMillis {
        clock::unix()
    }

    /// Lends both clocks and the dice to a machine for one call.
    pub fn turn<R>(&self, call: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        let mut dice = dice();
        call(&mut Turn { now: self.now(), unix: self.unix(), rng: &mut dice })
    }

    /// Waits until `at`; for ever when there is none.
    pub async fn reach(&self, at: Option<Instant>) {
        match at.and_then(|at| self.start.checked_add(at.since_start())) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Clock;

    #[tokio::test]
    async fn an_instant_is_not_reached_before_its_time() {
        let clock = Clock::start();
        let at = clock.now().after(Duration::from_millis(5));
        clock.reach(Some(at)).await;
        assert!(clock.now() >= at);
    }
}
