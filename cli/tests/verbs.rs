//! The verbs as a shell sees them: output, one-line errors, exit codes. The services behind the sockets are stand-ins.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod world;

use audit::{Event, Head, Log, LogId, LogOpened, LogStore, StoreError, Text, When};
use proto::rpc::Fault;
use proto::rpc::api::ChatLine;
use serde_json::Value;

use world::{FakeKeymgr, FakeNode, World, assert_fails, text};

fn line(text: &str, received_ms: u64) -> ChatLine {
    ChatLine { fingerprint: "0011-2233-4455-6677".into(), text: text.into(), received_ms, ..Default::default() }
}

#[tokio::test]
async fn piped_lines_are_posted_in_order_and_acknowledged_before_the_end() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode { history: vec![line("old", 43_425_000)], ..Default::default() };
    node.serve(&world.socket("alice", "node"));
    let output = world.cardinal(&["chat", "--profile", "alice", "#demo"], "one\ntwo\n").await;
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
    assert_eq!(*node.posted.lock().unwrap(), ["one", "two"]);
    let shown = text(&output.stdout);
    assert!(shown.starts_with("-- 1970-01-01 --\n12:03:45 0011-2233-4455-6677: old\n"), "{shown}");
    assert!(shown.contains("you: one (acknowledged after 7 ms)\n"), "{shown}");
}

#[tokio::test]
async fn a_line_that_no_peer_acknowledges_fails_the_pipe() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode { deaf: true, ..Default::default() };
    node.serve(&world.socket("alice", "node"));
    let output = world.cardinal(&["chat", "#demo"], "hi\n").await;
    let error = assert_fails(&output, Fault::NotAcknowledged);
    assert_eq!(error, "cardinal: no peer acknowledged the message within 10 s\n");
    let output = world.cardinal(&["chat", "#demo", "--json"], "hi\n").await;
    let error: Value = serde_json::from_str(&assert_fails(&output, Fault::NotAcknowledged)).unwrap();
    assert_eq!((&error["error"], &error["code"]), (&"not-acknowledged".into(), &40.into()));
}

#[tokio::test]
async fn json_is_one_object_a_line_with_the_history_first() {
    let world = World::with_profiles(&["alice"]);
    let hostile = "a\nb\x1b[2J\u{9b}1m\u{202e}";
    let node = FakeNode { history: vec![line(hostile, 1)], ..Default::default() };
    node.serve(&world.socket("alice", "node"));
    let output = world.cardinal(&["--json", "chat", "demo"], "hi\n").await;
    let shown = text(&output.stdout);
    assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "live", "posted"]);
    assert_eq!(lines[0]["text"], hostile);
    assert_eq!(lines[0]["history"], true);
}

#[tokio::test]
async fn what_a_peer_writes_cannot_steer_the_terminal() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode { history: vec![line("\x1b]0;owned\x07\r\u{9b}2J", 1)], ..Default::default() };
    node.serve(&world.socket("alice", "node"));
    for args in [["chat", "#demo"], ["node", "status"]] {
        let output = world.cardinal(&args, "").await;
        assert!(output.status.success());
        let shown = text(&output.stdout);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode { history: vec![line("x", 1); 50], ..Default::default() };
    node.serve(&world.socket("alice", "node"));
    let output = world.unread(&["chat", "#demo"], &"y\n".repeat(9)).await;
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
    assert_eq!(node.posted.lock().unwrap().len(), 9, "what was given to us is posted all the same");
}

#[tokio::test]
async fn a_line_that_no_peer_acknowledges_fails_the_pipe_also_when_nobody_reads() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode { history: vec![line("x", 1); 50], deaf: true, ..Default::default() };
    node.serve(&world.socket("alice", "node"));
    assert_fails(&world.unread(&["chat", "#demo"], "hi\n").await, Fault::NotAcknowledged);
}

