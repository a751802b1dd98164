use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const BASE: Scenario =
    Scenario { group: "rlpx", name: "x", peers: &[], shows: &["CLIENT-01"], within: LONG, run: |_| Ok(()) };

/// A plan whose peers are in a folder of their own.
fn plan(peers: &Path) -> Plan {
    Plan { place: Place::in_target(peers), strict: false, at_a_time: 2 }
}

/// A target folder whose peer is a shell: what it does is told by its arguments.
fn with_shell_as(peer: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    fs::create_dir(target.path().join("interop")).unwrap();
    symlink("/bin/sh", target.path().join("interop").join(peer)).unwrap();
    target
}

fn failure(verdict: Verdict) -> String {
    match verdict {
        Verdict::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_scenario_that_fails_or_panics_fails_with_its_words() {
    let plan = plan(Path::new("/nowhere"));
    assert_eq!(plan.verdict(BASE), Verdict::Ok);
    let broken = plan.verdict(Scenario { run: |_| Err("two is not three".into()), ..BASE });
    assert_eq!(failure(broken), "two is not three");
    let panics = plan.verdict(Scenario { run: |_| panic!("out of bounds"), ..BASE });
    assert_eq!(failure(panics), "panic: out of bounds");
    let mut said = Vec::new();
    assert!(!plan.run(&[BASE, Scenario { name: "y", run: |_| Err("no".into()), ..BASE }], &mut said));
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("rlpx::x ... ok (0.0 s)\n") && said.contains("rlpx::y ... FAILED (0.0 s): no\n"), "{said}");
    assert!(said.contains("\n1 ok, 0 skipped, 1 failed in 0."), "{said}");
    assert!(plan.run(&[BASE, BASE], Vec::new()));
}

#[test]
fn a_missing_peer_is_skipped_with_the_reason_of_the_setup_and_fails_where_nothing_may_be_missing() {
    let target = with_shell_as("wakuprobe");
    fs::write(target.path().join("interop/devp2p-peer-1.10.3.missing"), "no Go\n").unwrap();
    let scenario = Scenario { peers: &[Tool::Probe, Tool::Geth1103], ..BASE };
    let lenient = plan(target.path());
    assert_eq!(lenient.verdict(scenario), Verdict::Skipped("no Go".to_owned()));
    let mut said = Vec::new();
    assert!(lenient.run(&[scenario], &mut said));
    assert!(String::from_utf8(said).unwrap().starts_with("rlpx::x ... skipped: no Go\n"));
    let strict = Plan { strict: true, ..lenient };
    assert_eq!(failure(strict.verdict(scenario)), "go-ethereum 1.10.3 is not there: no Go");
    assert!(!strict.run(&[scenario], Vec::new()));
    let never_set_up = failure(strict.verdict(Scenario { peers: &[Tool::Geth], ..BASE }));
    assert_eq!(never_set_up, "go-ethereum 1.17 is not there: not set up: make interop does it");
}

#[test]
fn a_peer_that_the_machine_does_not_let_run_is_skipped_even_where_nothing_may_be_missing() {
    let target = with_shell_as("wakuprobe");
    fs::write(target.path().join("interop/system.refused"), "booting a system wants root\n").unwrap();
    let strict = Plan { strict: true, ..plan(target.path()) };
    let scenario = Scenario { peers: &[Tool::Probe, Tool::System], ..BASE };
    assert_eq!(strict.verdict(scenario), Verdict::Skipped("booting a system wants root".to_owned()));
}

#[test]
fn a_peer_of_another_version_fails_the_scenario() {
    let target = with_shell_as("devp2p-peer");
    let run = |world: &World| {
        world.peer(Tool::Geth, &["-c", r#"echo '{"event":"started","peer":"go-ethereum v1.9.5"}'; read line"#])?;
        Ok(())
    };
    let why = failure(plan(target.path()).verdict(Scenario { peers: &[Tool::Geth], run, ..BASE }));
    assert_eq!(why, r#"go-ethereum 1.17 is of another version: it calls itself "go-ethereum v1.9.5""#);
}

#[test]
fn a_scenario_that_hangs_fails_at_its_deadline_and_its_programs_are_ended() {
    static PEER: AtomicU32 = AtomicU32::new(0);
    let target = with_shell_as("wakuprobe");
    let run = |world: &World| {
        let mut probe = world.start(Tool::Probe, &["-c", "echo thinking; while :; do sleep 1000; done"])?;
        PEER.store(probe.pid(), Ordering::SeqCst);
        probe.event("started", LONG)?;
        Ok(())
    };
    let begin = Instant::now();
    let within = Duration::from_millis(500);
    let why = failure(plan(target.path()).verdict(Scenario { peers: &[Tool::Probe], within, run, ..BASE }));
    assert!(begin.elapsed() < LONG / 2);
    assert!(why.starts_with("not over after 500ms; wakuprobe ended (signal: 9 (SIGKILL)) while"), "{why}");
    assert!(why.ends_with("thinking"), "{why}");
    let pid = PEER.load(Ordering::SeqCst);
    assert!(pid != 0 && !Path::new(&format!("/proc/{pid}")).exists(), "the program is left");
}

#[test]
fn the_table_says_what_each_scenario_shows() {
    let other = Scenario { name: "y", peers: &[Tool::Geth, Tool::Probe], shows: &["WAKU1-72", "GO-04"], ..BASE };
    let text = table(&[(0, BASE, Verdict::Ok), (1, other, Verdict::Failed("why".to_owned()))]);
    let lines: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "| interop::rlpx::x |  | ok | CLIENT-01 |",
            "| interop::rlpx::y | go-ethereum 1.17, wakuprobe | FAILED | WAKU1-72, GO-04 |"
        ]
    );
}

/// No part of what is tested.
const LONG: Duration = Duration::from_secs(30);
