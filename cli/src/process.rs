//! The programs that we start, and the certainty that none of them outlives us.
//!
//! Each child holds the reading end of a pipe whose only writing end is ours. Closing it asks the child to end
//! (`--until-stdin-closes`); the kernel closes it for us even if we are killed. A child has a process group of its own, so that
//! Ctrl-C reaches us alone and we end everything in order.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::rpc::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::error::CliError;
use crate::output::shown;

/// The key manager.
pub(crate) const KEYMGR: Program = Program { name: "cardinal-keymgr", package: "keymgr" };
/// The node, which is also the relay.
pub(crate) const NODE: Program = Program { name: "cardinal-node", package: "node" };

/// A program that is built together with this one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
}

impl Program {
    /// Returns its name.
    pub(crate) const fn name(self) -> &'static str {
        self.name
    }

    /// Returns where the program is: next to this one, or on `PATH`.
    ///
    /// # Errors
    /// [`CliError::NoProgram`], which says how to build it.
    pub(crate) fn find(self) -> Result<PathBuf, CliError> {
        let here = std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from)).unwrap_or_default();
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(here.clone()).chain(std::env::split_paths(&on_path).filter(|dir| dir.is_absolute()));
        dirs.map(|dir| dir.join(self.name))
            .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
            .ok_or(CliError::NoProgram { name: self.name, package: self.package, here })
    }
}

/// Everything that we started and that runs until we end it.
#[derive(Debug)]
pub(crate) struct Crew {
    running: Vec<Running>,
    ended: mpsc::UnboundedSender<usize>,
    endings: mpsc::UnboundedReceiver<usize>,
    verbose: bool,
}

impl Crew {
    /// Returns a crew of nobody. `verbose` copies what the children write to stderr to ours.
    pub(crate) fn new(verbose: bool) -> Self {
        let (ended, endings) = mpsc::unbounded_channel();
        Self { running: Vec::new(), ended, endings, verbose }
    }

    /// Starts a program and waits until it prints its one line that says it is ready. From the first moment it belongs to
    /// the crew: also when this is cancelled, [`Crew::stop`] ends it, and removes the socket that it could not remove.
    ///
    /// # Errors
    /// [`CliError::Child`] when it ends first, prints something else, or is not ready in time.
    pub(crate) async fn start<R: DeserializeOwned>(
        &mut self,
        name: &str,
        command: Command,
        socket: &Path,
        within: Duration,
    ) -> Result<(R, u32), CliError> {
        nothing_in_the_way(socket)?;
        let report = (self.ended.clone(), self.running.len());
        let (running, ready) = Running::spawn(name, command, socket, self.verbose, report)?;
        let pid = running.pid;
        self.running.push(running);
        let Some(running) = self.running.last_mut() else {
            return Err(CliError::Other("a child was lost".to_owned()));
        };
        let line = match timeout(within, ready).await {
            Ok(Ok(line)) => line,
            // Its stdout closed without a line: it is about to end, and its exit code says why.
            Ok(Err(_)) => return Err(running.ending().await),
            Err(_) => {
                // Asked to end, it may still say what it was waiting for.
                running.stop().await;
                let said = running.ending().await;
                let late = || running.error(None, format!("not ready within {} s", within.as_secs()));
                return Err(if said.fault().is_some() { said } else { late() });
            }
        };
        match serde_json::from_slice(&line) {
            Ok(ready) => Ok((ready, pid)),
            Err(_) => Err(running.error(None, "its first line is not the one that says it is ready".to_owned())),
        }
    }

    /// Returns once one of the crew has ended by itself, as the error that says so.
    pub(crate) async fn lost(&mut self) -> CliError {
        match self.endings.recv().await.and_then(|at| self.running.get_mut(at)) {
            Some(running) => running.ending().await,
            None => std::future::pending().await,
        }
    }

    /// Ends everything in reverse order, politely first, and waits until it is gone. Bounded by a few seconds a child.
    pub(crate) async fn stop(&mut self) {
        while let Some(mut last) = self.running.pop() {
            last.stop().await;
        }
    }
}

/// One running child.
#[derive(Debug)]
struct Running {
    name: String,
    pid: u32,
    socket: PathBuf,
    stdin: Option<ChildStdin>,
    kill: Option<oneshot::Sender<()>>,
    exit: watch::Receiver<Option<ExitStatus>>,
    last_words: Arc<LastWords>,
}

