//! The binary: its ready line, its ends, its exit codes.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use proto::rpc::Fault;

fn relay(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardinal-node"));
    command
        .arg("relay")
        .args(["--listen", "127.0.0.1:0", "--dir"])
        .arg(dir.join("state"))
        .arg("--socket")
        .arg(dir.join("run/node.sock"))
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn ready(child: &mut Child) -> serde_json::Value {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// What a program says that ends by itself, with its stdin held open until it has ended.
fn ends_with_stdin_open(mut child: Child) -> Output {
    let stdin = child.stdin.take().unwrap();
    let (ended, output) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let output = output.recv_timeout(PATIENCE);
    // Lets go one that waits for it.
    drop(stdin);
    output.expect("an end that does not wait for stdin").unwrap()
}

#[test]
fn a_relay_says_that_it_is_ready_and_ends_cleanly_on_either_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut enodes = Vec::new();
    for end in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut child = relay(dir.path(), &[]).spawn().unwrap();
        let line = ready(&mut child);
        assert_eq!((&line["ready"], &line["role"]), (&true.into(), &"relay".into()));
        assert_eq!(line["pid"], child.id());
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let core = limits.lines().find(|limit| limit.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(5), Some("0"), "no core file with keys in it");
        let socket = dir.path().join("run/node.sock");
        assert_eq!(line["socket"], socket.to_str().unwrap());
        assert!(socket.exists());
        let enode: wire::p2p::Enode = line["enode"].as_str().unwrap().parse().unwrap();
        enodes.push(enode.key);
        signal(&child, end);
        assert!(child.wait().unwrap().success());
        assert!(!socket.exists(), "no stale socket is left");
    }
    assert_eq!(enodes[0], enodes[1], "the node keeps its key");
}

#[test]
fn a_relay_ends_with_whoever_started_it_only_when_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = relay(dir.path(), &["--until-stdin-closes"]).spawn().unwrap();
    ready(&mut child);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());

    let mut child = relay(dir.path(), &[]).spawn().unwrap();
    ready(&mut child);
    drop(child.stdin.take());
    signal(&child, rustix::process::Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_open_stdin_holds_up_neither_a_failed_start_nor_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = relay(dir.path(), &["--until-stdin-closes"]).spawn().unwrap();
    ready(&mut child);
    let second = relay(dir.path(), &["--until-stdin-closes"]).spawn().unwrap();
    assert_eq!(ends_with_stdin_open(second).status.code(), Some(Fault::InUse.exit_code().into()));
    signal(&child, rustix::process::Signal::TERM);
    assert!(ends_with_stdin_open(child).status.success());
}

#[test]
fn each_failure_has_its_exit_code_and_one_line_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |command: &mut Command, fault: Fault, words: &str| {
        let output = command.output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(fault.exit_code().into()), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.matches("(os error").count() <= 1, "a cause twice: {line}");
        assert!(line.contains(words), "{line}");
        assert!(output.stdout.is_empty());
    };
    let mut child = relay(dir.path(), &[]).spawn().unwrap();
    let line = ready(&mut child);
    fails(&mut relay(dir.path(), &[]), Fault::InUse, &format!("by process {}; stop", child.id()));
    let other = tempfile::tempdir().unwrap();
    let address = line["enode"].as_str().unwrap().split_once('@').unwrap().1.to_owned();
    let mut taken = Command::new(env!("CARGO_BIN_EXE_cardinal-node"));
    taken.args(["relay", "--listen", &address, "--dir"]).arg(other.path().join("state"));
    taken.arg("--socket").arg(other.path().join("run/s"));
    fails(&mut taken, Fault::InUse, "--listen");
    signal(&child, rustix::process::Signal::TERM);
    child.wait().unwrap();

    std::fs::write(dir.path().join("state/nodekey"), "not a key").unwrap();
    fails(&mut relay(dir.path(), &[]), Fault::StateDamaged, "nodekey is damaged");

    let file = dir.path().join("state/nodekey");
    let mut no_directory = Command::new(env!("CARGO_BIN_EXE_cardinal-node"));
    no_directory.args(["relay", "--listen", "127.0.0.1:0", "--dir"]).arg(&file);
    no_directory.arg("--socket").arg(other.path().join("run/s"));
    fails(&mut no_directory, Fault::DiskFull, "(os error 17)); free some space or mend its permissions\n");

    let unused = tempfile::tempdir().unwrap();
    for (options, words) in [
        (["--max-packet", "1000"], "--max-packet takes 1048576 to 10485760"),
        (["--max-envelope", "9"], "--max-envelope takes 304 to 1048576"),
        (["--min-pow", "nan"], "a number from 0 up"),
        (["--interest", "chats"], "a relay follows no chats; give --interest full"),
    ] {
        fails(&mut relay(unused.path(), &options), Fault::BadInput, words);
    }
    assert!(!unused.path().join("state").exists(), "what makes no sense leaves nothing behind");

    let mut no_keymgr = Command::new(env!("CARGO_BIN_EXE_cardinal-node"));
    no_keymgr.args(["run", "--listen", "127.0.0.1:0", "--dir"]).arg(other.path().join("a"));
    no_keymgr.arg("--socket").arg(other.path().join("r/s")).arg("--keymgr").arg(other.path().join("none/keymgr.sock"));
    fails(&mut no_keymgr, Fault::NotRunning, "; start cardinal-keymgr first\n");
}

#[test]
fn the_help_lists_every_exit_code() {
    for arguments in [&["--help"][..], &["run", "--help"], &["relay", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_cardinal-node")).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&Fault::exit_code_table()), "{arguments:?}: {text}");
    }
    let mut version = String::new();
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_cardinal-node")).arg("--version").stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_to_string(&mut version).unwrap();
    child.wait().unwrap();
    assert_eq!(version.trim(), concat!("cardinal-node ", env!("CARGO_PKG_VERSION")));
}

/// After so long a program hangs. It is no part of what is tested.
const PATIENCE: Duration = Duration::from_secs(30);