#[tokio::test]
async fn output_that_cannot_be_written_is_never_success() {
    let world = World::with_profiles(&["alice"]);
    FakeKeymgr::with_pin(b"123456").serve(&world.socket("alice", "keymgr"));
    FakeNode { history: vec![line("x", 1)], ..Default::default() }.serve(&world.socket("alice", "node"));
    for verb in ["node status", "keymgr status", "lock", "chat demo", "--version", "--help"] {
        let output = world.shell(&format!("echo hi | \"$CARDINAL\" {verb} >/dev/full")).await;
        assert!(assert_fails(&output, Fault::DiskFull).contains("cannot be written"), "{verb}");
    }
    let output = world.shell("\"$CARDINAL\" nonsense 2>/dev/full").await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn the_verdict_on_a_log_does_not_depend_on_who_reads_it() {
    let world = World::with_profiles(&[]);
    let whole = log();
    let second = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    let mut altered = whole.clone();
    altered[second + 1] ^= 1;
    std::fs::write(world.path().join("altered.log"), altered).unwrap();
    std::fs::write(world.path().join("whole.log"), whole).unwrap();
    for verb in ["verify", "verify --json", "show", "show --json"] {
        let audit = |file: &str| format!("\"$CARDINAL\" audit {verb} \"$HOME/{file}.log\"");
        // Without an anchor the best verdict is not success; the bare lines are.
        let (altered, whole) = if verb.starts_with("verify") {
            (Fault::LogAltered, Some(Fault::LogConsistent))
        } else {
            (Fault::LogBad, None)
        };
        let full = world.shell(&format!("{} >/dev/full", audit("altered"))).await;
        assert!(assert_fails(&full, altered).contains("line 2"), "{verb}");
        let full = world.shell(&format!("{} >/dev/full", audit("whole"))).await;
        assert_fails(&full, whole.unwrap_or(Fault::DiskFull));
        let code = |fault: Option<Fault>| fault.map_or(0, |fault| i32::from(fault.exit_code()));
        for (file, code) in [("altered", code(Some(altered))), ("whole", code(whole))] {
            let path = world.path().join(format!("{file}.log"));
            let args: Vec<&str> = ["audit"].into_iter().chain(verb.split(' ')).chain(path.to_str()).collect();
            assert_eq!(world.unread(&args, "").await.status.code(), Some(code), "{verb} {file}");
        }
    }
}

#[tokio::test]
async fn a_folder_is_no_log_and_an_empty_log_is_no_whole_one() {
    let world = World::with_profiles(&[]);
    let (folder, empty) = (world.path().join("run"), world.path().join("empty.log"));
    std::fs::write(&empty, b"").unwrap();
    for verb in ["verify", "show"] {
        let error =
            assert_fails(&world.cardinal(&["audit", verb, folder.to_str().unwrap()], "").await, Fault::BadInput);
        assert!(error.contains("is a folder") && error.contains("run/export.log"), "{error}");
        let fault = if verb == "verify" { Fault::LogTruncated } else { Fault::LogBad };
        let error = assert_fails(&world.cardinal(&["audit", verb, empty.to_str().unwrap()], "").await, fault);
        assert!(error.contains("every line is missing"), "{error}");
    }
}

#[tokio::test]
async fn the_pin_comes_over_a_descriptor_and_goes_on_sealed() {
    let world = World::with_profiles(&["alice"]);
    let manager = FakeKeymgr::with_pin(b"123456");
    manager.serve(&world.socket("alice", "keymgr"));
    let output = world.shell("printf '123456\\n' | \"$CARDINAL\" unlock --pin-fd 0 --minutes 5").await;
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
    assert!(text(&output.stdout).contains("unlocked for 5 minutes"));
    std::fs::write(world.path().join("pin"), "654321").unwrap();
    let output = world.shell("\"$CARDINAL\" unlock --pin-fd 7 --last-try 7<\"$HOME/pin\"").await;
    assert_eq!(assert_fails(&output, Fault::WrongPin), "cardinal: wrong PIN, 2 tries left\n");
    // Sent once, and not again by itself.
    assert_eq!(*manager.asked.lock().unwrap(), [(false, 300), (true, 0)]);
}

#[tokio::test]
async fn what_is_no_pin_is_never_sent() {
    let world = World::with_profiles(&["alice"]);
    let manager = FakeKeymgr::with_pin(b"123456");
    manager.serve(&world.socket("alice", "keymgr"));
    let output = world.shell("echo 12345 | \"$CARDINAL\" unlock --pin-fd 0").await;
    assert_fails(&output, Fault::BadInput);
    // No terminal, no descriptor: nothing to read a PIN from.
    let output = world.shell("setsid \"$CARDINAL\" unlock </dev/null").await;
    assert!(assert_fails(&output, Fault::BadInput).contains("--pin-fd"));
    assert!(manager.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_report_has_a_form_for_people_and_one_for_programs() {
    let world = World::with_profiles(&["alice"]);
    FakeKeymgr::with_pin(b"123456").serve(&world.socket("alice", "keymgr"));
    FakeNode::default().serve(&world.socket("alice", "node"));
    for args in [["keymgr", "status"], ["node", "status"], ["lock", "--profile=alice"]] {
        let output = world.cardinal(&args, "").await;
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}: {}", text(&output.stderr));
        let output = world.cardinal(&[args[0], args[1], "--json"], "").await;
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["profile"], "alice");
        assert_eq!(text(&output.stdout).lines().count(), 1);
    }
}

#[tokio::test]
async fn a_service_that_hangs_is_given_up_soon() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with_profiles(&["alice"]);
    let socket = world.socket("alice", "node");
    let folder = socket.parent().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = assert_fails(&world.cardinal(&["node", "status"], "").await, Fault::NotRunning);
    assert!(error.contains("did not answer within 5 s"), "{error}");
}

