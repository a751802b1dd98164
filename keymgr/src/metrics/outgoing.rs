//! Heads that are nowhere but on this computer: what the spool has after the line that any place took last.
//!
//! `cardinal audit push` remembers for each place, in a file `NAME.sent`, how far the spool was sent:
//!
//! ```text
//! BYTES || ' ' || SHA-256 of the last line that was sent, hexadecimal (64) || '\n' || the place, for people
//! ```
//! The invariant: it only reads, and what cannot be read counts as not sent.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use audit::LineHash;
use proto::UnixMillis;
use proto::shell::{clock, file};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use crate::spool;

/// Where the heads wait, and where it is remembered which of them were sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    spool: PathBuf,
    sent: PathBuf,
    /// What waited a moment ago: whoever asks again and again is not worth reading the spool each time.
    last: Arc<Mutex<Option<(Instant, Waiting)>>>,
}

/// The heads that no place took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// How many they are.
    pub heads: u64,
    /// How many bytes their lines have.
    pub bytes: u64,
    /// For how long the oldest of them has waited.
    pub oldest: Duration,
}

/// What a line of the spool says that counts here.
#[derive(Debug, Deserialize)]
struct Spooled {
    unix_ms: u64,
}

impl Outgoing {
    /// Returns the spool of a manager with this directory. What was sent is remembered beside it, unless that is elsewhere.
    #[must_use]
    pub fn of(dir: &Path, sent: Option<PathBuf>) -> Self {
        let spool = spool::file_in(dir);
        Self { sent: sent.unwrap_or_else(|| file::beside(&spool, ".sent")), spool, last: Arc::default() }
    }

    /// Returns what waits, or waited a moment ago.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, waiting)) if at.elapsed() < FRESH => waiting,
            _ => {
                let waiting = self.waiting_at(clock::unix());
                *last = Some((Instant::now(), waiting));
                waiting
            }
        }
    }

    fn waiting_at(&self, now: UnixMillis) -> Waiting {
        let text = read(&self.spool, spool::MOST.saturating_mul(2)).unwrap_or_default();
        let sent = self.sent_last();
        let (mut waiting, mut oldest) = (Waiting::default(), None);
        let lines = text.split_inclusive(|byte| *byte == b'\n').rev().filter(|line| line.ends_with(b"\n"));
        // Newest first: what a place has taken is taken with all that is before it.
        for line in lines.take_while(|line| sent.is_empty() || !sent.contains(&LineHash::of(line))) {
            waiting.heads = waiting.heads.saturating_add(1);
            waiting.bytes = waiting.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
            oldest = Some(line);
        }
        let since = oldest.and_then(|line| serde_json::from_slice::<Spooled>(line).ok()).map(|line| line.unix_ms);
        waiting.oldest = Duration::from_millis(since.map_or(0, |since| now.get().saturating_sub(since)));
        waiting
    }

    /// Returns the line that each place took last.
    fn sent_last(&self) -> Vec<LineHash> {
        let Ok(folder) = self.sent.read_dir() else { return Vec::new() };
        // The folder is another user's.
        let files = folder.flatten().take(MOST_FILES).map(|entry| entry.path());
        let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "sent")).take(MOST_PLACES);
        files.filter_map(|path| last_of(&read(&path, MAX_MEMORY).ok()?)).collect()
    }
}

fn last_of(memory: &[u8]) -> Option<LineHash> {
    let line = memory.split(|byte| *byte == b'\n').next()?;
    let (_, last) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let mut hash = [0; 32];
    hex::decode_to_slice(last, &mut hash).ok()?;
    Some(LineHash::from(hash))
}

/// Reads a file of another user, who may have made anything of it: nothing is waited for.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

const FRESH: Duration = Duration::from_secs(1);
/// Of what else lies beside them.
const MOST_FILES: usize = 1024;
/// More places than anybody sends to.
const MOST_PLACES: usize = 64;
/// Two lines.
const MAX_MEMORY: u64 = 8192;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    struct Desk {
        folder: tempfile::TempDir,
        outgoing: Outgoing,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (spool, sent) = (folder.path().join("heads.jsonl"), folder.path().join("sent"));
            let outgoing = Outgoing { spool, sent, last: Arc::default() };
            Self { folder, outgoing }
        }

        fn spool(&self, seconds: &[u64]) {
            let mut text = String::new();
            for at in seconds {
                writeln!(text, "{}", line(*at)).unwrap();
            }
            std::fs::write(&self.outgoing.spool, text).unwrap();
        }

        fn sent(&self, place: &str, at: u64) {
            std::fs::create_dir_all(&self.outgoing.sent).unwrap();
            let last = LineHash::of(format!("{}\n", line(at)).as_bytes());
            let path = self.folder.path().join(format!("sent/{place}.sent"));
            std::fs::write(path, format!("7 {last}\nfile:/{place}\n")).unwrap();
        }

        fn waiting(&self) -> (u64, u64) {
            let waiting = self.outgoing.waiting_at(UnixMillis::new(60_000));
            (waiting.heads, waiting.oldest.as_secs())
        }
    }

    fn line(at: u64) -> String {
        format!("{{\"head\":\"x\",\"unix_ms\":{},\"card\":null,\"line\":{at}}}", at * 1000)
    }

    #[test]
    fn what_no_place_took_waits_since_its_oldest_line_was_written() {
        let desk = Desk::new();
        assert_eq!(desk.waiting(), (0, 0), "there is no spool");
        desk.spool(&[10, 20, 30]);
        assert_eq!(desk.waiting(), (3, 50), "nobody sends");
        assert_eq!(desk.outgoing.waiting().bytes, 3 * (line(10).len() as u64 + 1));
        desk.sent("a", 10);
        assert_eq!(desk.waiting(), (2, 40));
        desk.sent("b", 30);
        assert_eq!(desk.waiting(), (0, 0), "one place has all of it");
        desk.spool(&[20, 30, 40]);
        assert_eq!(desk.waiting(), (1, 20), "the older half went");
        desk.spool(&[50]);
        assert_eq!(desk.waiting(), (1, 10), "what was sent is not there any more");
    }

    #[test]
    fn half_a_line_and_files_that_say_nothing_count_for_nothing() {
        let desk = Desk::new();
        std::fs::write(&desk.outgoing.spool, format!("junk\n{}\n{{\"head", line(5))).unwrap();
        std::fs::create_dir(&desk.outgoing.sent).unwrap();
        for (name, text) in [("a.sent", "junk"), ("b.sent", "7 -\n"), ("c.sent", ""), ("d", "1 2")] {
            std::fs::write(desk.outgoing.sent.join(name), text).unwrap();
        }
        assert_eq!(desk.waiting(), (2, 0), "a line that tells no time has waited for none");
    }

    /// Whoever sends heads is another user, and may have been taken over.
    #[test]
    fn attack_a_pipe_where_a_memory_should_be_holds_nobody_up() {
        let desk = Desk::new();
        desk.spool(&[10]);
        std::fs::create_dir(&desk.outgoing.sent).unwrap();
        let pipe = desk.outgoing.sent.join("x.sent");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", desk.outgoing.sent.join("y.sent")).unwrap();
        assert_eq!(desk.waiting(), (1, 50));
    }
}
