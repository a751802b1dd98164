//! Durations counted by size.

use std::time::Duration;

/// How many durations were at most so long, for each of [`BOUNDS`], and their sum.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// Counts one more.
    pub(crate) fn observe(&mut self, took: Duration) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(took);
        let fits = BOUNDS.iter().zip(&mut self.counts).find(|(bound, _)| took <= **bound);
        if let Some((_, count)) = fits {
            *count = count.saturating_add(1);
        }
    }

    /// Returns how many there were.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Returns how long they were together.
    pub(crate) const fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns each bound with the number of durations that are not above it.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        BOUNDS.iter().zip(&self.counts).scan(0_u64, |below, (bound, count)| {
            *below = below.saturating_add(*count);
            Some((*bound, *below))
        })
    }

    /// Returns the bound that 99 of 100 durations are not above; the last one when they are longer than all bounds.
    pub(crate) fn p99(&self) -> Duration {
        let enough = self.count.saturating_sub(self.count / 100);
        let last = BOUNDS.last().copied().unwrap_or_default();
        match self.count {
            0 => Duration::ZERO,
            _ => self.cumulative().find(|(_, below)| *below >= enough).map_or(last, |(bound, _)| bound),
        }
    }
}

/// From a write that no disk waits for to a card that makes a key.
const BOUNDS: [Duration; 15] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_their_bound_and_above_all_of_them() {
        let mut histogram = Histogram::default();
        for took in [Duration::from_micros(100), Duration::from_micros(101), Duration::from_secs(90)] {
            histogram.observe(took);
        }
        let below: Vec<u64> = histogram.cumulative().map(|(_, below)| below).collect();
        assert_eq!((below[0], below[1], below[14]), (1, 2, 2), "90 s is in the count alone");
        assert_eq!((histogram.count(), histogram.sum()), (3, Duration::from_micros(90_000_201)));
    }

    #[test]
    fn one_in_a_hundred_may_be_longer_than_p99() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.p99(), Duration::ZERO);
        for _ in 0..99 {
            histogram.observe(Duration::from_micros(300));
        }
        histogram.observe(Duration::from_secs(2));
        assert_eq!(histogram.p99(), Duration::from_micros(500));
        histogram.observe(Duration::from_secs(2));
        assert_eq!(histogram.p99(), Duration::from_secs(5), "two of 101 are more than one in a hundred");
        histogram.observe(Duration::from_secs(90));
        assert_eq!(histogram.p99(), Duration::from_secs(5));
    }
}
