//! `cardinal bot` as a script drives it: JSON lines in, JSON lines out. The node behind it is a stand-in, except where two
//! bots talk through a real relay.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "what fails here fails the test")]

mod programs;
mod world;

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use proto::rpc::Fault;
use proto::rpc::api::{ChatLine, PeerGone, PeerStatus, node_event};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use programs::{assert_gone, cardinal, children_of};
use world::{FakeNode, Happenings, World, text};

/// What the bot prints when it gets these lines, and how it ends.
async fn says(world: &World, args: &[&str], lines: &str) -> (Vec<Value>, Option<i32>) {
    let output = world.cardinal(args, lines).await;
    let said = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (said, output.status.code())
}

fn line(text: &str) -> ChatLine {
    ChatLine { chat: "demo".into(), text: text.into(), content_type: 1, ..ChatLine::default() }
}

#[tokio::test]
async fn commands_are_answered_in_order_between_started_and_stopped() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode { history: vec![line("old")], ..FakeNode::default() };
    node.serve(&world.socket("alice", "node"));
    let lines = [
        r##"{"id":1,"cmd":"send_public","chat":"#demo","text":"hi"}"##,
        r#"{"id":"two","cmd":"send_public","chat":"demo","text":"x","count":2}"#,
        r#"{"id":3,"cmd":"messages","chat":"demo","limit":5}"#,
        r#"{"id":4,"cmd":"join_public","chat":"demo"}"#,
        r#"{"id":5,"cmd":"peers"}"#,
        r#"{"id":6,"cmd":"info"}"#,
        r#"{"id":7,"cmd":"wait_peers","count":1}"#,
    ];
    let (said, code) = says(&world, &["bot"], &lines.join("\n")).await;
    assert_eq!(code, Some(0));
    assert_eq!((&said[0]["event"], &said.last().unwrap()["event"]), (&json!("started"), &json!("stopped")));
    let replies: Vec<&Value> = said.iter().filter(|line| line.get("ok").is_some()).collect();
    assert!(replies.iter().all(|reply| reply["ok"] == true && reply["us"].is_u64()), "{replies:?}");
    let ids: Vec<&Value> = replies.iter().map(|reply| &reply["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!("two"), &json!(3), &json!(4), &json!(5), &json!(6), &json!(7)]);
    assert_eq!(replies[0]["result"], json!({ "id": "0x1" }));
    assert_eq!(replies[1]["result"], json!({ "ids": ["0x2", "0x3"] }));
    assert_eq!(*node.posted.lock().unwrap(), ["hi", "x 0", "x 1"]);
    assert_eq!(replies[2]["result"]["messages"][0]["text"], "old");
    assert_eq!(replies[3].get("result"), None);
    assert_eq!(replies[5]["result"]["peer"], said[0]["peer"]);
    assert_eq!(replies[6]["result"]["peers"], 1);
}

#[tokio::test]
async fn no_line_ends_the_bot() {
    let world = World::with_profiles(&["alice"]);
    FakeNode::default().serve(&world.socket("alice", "node"));
    let mut lines =
        vec!["{", "[1]", "7", "\u{0}", "{\"cmd\":\"drop_database\",\"id\":9}", "{\"cmd\":\"info\",\"to\":1}"];
    let long = format!("{{\"cmd\":\"send_public\",\"chat\":\"demo\",\"text\":\"{}\"}}", "x".repeat(9_000_000));
    lines.push(&long);
    lines.push("{\"cmd\":\"messages\",\"chat\":\"demo\",\"limit\":-1}");
    lines.push("{\"cmd\":\"send_public\",\"chat\":\"demo\",\"text\":\"x\",\"count\":257}");
    lines.push("{\"id\":[{}],\"cmd\":\"info\"}");
    let (said, code) = says(&world, &["bot"], &lines.join("\n")).await;
    assert_eq!(code, Some(0));
    let replies: Vec<&Value> = said.iter().filter(|line| line.get("ok").is_some()).collect();
    let (last, bad) = replies.split_last().unwrap();
    assert_eq!((last["ok"].as_bool(), &last["id"]), (Some(true), &json!([{}])));
    assert_eq!(bad.len(), 9);
    for reply in bad {
        assert!(reply["ok"] == false && !reply["error"].as_str().unwrap().is_empty(), "{reply}");
    }
    assert!(bad[4]["error"].as_str().unwrap().contains("send_public"), "{}", bad[4]);
    assert!(bad[6]["error"].as_str().unwrap().contains("65536"), "{}", bad[6]);
}

#[tokio::test]
async fn everything_that_happens_is_told_and_own_messages_only_on_demand() {
    let own = ChatLine { own: true, ..line("mine") };
    let events = || {
        vec![
            node_event::Event::Joined("demo".into()),
            node_event::Event::PeerUp(PeerStatus { id: "ab".into(), ..PeerStatus::default() }),
            node_event::Event::Message(own.clone()),
            node_event::Event::Message(ChatLine { response_to: "0x0a".into(), sent_ms: 5000, ..line("theirs\n\x1b") }),
            node_event::Event::Sent("0x01".into()),
            node_event::Event::Expired("0x02".into()),
            node_event::Event::PeerDown(PeerGone { id: "ab".into(), why: "closed".into() }),
            node_event::Event::Left("demo".into()),
        ]
    };
    for (args, heard) in [(&["bot"][..], 1), (&["bot", "--own"], 2)] {
        let world = World::with_profiles(&["alice"]);
        let node = FakeNode::default();
        node.happenings.lock().unwrap().push(Happenings { events: events(), end: Some(Ok(())) });
        node.serve(&world.socket("alice", "node"));
        let mut bot = Bot::start(world.command(Path::new(env!("CARGO_BIN_EXE_cardinal"))), args);
        let said = tokio::task::spawn_blocking(move || {
            // The node's stream ends, and with it the bot, although stdin is open.
            let said: Vec<Value> = std::iter::from_fn(|| bot.next()).collect();
            assert_eq!(bot.child.wait().unwrap().code(), Some(i32::from(Fault::NotRunning.exit_code())));
            said
        });
        let said = said.await.unwrap();
        let names: Vec<&str> = said.iter().map(|event| event["event"].as_str().unwrap()).collect();
        let mut expected = vec!["started", "chat", "peer_add"];
        expected.extend(["message"].repeat(heard));
        expected.extend(["envelope_sent", "envelope_expired", "peer_drop", "chat", "fatal"]);
        assert_eq!(names, expected);
        let theirs = said.iter().find(|event| event["text"] == "theirs\n\x1b").unwrap();
        assert_eq!((&theirs["response_to"], &theirs["whisper_timestamp"]), (&json!("0x0a"), &json!(5000)));
        let fatal = said.last().unwrap();
        assert_eq!((&fatal["code"], &fatal["fault"]), (&json!(33), &json!("not-running")));
    }
}

#[tokio::test]
async fn events_that_were_not_read_in_time_are_reported_and_the_bot_goes_on() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode::default();
    let slow = tonic::Status::resource_exhausted("not read in time");
    let lost = Happenings { events: Vec::new(), end: Some(Err(slow)) };
    let after = Happenings { events: vec![node_event::Event::Message(line("after"))], end: Some(Ok(())) };
    node.happenings.lock().unwrap().extend([lost, after]);
    node.serve(&world.socket("alice", "node"));
    let mut bot = Bot::start(world.command(Path::new(env!("CARGO_BIN_EXE_cardinal"))), &["bot"]);
    let said =
        tokio::task::spawn_blocking(move || std::iter::from_fn(|| bot.next()).collect::<Vec<_>>()).await.unwrap();
    let names: Vec<&str> = said.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["started", "retrieve_error", "message", "fatal"]);
}