#[tokio::test]
async fn what_is_not_running_or_not_there_is_said() {
    let world = World::with_profiles(&[]);
    assert!(assert_fails(&world.cardinal(&["node", "status"], "").await, Fault::StateMissing).contains("cardinal up"));
    let world = World::with_profiles(&["alice", "bob"]);
    assert!(assert_fails(&world.cardinal(&["lock"], "").await, Fault::BadInput).contains("--profile: alice, bob"));
    for verb in [["card", "info"], ["node", "status"], ["chat", "x"]] {
        let output = world.cardinal(&[verb[0], verb[1], "--profile", "bob"], "").await;
        assert!(assert_fails(&output, Fault::NotRunning).contains("cardinal up"));
    }
    assert_fails(&world.cardinal(&["down"], "").await, Fault::NotRunning);
    assert_fails(&world.cardinal(&["audit", "verify", "--profile", "bob"], "").await, Fault::StateMissing);
}

#[tokio::test]
async fn wrong_usage_is_two_and_help_is_zero() {
    let world = World::with_profiles(&[]);
    for (args, code) in [(["nonsense", "x"], 2), (["unlock", "--minutes=0"], 2), (["audit", "--help"], 0)] {
        assert_eq!(world.cardinal(&args, "").await.status.code(), Some(code), "{args:?}");
    }
    let version = world.cardinal(&["--version"], "").await;
    assert_eq!(text(&version.stdout), concat!("cardinal ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = text(&world.cardinal(&["--help"], "").await.stdout);
    assert!(Fault::ALL.iter().all(|fault| help.contains(fault.name())));
}

/// Keeps what was written.
struct Kept<'a>(&'a mut Vec<u8>);

impl LogStore for Kept<'_> {
    fn remember(&mut self, _: &Head) {}

    fn append_synced(&mut self, line: &[u8]) -> Result<(), StoreError> {
        self.0.extend_from_slice(line);
        Ok(())
    }
}

/// A log of three lines.
fn log() -> Vec<u8> {
    let mut bytes = Vec::new();
    let when = When { unix: proto::UnixMillis::new(1), monotonic: proto::Instant::default() };
    let mut log = Log::create(Kept(&mut bytes), LogId::from([7; 16]), when).unwrap();
    for _ in 0..2 {
        let opened = LogOpened { version: Text::lossy("0.1.0"), binary: None, policy: [1; 32], test_authority: false };
        log.opened(when, opened).unwrap();
    }
    bytes
}

#[tokio::test]
async fn a_whole_log_verifies_offline_and_is_shown_line_by_line() {
    let world = World::with_profiles(&["alice"]);
    let own = world.profile("alice").join("keymgr");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("export.log"), log()).unwrap();
    let output = world.cardinal(&["audit", "verify"], "").await;
    let error = assert_fails(&output, Fault::LogConsistent);
    assert!(error.contains("consistent up to entry 3, end not proven"), "{error}");
    let anchor = world.cardinal(&["audit", "anchor"], "").await;
    std::fs::write(world.path().join("paper"), anchor.stdout).unwrap();
    let paper = world.path().join("paper");
    let output = world.cardinal(&["audit", "verify", "--anchor", paper.to_str().unwrap()], "").await;
    assert!(output.status.success() && text(&output.stdout).contains("complete: 3 entries"), "{output:?}");
    let report: Value =
        serde_json::from_slice(&world.cardinal(&["audit", "verify", "--json"], "").await.stdout).unwrap();
    assert_eq!((&report["consistent"], &report["entries"]), (&true.into(), &3.into()));
    let shown = text(&world.cardinal(&["audit", "show"], "").await.stdout);
    assert_eq!(shown.lines().count(), 3);
    assert!(
        shown.starts_with(&format!("    1  1970-01-01 00:00:00Z  {}", Event::created(LogId::from([7; 16])))),
        "{shown}"
    );
    let lines = text(&world.cardinal(&["audit", "show", "--json"], "").await.stdout);
    let seqs: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn a_log_that_was_altered_or_cut_is_refused_at_its_line() {
    let world = World::with_profiles(&[]);
    let whole = log();
    let second = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    let mut altered = whole.clone();
    altered[second + 20] ^= 1;
    let cut = &whole[..whole.len() - 10];
    for (bytes, fault, line) in [
        (altered.as_slice(), Fault::LogAltered, "line 2"),
        (cut, Fault::LogTruncated, "line 3"),
        (b"".as_slice(), Fault::LogTruncated, "every line is missing"),
    ] {
        let file = world.path().join("copy.log");
        std::fs::write(&file, bytes).unwrap();
        let output = world.cardinal(&["audit", "verify", file.to_str().unwrap()], "").await;
        let error = assert_fails(&output, fault);
        assert!(error.contains(line), "{error}");
    }
}

