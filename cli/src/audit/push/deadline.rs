//! The end of a sending: whatever a place does, nothing is waited for longer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use proto::rpc::Fault;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::send::{REFUSAL, not_taken, unreachable};
use crate::error::CliError;

/// When a sending ends, done or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    begun: Instant,
    within: Duration,
}

impl Deadline {
    /// Returns the end of a sending that begins.
    pub(super) fn within(within: Duration) -> Self {
        Self { begun: Instant::now(), within }
    }

    /// Returns how long there is.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when it is over.
    pub(super) fn left(self) -> io::Result<Duration> {
        let left = self.within.saturating_sub(self.begun.elapsed());
        if left.is_zero() { Err(too_long()) } else { Ok(left) }
    }

    /// Connects to a name or an address and its port.
    ///
    /// # Errors
    /// [`Fault::Unreachable`].
    pub(super) fn connect(self, address: &str) -> Result<Timed, CliError> {
        let mut last = not_taken("the name has no address");
        for address in self.resolve(address)? {
            let called = Instant::now();
            match self.left().and_then(|left| TcpStream::connect_timeout(&address, left)) {
                Ok(stream) => return Ok(Timed { stream, until: self, round_trip: called.elapsed() }),
                Err(error) => last = unreachable(error),
            }
        }
        Err(last)
    }

    /// Returns the addresses of a name. Who asks for them cannot be stopped, but need not be waited for.
    ///
    /// # Errors
    /// [`Fault::Unreachable`].
    pub(super) fn resolve(self, address: &str) -> Result<Vec<SocketAddr>, CliError> {
        let (answers, answer) = mpsc::sync_channel(1);
        let name = address.to_owned();
        std::thread::spawn(move || answers.send(name.to_socket_addrs().map(Iterator::collect)));
        let left = self.left().map_err(unreachable)?;
        match answer.recv_timeout(left) {
            Ok(addresses) => addresses.map_err(unreachable),
            Err(_) => Err(not_taken("its name was not found in time")),
        }
    }

    /// Runs a program to its end, and returns what it printed. At the deadline it is ended, with all that it started.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] with the line of its stderr that says why.
    pub(super) fn run(self, command: std::process::Command, input: &[u8], name: &str) -> Result<Vec<u8>, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unreachable)?;
        runtime.block_on(self.run_to_its_end(command.into(), input.to_vec(), name))
    }

    async fn run_to_its_end(self, mut command: Command, input: Vec<u8>, name: &str) -> Result<Vec<u8>, CliError> {
        let absent = |error: io::Error| {
            if error.kind() == io::ErrorKind::NotFound {
                CliError::found(Fault::Unreachable, format!("the program {name} is not there; install it"))
            } else {
                unreachable(error)
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(absent)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program that ends early says why; that it did not read is not the reason.
                drop(stdin.write_all(&input).await);
            }
        };
        let printed = stdout.map(|stdout| tokio::spawn(beginning(stdout)));
        let said = stderr.map(|stderr| tokio::spawn(beginning(stderr)));
        let left = self.left().map_err(unreachable)?;
        let ended = timeout(left, async { tokio::join!(feed, child.wait()).1 }).await;
        let Ok(status) = ended else {
            end(&mut child).await;
            return Err(not_taken(format!("{name} did not end within {} s", self.within.as_secs())));
        };
        // What the program left running may hold its output open.
        let text = async |reader: Option<tokio::task::JoinHandle<Vec<u8>>>| match reader {
            Some(reader) => timeout(GRACE, reader).await.ok().and_then(Result::ok).unwrap_or_default(),
            None => Vec::new(),
        };
        if status.map_err(unreachable)?.success() {
            return Ok(text(printed).await);
        }
        let said = text(said).await;
        let said = String::from_utf8_lossy(&said);
        Err(not_taken(format!("{name} failed: {}", reason(&said))))
    }
}

/// Returns the line that says why a program failed: what git calls the reason, or else the last that is no advice.
fn reason(said: &str) -> &str {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let begins = |with: &'static str| lines().find(move |line| line.starts_with(with));
    let told = ["! [", "fatal:", "error:"].into_iter().find_map(begins);
    told.or_else(|| lines().next_back()).unwrap_or("it said nothing")
}

/// Says of a socket's wait that was too long that it was.
pub(super) fn in_time<V>(done: io::Result<V>) -> io::Result<V> {
    done.map_err(|error| if error.kind() == io::ErrorKind::WouldBlock { too_long() } else { error })
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it took too long")
}