#[tokio::test]
async fn a_node_that_hangs_costs_a_command_and_not_the_bot() {
    let world = World::with_profiles(&["alice"]);
    FakeNode { hangs: true, ..FakeNode::default() }.serve(&world.socket("alice", "node"));
    let lines = "{\"id\":1,\"cmd\":\"messages\",\"chat\":\"demo\"}\n{\"id\":2,\"cmd\":\"info\"}\n";
    let (said, code) = says(&world, &["bot"], lines).await;
    let replies: Vec<&Value> = said.iter().filter(|line| line.get("ok").is_some()).collect();
    assert_eq!((&replies[0]["ok"], &replies[1]["ok"], code), (&json!(false), &json!(true), Some(0)));
    assert!(replies[0]["error"].as_str().unwrap().contains("did not answer within 5 s"), "{}", replies[0]);
}

#[tokio::test]
async fn a_bot_without_a_node_that_answers_says_fatal_with_its_exit_code() {
    let world = World::with_profiles(&["alice"]);
    let (said, code) = says(&world, &["bot"], "").await;
    assert_eq!((said.len(), &said[0]["event"], &said[0]["code"]), (1, &json!("fatal"), &json!(33)));
    assert_eq!(code, Some(33));
    // One that takes the connection and says nothing.
    let socket = world.socket("alice", "node");
    let folder = socket.parent().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (said, code) = says(&world, &["bot"], "").await;
    assert!(said[0]["error"].as_str().unwrap().contains("did not answer within 5 s"), "{}", said[0]);
    assert_eq!(code, Some(33));
    let (said, code) = says(&World::with_profiles(&[]), &["bot"], "").await;
    assert_eq!((&said[0]["fault"], code), (&json!("state-missing"), Some(31)));
}

