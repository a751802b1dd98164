//! The recordings under `data/`, replayed.

use std::path::Path;

use proto::Secret;
use scenarios::replay::{self, Report};
use serde_json::{Value, json};
use wire::rlpx::{FrameWriter, Mac};

fn replayed(name: &str) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    replay::file(&path, &std::fs::read_to_string(&path).unwrap())
}

#[track_caller]
fn assert_replayed(name: &str, ok: usize, listed: usize) {
    let report = replayed(name);
    assert!(report.is_good(), "{name} {report}");
    assert_eq!((report.ok, report.listed), (ok, listed), "{name} {report}");
    assert!(listed * 20 <= report.cases, "we differ in more than a few per cent: {name} {report}");
}

/// CLIENT-01, WAKU1-01: connections of status-go 0.75.2 and go-ethereum, packet by packet and frame by frame, from both
/// sides.
#[test]
fn the_peers_connections_come_out_the_same() {
    assert_replayed("rlpx-session.jsonl", 43, 0);
}

/// WAKU1-72, WAKU1-73: handshake packets, frames, hellos and disconnects, good and bad, get status-go 0.75.2's verdicts.
#[test]
fn hostile_bytes_get_the_peers_verdicts() {
    assert_replayed("rlpx-hostile.jsonl", 470, 0);
}

/// Silent connections end when status-go 0.75.2 ends them.
#[test]
fn silent_connections_end_in_the_peers_time() {
    assert_replayed("rlpx-timing.jsonl", 7, 0);
}

/// WU10-06, WAKU1-27, WAKU1-28, WAKU1-30, WAKU1-31, WAKU1-33, WAKU1-38, WAKU1-39, WAKU1-42, WAKU1-43, WAKU1-67, WAKU1-68: status
/// packets and updates of status-go 0.75.2, written, read and believed. WAKU1-29, WAKU1-75: the listed ones have a key that
/// nobody knows, and keep all their other options here.
#[test]
fn the_peers_status_packets_come_out_the_same() {
    assert_replayed("waku-status.jsonl", 562, 22);
}

/// WAKU1-04, WAKU1-06, WAKU1-07, WAKU1-09, WAKU1-10, WAKU1-11, WAKU1-16, WAKU1-20, WAKU1-24, WAKU1-25, WAKU1-26, WAKU1-34,
/// WAKU1-41, WAKU1-46, WAKU1-48, WAKU1-53, WAKU1-58, WAKU1-60, WAKU1-62, WAKU1-63, MAIL-01, MAIL-07, MAIL-17, MAIL-18, MAIL-20,
/// MAIL-32: a node of status-go 0.75.2 among scripted peers, and ours in its place. WAKU1-36, WAKU1-65, WAKU1-66: of the listed
/// ones most are about light nodes, the others about what is wanted once somebody unsubscribes, lossy filters, and the work
/// of direct envelopes.
#[test]
fn a_node_among_peers_does_as_the_peer_did() {
    assert_replayed("waku-behaviour.jsonl", 287, 15);
}

/// The older status-go differs in unsubscribing alone, of which it tells nobody: all six cases are about that.
#[test]
fn the_older_peer_differs_in_unsubscribing() {
    let report = replayed("waku-behaviour-062.jsonl");
    assert_eq!((report.is_good(), report.listed), (true, 6), "{report}");
}

/// Envelopes of status-go 0.75.2, opened, judged and sealed anew.
#[test]
fn the_peers_envelopes_come_out_the_same() {
    assert_replayed("envelope.jsonl", 462, 0);
}

/// PAY-37: topics and keys of public chats, and bloom filters, of status-go 0.75.2.
#[test]
fn the_peers_topics_come_out_the_same() {
    assert_replayed("topics.jsonl", 207, 0);
}

/// Replays the case of a file for which this holds, one digit altered so far behind the beginning of a field in `expect`.
fn replayed_altered(name: &str, is_it: impl Fn(&str) -> bool, field: &str, digit: usize) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = |line: &str| line.split_once("\"expect\":").is_some_and(|(_, expect)| expect.contains(field));
    let line = text.lines().find(|line| is_it(line) && expected(line)).unwrap();
    let expect = line.find("\"expect\":").unwrap();
    let at = expect + line[expect..].find(field).unwrap() + field.len() + digit;
    let mut altered = line.as_bytes().to_vec();
    altered[at] = if altered[at] == b'1' { b'2' } else { b'1' };
    replay::file(&path, &String::from_utf8(altered).unwrap())
}

