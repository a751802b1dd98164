//! The clocks of this process, as the machines want them: a monotonic one with its own beginning, and the wall clock.

use std::pin::Pin;

use proto::shell::{clock, dice};
use proto::{Instant, Turn, UnixMillis};
use tokio::time::Sleep;

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

    fn at(&self, at: Instant) -> Option<tokio::time::Instant> {
        self.start.checked_add(at.since_start())
    }
}

/// One task's timer, for a time that moves with every event.
///
/// The times of the machines mostly move further away, so the timer is left where it stands until it rings too early.
/// What is awaited may be dropped and awaited again at no cost: the timer stays set.
#[derive(Debug)]
pub(crate) struct Alarm {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    /// When it rings; none when it has rung.
    set: Option<tokio::time::Instant>,
}

impl Alarm {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, sleep: Box::pin(tokio::time::sleep_until(clock.start)), set: None }
    }

    /// Waits until `at`; for ever when there is none.
    pub(crate) async fn reach(&mut self, at: Option<Instant>) {
        let Some(at) = at.and_then(|at| self.clock.at(at)) else { return std::future::pending().await };
        loop {
            if self.set.is_none_or(|set| set > at) {
                self.sleep.as_mut().reset(at);
                self.set = Some(at);
            }
            self.sleep.as_mut().await;
            if self.set.take().is_some_and(|set| set >= at) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Alarm, Clock};

    #[tokio::test]
    async fn an_instant_is_not_reached_before_its_time() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        for _ in 0..2 {
            let at = clock.now().after(Duration::from_millis(5));
            alarm.reach(Some(at)).await;
            assert!(clock.now() >= at);
        }
    }

    #[tokio::test]
    async fn a_time_that_moves_is_reached_where_it_is_last() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock);
        let in_ms = |ms| Some(clock.now().after(Duration::from_millis(ms)));
        for at in [in_ms(10), in_ms(3_600_000), None] {
            let waited = tokio::time::timeout(Duration::from_millis(1), alarm.reach(at)).await;
            assert!(waited.is_err(), "{at:?}");
        }
        let later = clock.now().after(Duration::from_millis(20));
        alarm.reach(Some(later)).await;
        assert!(clock.now() >= later, "an alarm that was set earlier rings in between");
        let waited = tokio::time::timeout(Duration::from_millis(1), alarm.reach(in_ms(3_600_000))).await;
        assert!(waited.is_err());
        alarm.reach(in_ms(5)).await;
    }
}