#[tokio::test]
async fn a_log_that_lost_its_last_line_is_refused_when_its_head_stands_beside_it() {
    let world = World::with_profiles(&[]);
    let whole = log();
    let head = audit::verify(whole.as_slice(), None).unwrap().head.unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let file = world.path().join("copy.log");
    std::fs::write(&file, &whole[..last]).unwrap();
    let verify = ["audit", "verify", file.to_str().unwrap()];
    // Nothing says that there was more.
    assert_fails(&world.cardinal(&verify, "").await, Fault::LogConsistent);
    std::fs::write(world.path().join("copy.log.head"), format!("{head}\n")).unwrap();
    let error = assert_fails(&world.cardinal(&verify, "").await, Fault::LogTruncated);
    assert!(error.contains("line 3"), "{error}");
}

#[tokio::test]
async fn a_key_manager_runs_in_the_places_of_a_profile_which_is_made_once() {
    let world = World::with_profiles(&[]);
    let no_such_card = ["keymgr", "run", "--profile=mine", "--reader=soft:none"];
    let output = world.cardinal(&no_such_card, "").await;
    assert_eq!(output.status.code(), Some(i32::from(Fault::StateMissing.exit_code())), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("soft-create"), "{}", text(&output.stderr));
    let manifest = world.profile("mine").join("manifest.toml");
    assert!(std::fs::read_to_string(&manifest).unwrap().starts_with('#'));
    assert!(!world.profile(".mine.new").exists());
    // What is gone is not made anew.
    std::fs::remove_file(&manifest).unwrap();
    let output = world.cardinal(&no_such_card, "").await;
    assert_eq!(output.status.code(), Some(i32::from(Fault::StateMissing.exit_code())));
    assert!(text(&output.stderr).contains("manifest.toml"), "{}", text(&output.stderr));
    assert!(!manifest.exists());
}

#[tokio::test]
async fn a_chat_is_left_by_its_name() {
    let world = World::with_profiles(&["alice"]);
    FakeNode::default().serve(&world.socket("alice", "node"));
    let output = world.cardinal(&["node", "leave", "#demo", "--json"], "").await;
    assert!(output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["profile"], &said["left"]), (&"alice".into(), &"demo".into()));
}

#[tokio::test]
async fn settings_are_changed_by_profile_or_by_socket_and_shown_as_they_are_then() {
    let world = World::with_profiles(&["alice"]);
    let node = FakeNode::default();
    node.serve(&world.socket("alice", "node"));
    let output = world.cardinal(&["node", "set", "--min-pow", "0.5", "--at-once", "--json"], "").await;
    assert_eq!(text(&output.stderr), "");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&shown["profile"], &shown["waku"]["min_pow"]), (&"alice".into(), &0.5.into()));
    let socket = world.socket("alice", "node");
    let output = world.cardinal(&["node", "set", "--socket", socket.to_str().unwrap(), "--interest", "full"], "").await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let set = node.set.lock().unwrap().clone();
    let said: Vec<_> = set.iter().map(|set| (set.min_pow, set.at_once, set.interest.as_deref())).collect();
    assert_eq!(said, [(Some(0.5), true, None), (None, false, Some("full"))]);

    let output = world.cardinal(&["node", "set", "--interest", "nonsense"], "").await;
    assert_eq!(assert_fails(&output, Fault::BadInput), "cardinal: say full\n");
    let output = world.cardinal(&["node", "set", "--full-node", "true", "--min-pow", "1", "--ask-only"], "").await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let set = node.set.lock().unwrap().last().cloned().unwrap();
    assert_eq!((set.full_node, set.ask_only, set.at_once), (Some(true), true, false));

    let both = ["node", "set", "--min-pow", "1", "--at-once", "--ask-only"];
    for unclear in [&["node", "set"][..], &["node", "set", "--interest", "full", "--at-once"], &both] {
        assert_eq!(world.cardinal(unclear, "").await.status.code(), Some(2));
    }
}
