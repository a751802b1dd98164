//! The folder, the cards and the services of the test, and what is seen of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::shell::folder;
use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::error::CliError;
use crate::process::{KEYMGR, NODE};

use super::captured::Captured;
use super::secrets::Line;
use super::tap::Tap;

/// Where the test happens.
pub(super) struct Stage {
    folder: PathBuf,
    /// The files of the software cards: they hold the keys, as the chips of cards do.
    cards: BTreeSet<PathBuf>,
    manager: Child,
    node: Option<Child>,
    tap: Tap,
    watch: Watch,
}

/// What `soft-create` prints.
#[derive(Debug, Deserialize)]
struct Made {
    path: PathBuf,
}

impl Stage {
    /// Makes two cards and starts their key manager, with a tap before its socket.
    ///
    /// # Errors
    /// What did not work.
    pub(super) async fn set(place: &Path) -> Result<Self, CliError> {
        let folder = place.to_owned();
        let keymgr = folder.join("data/cardinal/profiles/alice/keymgr");
        for dir in [&keymgr, &folder.join("run/cardinal"), &folder.join("inner")] {
            folder::make_private(dir).map_err(CliError::file(dir))?;
        }
        let mut cards = BTreeSet::new();
        for (name, applet) in CARDS {
            let mut command = Command::new(KEYMGR.find()?);
            command.args(["soft-create", "--applet", applet, name, "--dir"]).arg(&keymgr);
            let made = command.output().await.map_err(CliError::file(&keymgr))?;
            let made: Made = serde_json::from_slice(&made.stdout)
                .map_err(|_| CliError::Other(format!("no software card: {}", String::from_utf8_lossy(&made.stderr))))?;
            cards.insert(made.path);
        }
        let manifest = folder.join("manifest.toml");
        fs::write(&manifest, "").map_err(CliError::file(&manifest))?;
        let watch = Watch::start();
        let inner = folder.join("inner/keymgr.sock");
        let mut command = Command::new(KEYMGR.find()?);
        command
            .args(["run", "--reader", "soft:alice", "--allow-test-ca", "--until-stdin-closes", "--dir"])
            .arg(&keymgr);
        command.arg("--manifest").arg(&manifest).arg("--socket").arg(&inner);
        let manager = service(command, &folder, MANAGER_LOG).await?;
        let tap = Tap::open(&folder.join("run/cardinal/alice/keymgr.sock"), inner)?;
        Ok(Self { folder, cards, manager, node: None, tap, watch })
    }

    /// Returns where the commands find the key manager.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("run/cardinal/alice/keymgr.sock")
    }

    /// Starts the node, which asks the key manager for its keys.
    ///
    /// # Errors
    /// Why it does not start.
    pub(super) async fn start_node(&mut self) -> Result<(), CliError> {
        let dir = self.folder.join("data/cardinal/profiles/alice/node");
        let mut command = Command::new(NODE.find()?);
        command.args(["run", "--until-stdin-closes", "--listen", "127.0.0.1:0", "--dir"]).arg(dir);
        command.arg("--keymgr").arg(self.socket());
        command.arg("--socket").arg(self.folder.join("run/cardinal/alice/node.sock"));
        self.node = Some(service(command, &self.folder, NODE_LOG).await?);
        Ok(())
    }

    /// Runs `cardinal` with these words to its end, each of the secrets in a descriptor behind its option.
    ///
    /// # Errors
    /// When it cannot be run, or does not end.
    pub(super) async fn cardinal(&self, words: &[&str], secrets: &[(&str, Line)]) -> Result<Output, CliError> {
        let program = std::env::current_exe().map_err(CliError::file(Path::new("/proc/self/exe")))?;
        let mut command = Command::new(&program);
        command.args(words);
        // Open until the command has ended.
        let mut descriptors = Vec::with_capacity(secrets.len());
        for (option, line) in secrets {
            let descriptor = filled(line.text()).map_err(CliError::file(&self.folder))?;
            command.arg(option).arg(descriptor.as_raw_fd().to_string());
            descriptors.push(descriptor);
        }
        surround(&mut command, &self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let late = |_| CliError::Other(format!("`cardinal {}` does not end", words.join(" ")));
        timeout(PATIENCE, command.output()).await.map_err(late)?.map_err(CliError::file(&program))
    }

    /// Ends everything, the key manager by a crash, and keeps what is to be searched.
    ///
    /// # Errors
    /// When something cannot be read, or the crash left a core.
    pub(super) async fn clear(mut self, captured: &mut Captured) -> Result<(), CliError> {
        if let Some(mut node) = self.node.take() {
            drop(node.stdin.take());
            ended("the node", &mut node).await?;
        }
        let pid = self.manager.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let crashed = pid.is_some_and(|pid| kill_process(pid, Signal::ABORT).is_ok());
        let status = ended("the key manager", &mut self.manager).await?;
        if !crashed || status.core_dumped() {
            return Err(CliError::found(proto::rpc::Fault::Leak, "a crash of the key manager leaves a core"));
        }
        for (i, piece) in self.tap.take().into_iter().enumerate() {
            captured.keep(format!("what went over the socket ({i})"), piece);
        }
        captured.keep("the arguments and environments of processes", self.watch.end());
        self.keep_files(&self.folder.clone(), captured)?;
        for (log, says) in [(MANAGER_LOG, "private key exported"), (NODE_LOG, "TRACE")] {
            if !captured.has(log, says) {
                return Err(CliError::Other(format!("{log} has nothing to be searched")));
            }
        }
        Ok(())
    }

    fn keep_files(&self, dir: &Path, captured: &mut Captured) -> Result<(), CliError> {
        for entry in fs::read_dir(dir).map_err(CliError::file(dir))? {
            let path = entry.map_err(CliError::file(dir))?.path();
            let kind = path.symlink_metadata().map_err(CliError::file(&path))?.file_type();
            if kind.is_dir() {
                self.keep_files(&path, captured)?;
            } else if kind.is_file() && !self.cards.contains(&path) {
                let bytes = fs::read(&path).map_err(CliError::file(&path))?;
                let name = path.strip_prefix(&self.folder).unwrap_or(&path).display().to_string();
                captured.keep(format!("the file {name}"), bytes);
            }
        }
        Ok(())
    }
}

