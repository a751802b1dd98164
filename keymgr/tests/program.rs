//! The program itself: its exit codes, its one line when ready, and that it ends when its parent does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use proto::rpc::api::keymgr_client::KeymgrClient;
use proto::rpc::api::{
    CardRequest, KeymgrStatusRequest, ProvisionReply, ProvisionRequest, ReadersRequest, Sealed, SealingKeyRequest,
    provision_request,
};
use proto::rpc::{Fault, seal, socket};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cardinal-keymgr"))
}

fn private_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).expect("mode 0700");
    dir
}

fn soft_create(dir: &Path, name: &str) -> Output {
    program().arg("soft-create").arg("--dir").arg(dir).arg(name).output().expect("the program")
}

/// A directory with one card and a manifest that names it.
fn profile() -> tempfile::TempDir {
    let dir = private_dir();
    let made = soft_create(dir.path(), "alice");
    assert!(made.status.success());
    let line: serde_json::Value = serde_json::from_slice(&made.stdout).expect("one line of JSON");
    assert_eq!(line.get("reader").and_then(|v| v.as_str()), Some("soft:alice"));
    let identity = line.get("identity").expect("an identity");
    let manifest = format!("[[card]]\nlabel = \"alice\"\nidentity = {identity}\ngeneration = \"v2\"\n");
    std::fs::write(dir.path().join("manifest.toml"), manifest).expect("the manifest");
    dir
}

fn run(dir: &Path, reader: &str, extra: &[&str]) -> Command {
    let mut command = program();
    command.arg("run").arg("--dir").arg(dir).arg("--socket").arg(dir.join("run").join("keymgr.sock"));
    command.arg("--reader").arg(reader).arg("--manifest").arg(dir.join("manifest.toml"));
    command.args(["--allow-test-ca", "--until-stdin-closes"]).args(extra);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it and waits for its one line.
fn ready(dir: &Path) -> Child {
    await_ready(run(dir, "soft:alice", &[]).spawn().expect("the program"))
}

fn await_ready(mut child: Child) -> Child {
    let mut line = String::new();
    let stdout = child.stdout.take().expect("stdout");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line.get("ready"), Some(&true.into()));
    child
}

fn terminate(child: &Child) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM)
        .expect("a signal");
}

/// What a program says that ends by itself, with its stdin held open until it has ended.
fn ends_with_stdin_open(mut child: Child) -> Output {
    let stdin = child.stdin.take().expect("stdin");
    let (ended, output) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let output = output.recv_timeout(PATIENCE);
    // Lets go one that waits for it.
    drop(stdin);
    output.expect("an end that does not wait for stdin").expect("its end")
}

fn ends_with(mut command: Command, fault: Fault, says: &str) {
    let output = command.stdin(Stdio::null()).output().expect("the program");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(i32::from(fault.exit_code())), "{stderr}");
    let last = stderr.lines().last().expect("a line on stderr");
    assert!(last.starts_with("cardinal-keymgr: ") && last.contains(says), "{last}");
}

#[test]
fn it_serves_until_stdin_closes_and_leaves_no_socket() {
    let dir = profile();
    let mut child = ready(dir.path());
    let socket = dir.path().join("run").join("keymgr.sock");
    assert!(socket.exists());
    ends_with(run(dir.path(), "soft:alice", &[]), Fault::InUse, "another key manager");
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
    assert!(!socket.exists());
    let report = audit::verify(std::fs::read(dir.path().join("export.log")).expect("the log").as_slice(), None);
    assert_eq!(report.expect("read").entries(), 2, "the log began, and a manager started");
}

/// What is not logged must be done all the same.
#[tokio::test]
async fn it_goes_on_serving_when_it_logs_nothing() {
    let dir = profile();
    let mut command = run(dir.path(), "soft:alice", &[]);
    let mut child = await_ready(command.env("CARDINAL_LOG", "off").spawn().expect("the program"));
    for _ in 0..20 {
        let channel = socket::connect(&dir.path().join("run").join("keymgr.sock")).await.expect("somebody who serves");
        KeymgrClient::new(channel).status(KeymgrStatusRequest {}).await.expect("an answer");
    }
    terminate(&child);
    assert!(child.wait().expect("its end").success());
}

