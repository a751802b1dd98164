//! The real programs together: the demo, and the private network from its first start to its end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "what fails here fails the test")]

mod programs;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use proto::rpc::Fault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use programs::{assert_gone, cardinal, children_of};

/// One user's folders.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::Builder::new().prefix("c").tempdir().unwrap());
        for dir in ["run", "tmp"] {
            std::fs::create_dir(home.0.path().join(dir)).unwrap();
        }
        home
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.0.path()).env("XDG_DATA_HOME", self.0.path().join("data"));
        command.env("XDG_RUNTIME_DIR", self.0.path().join("run")).env("TMPDIR", self.0.path().join("tmp"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(cardinal()).args(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.command(cardinal()).arg("--json").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn sh(&self, script: &str) -> Output {
        self.command(Path::new("sh")).args(["-c", script]).env("CARDINAL", cardinal()).output().unwrap()
    }

    fn up(&self, pins: &[String]) -> Up {
        // The PINs go over a pipe of their own.
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(pins.iter().map(|pin| format!("{pin}\n")).collect::<String>().as_bytes()).unwrap();
        let mut command = self.command(cardinal());
        command.args(["up", "--pin-fd", "0"]).stdin(reader);
        Up::wait_for(command)
    }

    /// Every file that is a socket.
    fn sockets(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.0.path().join("run")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

/// A running `up`.
struct Up {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Up {
    fn wait_for(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C here") {
            if stdout.read_line(&mut said).unwrap() == 0 {
                let output = child.wait_with_output().unwrap();
                panic!("up ended: {said}{}", text(&output.stderr));
            }
        }
        Self { child, stdout, said }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn children(&self) -> Vec<u32> {
        children_of(self.pid())
    }

    /// The PINs that were shown, in order.
    fn pins(&self) -> Vec<String> {
        self.said.lines().filter_map(|line| Some(line.split_once(" PIN ")?.1.get(..6)?.to_owned())).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap(), signal).unwrap();
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        while self.stdout.read_line(&mut rest).unwrap() > 0 {}
        (self.child.wait().unwrap().code(), rest)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn assert_fails(output: &Output, fault: Fault) -> String {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(fault.exit_code())), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn the_demo_tells_its_story_in_time_and_leaves_nothing() {
    let home = Home::new();
    let began = std::time::Instant::now();
    let output = home.run(&["demo"]);
    let story = text(&output.stdout);
    assert!(output.status.success(), "{story}{}", text(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(!story.contains('\x1b'), "plain when piped");
    for sentence in [
        "private key m/43'/60'/1581'/0'/0, for chat",
        "private key m/43'/60'/1581'/1'/0, for database",
        "m/44'/60'/0'/0/0 (a wallet): refused",
        "m/43'/60'/1581': refused",
        "extended public key m: refused",
        " ms  Hello Bob.",
        "Alice: complete: ",
        "The verifier says: line",
        "nothing is left running",
    ] {
        assert!(story.contains(sentence), "{sentence:?} is not in:\n{story}");
    }
    assert_eq!(std::fs::read_dir(home.0.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let home = Home::new();
    let mut child = home.command(cardinal()).arg("demo").spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut story = String::new();
    while !story.contains("\n3. ") {
        assert!(stdout.read_line(&mut story).unwrap() > 0, "{story}");
    }
    let children = children_of(child.id());
    assert!(children.len() >= 2, "{story}");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_gone(&children);
    assert_eq!(std::fs::read_dir(home.0.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn the_private_network_lives_from_up_to_down_and_remembers() {
    let home = Home::new();
    let up = home.up(&[]);
    let pins = up.pins();
    assert_eq!(pins.len(), 2, "{}", up.said);
    assert_eq!(up.children().len(), 5);

    let again = assert_fails(&home.run(&["up"]), Fault::InUse);
    assert!(again.contains(&format!("process {}", up.pid())), "{again}");

    let output = home.sh("echo hi | \"$CARDINAL\" chat --profile alice '#demo'");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("you: hi (acknowledged after "), "{}", text(&output.stdout));

    assert_eq!(home.json(&["keymgr", "status", "--profile", "alice"])["unlocked"], false);
    let wrong = if pins[0] == "000000" { "000001" } else { "000000" };
    let output = home.sh(&format!("echo {wrong} | \"$CARDINAL\" unlock --profile alice --pin-fd 0"));
    assert_fails(&output, Fault::WrongPin);
    let right = format!("echo {} | \"$CARDINAL\" unlock --profile alice --pin-fd 0", pins[0]);
    let mut output = home.sh(&right);
    // Soon after a wrong PIN none is sent.
    while text(&output.stderr).contains("try again in") {
        output = home.sh(&right);
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(home.json(&["keymgr", "status", "--profile", "alice"])["unlocked"], true);
    assert_eq!(home.json(&["card", "info", "--profile", "alice"])["applet"], "4.0");
    let verified = home.run(&["--json", "audit", "verify", "--profile", "alice", "--ca", "test"]);
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["consistent"], &verified["questions"]), (&true.into(), &serde_json::json!([])));
    let peers = home.json(&["node", "status", "--profile", "relay"])["peers"].as_array().unwrap().len();
    assert_eq!(peers, 2);

    let children = up.children();
    let output = home.run(&["down"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_gone(&children);
    let (code, last) = up.end();
    assert_eq!((code, last.contains("Stopped by SIGTERM")), (Some(0), true), "{last}");
    assert!(home.sockets().is_empty(), "{:?}", home.sockets());
    assert_fails(&home.run(&["down"]), Fault::NotRunning);

    // The second start: the PINs are asked for, a wrong one ends it, the right ones bring back the history.
    let output = home.sh("echo 12345 | \"$CARDINAL\" up --pin-fd 0");
    assert!(assert_fails(&output, Fault::BadInput).starts_with("cardinal: alice: "));
    let wrong = if pins[1] == "000000" { "000001" } else { "000000" };
    let output = home.sh(&format!("printf '{}\\n{wrong}\\n' | \"$CARDINAL\" up --pin-fd 0", pins[0]));
    let error = assert_fails(&output, Fault::WrongPin);
    assert!(error.starts_with("cardinal: bob: "), "{error}");
    // Soon after a wrong PIN none is sent, by a manager that starts anew too.
    std::thread::sleep(Duration::from_secs(2));
    let up = home.up(&pins);
    let output = home.run(&["chat", "--profile", "bob", "#demo"]);
    let history = text(&output.stdout);
    assert!(output.status.success());
    assert!(history.is_empty() || history.contains(": hi\n"), "{history}");
    let history = text(&home.run(&["chat", "--profile", "alice", "#demo"]).stdout);
    assert!(history.contains("(you): hi\n"), "{history}");
    up.signal(Signal::INT);
    assert_eq!(up.end().0, Some(0));
    assert!(home.sockets().is_empty());
}

#[test]
fn nothing_outlives_an_up_that_is_killed() {
    let home = Home::new();
    let up = home.up(&[]);
    let (children, pins) = (up.children(), up.pins());
    assert_eq!(children.len(), 5);
    up.signal(Signal::KILL);
    assert_gone(&children);
    assert_eq!(up.end().0, None);
    assert!(home.sockets().is_empty(), "{:?}", home.sockets());
    assert_fails(&home.run(&["down"]), Fault::NotRunning);
    let up = home.up(&pins);
    up.signal(Signal::HUP);
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn an_up_whose_parent_dies_ends_whole() {
    let home = Home::new();
    let mut command = home.command(Path::new("sh"));
    command.args(["-c", "\"$CARDINAL\" up & wait"]).env("CARDINAL", cardinal());
    command.process_group(0);
    let shell = Up::wait_for(command);
    let up = shell.children();
    assert_eq!(up.len(), 1);
    let children = children_of(up[0]);
    assert_eq!(children.len(), 5);
    shell.signal(Signal::KILL);
    assert_gone(&up);
    assert_gone(&children);
    assert!(shell.end().1.contains("Stopped by its parent's end"));
    assert!(home.sockets().is_empty(), "{:?}", home.sockets());
}

#[test]
fn a_part_that_dies_ends_the_rest_with_a_word() {
    let home = Home::new();
    let up = home.up(&[]);
    let children = up.children();
    let relay = home.json(&["node", "status", "--profile", "relay"])["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(relay).unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_gone(&children);
    let output = up.child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "cardinal: the relay: was ended by signal 9\n");
    assert!(home.sockets().is_empty(), "{:?}", home.sockets());
}

#[test]
fn an_up_outlives_the_thread_that_started_it() {
    let home = Home::new();
    let up = std::thread::scope(|threads| threads.spawn(|| home.up(&[])).join()).unwrap();
    assert_eq!(home.json(&["node", "status", "--profile", "relay"])["role"], "relay");
    up.signal(Signal::INT);
    let (code, last) = up.end();
    assert_eq!((code, last.contains("Stopped by SIGINT")), (Some(0), true), "{last}");
}

#[test]
fn a_card_gets_no_pin_that_nobody_reads() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = home.command(cardinal()).arg("up").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("cardinal: alice: nobody reads the PIN"), "{error}");
    // The next start finds the card blank and shows a PIN for it.
    let up = home.up(&[]);
    assert_eq!(up.pins().len(), 2, "{}", up.said);
    up.signal(Signal::TERM);
    assert_eq!(up.end().0, Some(0));
}
