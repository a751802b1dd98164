//! CPU time, because a machine does other things too, and wall time where that is the question.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Trouble;

/// Returns the CPU time of this process: user and system, all threads; what getrusage counts, in nanoseconds.
pub(crate) fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(spent.tv_nsec).unwrap_or(0))
}

/// Returns the CPU time of all children that have ended and were waited for (proc_pid_stat(5), fields 16 and 17).
pub(crate) fn children() -> Result<Duration, Trouble> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses, which may hold anything.
    let rest = stat.rsplit(')').next().ok_or("no fields")?;
    let mut ticks = 0;
    for field in rest.split_whitespace().skip(13).take(2) {
        ticks += field.parse::<u64>()?;
    }
    // USER_HZ, which is 100 wherever Linux runs.
    Ok(Duration::from_millis(10 * ticks))
}

/// Returns the CPU time of one call in microseconds: that of the cheapest of [`ROUNDS`] rounds of equally many calls,
/// because what else runs on the machine (caches, the other thread of a core) only ever adds.
pub(crate) fn cost_us<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut calls = 1u32;
    loop {
        let spent = round(calls, &mut call);
        if spent >= ROUND / 2 {
            break;
        }
        let times = ROUND.as_nanos() / spent.as_nanos().max(1);
        calls = calls.saturating_mul(u32::try_from(times.clamp(2, 100)).unwrap_or(2));
    }
    let cheapest = (0..ROUNDS).map(|_| round(calls, &mut call)).min().unwrap_or_default();
    cheapest.as_secs_f64() * 1e6 / f64::from(calls)
}

/// Returns the wall time of each of so many calls, in milliseconds.
pub(crate) fn wall_ms<T>(calls: usize, mut call: impl FnMut() -> T) -> Vec<f64> {
    let timed = |_| {
        let start = Instant::now();
        std::hint::black_box(call());
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..calls).map(timed).collect()
}

/// Returns the smallest sample that so great a part of them does not exceed: 0.5 is the median, 0.99 the p99.
pub(crate) fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let index = (samples.len() as f64 * part).ceil() as usize;
    samples.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The wall times of rounds that take turns with those of a peer, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Vec<Vec<f64>>);

impl Rounds {
    /// Adds those of one round.
    pub(crate) fn add(&mut self, samples: Vec<f64>) {
        self.0.push(samples);
    }

    /// Returns the quantile of the middle round: a round in which the machine was taken away for a while is not it.
    pub(crate) fn middle(&mut self, part: f64) -> f64 {
        let mut each: Vec<f64> = self.0.iter_mut().map(|samples| quantile(samples, part)).collect();
        quantile(&mut each, 0.5)
    }
}

fn round<T>(calls: u32, call: &mut impl FnMut() -> T) -> Duration {
    let start = cpu();
    for _ in 0..calls {
        std::hint::black_box(call());
    }
    cpu().saturating_sub(start)
}

/// Many and short: some of them are left alone by whatever else runs.
const ROUNDS: usize = 400;
/// CPU time of one round.
const ROUND: Duration = Duration::from_millis(2);