impl Running {
    fn spawn(
        name: &str,
        mut command: Command,
        socket: &Path,
        verbose: bool,
        report: (mpsc::UnboundedSender<usize>, usize),
    ) -> Result<(Self, oneshot::Receiver<Vec<u8>>), CliError> {
        let failed = |message: String| CliError::Child { name: name.to_owned(), fault: None, message };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(format!("does not start: {error}")))?;
        let pid = child.id().ok_or_else(|| failed("ended at once".to_owned()))?;
        let last_words = Arc::new(LastWords::default());
        if let Some(stderr) = child.stderr.take() {
            let prefix = verbose.then(|| name.to_owned());
            tokio::spawn(listen(stderr, Arc::clone(&last_words), prefix));
        }
        let (say_ready, ready) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(first_line(stdout, say_ready));
        }
        let stdin = child.stdin.take();
        let (kill, killed) = oneshot::channel();
        let (say_exit, exit) = watch::channel(None);
        tokio::spawn(reap(child, killed, say_exit, report));
        let (name, socket) = (name.to_owned(), socket.to_owned());
        Ok((Self { name, pid, socket, stdin, kill: Some(kill), exit, last_words }, ready))
    }

    /// Ends it, and clears away what it had no time to clear away.
    async fn stop(&mut self) {
        self.end().await;
        let by_force = self.exit.borrow().is_some_and(|status| status.signal().is_some());
        if by_force && is_stale(&self.socket) {
            let _ = std::fs::remove_file(&self.socket);
        }
    }

    /// Asks by closing stdin, then by SIGTERM, then does not ask.
    async fn end(&mut self) {
        drop(self.stdin.take());
        if self.gone(POLITE).await {
            return;
        }
        // The child was not reaped: its id is still its own.
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if self.gone(POLITE).await {
            return;
        }
        drop(self.kill.take());
        self.gone(POLITE).await;
    }

    async fn gone(&mut self, within: Duration) -> bool {
        // An error means that the reaper is gone, and the child with it.
        timeout(within, self.exit.wait_for(Option::is_some)).await.is_ok()
    }

    /// Waits for the end that has begun, and returns it as an error.
    async fn ending(&mut self) -> CliError {
        self.gone(POLITE).await;
        let status = *self.exit.borrow();
        let how = match status.map(|s| (s.code(), s.signal())) {
            Some((Some(code), _)) => format!("ended with exit code {code}"),
            // It had no time for last words.
            Some((None, Some(signal))) => {
                let message = format!("was ended by signal {signal}");
                return CliError::Child { name: self.name.clone(), fault: None, message };
            }
            _ => "closed its output but did not end".to_owned(),
        };
        let code = status.and_then(|s| s.code()).and_then(|code| u8::try_from(code).ok());
        self.error(code, how)
    }

    fn error(&self, code: Option<u8>, otherwise: String) -> CliError {
        let fault = Fault::ALL.iter().copied().find(|fault| Some(fault.exit_code()) == code);
        let message = match (self.last_words.last_line(), fault) {
            (Some(line), Some(_)) => line,
            (Some(line), None) => format!("{otherwise}: {line}"),
            (None, _) => otherwise,
        };
        CliError::Child { name: self.name.clone(), fault, message }
    }
}

