//! The wall clock of the lines, held against the monotonic one and against the verifier's.
//!
//! Within one run of a manager both clocks go on together: its monotonic clock counts from the start of the manager, and goes
//! on while the computer sleeps. A wall clock that falls behind was set back; one that runs ahead was set forward, or both
//! stood still because a virtual machine was paused, which nobody can tell apart. Tolerated are two seconds, and a thousandth
//! of the time since, which is twice what a clock discipline slews.
//!
//! Each start of a manager begins its monotonic clock anew, after a restart of the computer as after any other. From one run
//! to the next only a wall clock shows that goes back: how long nobody wrote is not known.

use super::verdict::{Finding, Lines, Verdict, Why};

/// What is not told: two seconds.
const TOLERANCE: u64 = 2_000;
/// How much later than now a line may be.
const AHEAD: u64 = 300_000;

#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<u64>,
    last: Option<Reading>,
    run: Option<Run>,
    future: Option<(Lines, u64)>,
}

/// The readings of one run from which the wall clock can have been set back most, and forward most: of each two readings
/// the later one is held against the earlier, with the tolerance for the time between them, and these stand for all.
#[derive(Debug, Clone, Copy)]
struct Run {
    most: Reading,
    least: Reading,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    line: u64,
    unix: u64,
    mono: u64,
}

/// In which run a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenIn {
    /// In that of the line before.
    Same,
    /// In another one, which it begins.
    Another,
    /// In either: a manager goes on in another file also before it says that it starts. The next line tells.
    Either,
}

impl Clock {
    pub(super) fn at(now: Option<u64>) -> Self {
        Self { now, ..Self::default() }
    }