#[test]
fn it_ends_cleanly_on_sigterm() {
    let dir = profile();
    let mut child = ready(dir.path());
    terminate(&child);
    assert!(child.wait().expect("its end").success());
    assert!(!dir.path().join("run").join("keymgr.sock").exists());
}

#[test]
fn an_open_stdin_holds_up_neither_a_failed_start_nor_a_signal() {
    let dir = profile();
    let child = ready(dir.path());
    let second = run(dir.path(), "soft:alice", &[]).spawn().expect("the program");
    let code = ends_with_stdin_open(second).status.code();
    assert_eq!(code, Some(i32::from(Fault::InUse.exit_code())));
    terminate(&child);
    assert!(ends_with_stdin_open(child).status.success());
}

#[test]
fn what_is_missing_or_damaged_is_named_and_left_as_it_is() {
    let dir = profile();
    let path = |name: &str| dir.path().join(name);
    ends_with(run(&path("none"), "soft:alice", &[]), Fault::StateMissing, "soft-create");
    ends_with(run(dir.path(), "soft:bob", &[]), Fault::StateMissing, "soft-create");
    ends_with(run(dir.path(), "alice", &[]), Fault::NoReader, "soft:NAME");
    ends_with(run(dir.path(), "soft:../alice", &[]), Fault::BadInput, "the name of a software card");
    assert_eq!(soft_create(dir.path(), "alice").status.code(), Some(i32::from(Fault::InUse.exit_code())));
    for (name, fault, says) in [
        ("pins.toml", Fault::StateDamaged, "pins.toml is damaged"),
        ("policy.toml", Fault::BadInput, "policy.toml, line 1, column 9: "),
        ("export.log", Fault::LogBad, "line 1"),
    ] {
        std::fs::write(path(name), "nonsense\n").expect("a file");
        ends_with(run(dir.path(), "soft:alice", &[]), fault, says);
        assert_eq!(std::fs::read(path(name)).expect("a file"), b"nonsense\n");
        std::fs::remove_file(path(name)).expect("a file");
    }
    std::fs::remove_file(path("manifest.toml")).expect("a file");
    ends_with(run(dir.path(), "soft:alice", &[]), Fault::StateMissing, "manifest");
    assert!(!path("export.log").exists(), "nothing was begun in between");
}

#[test]
fn a_log_that_was_cut_off_says_where_to_cut_it() {
    let dir = profile();
    let log = dir.path().join("export.log");
    let mut child = ready(dir.path());
    drop(child.stdin.take());
    child.wait().expect("its end");
    let good = std::fs::read(&log).expect("the log");
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).expect("the log");
    file.write_all(b"{\"seq\":3,\"unix").expect("half a line");
    ends_with(run(dir.path(), "soft:alice", &[]), Fault::LogBad, "line 3: cut off");
    ends_with(run(dir.path(), "soft:alice", &[]), Fault::LogBad, &format!("truncate -s {}", good.len()));
    file.set_len(u64::try_from(good.len()).expect("a length")).expect("cut");
    let mut child = ready(dir.path());
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
}