/// Returns whether this is a socket that nobody serves.
fn is_stale(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Checks that where a service will make its socket there is none but a socket: the service replaces nothing else.
fn nothing_in_the_way(socket: &Path) -> Result<(), CliError> {
    match std::fs::symlink_metadata(socket) {
        Ok(there) if !there.file_type().is_socket() => {
            let message = format!("{} is in the way: it is no socket; remove it and try again", socket.display());
            Err(CliError::found(Fault::BadInput, message))
        }
        _ => Ok(()),
    }
}

/// Runs a program to its end and returns the one JSON line that it prints.
///
/// # Errors
/// [`CliError::Child`] when it fails, prints something else, or takes too long.
pub(crate) async fn run_once<R: DeserializeOwned>(name: &str, command: Command) -> Result<R, CliError> {
    run_within(name, command, ONCE).await
}

/// As [`run_once`], for what may take longer.
///
/// # Errors
/// As [`run_once`].
pub(crate) async fn run_within<R: DeserializeOwned>(
    name: &str,
    mut command: Command,
    limit: Duration,
) -> Result<R, CliError> {
    let failed = |fault, message: String| CliError::Child { name: name.to_owned(), fault, message };
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let done = timeout(limit, command.output())
        .await
        .map_err(|_| failed(None, format!("did not end within {} s", limit.as_secs())))?
        .map_err(|error| failed(None, format!("does not start: {error}")))?;
    if !done.status.success() {
        let words = LastWords::default();
        words.hear(&done.stderr);
        let code = done.status.code().and_then(|code| u8::try_from(code).ok());
        let fault = Fault::ALL.iter().copied().find(|fault| Some(fault.exit_code()) == code);
        return Err(failed(fault, words.last_line().unwrap_or_else(|| done.status.to_string())));
    }
    serde_json::from_slice(&done.stdout).map_err(|_| failed(None, "did not print what it should".to_owned()))
}

/// The same for a program that answers a question: a refusal is an answer too, with its exit code.
///
/// # Errors
/// As [`run_once`].
pub(crate) async fn ask_once(name: &str, mut command: Command) -> Result<(serde_json::Value, u8), CliError> {
    let failed = |fault, message: String| CliError::Child { name: name.to_owned(), fault, message };
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let done = timeout(ONCE, command.output())
        .await
        .map_err(|_| failed(None, format!("did not end within {} s", ONCE.as_secs())))?
        .map_err(|error| failed(None, format!("does not start: {error}")))?;
    let code = done.status.code().and_then(|code| u8::try_from(code).ok());
    match (serde_json::from_slice(&done.stdout), code) {
        (Ok(said), Some(code)) => Ok((said, code)),
        _ => {
            let words = LastWords::default();
            words.hear(&done.stderr);
            let fault = Fault::ALL.iter().copied().find(|fault| Some(fault.exit_code()) == code);
            Err(failed(fault, words.last_line().unwrap_or_else(|| done.status.to_string())))
        }
    }
}

/// Returns the beginning of a command line.
pub(crate) fn command(program: &OsStr, verb: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(verb);
    command
}

async fn reap(
    mut child: Child,
    killed: oneshot::Receiver<()>,
    exit: watch::Sender<Option<ExitStatus>>,
    (ended, at): (mpsc::UnboundedSender<usize>, usize),
) {
    let status = tokio::select! {
        status = child.wait() => status,
        _ = killed => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let _ = exit.send(status.ok());
    let _ = ended.send(at);
}

/// Sends the first line, then reads and forgets the rest, so that the child never waits for us.
async fn first_line(mut stdout: impl AsyncRead + Unpin, ready: oneshot::Sender<Vec<u8>>) {
    let mut line = Vec::new();
    let mut ready = Some(ready);
    let mut chunk = [0; 1024];
    while let Ok(n @ 1..) = stdout.read(&mut chunk).await {
        let Some(say) = ready.take() else { continue };
        line.extend_from_slice(chunk.get(..n).unwrap_or(&[]));
        match line.iter().position(|b| *b == b'\n') {
            Some(end) => {
                line.truncate(end);
                let _ = say.send(std::mem::take(&mut line));
            }
            None if line.len() < MAX_LINE => ready = Some(say),
            None => {}
        }
    }
}

async fn listen(mut stderr: impl AsyncRead + Unpin, words: Arc<LastWords>, prefix: Option<String>) {
    let mut chunk = [0; 4096];
    let mut begun = Vec::new();
    while let Ok(n @ 1..) = stderr.read(&mut chunk).await {
        let heard = chunk.get(..n).unwrap_or(&[]);
        words.hear(heard);
        let Some(prefix) = &prefix else { continue };
        // A line may come in pieces.
        for piece in heard.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || begun.len() > MAX_LINE {
                let line = String::from_utf8_lossy(&begun).into_owned();
                // Nobody may be reading: that is no reason to stop.
                let _ = writeln!(io::stderr().lock(), "[{prefix}] {}", shown(line.trim_end()));
                begun.clear();
            }
        }
    }
}

/// The end of what a child wrote to stderr.
#[derive(Debug, Default)]
struct LastWords(Mutex<VecDeque<u8>>);

impl LastWords {
    fn hear(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let over = kept.len().saturating_sub(MAX_LINE);
        kept.drain(..over);
    }

    /// Returns the last line that says something, without the program's own name in front.
    fn last_line(&self) -> Option<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.make_contiguous()).into_owned();
        let line = text.lines().rev().find(|line| !line.trim().is_empty())?.trim();
        let line = [KEYMGR.name, NODE.name, "error"]
            .iter()
            .fold(line, |line, word| line.strip_prefix(word).map_or(line, |rest| rest.trim_start_matches([':', ' '])));
        Some(shown(line))
    }
}