/// Ends a program and all of its process group, which was not reaped: the id is still its own.
async fn end(child: &mut Child) {
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    drop(child.wait().await);
}

/// Returns the beginning of what comes, and reads the rest so that nobody waits for us.
async fn beginning(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        if kept.len() < MOST_SAID {
            kept.extend_from_slice(chunk.get(..n).unwrap_or_default());
        }
    }
    kept
}

/// A connection that ends at a deadline, however slowly the other side reads or writes.
#[derive(Debug)]
pub(super) struct Timed {
    stream: TcpStream,
    until: Deadline,
    /// How long the other side took to answer the call.
    round_trip: Duration,
}

impl Timed {
    /// Says that nothing more comes, and waits until the other side has read everything and says the same.
    ///
    /// # Errors
    /// When it broke off, or closed the connection before it could have everything, or the time is over.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.stream.set_nonblocking(true)?;
        let early = matches!(self.stream.peek(&mut [0]), Ok(0));
        self.stream.set_nonblocking(false)?;
        if early {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it hung up before it had everything"));
        }
        self.stream.shutdown(Shutdown::Write)?;
        io::copy(self, &mut io::sink())?;
        // Its end may have been under way before it could have everything: what it did not want is answered after that.
        std::thread::sleep(REFUSAL.max(2 * self.round_trip).min(self.until.left()?));
        self.stream.take_error()?.map_or(Ok(()), Err)
    }
}

impl Read for Timed {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.until.left()?))?;
        in_time(self.stream.read(room))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.until.left()?))?;
        in_time(self.stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// How long the output of a program that has ended is waited for.
const GRACE: Duration = Duration::from_secs(1);
/// As much as is kept of what a program says.
const MOST_SAID: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> std::process::Command {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_is_fed_heard_and_blamed() {
        let deadline = Deadline::within(SOON);
        assert_eq!(deadline.run(sh("cat"), b"hello", "cat").unwrap(), b"hello");
        let much = vec![b'x'; 1 << 20];
        assert!(deadline.run(sh("exit 0"), &much, "sh").is_ok(), "it need not read");
        assert_eq!(deadline.run(sh("cat"), &much, "cat").unwrap().len(), MOST_SAID);
        let error = deadline.run(sh("echo one >&2; echo two >&2; exit 3"), b"", "sh").unwrap_err();
        assert!(error.to_string().starts_with("sh failed: two;"), "{error}");
        let git = "echo ' ! [rejected] main -> main' >&2; echo 'error: failed to push' >&2; echo 'hint: x' >&2; exit 1";
        let error = deadline.run(sh(git), b"", "git").unwrap_err();
        assert!(error.to_string().starts_with("git failed: ! [rejected] main -> main;"), "{error}");
        let git = "echo 'fatal: no upstream' >&2; echo >&2; echo '    git push --set-upstream' >&2; exit 128";
        let error = deadline.run(sh(git), b"", "git").unwrap_err();
        assert!(error.to_string().starts_with("git failed: fatal: no upstream;"), "{error}");
        let absent = deadline.run(std::process::Command::new("no-such-program"), b"", "x").unwrap_err();
        assert!(absent.to_string().contains("install it"), "{absent}");
    }

    /// The program, and what it started, are gone when the time is over.
    #[test]
    fn a_program_that_hangs_is_ended_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!("sleep 1000 & echo $! $$ > {}; wait", pids.display());
        let error = Deadline::within(Duration::from_millis(1_500)).run(sh(&script), b"", "sh").unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Unreachable));
        assert!(error.to_string().contains("did not end within"), "{error}");
        let pids = std::fs::read_to_string(&pids).unwrap();
        let mut pids: Vec<&str> = pids.split_whitespace().collect();
        assert_eq!(pids.len(), 2);
        // Whoever adopts the orphan may not have reaped it yet: dead is enough.
        let is_alive = |pid: &&str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
        };
        let until = Deadline::within(SOON);
        while pids.iter().any(is_alive) {
            until.left().unwrap();
            pids.retain(is_alive);
            std::thread::yield_now();
        }
    }

    #[test]
    fn output_that_is_held_open_by_others_is_not_waited_for() {
        let begun = Instant::now();
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; exit 0", pid.display());
        Deadline::within(SOON).run(sh(&script), b"", "sh").unwrap();
        assert!(begun.elapsed() < SOON);
        let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}
