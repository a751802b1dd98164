//! An owner with a profile, whose key manager is the real program and has software cards.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use proto::rpc::Fault;
use serde_json::Value;

use crate::programs::cardinal;
use crate::terminal::Terminal;

/// Longer than any pause after a few wrong PINs.
const PATIENCE: Duration = Duration::from_secs(30);
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

/// One user with a profile, whose manager serves a soft card; another card lies beside it.
pub(crate) struct Owner {
    home: tempfile::TempDir,
    manager: Option<Child>,
}

impl Owner {
    /// An owner whose manager serves a blank card of this applet, which no manifest names.
    pub(crate) fn of(applet: &str) -> Self {
        let home = tempfile::Builder::new().prefix("c").tempdir().unwrap();
        let mut owner = Self { home, manager: None };
        std::fs::create_dir(owner.path("run")).unwrap();
        let dir = owner.keymgr();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).unwrap();
        for (name, applet) in [("own", applet), ("other", "4.0")] {
            let mut made = owner.command(&keymgr());
            made.args(["soft-create", "--dir"]).arg(&dir);
            assert!(made.args(["--applet", applet, name]).status().unwrap().success());
        }
        std::fs::write(owner.path("manifest.toml"), "").unwrap();
        for (name, secret) in [
            ("pin", "493817"),
            ("new", "271828"),
            ("wrong", "111111"),
            ("puk", "201938475601"),
            ("words", WORDS),
            ("password", "correct horse"),
        ] {
            std::fs::write(owner.path(name), format!("{secret}\n")).unwrap();
        }
        owner.start();
        owner
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn keymgr(&self) -> PathBuf {
        self.path("data/cardinal/profiles/alice/keymgr")
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.home.path()).env("XDG_DATA_HOME", self.path("data"));
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("CARDINAL", cardinal());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&mut self) {
        let mut command = self.command(&keymgr());
        command.arg("run").arg("--dir").arg(self.keymgr());
        command.arg("--socket").arg(self.path("run/cardinal/alice/keymgr.sock"));
        command.args(["--reader", "soft:own", "--allow-test-ca", "--until-stdin-closes", "--manifest"]);
        command.arg(self.path("manifest.toml")).stdin(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.contains("\"ready\":true"), "{ready}");
        self.manager = Some(child);
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.manager.take() {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
    }

    /// Writes a policy that lets the owner's own programs do this, and nothing else.
    pub(crate) fn allow(&self, path: &str, rest: &str) {
        let uid = rustix::process::geteuid().as_raw();
        let rule = format!(
            "[[client]]\nname = \"me\"\nuid = {uid}\n\n[[key]]\nname = \"one\"\npath = \"{path}\"\n\
             clients = [\"me\"]\npurposes = [\"command line\"]\n{rest}\n"
        );
        std::fs::write(self.policy(), rule).unwrap();
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.keymgr().join("policy.toml")
    }

    /// The manager's process.
    pub(crate) fn manager(&self) -> &Child {
        self.manager.as_ref().unwrap()
    }

    /// Runs `cardinal` in a shell, so that descriptors can be given.
    pub(crate) fn cardinal(&self, words: &str) -> Output {
        let script = format!("cd \"$HOME\" && \"$CARDINAL\" --json {words}");
        self.command(Path::new("sh")).args(["-c", &script]).output().unwrap()
    }

    /// Runs a verb of `cardinal`, again while nothing is sent because a PIN was wrong a moment ago.
    fn patiently(&self, words: &str) -> Output {
        let began = Instant::now();
        loop {
            let output = self.cardinal(words);
            let is_too_soon = output.status.code() == Some(i32::from(Fault::TooSoon.exit_code()));
            if !is_too_soon || began.elapsed() > PATIENCE {
                return output;
            }
        }
    }

    /// Runs a verb of `cardinal` that has to come through.
    pub(crate) fn does(&self, words: &str) -> Value {
        let output = self.patiently(words);
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a verb of `cardinal` that is to fail so, and returns its words.
    pub(crate) fn refused(&self, words: &str, fault: Fault) -> String {
        let output = self.patiently(words);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(fault.exit_code())), "{words}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let error: Value = serde_json::from_str(&error).unwrap();
        assert_eq!(error["error"], fault.name());
        error["message"].as_str().unwrap().to_owned()
    }

    /// Runs a verb of `cardinal card` that has to come through.
    pub(crate) fn done(&self, words: &str) -> Value {
        self.does(&format!("card {words}"))
    }

    /// Runs a verb of `cardinal card` that is to fail so, and returns its words.
    pub(crate) fn fails(&self, words: &str, fault: Fault) -> String {
        self.refused(&format!("card {words}"), fault)
    }

    /// Runs `cardinal` at a terminal.
    pub(crate) fn at_a_terminal(&self, words: &str) -> Terminal {
        Terminal::run(self.command(Path::new("script")), &format!("\"$CARDINAL\" {words}"))
    }

    /// Initialises the card in the own reader.
    pub(crate) fn init(&self) -> Value {
        let fingerprint = self.done("info")["fingerprint"].as_str().unwrap().to_owned();
        let refused = self.fails("init --pin-fd 3 --puk-fd 4 3<pin 4<puk", Fault::Unvouched);
        assert!(refused.contains(&format!("--confirm {fingerprint}")), "{refused}");
        self.done(&format!(
            "init --confirm {fingerprint} --pairing-password-fd 5 --pin-fd 3 --puk-fd 4 3<pin 4<puk 5<password"
        ))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(mut child) = self.manager.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The key manager that was built beside the program.
pub(crate) fn keymgr() -> PathBuf {
    cardinal().with_file_name("cardinal-keymgr")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
