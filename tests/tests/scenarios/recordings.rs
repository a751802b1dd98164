//! The recordings under `data/`, replayed.

use std::path::Path;

use scenarios::replay::{self, Report};

fn replayed(name: &str) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    replay::file(&path, &std::fs::read_to_string(&path).unwrap())
}

#[track_caller]
fn assert_all_the_same(name: &str, cases: usize) {
    let report = replayed(name);
    assert!(report.is_good(), "{name} {report}");
    assert_eq!(report.ok, cases, "{name} {report}");
}

/// CLIENT-01, WAKU1-01: connections of status-go 0.75.2 and go-ethereum, packet by packet and frame by frame, from both
/// sides.
#[test]
fn the_peers_connections_come_out_the_same() {
    assert_all_the_same("rlpx-session.jsonl", 43);
}

/// Envelopes of status-go 0.75.2, opened, judged and sealed anew.
#[test]
fn the_peers_envelopes_come_out_the_same() {
    assert_all_the_same("envelope.jsonl", 462);
}

/// PAY-37: topics and keys of public chats, and bloom filters, of status-go 0.75.2.
#[test]
fn the_peers_topics_come_out_the_same() {
    assert_all_the_same("topics.jsonl", 207);
}

/// The replay would notice: one digit of an expectation altered makes the case bad.
#[test]
fn an_altered_expectation_is_noticed() {
    for name in ["rlpx-session.jsonl", "envelope.jsonl", "topics.jsonl"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().next().unwrap();
        let (field, digit) = match name {
            "rlpx-session.jsonl" => (r#""payload":""#, 20),
            "envelope.jsonl" => (r#""hash":""#, 3),
            _ => (r#""sym_key":""#, 3),
        };
        let mut altered = line.as_bytes().to_vec();
        let at = line.find(field).unwrap() + field.len() + digit;
        altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
        let report = replay::file(&path, &String::from_utf8(altered).unwrap());
        assert_eq!(report.bad.len(), 1, "{name} {report}");
    }
}
