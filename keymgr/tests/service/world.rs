//! A profile with a blank software card, and the program that serves it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proto::rpc::api::keymgr_client::KeymgrClient;
use proto::rpc::api::{KeymgrStatus, KeymgrStatusRequest};
use proto::rpc::socket;
use tonic::transport::Channel;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cardinal-keymgr");
/// After so long something hangs. It is no part of what is tested.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    dir: tempfile::TempDir,
}

/// A program that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let made = Command::new(PROGRAM).args(["soft-create", "--dir"]).arg(dir.path()).arg("alice").output().unwrap();
        assert!(made.status.success());
        let line: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let manifest =
            format!("[[card]]\nlabel = \"alice\"\nidentity = {}\ngeneration = \"v2\"\n", line.get("identity").unwrap());
        std::fs::write(dir.path().join("manifest.toml"), manifest).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/keymgr.sock")
    }

    /// The arguments but the socket.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (dir, manifest) = (text(self.path("")), text(self.path("manifest.toml")));
        ["run", "--reader", "soft:alice", "--allow-test-ca", "--dir", &dir, "--manifest", &manifest]
            .map(str::to_owned)
            .to_vec()
    }

    pub(crate) fn command(&self, extra: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(self.arguments()).arg("--socket").arg(self.socket()).args(extra);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, extra: &[&str]) -> Running {
        Running::ready(self.command(extra))
    }

    pub(crate) async fn client(&self) -> KeymgrClient<Channel> {
        KeymgrClient::new(socket::connect(&self.socket()).await.unwrap())
    }
}

impl Running {
    /// Starts it and waits for its one line.
    pub(crate) fn ready(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("\"ready\":true"), "{line}");
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end, and returns what it wrote to stderr.
    pub(crate) fn stop(mut self) -> String {
        terminate(&self.0);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.0.stderr.take().unwrap(), &mut said).unwrap();
        assert!(self.0.wait().unwrap().success(), "{said}");
        said
    }

    /// A field of `/proc/PID/status`.
    pub(crate) fn kernel_says(&self, field: &str) -> String {
        kernel_says(self.pid(), field)
    }

    /// Its memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.kernel_says("VmRSS").trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only one that a failed test left behind is still there.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

pub(crate) fn kernel_says(pid: u32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {field}")).trim().to_owned()
}

pub(crate) fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

pub(crate) async fn status(client: &mut KeymgrClient<Channel>) -> KeymgrStatus {
    let asked = tokio::time::timeout(PATIENCE, client.status(KeymgrStatusRequest {}));
    asked.await.unwrap().unwrap().into_inner()
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
