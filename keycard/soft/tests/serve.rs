//! The program `softcard` from outside: card files, and the card in a virtual reader, whose part these tests play.
//!
//! What the real pcscd and vpcd make of it is shown with other programs that nobody here wrote.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SELECT: &[u8] = &[0x00, 0xa4, 0x04, 0x00, 0x09, 0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];
/// GET STATUS: 6985 of a selected card, 6D00 where nothing is selected.
const STATUS: &[u8] = &[0x80, 0xf2, 0x00, 0x00];
const ATR: u8 = 4;
const DEADLINE: Duration = Duration::from_secs(20);

fn softcard(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_softcard")).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A card in a folder of its own.
fn card() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card.json");
    let made = softcard(&["create", "--card", text(&path)]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (dir, path)
}

/// `softcard serve`, killed when dropped.
struct Served {
    child: Child,
    stdout: BufReader<ChildStdout>,
    ready: Value,
    _dir: tempfile::TempDir,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let (dir, path) = card();
        let mut child = Command::new(env!("CARGO_BIN_EXE_softcard"))
            .args(["serve", "--card", text(&path), "--control"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        Self { child, stdout, ready, _dir: dir }
    }

    fn listening() -> Self {
        Self::start(&["--listen", "127.0.0.1:0"])
    }

    fn slot(&self, index: usize) -> SocketAddr {
        self.ready["listening"][index].as_str().unwrap().parse().unwrap()
    }

    /// Connects as vpcd does.
    fn reader(&self) -> Reader {
        Reader::new(TcpStream::connect(self.slot(0)).unwrap())
    }

    fn say(&mut self, line: &str) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The reader's side of vpcd's protocol.
struct Reader(TcpStream);

impl Reader {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self(stream)
    }

    /// Length and body apart, as vpcd 3.3 does.
    fn send(&mut self, body: &[u8]) {
        self.0.write_all(&u16::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
        self.0.write_all(body).unwrap();
    }

    /// Returns the next message, or nothing when the connection ends.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut body).ok()?;
        Some(body)
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        self.send(command);
        self.receive().unwrap()
    }

    fn status(&mut self, command: &[u8]) -> String {
        let answer = self.transmit(command);
        hex::encode(&answer[answer.len() - 2..])
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_card_is_made_once_and_of_the_release_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card.json");
    let made = softcard(&["create", "--card", text(&path), "--applet", "3.2"]);
    assert_eq!(json(&made)["applet"], "3.2");
    assert_eq!(json(&made)["identity"].as_str().unwrap().len(), 66);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(softcard(&["create", "--card", text(&path)]).status.code(), Some(30));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(softcard(&["create", "--card", "x", "--applet", "3.3"]).status.code(), Some(2));
}

#[test]
fn what_cannot_be_served_is_named_by_message_and_exit_code() {
    let (dir, path) = card();
    let serve = |card: &Path, address: &str| softcard(&["serve", "--card", text(card), "--listen", address]);
    let missing = serve(&dir.path().join("other.json"), "127.0.0.1:0");
    assert_eq!(missing.status.code(), Some(31));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("softcard create --card"));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(serve(&path, &taken.local_addr().unwrap().to_string()).status.code(), Some(30));

    let beyond = serve(&path, "0.0.0.0:0");
    assert_eq!(beyond.status.code(), Some(2));
    assert!(String::from_utf8(beyond.stderr).unwrap().contains("--beyond-loopback"));
    assert_eq!(softcard(&["serve", "--card", text(&path)]).status.code(), Some(2), "neither --listen nor --connect");

    std::fs::write(&path, "{}").unwrap();
    assert_eq!(serve(&path, "127.0.0.1:0").status.code(), Some(32));
}

#[test]
fn a_reader_that_connects_gets_atr_and_answers_and_its_power_ends_the_session() {
    let served = Served::listening();
    assert_eq!(served.ready["applet"], "4.0");
    let mut reader = served.reader();
    assert_eq!(reader.transmit(&[ATR])[0], 0x3b);
    for power in [0, 1, 2] {
        assert_eq!(reader.status(STATUS), "6d00", "nothing is selected before SELECT");
        assert_eq!(reader.status(SELECT), "9000");
        assert_eq!(reader.status(STATUS), "6985");
        reader.send(&[power]);
    }
    assert_eq!(reader.status(STATUS), "6d00");
}

#[test]
fn the_second_slot_shows_a_card_that_does_not_answer() {
    let served = Served::listening();
    assert_eq!(served.slot(1).port(), served.slot(0).port() + 1);
    let mut empty = Reader::new(TcpStream::connect(served.slot(1)).unwrap());
    empty.send(&[1]);
    for _ in 0..3 {
        assert!(empty.transmit(&[ATR]).len() > 33, "an ATR has at most 33 bytes: the driver refuses this one");
    }
}

#[test]
fn a_reader_that_listens_is_connected_to_again_and_again() {
    let vpcd = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut served = Served::start(&["--connect", &vpcd.local_addr().unwrap().to_string()]);
    for _ in 0..3 {
        let mut reader = Reader::new(vpcd.accept().unwrap().0);
        assert_eq!(reader.status(STATUS), "6d00", "the session ended with the connection before");
        assert_eq!(reader.status(SELECT), "9000");
    }
    let mut reader = Reader::new(vpcd.accept().unwrap().0);
    assert_eq!(served.say("remove")["inserted"], false);
    assert_eq!(reader.receive(), None, "a card that is pulled ends the connection");
    vpcd.set_nonblocking(true).unwrap();
    assert!(vpcd.accept().is_err(), "and does not come back by itself");
    vpcd.set_nonblocking(false).unwrap();
    assert_eq!(served.say("insert")["inserted"], true);
    assert_eq!(Reader::new(vpcd.accept().unwrap().0).status(SELECT), "9000");
}

#[test]
fn the_card_is_pulled_in_mid_session_and_put_back() {
    let mut served = Served::listening();
    let mut reader = served.reader();
    assert_eq!(reader.status(SELECT), "9000");
    assert_eq!(served.say("remove")["ok"], true);
    assert_eq!(reader.receive(), None);
    let mut reader = served.reader();
    reader.send(&[ATR]);
    assert_eq!(reader.receive(), None, "no card, no answer");
    assert_eq!(served.say("insert")["inserted"], true);
    let mut reader = served.reader();
    assert_eq!(reader.status(STATUS), "6d00");
    assert_eq!(reader.status(SELECT), "9000");
    assert_eq!(served.say("insert")["inserted"], true);
    assert_eq!(reader.status(STATUS), "6985", "a card that is there stays there");
    assert_eq!(served.say("power")["ok"], true);
    assert_eq!(reader.status(STATUS), "6d00");
}

#[test]
fn unknown_and_endless_lines_are_answered_and_the_end_of_stdin_ends_the_program() {
    let mut served = Served::listening();
    assert_eq!(served.say("destroy")["ok"], false);
    assert_eq!(served.say(&"x".repeat(100_000))["ok"], false);
    assert_eq!(served.say("insert")["ok"], true);
    drop(served.child.stdin.take());
    assert!(served.child.wait().unwrap().success());
    let mut served = Served::listening();
    assert_eq!(served.say("quit")["quit"], true);
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn sigterm_ends_the_program_in_peace_and_the_card_can_be_used_again() {
    let (_dir, path) = card();
    for _ in 0..2 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_softcard"))
            .args(["serve", "--card", text(&path), "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_new_reader_is_served_although_an_old_one_never_finishes_its_message() {
    let served = Served::listening();
    let mut stalled = served.reader();
    stalled.0.write_all(&[0xff]).unwrap();
    let mut deaf = served.reader();
    deaf.send(SELECT);
    let mut reader = served.reader();
    assert_eq!(reader.status(SELECT), "9000");
}

/// Any bytes may come from the socket: no panic, no wait, no growth.
#[test]
fn garbage_and_over_long_messages_leave_the_card_working() {
    let served = Served::listening();
    let memory = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let mut before = 0;
    for round in 0..50u8 {
        let mut reader = served.reader();
        reader.send(&[]);
        reader.send(&[round.wrapping_add(5)]);
        assert_eq!(reader.status(&[round; 2]), "6700");
        assert_eq!(reader.status(&vec![round; 65_535]), "6700");
        assert_eq!(reader.status(&vec![0; 300]), "6700");
        assert_eq!(reader.status(SELECT), "9000");
        if round == 10 {
            before = memory();
        }
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 4_000, "{grown} KiB more after 40 rounds");
}

/// vpcd writes length and body apart; without an immediate acknowledgement that costs 40 ms a command.
#[test]
fn a_command_in_two_writes_costs_no_delayed_acknowledgement() {
    let served = Served::listening();
    let mut reader = served.reader();
    assert_eq!(reader.status(SELECT), "9000");
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(reader.status(STATUS), "6985");
    }
    let each = start.elapsed() / 100;
    assert!(each < Duration::from_millis(10), "{each:?} a command");
}

#[test]
fn faults_reach_the_reader_and_an_answer_of_no_bytes_never_does() {
    let mut served =
        Served::start(&["--listen", "127.0.0.1:0", "--faults", "sw=6a82@1,delay=80@2,remove@3,garbage=0@4"]);
    let mut reader = served.reader();
    assert_eq!(reader.status(SELECT), "6a82");
    let start = Instant::now();
    assert_eq!(reader.status(SELECT), "9000");
    assert!(start.elapsed() >= Duration::from_millis(80));
    reader.send(SELECT);
    assert_eq!(reader.receive(), None, "the card is pulled in mid-command");
    assert_eq!(served.say("insert")["inserted"], true);
    let mut reader = served.reader();
    reader.send(SELECT);
    assert_eq!(reader.receive(), None, "vpcd would wait for ever after an empty answer");
    assert_eq!(served.reader().status(SELECT), "9000", "the card is still there");

    let wrong = softcard(&["serve", "--card", "x", "--listen", "127.0.0.1:0", "--faults", "explode@1"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("\"explode@1\" is no fault"));
}
