//! A computer with the service on it: a Debian with its own systemd, installed as `docs/service.md` says, word by word.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, Program, Tool, World};
use serde_json::Value;

use crate::geth::SOON;

/// A computer that runs. Ada installed the service and owns the cards, Bob may connect, Eve may not.
pub(super) struct Computer {
    /// Ends it when it is dropped.
    _system: Program,
    /// What runs programs in it.
    tool: PathBuf,
    /// Its name for that.
    at: String,
    card: Option<Program>,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Computer {
    /// Boots one and follows the page. The manager takes software cards, and starts where this kernel locks no memory.
    pub(super) fn installed(world: &World) -> Outcome<Self> {
        let computer = Self::as_the_page_says(world)?;
        computer.relax()?;
        Ok(computer)
    }

    /// The same, with the units as they are.
    pub(super) fn as_the_page_says(world: &World) -> Outcome<Self> {
        let (system, started) = world.peer(Tool::System, &["boot"])?;
        let at = started["pid"].as_u64().ok_or("a system without a name")?.to_string();
        let computer = Self { _system: system, tool: world.place().find(Tool::System)?, at, card: None };
        computer.until("systemd is there", || {
            let said = computer.root("systemctl is-system-running --wait")?;
            Ok(["running", "degraded"].contains(&said.out.trim()))
        })?;
        for (name, uid) in USERS {
            computer.done(&computer.root(&format!("useradd --create-home --uid {uid} {name}"))?)?;
        }
        fs::write(computer.file("/etc/sudoers.d/ada"), "ada ALL=(ALL) NOPASSWD: ALL\n")?;
        computer.lay_out(world)?;
        let install = block("## Install")?;
        computer.done(&computer.user("ada", &format!("set -e; make() {{ :; }}; cd cardinal\n{install}"))?)?;
        computer.done(&computer.root("usermod -aG cardinal-clients bob")?)?;
        Ok(computer)
    }

    /// Puts the source tree, as far as it is installed from, into Ada's home, and the software card beside the programs.
    fn lay_out(&self, world: &World) -> Outcome {
        let tree = self.file("/home/ada/cardinal");
        copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging"), &tree.join("packaging"))?;
        fs::create_dir_all(tree.join("target/release"))?;
        for (tool, to) in [
            (Tool::Cardinal, tree.join("target/release/cardinal")),
            (Tool::Keymgr, tree.join("target/release/cardinal-keymgr")),
            (Tool::Softcard, self.file("/usr/local/bin/softcard")),
        ] {
            fs::copy(world.place().find(tool)?, to)?;
        }
        Ok(chown(&tree, Some(1000), Some(1000))?)
    }

    pub(super) fn relax(&self) -> Outcome {
        let unit = fs::read_to_string(self.file("/etc/systemd/system/cardinal-keymgr.service"))?;
        let start = unit.lines().find(|line| line.starts_with("ExecStart=")).ok_or("a unit that starts nothing")?;
        let start = if self.locks_memory()? { start.to_owned() } else { start.replace(" --require-hardening", "") };
        self.drop_in("test", &format!("ExecStart=\n{start} --allow-test-ca"))
    }

    /// Adds to the manager's unit.
    pub(super) fn drop_in(&self, name: &str, text: &str) -> Outcome {
        let folder = self.file("/etc/systemd/system/cardinal-keymgr.service.d");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.conf")), format!("[Service]\n{text}\n"))?;
        self.done(&self.root("systemctl daemon-reload")?)
    }

    /// Whether a service can lock as much memory as it wants: a system whose root was bounded from outside cannot give more.
    pub(super) fn locks_memory(&self) -> Outcome<bool> {
        let (status, limits) = (fs::read_to_string(self.file("/proc/1/status"))?, self.file("/proc/1/limits"));
        let held = field(&status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or_default();
        let limits = fs::read_to_string(limits)?;
        let limit = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap_or_default();
        Ok(held & 1 << CAP_SYS_RESOURCE != 0 || limit.matches("unlimited").count() == 2)
    }

    /// Puts a card into the reader, has its owner make it hers, and unlocks it.
    pub(super) fn with_card(world: &World) -> Outcome<Self> {
        let mut computer = Self::installed(world)?;
        computer.insert_card(world)?;
        computer.done(&computer.user("ada", OWN)?)?;
        computer.unlock()?;
        Ok(computer)
    }

    pub(super) fn insert_card(&mut self, world: &World) -> Outcome {
        self.done(&self.root("softcard create --card /root/card.json --applet 4.0")?)?;
        self.serve_card(world)
    }

    /// Plays the card that was inserted, for the pcscd that runs.
    pub(super) fn serve_card(&mut self, world: &World) -> Outcome {
        self.card = None;
        self.done(&self.root("systemctl start pcscd")?)?;
        let serve = ["in", &self.at, "softcard", "serve", "--card", "/root/card.json", "--connect", "127.0.0.1:35963"];
        let mut card = world.start(Tool::System, &serve)?;
        card.wait_for("the ready line of the card", SOON, |line| line.get("ready").is_some())?;
        self.card = Some(card);
        // Whoever asks first starts the manager.
        self.until("the manager sees the card", || Ok(self.status()?["reader_state"] == "card"))
    }

    pub(super) fn unlock(&self) -> Outcome {
        self.until("the card takes the PIN", || {
            Ok(self.user("ada", "cardinal unlock --pin-fd 3 3<pin")?.code == Some(0))
        })
    }

    /// The manager's answer to its owner.
    pub(super) fn status(&self) -> Outcome<Value> {
        let said = self.user("ada", "cardinal --json keymgr status")?;
        self.done(&said)?;
        Ok(serde_json::from_str(&said.out)?)
    }

    /// The manager's process.
    pub(super) fn manager(&self) -> Outcome<String> {
        Ok(self.root("systemctl show --property MainPID --value cardinal-keymgr")?.out.trim().to_owned())
    }

    /// Runs a script as its root.
    pub(super) fn root(&self, script: &str) -> Outcome<Said> {
        self.run(&["sh", "-c", script])
    }

    /// Runs a script as one of its users, who uses the system's manager.
    pub(super) fn user(&self, name: &str, script: &str) -> Outcome<Said> {
        let (home, user) = (format!("HOME=/home/{name}"), format!("USER={name}"));
        let socket = "CARDINAL_KEYMGR_SOCKET=/run/cardinal/keymgr.sock";
        let script = format!("cd; {script}");
        self.run(&["runuser", "-u", name, "--", "env", &home, &user, socket, "sh", "-c", &script])
    }

    fn run(&self, words: &[&str]) -> Outcome<Said> {
        let mut command = Command::new(&self.tool);
        command.args(["in", &self.at]).args(words).stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { code: status.code(), out: text(stdout), err: text(stderr) })
    }

    /// Fails unless a command ended well.
    #[expect(clippy::unused_self, reason = "reads as what it is about")]
    pub(super) fn done(&self, said: &Said) -> Outcome {
        match said.code {
            Some(0) => Ok(()),
            _ => Err(format!("ended with {:?}: {}{}", said.code, said.out, said.err).into()),
        }
    }

    /// One of its files, as it is seen from outside.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.at))
    }

