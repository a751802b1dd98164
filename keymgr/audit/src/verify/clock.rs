//! The wall clock of the lines, held against the monotonic one and against the verifier's.
//!
//! Within one run of a manager both clocks go on together. A wall clock that falls behind was set back. One that runs ahead
//! was set forward, or the computer slept, which stops the monotonic clock: that is a question, not a finding. Tolerated are
//! two seconds, and a thousandth of the time since, which is twice what a clock discipline slews.

use super::question::Question;
use super::verdict::{Finding, Lines, Verdict, Why};

/// What is not told: two seconds.
const TOLERANCE: u64 = 2_000;
/// How much later than now a line may be.
const AHEAD: u64 = 300_000;

#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<u64>,
    last: Option<Reading>,
    /// Where in this run the wall clock was ahead of the monotonic one most.
    reference: Option<Reading>,
    future: Option<(Lines, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    line: u64,
    unix: u64,
    mono: u64,
}

/// What a line's clocks say.
pub(super) enum Said {
    Finding(Finding),
    Question(Question),
}

impl Clock {
    pub(super) fn at(now: Option<u64>) -> Self {
        Self { now, ..Self::default() }
    }

    /// Takes the clocks of the next line, which may be the first of another run.
    pub(super) fn read(&mut self, line: u64, unix: u64, mono: u64, starts: bool) -> Option<Said> {
        let reading = Reading { line, unix, mono };
        self.look_ahead(reading);
        let last = self.last.replace(reading);
        let (Some(last), Some(reference)) = (last, self.reference) else {
            self.reference = Some(reading);
            return None;
        };
        if starts {
            self.reference = Some(reading);
            return set_back(last, reading, last.unix.saturating_sub(unix), TOLERANCE);
        }
        if mono < last.mono {
            self.reference = Some(reading);
            let why = Why::Backwards { millis: last.mono.saturating_sub(mono) };
            let lines = Lines::from_to(last.line, line);
            return Some(Said::Finding(Finding { lines, verdict: Verdict::ClockStep, why }));
        }
        let passed = mono.saturating_sub(reference.mono);
        let tolerance = TOLERANCE.saturating_add(passed / 1000);
        let expected = reference.unix.saturating_add(passed);
        if expected > unix.saturating_add(tolerance) {
            self.reference = Some(reading);
            return set_back(last, reading, expected.saturating_sub(unix), tolerance);
        }
        if unix >= expected {
            self.reference = Some(reading);
        }
        let ahead = unix.saturating_sub(expected);
        let lines = Lines::from_to(last.line, line);
        (ahead > tolerance).then_some(Said::Question(Question::Ahead { lines, millis: ahead }))
    }

    /// Returns the lines from the future, when all were read.
    pub(super) fn future(&self) -> Option<Finding> {
        let (lines, millis) = self.future?;
        Some(Finding { lines, verdict: Verdict::ClockStep, why: Why::FromTheFuture { millis } })
    }

    fn look_ahead(&mut self, reading: Reading) {
        let ahead = self.now.map_or(0, |now| reading.unix.saturating_sub(now));
        if ahead > AHEAD {
            let (lines, most) = self.future.get_or_insert((Lines::one(reading.line), ahead));
            lines.last = reading.line;
            *most = ahead.max(*most);
        }
    }
}

fn set_back(last: Reading, this: Reading, millis: u64, tolerance: u64) -> Option<Said> {
    let finding = Finding {
        lines: Lines::from_to(last.line, this.line),
        verdict: Verdict::ClockStep,
        why: Why::SetBack { millis, tolerance },
    };
    (millis > tolerance).then_some(Said::Finding(finding))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(readings: &[(u64, u64, bool)]) -> Vec<&'static str> {
        let mut clock = Clock::default();
        let said = readings.iter().zip(1..).map(|((unix, mono, starts), line)| {
            match clock.read(line, *unix, *mono, *starts) {
                None => "",
                Some(Said::Question(_)) => "ahead",
                Some(Said::Finding(Finding { why: Why::Backwards { .. }, .. })) => "backwards",
                Some(Said::Finding(_)) => "back",
            }
        });
        said.collect()
    }

    #[test]
    fn a_clock_that_is_set_back_is_told_once() {
        assert_eq!(
            said(&[(10_000, 0, true), (11_000, 1_000, false), (5_000, 2_000, false), (6_000, 3_000, false)]),
            ["", "", "back", ""]
        );
        assert_eq!(said(&[(10_000, 0, true), (9_000, 1_000, false)]), ["", ""], "two seconds are tolerated");
    }

    #[test]
    fn many_small_steps_back_add_up() {
        let steps: Vec<_> = (0..10).map(|n| (100_000 - n * 500, n * 100, n == 0)).collect();
        assert!(said(&steps).contains(&"back"));
    }

    #[test]
    fn sleep_is_a_question_and_hides_no_step() {
        let hour = 3_600_000;
        assert_eq!(
            said(&[(10_000, 0, true), (hour, 1_000, false), (hour - 60_000, 2_000, false)]),
            ["", "ahead", "back"]
        );
    }

    #[test]
    fn a_slewed_clock_is_no_step() {
        let day = 86_400_000;
        assert_eq!(
            said(&[(day, 0, true), (2 * day - 43_200, day, false), (3 * day - 86_400, 2 * day, false)]),
            ["", "", ""]
        );
    }

    #[test]
    fn another_run_starts_its_monotonic_clock_anew_but_not_earlier() {
        assert_eq!(said(&[(10_000, 9_000, true), (11_000, 5, true), (20_000, 3, false)]), ["", "", "backwards"]);
        assert_eq!(said(&[(10_000, 9_000, true), (5_000, 5, true)]), ["", "back"]);
    }

    #[test]
    fn lines_from_the_future_are_told_together() {
        let mut clock = Clock::at(Some(1_000));
        for line in 1..4 {
            assert!(clock.read(line, 1_000 + 400_000 * (line - 1), 400_000 * (line - 1), false).is_none());
        }
        let finding = clock.future().unwrap();
        assert_eq!((finding.lines, finding.why), (Lines::from_to(2, 3), Why::FromTheFuture { millis: 800_000 }));
    }
}