#[tokio::test]
async fn a_throw_away_identity_and_a_profile_exclude_each_other() {
    let world = World::with_profiles(&["alice"]);
    for args in [["bot", "--ephemeral", "--profile=alice"], ["bot", "--listen=127.0.0.1:0", "--own"]] {
        assert_eq!(world.cardinal(&args, "").await.status.code(), Some(2), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_bot_whose_output_nobody_reads() {
    let world = World::with_profiles(&["alice"]);
    FakeNode::default().serve(&world.socket("alice", "node"));
    let mut command = tokio::process::Command::from(world.command(cardinal()));
    let command = command.arg("bot").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // Each line is refused in one of its own: many more than the pipe and the bot take.
    stdin.write_all("{\n".repeat(10_000).as_bytes()).await.unwrap();
    let full = async {
        while rustix::io::ioctl_fionread(&stdout).unwrap() < 60_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full).await.unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(143));
}

/// A bot that is driven line by line.
struct Bot {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// Events that came while a reply was awaited.
    waiting: VecDeque<Value>,
}

impl Bot {
    fn start(mut command: Command, args: &[&str]) -> Self {
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let _ = say.send(serde_json::from_str(&line.unwrap()).unwrap());
            }
        });
        Self { child, stdin, lines, waiting: VecDeque::new() }
    }

    fn next(&mut self) -> Option<Value> {
        self.waiting.pop_front().or_else(|| self.lines.recv_timeout(PATIENCE).ok())
    }

    fn event(&mut self, name: &str) -> Value {
        loop {
            let line = self.next().unwrap_or_else(|| panic!("no {name}"));
            assert_ne!(line["event"], "fatal", "{line}");
            if line["event"] == name {
                return line;
            }
        }
    }

    fn call(&mut self, command: Value) -> Value {
        writeln!(self.stdin.as_mut().unwrap(), "{command}").unwrap();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no reply to {command}"));
            if line.get("ok").is_some() {
                assert_eq!(line["ok"], true, "{line}");
                return line["result"].clone();
            }
            self.waiting.push_back(line);
        }
    }

    fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.event("stopped");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// A relay of its own folder.
fn relay(home: &Path) -> (Bot, String) {
    let mut command = Command::new(cardinal().parent().unwrap().join("cardinal-node"));
    command.arg("relay").arg("--dir").arg(home.join("relay")).arg("--socket").arg(home.join("r/node.sock"));
    let mut relay = Bot::start(command, &["--listen", "127.0.0.1:0", "--until-stdin-closes"]);
    let enode = relay.next().unwrap()["enode"].as_str().unwrap().to_owned();
    (relay, enode)
}

fn throw_away(home: &Path, args: &[&str]) -> Bot {
    let mut command = Command::new(cardinal());
    command.env("TMPDIR", home);
    Bot::start(command, &[&["bot", "--ephemeral"], args].concat())
}

#[test]
fn two_bots_talk_through_a_relay_and_leave_nothing_behind() {
    let home = tempfile::Builder::new().prefix("c").tempdir().unwrap();
    let (_relay, enode) = relay(home.path());
    let mut alice = throw_away(home.path(), &["--peers", &enode]);
    let mut bob = throw_away(home.path(), &[]);
    let alice_key = alice.event("started")["identity_pk"].clone();
    let bob_started = bob.event("started");
    assert_ne!(alice_key, bob_started["identity_pk"]);
    bob.call(json!({ "cmd": "add_peer", "enode": enode }));
    bob.call(json!({ "cmd": "wait_peers" }));
    bob.call(json!({ "cmd": "join_public", "chat": "demo" }));
    let sent = alice.call(json!({ "cmd": "send_public", "chat": "demo", "text": "first" }))["id"].clone();
    assert_eq!(alice.event("envelope_sent")["message_ids"], json!([sent]));
    let heard = bob.event("message");
    assert_eq!((&heard["text"], &heard["from"], &heard["id"]), (&json!("first"), &alice_key, &sent));
    bob.call(json!({ "cmd": "send_public", "chat": "demo", "text": "second", "response_to": sent }));
    let heard = alice.event("message");
    assert_eq!((&heard["text"], &heard["response_to"]), (&json!("second"), &sent), "and not itself");
    assert_eq!(alice.call(json!({ "cmd": "transport" }))["topic_interest"].as_array().unwrap().len(), 1);
    alice.call(json!({ "cmd": "set_minpow", "pow": 0.5 }));
    assert_eq!(alice.call(json!({ "cmd": "transport" }))["min_pow"], 0.5);
    alice.call(json!({ "cmd": "leave_public", "chat": "demo" }));
    assert_eq!(alice.call(json!({ "cmd": "chats" })), json!([]));
    assert_eq!(alice.call(json!({ "cmd": "messages", "chat": "demo" }))["messages"][0]["text"], "second");
    let peers = bob.call(json!({ "cmd": "peers" }));
    assert_eq!(peers[0]["caps"], json!(["waku/1"]));
    bob.call(json!({ "cmd": "remove_peer", "enode": enode }));
    let gone = bob.event("peer_drop");
    assert_eq!((&gone["id"], &gone["error"]), (&peers[0]["id"], &json!("removed")));

    let children = children_of(alice.child.id());
    assert_eq!(children.len(), 2, "a key manager and a node");
    assert_eq!(alice.end(), Some(0));
    assert_gone(&children);
    let children = children_of(bob.child.id());
    kill_process(Pid::from_raw(i32::try_from(bob.child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    bob.event("stopped");
    assert_eq!(bob.child.wait().unwrap().code(), Some(143), "although stdin is open");
    assert_gone(&children);
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().starts_with("cardinal-temp-")), "{left:?}");
}

/// After so long a test has failed.
const PATIENCE: Duration = Duration::from_secs(30);