#[test]
fn a_pin_comes_from_a_descriptor_and_a_blank_card_says_what_is_missing() {
    let dir = profile();
    let pin = dir.path().join("pin");
    for (text, fault, says) in [("493817\n", Fault::CardBlank, "blank"), ("4938\n", Fault::BadInput, "6 digits")] {
        std::fs::write(&pin, text).expect("a PIN");
        let mut command = run(dir.path(), "soft:alice", &["--pin-fd", "0"]);
        command.stdin(std::fs::File::open(&pin).expect("a PIN"));
        let output = command.output().expect("the program");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(i32::from(fault.exit_code())), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}

async fn client(dir: &Path) -> KeymgrClient<tonic::transport::Channel> {
    KeymgrClient::new(socket::connect(&dir.join("run").join("keymgr.sock")).await.expect("a connection"))
}

async fn sealed(client: &mut KeymgrClient<tonic::transport::Channel>, context: &str, secret: &[u8]) -> Option<Sealed> {
    let key = client.sealing_key(SealingKeyRequest {}).await.expect("a key").into_inner().public_key;
    seal::seal(&key, context, secret, &mut proto::shell::dice()).ok()
}

/// Enrols the card of a profile, and kills the manager.
async fn enrolled_and_killed(dir: &Path) -> ProvisionReply {
    let mut child = ready(dir);
    let mut manager = client(dir).await;
    let pin = sealed(&mut manager, seal::PIN, b"493817").await;
    let puk = sealed(&mut manager, seal::PUK, b"201938475601").await;
    let key = Some(provision_request::Key::Generate(true));
    let request = ProvisionRequest { pin, puk, key, caller: Vec::new(), ..ProvisionRequest::default() };
    let enrolled = manager.provision(request).await.expect("an enrolment").into_inner();
    child.kill().expect("a crash");
    child.wait().expect("its end");
    enrolled
}

/// Starts a manager with the PIN on stdin.
fn unlocking(dir: &Path, pin: &str) -> Child {
    let mut child = run(dir, "soft:alice", &["--pin-fd", "0"]).spawn().expect("the program");
    let mut stdin = child.stdin.take().expect("stdin");
    writeln!(stdin, "{pin}").expect("a PIN");
    child.stdin = Some(stdin);
    child
}

/// The pins are written before the log's line.
#[tokio::test]
async fn an_enrolment_that_was_cut_off_before_its_line_is_made_good_at_the_next_unlocking() {
    let dir = profile();
    enrolled_and_killed(dir.path()).await;
    let path = dir.path().join("export.log");
    let log = std::fs::read_to_string(&path).expect("the log");
    let (before, last) = log.trim_end().rsplit_once('\n').expect("lines");
    assert!(last.contains("provisioning"), "{last}");
    std::fs::write(&path, format!("{before}\n")).expect("the log without its last line");
    std::fs::remove_file(dir.path().join("export.log.head")).expect("what remembers the line");
    let mut child = await_ready(unlocking(dir.path(), "493817"));
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
    let log = std::fs::read(&path).expect("the log");
    assert_eq!(audit::verify(log.as_slice(), None).expect("read").provisionings, 1);
}

/// Restarts with the PIN on stdin; what was enrolled before is still there, and a crash leaves a log that verifies.
#[tokio::test]
async fn an_enrolled_card_unlocks_with_the_pin_from_a_descriptor_after_a_crash() {
    let dir = profile();
    let enrolled = enrolled_and_killed(dir.path()).await;
    let restart = |pin: &str| unlocking(dir.path(), pin);
    let wrong = restart("111111").wait_with_output().expect("its end");
    assert_eq!(wrong.status.code(), Some(i32::from(Fault::WrongPin.exit_code())));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("2 tries left"));

    // Soon after a wrong PIN none is sent, by a manager that starts anew too.
    std::thread::sleep(Duration::from_secs(2));
    let mut child = await_ready(restart("493817"));
    let status = client(dir.path()).await.status(KeymgrStatusRequest {}).await.expect("a status").into_inner();
    assert!(status.unlocked && status.enrolled);
    assert_eq!((status.card, status.key_uid), (enrolled.card, enrolled.key_uid));
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
    let log = std::fs::read(dir.path().join("export.log")).expect("the log");
    assert!(audit::verify(log.as_slice(), None).expect("read").is_consistent());
    for (file, fault, says) in [
        ("export.log", Fault::StateMissing, "restore it from a backup"),
        ("pins.toml", Fault::StateMissing, "tells of an enrolled card"),
        ("policy.toml", Fault::StateMissing, "policy.toml is missing"),
    ] {
        let (path, aside) = (dir.path().join(file), dir.path().join("aside"));
        std::fs::rename(&path, &aside).expect("moved away");
        ends_with(run(dir.path(), "soft:alice", &[]), fault, says);
        assert!(!path.exists(), "{file} was not made anew");
        std::fs::rename(&aside, &path).expect("moved back");
    }
}