/// Gives a process the folders of the test and nothing of its starter's, and has it log everything.
fn surround(command: &mut Command, folder: &Path) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("CARDINAL_LOG", "trace").env("RUST_BACKTRACE", "full");
    command.env("HOME", folder).env("XDG_DATA_HOME", folder.join("data")).env("XDG_RUNTIME_DIR", folder.join("run"));
    command.current_dir(folder).kill_on_drop(true);
}

/// Starts a service with its log in a file, and waits for its first line.
async fn service(mut command: Command, folder: &Path, log: &str) -> Result<Child, CliError> {
    surround(&mut command, folder);
    let path = folder.join(log);
    let file = File::create(&path).map_err(CliError::file(&path))?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
    let mut child = command.spawn().map_err(CliError::file(&path))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line)).await;
        read.map_err(|_| CliError::Other(format!("{log}: not ready in time")))?.map_err(CliError::file(&path))?;
    }
    if line.contains("\"ready\":true") {
        return Ok(child);
    }
    let said = fs::read_to_string(&path).unwrap_or_default();
    Err(CliError::Other(format!("{log}: {}", said.lines().last().unwrap_or("it did not start"))))
}

async fn ended(name: &str, child: &mut Child) -> Result<std::process::ExitStatus, CliError> {
    let late = |_| CliError::Other(format!("{name} does not end"));
    timeout(PATIENCE, child.wait()).await.map_err(late)?.map_err(|error| CliError::Other(format!("{name}: {error}")))
}

/// Returns the reading end of a pipe with one line in it, which a child inherits.
fn filled(line: &str) -> std::io::Result<OwnedFd> {
    let (reader, mut writer) = std::io::pipe()?;
    std::io::Write::write_all(&mut writer, format!("{line}\n").as_bytes())?;
    rustix::io::fcntl_setfd(&reader, FdFlags::empty())?;
    Ok(reader.into())
}

/// Looks at the arguments and the environment of this process and of all below it, again and again.
struct Watch {
    seen: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn start() -> Self {
        let (seen, stop) = (Arc::<Mutex<BTreeSet<Vec<u8>>>>::default(), Arc::new(AtomicBool::new(false)));
        let (into, until) = (Arc::clone(&seen), Arc::clone(&stop));
        let look = move || {
            while !until.load(Ordering::Relaxed) {
                look_at(std::process::id(), &into, 0);
                std::thread::sleep(PERIOD);
            }
        };
        Self { seen, stop, thread: std::thread::Builder::new().name("watch".to_owned()).spawn(look).ok() }
    }

    /// Returns everything that was seen.
    fn end(&mut self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        seen.into_iter().collect::<Vec<_>>().join(&b'\n')
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Keeps what the kernel shows of a process and of its children. One that is gone, or that shows nothing, is passed over.
fn look_at(pid: u32, into: &Mutex<BTreeSet<Vec<u8>>>, depth: u8) {
    for file in ["cmdline", "environ"] {
        if let Ok(bytes) = fs::read(format!("/proc/{pid}/{file}")) {
            into.lock().unwrap_or_else(PoisonError::into_inner).insert(bytes);
        }
    }
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for task in tasks.filter_map(Result::ok).filter(|_| depth < DEEPEST) {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            look_at(child, into, depth.saturating_add(1));
        }
    }
}

/// The cards: their names and their applets.
const CARDS: [(&str, &str); 2] = [("alice", "4.0"), ("old", "3.1")];
const MANAGER_LOG: &str = "keymgr.log";
const NODE_LOG: &str = "node.log";
/// After so long something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shorter than any command lives.
const PERIOD: Duration = Duration::from_millis(5);
const DEEPEST: u8 = 6;
