use std::fs;

use rustix::process::{Pid, test_kill_process};
use serde_json::json;

use super::*;

/// A shell script, because it can be any program.
fn script(text: &str) -> Program {
    Program::start(Path::new("/bin/sh"), ["-c", text]).unwrap()
}

fn is_there(pid: u64) -> bool {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // A zombie that its new parent has not reaped yet is not there any more.
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    test_kill_process(pid).is_ok() && !state.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

fn until_gone(pid: u64) {
    let until = Instant::now() + LONG;
    while is_there(pid) {
        assert!(Instant::now() < until, "process {pid} is left");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_is_asked_and_answers_and_what_came_before_is_kept() {
    let mut program = script(
        r#"echo '{"event":"started"}'
        while read line; do
            echo '{"event":"noise"}'; echo "not JSON"; echo '{"id":1,"cmd":"twice","ok":true,"result":[1,2]}'
        done; exit 3"#,
    );
    assert_eq!(program.call("twice", json!({"of": 1})).unwrap(), json!([1, 2]));
    program.event("started", LONG).unwrap();
    program.event("noise", LONG).unwrap();
    assert!(program.drain().is_empty(), "what is no JSON is no line of its");
    assert!(program.said().to_string().contains("not JSON"), "but it was said");
    assert_eq!(program.close(LONG).unwrap().code(), Some(3), "it ends because its input was closed");
}

#[test]
fn a_command_that_is_refused_fails_with_the_programs_words() {
    let mut program = script(r#"read line; echo '{"id":1,"cmd":"x","ok":false,"error":"no such peer"}'; read line"#);
    let error = program.call("x", json!({})).unwrap_err().to_string();
    assert!(error.starts_with("sh refused x: no such peer; its last lines:\n"), "{error}");
}

#[test]
fn a_program_that_is_missing_says_which() {
    let error = Program::start(Path::new("/nowhere/geth"), ["x"]).unwrap_err().to_string();
    assert!(error.starts_with("geth cannot be started: "), "{error}");
}

#[test]
fn a_program_that_dies_fails_at_once_with_its_status_and_its_last_lines() {
    let mut program = script(r#"echo '{"event":"started"}'; echo "panic: out of luck" >&2; kill -9 $$"#);
    let begin = Instant::now();
    let error = program.event("connect", LONG).unwrap_err().to_string();
    assert!(begin.elapsed() < LONG / 2);
    assert!(error.starts_with("sh ended (signal: 9 (SIGKILL)) while the event connect was awaited"), "{error}");
    assert!(error.contains("panic: out of luck") && error.contains(r#"{"event":"started"}"#), "{error}");
}

#[test]
fn a_program_that_hangs_fails_at_the_deadline_and_leaves_no_process_behind() {
    // It ignores every polite request, and so does its child, which would outlive it.
    let mut program = script(
        r#"trap '' TERM INT HUP PIPE; sleep 1000 & echo "{\"event\":\"started\",\"child\":$!}"
        echo "still thinking"; while :; do sleep 1000; done"#,
    );
    let child = program.event("started", LONG).unwrap()["child"].as_u64().unwrap();
    let begin = Instant::now();
    let error = program.event("connect", SHORT).unwrap_err().to_string();
    assert!(begin.elapsed() >= SHORT && begin.elapsed() < LONG);
    assert!(error.contains("did not come up with the event connect within 100ms"), "{error}");
    assert!(error.contains("still thinking"), "{error}");
    let leader = u64::from(program.pid());
    assert!(is_there(leader) && is_there(child));
    drop(program);
    until_gone(leader);
    until_gone(child);
}

#[test]
fn a_program_that_closes_its_output_and_stays_is_ended() {
    let mut program = script("exec >&- 2>&-; while :; do sleep 1000; done");
    let error = program.event("started", LONG).unwrap_err();
    assert!(matches!(error, PeerError::Silent { .. }), "{error}");
    until_gone(u64::from(program.pid()));
}

#[test]
fn a_program_that_does_not_read_holds_nobody_up() {
    let mut program = script("while :; do sleep 1000; done");
    program.send(&json!({"payload": "x".repeat(1 << 20)}));
    assert!(matches!(program.event("started", SHORT), Err(PeerError::Silent { .. })));
}

#[test]
fn a_program_that_floods_waits_and_nothing_grows() {
    let mut program = script(r#"yes '{"event":"flood"}'"#);
    program.event("flood", LONG).unwrap();
    let pid = u64::from(program.pid());
    drop(program);
    until_gone(pid);
}

#[test]
fn a_program_is_ended_from_elsewhere_too() {
    let mut program = script("while :; do sleep 1000; done");
    let leash = program.leash();
    thread::spawn(move || leash.pull());
    let error = program.event("started", LONG).unwrap_err();
    assert!(matches!(error, PeerError::Ended { .. }), "{error}");
    program.kill();
}

#[test]
fn a_program_costs_time_and_memory() {
    let mut program = script(r#"i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo '{"event":"done"}'; read line"#);
    program.event("done", LONG).unwrap();
    assert!(program.cpu().unwrap() > Duration::ZERO);
    assert!(program.rss().unwrap() > 100_000);
}

/// No part of what is tested.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);