/// Without pcscd or its library, and with every other reader's name: the program starts, and its status says what is there.
#[tokio::test]
async fn a_manager_without_a_reader_runs_and_says_so() {
    for reader in ["auto", "pcsc:No such reader"] {
        let dir = profile();
        let mut command = run(dir.path(), reader, &[]);
        command.env("PCSCLITE_CSOCK_NAME", dir.path().join("nobody listens here"));
        let mut child = await_ready(command.spawn().expect("the program"));
        let mut manager = client(dir.path()).await;
        let status = manager.status(KeymgrStatusRequest {}).await.expect("a status").into_inner();
        assert_eq!(status.reader, reader);
        assert!(["", "no-service"].contains(&status.reader_state.as_str()), "{}", status.reader_state);
        let listed = manager.readers(ReadersRequest {}).await.expect("no readers").into_inner();
        let missing = [Fault::NoPcscd.name(), Fault::PcscdStopped.name()];
        assert!(listed.readers.is_empty() && missing.contains(&listed.fault.as_str()), "{}", listed.trouble);
        let refused = manager.card(CardRequest::default()).await.err().and_then(|status| Fault::of(&status));
        assert!(matches!(refused, Some(Fault::NoPcscd | Fault::PcscdStopped)), "{refused:?}");
        drop(child.stdin.take());
        assert!(child.wait().expect("its end").success());
    }
}

#[tokio::test]
async fn a_software_card_is_listed_as_the_managers_own() {
    let dir = profile();
    let mut child = ready(dir.path());
    let mut manager = client(dir.path()).await;
    let listed = manager.readers(ReadersRequest {}).await.expect("readers").into_inner();
    let own = listed.readers.iter().find(|reader| reader.served).expect("its own");
    assert_eq!((own.name.as_str(), own.state.as_str(), own.fault.as_str()), ("soft:alice", "card", ""));
    assert!(own.card.as_ref().is_some_and(|card| card.applet == "4.0" && !card.initialised));
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
}

/// After so long a program hangs. It is no part of what is tested.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_log_that_was_there_is_not_begun_anew() {
    let dir = profile();
    let mut child = ready(dir.path());
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
    std::fs::remove_file(dir.path().join("export.log")).expect("the log");
    ends_with(run(dir.path(), "soft:alice", &[]), Fault::StateMissing, "export.log.head says that there was one");
    assert!(!dir.path().join("export.log").exists());
}

#[test]
fn a_log_that_knows_nothing_of_the_enrolled_card_is_refused() {
    let dir = profile();
    let mut child = ready(dir.path());
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
    let key = proto::ChatKey::try_from(GENERATOR.as_slice()).expect("G");
    let pins = keymgr::pins::Pins {
        label: "alice".to_owned(),
        card: proto::CardId::Identity(key.to_compressed()),
        generation: keymgr::manifest::Generation::V2,
        key_uid: proto::KeyUid::of_master(&key),
        chat: proto::Fingerprint::of(&key),
        seed: audit::SeedOrigin::GeneratedOnCard,
    };
    let mut pinned = keymgr::pins::PinnedCards::default();
    pinned.pin(pins);
    pinned.write(&dir.path().join("pins.toml")).expect("pins");
    let rules = keymgr::policy::Policy::initial(rustix::process::geteuid().as_raw());
    std::fs::write(dir.path().join("policy.toml"), rules).expect("the policy");
    ends_with(run(dir.path(), "soft:alice", &[]), Fault::StateDamaged, "this log of none");
}

/// The generator of the curve, compressed (SEC 2, section 2.4.1).
const GENERATOR: [u8; 33] = [
    0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b,
    0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
];
