//! Runs scenarios, each within its deadline, and says what came of them and what they show.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Outcome, PeerError};
use super::place::{Place, Tool};
use super::world::World;

/// One thing that is to be seen between programs.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// `rlpx`, `waku`, `discovery`, `ratchet`, `card`, `system`, `report` or `live`.
    pub group: &'static str,
    /// What is shown, as the name of the function that shows it.
    pub name: &'static str,
    /// The programs it needs.
    pub peers: &'static [Tool],
    /// Ids of the requirements it shows.
    pub shows: &'static [&'static str],
    /// The time it has.
    pub within: Duration,
    /// What happens in it.
    pub run: fn(&World) -> Outcome,
}

/// What came of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It went as it should.
    Ok,
    /// A program that it needs is not there, and that is allowed, or cannot run on this machine.
    Skipped(String),
    /// It did not go as it should.
    Failed(String),
}

impl Verdict {
    const fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "FAILED",
        }
    }
}

/// Which scenarios of a list are run, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the programs are.
    pub place: Place,
    /// Whether a missing program is a failure.
    pub strict: bool,
    /// How many run at a time: most of them wait most of the time.
    pub at_a_time: usize,
}

impl Plan {
    /// Runs the scenarios, writes about each as it ends and about all in a table, and says whether none failed.
    #[must_use]
    pub fn run(&self, scenarios: &[Scenario], out: impl Write + Send) -> bool {
        let out = Mutex::new(out);
        let begin = Instant::now();
        let mut queue: Vec<(usize, Scenario)> = scenarios.iter().copied().enumerate().collect();
        // The long ones first, so that none of them begins last.
        queue.sort_by_key(|(_, scenario)| scenario.within);
        let (queue, verdicts) = (Mutex::new(queue), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..self.at_a_time.max(1) {
                scope.spawn(|| {
                    while let Some((index, scenario)) = pop(&queue) {
                        let begin = Instant::now();
                        let verdict = self.verdict(scenario);
                        say(&out, &line(&scenario, &verdict, begin.elapsed()));
                        verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((index, scenario, verdict));
                    }
                });
            }
        });
        let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        verdicts.sort_by_key(|(index, ..)| *index);
        let count = |word: &str| verdicts.iter().filter(|(_, _, verdict)| verdict.word() == word).count();
        let (ok, skipped, failed) = (count("ok"), count("skipped"), count("FAILED"));
        let seconds = begin.elapsed().as_secs_f64();
        say(&out, &format!("\n{}\n{ok} ok, {skipped} skipped, {failed} failed in {seconds:.1} s\n", table(&verdicts)));
        failed == 0
    }

    /// Runs one scenario.
    #[must_use]
    pub fn verdict(&self, scenario: Scenario) -> Verdict {
        for tool in scenario.peers {
            match self.place.find(*tool) {
                Ok(_) => {}
                Err(PeerError::Impossible { why, .. }) => return Verdict::Skipped(why),
                Err(PeerError::Missing { why, .. }) if !self.strict => return Verdict::Skipped(why),
                Err(missing) => return Verdict::Failed(missing.to_string()),
            }
        }
        let world = Arc::new(World::new(self.place.clone()));
        let (tell, told) = channel();
        let inside = Arc::clone(&world);
        let thread = thread::spawn(move || {
            let outcome = (scenario.run)(&inside);
            let _late = tell.send(outcome.map_err(|error| error.to_string()));
        });
        let outcome = match told.recv_timeout(scenario.within) {
            Ok(outcome) => outcome,
            // The thread is gone without a word.
            Err(RecvTimeoutError::Disconnected) => Err(match thread.join() {
                Err(panic) => format!("panic: {}", words_of(panic.as_ref())),
                Ok(()) => "no outcome".to_owned(),
            }),
            Err(RecvTimeoutError::Timeout) => {
                world.end();
                // Without its programs it comes to an end, and knows what it waited for.
                let last = told.recv_timeout(LAST_WORDS).ok().and_then(Result::err).unwrap_or_default();
                Err(format!("not over after {:?}; {last}", scenario.within))
            }
        };
        world.end();
        outcome.map_or_else(Verdict::Failed, |()| Verdict::Ok)
    }
}

fn pop(queue: &Mutex<Vec<(usize, Scenario)>>) -> Option<(usize, Scenario)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words").to_owned()
}

fn line(scenario: &Scenario, verdict: &Verdict, took: Duration) -> String {
    let Scenario { group, name, .. } = scenario;
    let seconds = took.as_secs_f64();
    match verdict {
        Verdict::Ok => format!("{group}::{name} ... ok ({seconds:.1} s)\n"),
        Verdict::Skipped(why) => format!("{group}::{name} ... skipped: {why}\n"),
        Verdict::Failed(why) => format!("{group}::{name} ... FAILED ({seconds:.1} s): {why}\n"),
    }
}

/// Returns a line for each scenario: who took part, what came of it, and the requirements it shows.
#[must_use]
pub fn table(verdicts: &[(usize, Scenario, Verdict)]) -> String {
    let mut text = "| scenario | with | result | shows |\n| --- | --- | --- | --- |\n".to_owned();
    for (_, scenario, verdict) in verdicts {
        let Scenario { group, name, peers, shows, .. } = scenario;
        let with: Vec<&str> = peers.iter().map(|tool| tool.name()).collect();
        let (with, shows, word) = (with.join(", "), shows.join(", "), verdict.word());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| interop::{group}::{name} | {with} | {word} | {shows} |");
    }
    text
}

/// A closed pipe takes nothing away from the verdict.
fn say(out: &Mutex<impl Write>, text: &str) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// For a scenario whose programs were ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
