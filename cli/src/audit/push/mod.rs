//! `cardinal audit push`: sends the heads that cards have signed away from this computer, where its root cannot change them.
//!
//! The key manager appends heads to a spool and waits for nobody. This reads the spool, and writes nothing near it but how
//! far it got. The invariant: that a line was sent is remembered only after its place took it, so a line may arrive twice and
//! never not at all, as far as the place can say so: who sends datagrams hears only that nobody is there. What a place has kept is an anchor for `cardinal audit verify`.

mod deadline;
mod kept;
mod send;
mod spool;
mod target;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::rpc::Fault;
use proto::shell::file;
use serde::Deserialize;
use serde_json::json;

use crate::error::CliError;
use crate::output::{Output, read_or_not, shown};
use crate::paths::Layout;
use crate::signals::Signals;

pub(crate) use self::target::Target;

use self::spool::Memory;
use super::args::PushArgs;

/// What a configuration file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The places.
    #[serde(default)]
    to: Vec<String>,
    /// The spool.
    spool: Option<PathBuf>,
    /// The folder that remembers.
    memory: Option<PathBuf>,
}

/// What is sent where.
struct Job {
    spool: PathBuf,
    memory: Memory,
    places: Vec<Place>,
}

/// A place and when it is tried again.
struct Place {
    target: Target,
    failures: u32,
    not_before: Option<Instant>,
}

/// Sends what is in the spool, once or, with `--watch`, for ever.
///
/// # Errors
/// What the last place that failed says; of those before it stderr tells. The other places were sent everything.
pub(crate) async fn run(out: Output, args: PushArgs) -> Result<(), CliError> {
    let watch = args.watch;
    let mut job = Job::of(args)?;
    let mut signals = Signals::listen()?;
    loop {
        let pass = tokio::task::spawn_blocking(move || {
            let result = job.pass(out, watch);
            (job, result)
        });
        let result = tokio::select! {
            done = pass => {
                let (returned, result) = done.map_err(|_| CliError::Other("the sending broke off".to_owned()))?;
                job = returned;
                result
            }
            signal = signals.received() => return Err(signal),
        };
        if !watch {
            return result;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            signal = signals.received() => return Err(signal),
        }
    }
}

impl Job {
    fn of(args: PushArgs) -> Result<Self, CliError> {
        let PushArgs { profile, spool, to, config, memory, watch: _ } = args;
        let config = config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let to = if to.is_empty() { config.to } else { to };
        if to.is_empty() {
            let message = "name a place with --to, for example --to file:/mnt/heads, or a file with --config";
            return Err(CliError::found(Fault::BadInput, message));
        }
        let place = |text: String| Ok(Place { target: text.parse()?, failures: 0, not_before: None });
        let places = to.into_iter().map(place).collect::<Result<Vec<_>, CliError>>()?;
        let spool = match spool.or(config.spool) {
            Some(spool) => spool,
            None => Layout::of_user()?.choose(profile.profile.as_deref())?.spool(),
        };
        let memory = memory.or(config.memory).unwrap_or_else(|| file::beside(&spool, ".sent"));
        Ok(Self { spool, memory: Memory::in_folder(&memory)?, places })
    }

    /// Sends to each place whose time has come. One that fails keeps no other from being served.
    fn pass(&mut self, out: Output, watch: bool) -> Result<(), CliError> {
        let mut result = Ok(());
        for place in &mut self.places {
            if place.not_before.is_some_and(|then| Instant::now() < then) {
                continue;
            }
            match empty(&self.spool, &self.memory, &place.target) {
                Ok(0) if watch => (place.failures, place.not_before) = (0, None),
                Ok(count) => {
                    (place.failures, place.not_before) = (0, None);
                    read_or_not(told(out, &place.target, count))?;
                }
                // Before the first head there is no spool, and a watch is there for what comes.
                Err(error) if watch && error.fault() == Some(Fault::StateMissing) && !self.spool.exists() => {}
                Err(error) => {
                    place.fail();
                    if watch {
                        complain(&format!("{error}; tried again in {} s", place.pause().as_secs()));
                    }
                    if let Err(before) = std::mem::replace(&mut result, Err(error))
                        && !watch
                    {
                        complain(&before.to_string());
                    }
                }
            }
        }
        result
    }
}

/// Writes a line to stderr. Nobody may be reading: that is no reason to stop.
fn complain(line: &str) {
    let line = format!("{}\n", shown(line));
    drop(std::io::Write::write_all(&mut std::io::stderr().lock(), line.as_bytes()));
}

impl Place {
    fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now().checked_add(self.pause());
    }

    /// Twice as long after each failure, up to five minutes.
    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(8)).min(LONGEST_PAUSE)
    }
}

impl Config {
    fn read(path: &Path) -> Result<Self, CliError> {
        let text = file::read_bounded(path, MAX_CONFIG).map_err(CliError::file(path))?;
        let text = std::str::from_utf8(&text).unwrap_or("\u{0}");
        toml::from_str(text).map_err(|error| {
            let message = format!("{}: {}; it has to = [\"PLACE\"], spool and memory", path.display(), error.message());
            CliError::found(Fault::BadInput, message)
        })
    }
}

/// Sends all that is in the spool to one place, and returns how many lines it was.
fn empty(spool: &Path, memory: &Memory, target: &Target) -> Result<usize, CliError> {
    if target.keeps(spool) {
        let message = format!("{target} is the spool itself; name a folder elsewhere");
        return Err(CliError::found(Fault::BadInput, message));
    }
    let mut count = 0;
    while let Some(batch) = spool::next(spool, memory.of(target))? {
        send::send(target, &batch.lines, PATIENCE)?;
        memory.keep(target, batch.then)?;
        count += batch.count;
    }
    Ok(count)
}

fn told(out: Output, target: &Target, count: usize) -> Result<(), CliError> {
    if out.is_json() {
        return out.object(&json!({ "to": target.to_string(), "sent": count }));
    }
    out.line(format!("{}: {count} head(s) sent", shown(&target.to_string())))
}

/// How often the spool is looked at.
const LOOK: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long one sending to one place may take.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_CONFIG: usize = 64 * 1024;

#[cfg(test)]
mod tests;