    /// Takes the clocks of the next line.
    pub(super) fn read(&mut self, line: u64, unix: u64, mono: u64, written: WrittenIn) -> Option<Finding> {
        let this = Reading { line, unix, mono };
        self.look_ahead(this);
        let (Some(last), Some(run)) = (self.last, self.run) else {
            (self.last, self.run) = (Some(this), Some(Run::at(this)));
            return None;
        };
        if written == WrittenIn::Either {
            return None;
        }
        self.last = Some(this);
        let step = match written {
            WrittenIn::Another => set_back(last.unix.saturating_sub(unix), TOLERANCE),
            _ if mono < last.mono => Some(Why::Backwards { millis: last.mono.saturating_sub(mono) }),
            _ => run.step(this),
        };
        let goes_on = written == WrittenIn::Same && step.is_none();
        self.run = Some(if goes_on { run.on(this) } else { Run::at(this) });
        let lines = Lines::from_to(last.line, line);
        step.map(|why| Finding { lines, verdict: Verdict::ClockStep, why })
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

impl Run {
    const fn at(reading: Reading) -> Self {
        Self { most: reading, least: reading }
    }

    /// Returns the step of the wall clock that this reading shows.
    fn step(&self, this: Reading) -> Option<Why> {
        let back = self.most.expects(this.mono).saturating_sub(this.unix);
        let forward = this.unix.saturating_sub(self.least.expects(this.mono));
        let tolerance = self.least.tolerance(this.mono);
        let ahead = (forward > tolerance).then_some(Why::SetForward { millis: forward, tolerance });
        set_back(back, self.most.tolerance(this.mono)).or(ahead)
    }

    fn on(self, this: Reading) -> Self {
        // Of what is tolerated since the older reading, this one uses up nothing: it stands for both from here on.
        let ahead = this.unix.saturating_add(self.most.slew(this.mono));
        let behind = self.least.expects(this.mono).saturating_add(self.least.slew(this.mono));
        Self {
            most: if ahead >= self.most.expects(this.mono) { this } else { self.most },
            least: if this.unix <= behind { this } else { self.least },
        }
    }
}

impl Reading {
    /// Returns what the wall clock shows when the monotonic one shows this.
    const fn expects(&self, mono: u64) -> u64 {
        self.unix.saturating_add(mono.saturating_sub(self.mono))
    }

    /// Returns how far the clocks may drift apart until the monotonic one shows this.
    const fn slew(&self, mono: u64) -> u64 {
        mono.saturating_sub(self.mono) / 1000
    }

    const fn tolerance(&self, mono: u64) -> u64 {
        TOLERANCE.saturating_add(self.slew(mono))
    }
}

fn set_back(millis: u64, tolerance: u64) -> Option<Why> {
    (millis > tolerance).then_some(Why::SetBack { millis, tolerance })
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::WrittenIn::{Another, Either, Same};

    fn said(readings: &[(u64, u64, WrittenIn)]) -> Vec<&'static str> {
        let mut clock = Clock::default();
        let said = readings.iter().zip(1..).map(|((unix, mono, written), line)| {
            match clock.read(line, *unix, *mono, *written).map(|finding| finding.why) {
                None => "",
                Some(Why::SetForward { .. }) => "forward",
                Some(Why::Backwards { .. }) => "backwards",
                Some(_) => "back",
            }
        });
        said.collect()
    }

    #[test]
    fn a_clock_that_is_set_is_told_once() {
        assert_eq!(
            said(&[(10_000, 0, Another), (11_000, 1_000, Same), (5_000, 2_000, Same), (6_000, 3_000, Same)]),
            ["", "", "back", ""]
        );
        assert_eq!(
            said(&[(10_000, 0, Another), (11_000, 1_000, Same), (70_000, 2_000, Same), (71_000, 3_000, Same)]),
            ["", "", "forward", ""]
        );
        assert_eq!(said(&[(10_000, 0, Another), (9_000, 1_000, Same)]), ["", ""], "two seconds are tolerated");
        assert_eq!(said(&[(10_000, 0, Another), (13_000, 1_000, Same)]), ["", ""], "two seconds are tolerated");
    }

    #[test]
    fn many_small_steps_add_up() {
        let steps: Vec<_> =
            (0..10).map(|n| (100_000 - n * 500, n * 100, if n == 0 { Another } else { Same })).collect();
        assert!(said(&steps).contains(&"back"));
        let steps: Vec<_> =
            (0..10).map(|n| (100_000 + n * 500, n * 100, if n == 0 { Another } else { Same })).collect();
        assert!(said(&steps).contains(&"forward"));
    }

    /// However far the clock drifted before, a step is held against the lines just before it too.
    #[test]
    fn a_step_after_a_month_of_drift_is_told() {
        let (day, minutes) = (86_400_000_u64, 40 * 60_000);
        let month = |drift: i64| {
            let at = move |n: u64| ((100 * day).saturating_add_signed(drift * n as i64) + n * day, n * day);
            (0..=30).map(at).zip(std::iter::once(Another).chain(std::iter::repeat(Same)))
        };
        for drift in [-30_000, -1, 0, 1, 30_000] {
            for (step, told) in [(-minutes, "back"), (minutes, "forward"), (-1_900, ""), (1_900, "")] {
                let mut readings: Vec<_> = month(drift).map(|((unix, mono), run)| (unix, mono, run)).collect();
                let (unix, mono, _) = *readings.last().unwrap();
                readings.push(((unix + 1_000).saturating_add_signed(step), mono + 1_000, Same));
                assert_eq!(said(&readings).last(), Some(&told), "{drift} ms a day, then {step}");
            }
        }
    }

    #[test]
    fn small_steps_after_a_month_add_up() {
        let day = 86_400_000_u64;
        for (by, told) in [(-500, "back"), (500, "forward")] {
            // The clock drifted the same way before.
            let month = (130 * day).saturating_add_signed(by * 60);
            let mut readings = vec![(100 * day, 0, Another), (month, 30 * day, Same)];
            let step = |n: u64| ((month + n * 1_000).saturating_add_signed(by * n as i64), 30 * day + n * 1_000, Same);
            readings.extend((1..10).map(step));
            assert!(said(&readings).contains(&told), "{by} ms a second");
        }
    }

    #[test]
    fn sleep_is_no_step_and_hides_none() {
        let hour = 3_600_000;
        assert_eq!(
            said(&[(10_000, 0, Another), (hour + 10_000, hour, Same), (hour - 60_000, hour + 1_000, Same)]),
            ["", "", "back"]
        );
    }

    #[test]
    fn a_slewed_clock_is_no_step() {
        let day = 86_400_000;
        assert_eq!(
            said(&[(day, 0, Another), (2 * day - 43_200, day, Same), (3 * day - 86_400, 2 * day, Same)]),
            ["", "", ""]
        );
        assert_eq!(
            said(&[(day, 0, Another), (2 * day + 43_200, day, Same), (3 * day + 86_400, 2 * day, Same)]),
            ["", "", ""]
        );
    }

    #[test]
    fn another_run_starts_its_monotonic_clock_anew_but_not_earlier() {
        assert_eq!(said(&[(10_000, 9_000, Another), (11_000, 5, Another), (20_000, 3, Same)]), ["", "", "backwards"]);
        assert_eq!(said(&[(10_000, 9_000, Another), (5_000, 5, Another)]), ["", "back"]);
        assert_eq!(
            said(&[(10_000, 9_000, Another), (9_000_000, 5, Another)]),
            ["", ""],
            "nobody knows how long it was off"
        );
    }

    /// What goes on in another file hides no step, whether its manager runs on or has just started.
    #[test]
    fn a_step_at_the_beginning_of_another_file_is_told() {
        let first = (10_000, 0, Another);
        assert_eq!(said(&[first, (70_000, 1_000, Either), (71_000, 2_000, Same)]), ["", "", "forward"]);
        assert_eq!(said(&[first, (11_000, 1_000, Either), (12_000, 2_000, Same)]), ["", "", ""]);
        assert_eq!(said(&[first, (5_000, 10, Either), (5_010, 20, Another)]), ["", "", "back"]);
        assert_eq!(said(&[first, (70_000, 10, Either), (70_010, 20, Another)]), ["", "", ""]);
        assert_eq!(said(&[(10_000, 0, Either), (11_000, 1_000, Same)]), ["", ""], "the first line of all");
    }

    #[test]
    fn lines_from_the_future_are_told_together() {
        let mut clock = Clock::at(Some(1_000));
        for line in 1..4 {
            assert!(clock.read(line, 1_000 + 400_000 * (line - 1), 400_000 * (line - 1), Same).is_none());
        }
        let finding = clock.future().unwrap();
        assert_eq!((finding.lines, finding.why), (Lines::from_to(2, 3), Why::FromTheFuture { millis: 800_000 }));
    }
}