    /// Repeats a look until it sees what is awaited.
    pub(super) fn until(&self, awaited: &str, mut look: impl FnMut() -> Outcome<bool>) -> Outcome {
        let until = Instant::now() + SOON;
        while !look()? {
            if Instant::now() >= until {
                let journal = self.root("journalctl --no-pager --lines 20 --unit 'cardinal*' --unit pcscd")?.out;
                return Err(format!("not within {SOON:?}: {awaited}\n{journal}").into());
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }
}

/// What `/proc` says under a name.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Returns the first commands that the page shows after these words.
pub(super) fn block(after: &str) -> Outcome<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/service.md"))?;
    let rest = page.split_once(after).and_then(|(_, rest)| rest.split_once("```sh\n"));
    let block = rest.and_then(|(_, rest)| rest.split_once("```")).map(|(block, _)| block.to_owned());
    block.ok_or_else(|| format!("docs/service.md shows no commands after {after:?}").into())
}

fn copy_folder(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(&name))?;
            fs::set_permissions(to.join(name), fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

/// A blank card becomes Ada's.
const OWN: &str = "set -e
    printf '493817\\n' >pin; printf '201938475601\\n' >puk
    fingerprint=$(cardinal --json card info | sed 's/.*\"fingerprint\":\"\\([^\"]*\\)\".*/\\1/')
    cardinal card init --confirm $fingerprint --pin-fd 3 --puk-fd 4 3<pin 4<puk
    cardinal card key generate --pin-fd 3 3<pin";
const USERS: [(&str, u32); 3] = [("ada", 1000), ("bob", 1001), ("eve", 1002)];
/// The number of the right to raise limits.
const CAP_SYS_RESOURCE: u32 = 24;
/// Between two looks.
const TICK: Duration = Duration::from_millis(50);