/// The replay would notice: one digit of an expectation altered makes a case of each kind bad.
#[test]
fn an_altered_expectation_is_noticed() {
    for (name, kind, field, digit) in [
        ("rlpx-session.jsonl", "", r#""payload":""#, 20),
        ("rlpx-hostile.jsonl", "auth", r#""ephemeral_public":""#, 126),
        ("rlpx-hostile.jsonl", "ack", r#""nonce":""#, 0),
        ("rlpx-hostile.jsonl", "frames", r#""payload":""#, 0),
        ("rlpx-hostile.jsonl", "hello", r#""offset":"#, 0),
        ("rlpx-hostile.jsonl", "disconnect", r#""reason":"#, 0),
        ("rlpx-timing.jsonl", "timing", r#""closed_after_ms":"#, 0),
        ("waku-status.jsonl", "host", r#""packet":""#, 8),
        ("waku-status.jsonl", "encode", r#""options":""#, 1),
        ("waku-status.jsonl", "status", r#""pow_requirement_bits":""#, 15),
        ("waku-status.jsonl", "update", r#""packet_rate_limits":["#, 0),
        ("waku-status.jsonl", "light", r#""bloom_filter":""#, 127),
        ("waku-behaviour.jsonl", "script", r#""hashes":[""#, 3),
        ("waku-behaviour.jsonl", "script", r#""pool":[""#, 3),
        ("waku-behaviour.jsonl", "script", r#""code":12,"payload":""#, 20),
        ("waku-behaviour.jsonl", "script", r#""disconnect_reason":"#, 0),
        ("envelope.jsonl", "sealed", r#""hash":""#, 3),
        ("topics.jsonl", "public", r#""sym_key":""#, 3),
    ] {
        let of_kind = format!("\"kind\":\"{kind}\"");
        let report = replayed_altered(name, |line| kind.is_empty() || line.contains(&of_kind), field, digit);
        assert_eq!(report.bad.len(), 1, "{name} {kind} {report}");
    }
}

/// Nor does a rule excuse anything in a session beside what it is about.
#[test]
fn an_altered_status_is_noticed_in_every_session_where_we_differ() {
    for name in ["waku-behaviour.jsonl", "waku-behaviour-062.jsonl"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let listed: Vec<&str> = text.lines().filter(|line| replay::file(&path, line).listed == 1).collect();
        assert!(listed.len() >= 6);
        for case in listed {
            // A digit of the minimum that our node says in its first status.
            let report = replayed_altered(name, |line| line == case, r#""code":0,"payload":""#, 22);
            assert_eq!((report.bad.len(), report.listed), (1, 0), "{report}");
        }
    }
}

/// A rule covers what it foretells, and not whatever else such a case may show.
#[test]
fn an_altered_expectation_is_noticed_where_we_differ_too() {
    let is_listed = |line: &str| {
        line.contains("\"pow_requirement_bits\":\"3f60624dd2f1a9fc\"")
            && replay::file(Path::new("waku-status.jsonl"), line).listed == 1
    };
    let report = replayed_altered("waku-status.jsonl", is_listed, r#""pow_requirement_bits":""#, 15);
    assert_eq!((report.bad.len(), report.listed), (1, 0), "{report}");
    assert!(report.to_string().contains("the unknown key does not explain it: options"), "{report}");
}

/// The peer cannot read its own uncompressed disconnect; we read it, and nothing else that should be compressed.
#[test]
fn an_uncompressed_disconnect_is_listed() {
    let replayed = |code: u64, payload: &[u8]| {
        let keys = [7; 32];
        let secret = || Secret::<32>::copy_from(&keys).unwrap();
        let stream = FrameWriter::new(&secret(), Mac::new(&secret(), &[b"absorbed"])).seal(code, payload).unwrap();
        let case = json!({
            "id": "made-up", "kind": "frames", "snappy": true, "stream": hex::encode(stream),
            "aes_secret": hex::encode(keys), "mac_secret": hex::encode(keys),
            "ingress_mac_absorbed": hex::encode("absorbed"), "expect": {"messages": [], "verdict": "reject"},
        });
        replay::file(Path::new("rlpx-hostile.jsonl"), &case.to_string())
    };
    let report = replayed(1, &[0xc1, 0x04]);
    assert_eq!((report.listed, report.is_good()), (1, true), "{report}");
    let report = replayed(2, &[0xc1, 0x04]);
    assert_eq!((report.ok, report.is_good()), (1, true), "{report}");
    let report = replayed(1, &[0x02, 0x04, 0xc1, 0x04]);
    assert_eq!(report.bad.len(), 1, "a compressed one that the peer does not read: {report}");
}

/// The peer lives longer with a negative target; we do not seal for one, and what the peer sealed must say so.
#[test]
fn an_envelope_for_a_negative_target_is_listed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/envelope.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let sealed = |case: &Value| case["kind"] == "sealed" && case["work_time_s"].as_u64().is_some_and(|s| s > 0);
    let mut case = text.lines().map(|line| serde_json::from_str(line).unwrap()).find(sealed).unwrap();
    case["pow_target"] = json!({"go": "-1", "bits": "bff0000000000000"});
    let report = replay::file(&path, &case.to_string());
    assert_eq!(report.bad.len(), 1, "the work time is not in the expiry: {report}");
    let started = case["now_unix_s"].as_u64().unwrap() - case["work_time_s"].as_u64().unwrap();
    case["now_unix_s"] = started.into();
    let report = replay::file(&path, &case.to_string());
    assert_eq!((report.listed, report.is_good()), (1, true), "{report}");
}
