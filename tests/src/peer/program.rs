//! One process that speaks JSON lines: commands on its standard input, replies and events on its standard output.
//!
//! ```text
//! {"id": 7, "cmd": "send", ...arguments}      ->
//!                                             <- {"id": 7, "cmd": "send", "ok": true, "result": ..}
//!                                             <- {"event": "packet", ...}
//! ```
//!
//! It leads a process group of its own, and is ended with all of it when the [`Program`] is dropped. Nothing here waits
//! without a deadline.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::error::PeerError;
use super::leash::Leash;
use super::said::Said;
use super::transcript::Transcript;

/// A program that was started here.
#[derive(Debug)]
pub struct Program {
    name: String,
    pid: u32,
    leash: Leash,
    /// Gone once its standard input is to be closed.
    input: Option<Sender<Vec<u8>>>,
    lines: Receiver<Value>,
    /// Lines that came while another one was awaited.
    waiting: VecDeque<Value>,
    said: Arc<Mutex<Said>>,
    /// Breaks when its standard error has ended.
    quiet: Receiver<()>,
    next_id: u64,
}

impl Program {
    /// Starts a program.
    ///
    /// # Errors
    /// [`PeerError::NotStarted`].
    pub fn start<I, A>(path: &Path, arguments: I) -> Result<Self, PeerError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let mut command = Command::new(path);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts a program with an environment or a directory of its own.
    ///
    /// # Errors
    /// [`PeerError::NotStarted`].
    pub fn spawn(mut command: Command) -> Result<Self, PeerError> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| PeerError::NotStarted { program: name.clone(), source })?;
        let (pid, said) = (child.id(), Arc::new(Mutex::new(Said::default())));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let leash = Leash::new(child);
        let transcript = Transcript::of(&name, pid);
        let ((input, to_write), (to_take, lines), (loud, quiet)) = (channel(), sync_channel(UNREAD), channel());
        if let Some(stdin) = stdin {
            let transcript = transcript.clone();
            thread::spawn(move || write(stdin, &to_write, &transcript));
        }
        if let Some(stdout) = stdout {
            let (said, transcript) = (Arc::clone(&said), transcript.clone());
            thread::spawn(move || read_values(stdout, &said, &transcript, &to_take));
        }
        if let Some(stderr) = stderr {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                let _loud: Sender<()> = loud;
                each_line(stderr, &said, |line| {
                    transcript.note('!', line);
                    true
                });
            });
        }
        let waiting = VecDeque::new();
        Ok(Self { name, pid, leash, input: Some(input), lines, waiting, said, quiet, next_id: 1 })
    }

    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// A hold on it that ends it from elsewhere.
    #[must_use]
    pub fn leash(&self) -> Leash {
        self.leash.clone()
    }

    /// Sends a line. A program that has ended does not get it; whoever waits for an answer is told.
    pub fn send(&mut self, line: &Value) {
        if let Some(input) = &self.input {
            let _ended = input.send(format!("{line}\n").into_bytes());
        }
    }

    /// Gives a command and returns the `result` of the reply, null when there is none. Events that come before it are
    /// kept.
    ///
    /// # Errors
    /// [`PeerError::Refused`] when it says that it cannot; otherwise as [`Program::wait_for`].
    pub fn call(&mut self, command: &str, arguments: Value) -> Result<Value, PeerError> {
        let id = self.next_id;
        self.next_id += 1;
        let mut line = match arguments {
            Value::Object(arguments) => arguments,
            _ => Map::new(),
        };
        line.insert("id".to_owned(), id.into());
        line.insert("cmd".to_owned(), command.into());
        self.send(&Value::Object(line));
        let mut reply = self.wait_for(&format!("the reply to {command}"), REPLY, |line| {
            line.get("id").and_then(Value::as_u64) == Some(id) && line.get("ok").is_some()
        })?;
        if reply.get("ok").and_then(Value::as_bool) == Some(true) {
            return Ok(reply.get_mut("result").map_or(Value::Null, Value::take));
        }
        let why = reply.get("error").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
        Err(PeerError::Refused { program: self.name.clone(), command: command.to_owned(), why, said: self.said() })
    }

    /// Returns the first line that matches, of those that came and those that come. What does not match is kept in
    /// order.
    ///
    /// # Errors
    /// [`PeerError::Ended`] when it ends first, [`PeerError::Silent`] at the deadline.
    pub fn wait_for(
        &mut self,
        awaited: &str,
        within: Duration,
        mut matches: impl FnMut(&Value) -> bool,
    ) -> Result<Value, PeerError> {
        if let Some(line) =
            self.waiting.iter().position(&mut matches).and_then(|position| self.waiting.remove(position))
        {
            return Ok(line);
        }
        let until = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if matches(&line) => return Ok(line),
                Ok(line) => self.waiting.push_back(line),
                Err(RecvTimeoutError::Timeout) => {
                    let (program, awaited, said) = (self.name.clone(), awaited.to_owned(), self.said());
                    return Err(PeerError::Silent { program, awaited, within, said });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended(awaited)),
            }
        }
    }

    /// Waits for the event of this name.
    ///
    /// # Errors
    /// As [`Program::wait_for`].
    pub fn event(&mut self, name: &str, within: Duration) -> Result<Value, PeerError> {
        self.wait_for(&format!("the event {name}"), within, |line| {
            line.get("event").and_then(Value::as_str) == Some(name)
        })
    }

    /// Returns the lines that have come and that nobody has taken; nobody will get them after this.
    pub fn drain(&mut self) -> Vec<Value> {
        self.waiting.drain(..).chain(self.lines.try_iter()).collect()
    }

    /// Closes its standard input and returns how it ends.
    ///
    /// # Errors
    /// [`PeerError::Silent`] when it does not end in time; it is ended then.
    pub fn close(mut self, within: Duration) -> Result<ExitStatus, PeerError> {
        self.input = None;
        let ended = self.leash.wait(within);
        let status = self.leash.pull();
        status.filter(|_| ended).ok_or_else(|| PeerError::Silent {
            program: self.name.clone(),
            awaited: "an end".to_owned(),
            within,
            said: self.said(),
        })
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(self) {
        self.leash.pull();
    }

    /// The processor time that it has taken, in user and system mode together.
    #[must_use]
    pub fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // Its name, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(TICK * u32::try_from(ticks).ok()?)
    }

    /// The memory that it occupies, in bytes.
    #[must_use]
    pub fn rss(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// Its last lines.
    #[must_use]
    pub fn said(&self) -> Said {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its output has ended: it has too, or is made to.
    fn ended(&self, awaited: &str) -> PeerError {
        let by_itself = self.leash.wait(FAREWELL);
        let (program, awaited) = (self.name.clone(), awaited.to_owned());
        let status = self.leash.pull();
        // What it said last is still on its way.
        let _quiet = self.quiet.recv_timeout(FAREWELL);
        match status.filter(|_| by_itself) {
            Some(status) => PeerError::Ended { program, status, awaited, said: self.said() },
            None => PeerError::Silent { program, awaited, within: FAREWELL, said: self.said() },
        }
    }
}

/// It has a moment to end by itself.
impl Drop for Program {
    fn drop(&mut self) {
        self.input = None;
        let _by_itself = self.leash.wait(FAREWELL);
        self.leash.pull();
    }
}

/// Writes what comes, until the other end is dropped or the program listens no more. A program that does not read holds
/// up this thread alone.
fn write(mut stdin: ChildStdin, lines: &Receiver<Vec<u8>>, transcript: &Transcript) {
    while let Ok(line) = lines.recv() {
        transcript.note('>', &line);
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_values(stream: impl Read, said: &Mutex<Said>, transcript: &Transcript, values: &SyncSender<Value>) {
    each_line(stream, said, |line| {
        transcript.note('<', line);
        match serde_json::from_slice(line) {
            Ok(value) => values.send(value).is_ok(),
            Err(_) => true,
        }
    });
}

/// Calls `take` with each line, noted before, as long as it wants more. A longer line than [`LINE`] is the last one.
fn each_line(stream: impl Read, said: &Mutex<Said>, mut take: impl FnMut(&[u8]) -> bool) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stream.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(1..) if (line.len() as u64) < LINE => {}
            _ => return,
        }
        let beginning = line.get(..line.len().min(SHOWN)).unwrap_or_default();
        said.lock().unwrap_or_else(PoisonError::into_inner).note(&String::from_utf8_lossy(beginning));
        if !take(&line) {
            return;
        }
    }
}

/// For the reply to a command: the peers answer at once, or after a lookup of their own.
const REPLY: Duration = Duration::from_secs(10);
/// The unit of `/proc/<pid>/stat` (`USER_HZ`, 100 on Linux).
const TICK: Duration = Duration::from_millis(10);
/// For an end of its own, and for its last words.
const FAREWELL: Duration = Duration::from_millis(500);
/// Lines that nobody has asked for yet; a program that says more waits.
const UNREAD: usize = 16 * 1024;
/// The longest line: a packet of 16 MiB in hexadecimal digits, and room for its name.
const LINE: u64 = 40 << 20;
/// Bytes of a line that are kept as its last words.
const SHOWN: usize = 2048;

#[cfg(test)]
mod tests;