/// How long a child has for each way of asking it to end.
const POLITE: Duration = Duration::from_secs(4);
/// How long a program may take that runs once.
const ONCE: Duration = Duration::from_secs(20);
/// The longest line that we keep of a child.
const MAX_LINE: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[derive(Debug, serde::Deserialize)]
    struct Ready {
        ready: bool,
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn no_socket() -> &'static Path {
        Path::new("/nowhere/x.sock")
    }

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn a_child_is_ready_when_its_line_comes_and_ends_when_its_stdin_closes() {
        let mut crew = Crew::new(false);
        let (ready, pid) =
            crew.start::<Ready>("x", sh("echo '{\"ready\":true}'; cat"), no_socket(), SOON).await.unwrap();
        assert!(ready.ready && is_alive(pid));
        crew.stop().await;
        assert!(!is_alive(pid));
    }

    #[tokio::test]
    async fn a_child_that_fails_to_start_is_named_with_its_last_words_and_its_fault() {
        let mut crew = Crew::new(false);
        let script = "echo noise >&2; echo 'cardinal-node: do this' >&2; exit 30";
        let error = crew.start::<Ready>("bob's node", sh(script), no_socket(), SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "bob's node: do this");
        assert_eq!(error.fault(), Some(Fault::InUse));
    }

    #[tokio::test]
    async fn a_child_that_is_never_ready_is_given_up_and_ended() {
        let mut crew = Crew::new(false);
        let error = crew
            .start::<Ready>("x", sh("echo slow >&2; cat"), no_socket(), Duration::from_millis(200))
            .await
            .unwrap_err();
        assert!(error.to_string().starts_with("x: not ready within"), "{error}");
        let pid = crew.running[0].pid;
        crew.stop().await;
        assert!(!is_alive(pid));
    }

    #[tokio::test]
    async fn a_child_that_hangs_with_an_error_is_asked_for_it() {
        let mut crew = Crew::new(false);
        let script = "cat; echo 'the disk is full' >&2; exit 34";
        let error = crew.start::<Ready>("x", sh(script), no_socket(), Duration::from_millis(200)).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("x: the disk is full", 34));
    }

    #[tokio::test]
    async fn a_child_that_prints_without_end_is_not_ready_and_takes_no_memory() {
        let mut crew = Crew::new(false);
        let error =
            crew.start::<Ready>("x", sh("head -c 1000000 /dev/zero; exit 3"), no_socket(), SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "x: ended with exit code 3");
        crew.stop().await;
    }

    #[tokio::test]
    async fn a_child_that_dies_is_noticed() {
        let mut crew = Crew::new(false);
        crew.start::<Ready>("first", sh("echo '{\"ready\":true}'; cat"), no_socket(), SOON).await.unwrap();
        crew.start::<Ready>("second", sh("echo '{\"ready\":true}'; echo noise >&2; kill -9 $$"), no_socket(), SOON)
            .await
            .unwrap();
        assert_eq!(crew.lost().await.to_string(), "second: was ended by signal 9");
        crew.stop().await;
    }

    #[tokio::test]
    async fn a_program_that_runs_once_gives_its_line_or_its_reason() {
        assert!(run_once::<Ready>("x", sh("echo '{\"ready\":true}'")).await.unwrap().ready);
        let error = run_once::<Ready>("x", sh("echo 'the disk is full' >&2; exit 34")).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("x: the disk is full", 34));
    }

    #[tokio::test]
    async fn a_child_that_is_ended_by_force_leaves_no_socket() {
        let dir = tempfile::tempdir().unwrap();
        let (stale, served) = (dir.path().join("stale.sock"), dir.path().join("served.sock"));
        // Closed without its file being removed, as when its process is killed.
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        let _listener = std::os::unix::net::UnixListener::bind(&served).unwrap();
        let mut crew = Crew::new(false);
        for socket in [&stale, &served] {
            crew.start::<Ready>("x", sh("echo '{\"ready\":true}'; kill -9 $$"), socket, SOON).await.unwrap();
        }
        crew.stop().await;
        assert!(!stale.exists());
        assert!(served.exists(), "somebody else serves it");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_in_the_way_and_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("x.sock");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let mut crew = Crew::new(false);
        let error = crew.start::<Ready>("x", sh("echo '{\"ready\":true}'; cat"), &link, SOON).await.unwrap_err();
        assert_eq!(error.fault(), Some(Fault::BadInput));
        assert!(error.to_string().contains("is in the way"), "{error}");
        assert!(link.is_symlink() && crew.running.is_empty());
    }
}
