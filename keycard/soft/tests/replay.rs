//! Recordings of the real applet byte-code, replayed against the software card: see `data/README.md`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use proto::TestDice;
use serde_json::{Value, json};
use softcard::replay::{Replay, ReplayError, Report};
use tempfile::TempDir;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Replays files with the same dice every time.
fn replay(files: &[PathBuf]) -> Result<Report, ReplayError> {
    let mut seed = 0;
    let mut replay = Replay::new(|| {
        seed += 1;
        Box::new(TestDice::seeded(seed))
    });
    files.iter().try_for_each(|file| replay.file(file))?;
    Ok(replay.report())
}

/// Replays lines that are no file yet.
fn replay_lines(lines: &str) -> Result<Report, ReplayError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lines.jsonl");
    fs::write(&path, lines).unwrap();
    replay(&[path])
}

fn assert_faithful(release: &str, steps: usize) {
    let files = [data(&format!("scenarios-{release}.jsonl")), data(&format!("random-{release}.jsonl"))];
    let report = replay(&files).unwrap();
    for mismatch in &report.mismatches {
        println!("{mismatch}");
    }
    assert!(report.mismatches.is_empty());
    assert!(report.steps > steps, "only {} steps", report.steps);
    assert!(report.skipped < 50, "{} steps skipped", report.skipped);
}

#[test]
fn applet_3_1_answers_as_recorded() {
    assert_faithful("31", 6000);
}

#[test]
fn applet_3_2_answers_as_recorded() {
    assert_faithful("32", 6000);
}

#[test]
fn applet_4_0_answers_as_recorded() {
    assert_faithful("40", 6000);
}

/// Nobody has compared these with a card.
#[test]
fn applets_2_2_and_3_0_answer_as_described() {
    let report = replay(&[data("described.jsonl")]).unwrap();
    let mismatches: Vec<_> = report.mismatches.iter().map(ToString::to_string).collect();
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
    assert!(report.steps > 100 && report.skipped == 0);
}

/// A recorded sequence with a step of every kind of outcome.
fn sample() -> Value {
    let lines = fs::read_to_string(data("scenarios-31.jsonl")).unwrap();
    let line = lines.lines().find(|line| line.contains("31-pair-while-open")).unwrap();
    // The secret of that password, without its 50,000 rounds.
    let secret = "hex:675deabb0d7c724b4a36caad0e280826159e89886f7082535d431e924848bcf1";
    serde_json::from_str(&line.replace("KeycardDefaultPairing", secret)).unwrap()
}

#[test]
fn an_outcome_that_differs_in_any_field_is_a_mismatch_and_ends_its_sequence() {
    let sample = sample();
    assert!(replay_lines(&sample.to_string()).unwrap().mismatches.is_empty());
    let mut spoiled = 0;
    for (number, step) in sample["steps"].as_array().unwrap().iter().enumerate() {
        for (field, value) in step.as_object().unwrap() {
            let other = match (field.as_str(), value) {
                ("sw", _) => json!("63c9"),
                ("where", _) => json!("elsewhere"),
                ("iv", _) => Value::Null,
                ("stage", _) => json!(7),
                ("slot", _) => json!(9),
                ("card_ok", value) => json!(!value.as_bool().unwrap()),
                ("len", value) => json!(value.as_u64().unwrap() + 1),
                ("data", value) => json!(format!("{}00", value.as_str().unwrap())),
                _ => continue,
            };
            let mut line = sample.clone();
            line["steps"][number][field] = other;
            let report = replay_lines(&line.to_string()).unwrap();
            let steps: Vec<_> = report.mismatches.iter().map(|mismatch| mismatch.step).collect();
            assert_eq!(steps, [number], "{field} of step {number}");
            assert_eq!(report.steps, number + 1);
            spoiled += 1;
        }
    }
    assert!(spoiled > 40, "{spoiled}");
}

#[test]
fn what_is_verified_can_fail() {
    let lines = fs::read_to_string(data("scenarios-40.jsonl")).unwrap();
    let line = lines.lines().find(|line| line.contains("40-schnorr-tweak-zero")).unwrap();
    for (field, other) in [("hash", "00".repeat(32)), ("tweak", "01".repeat(32)), ("pub", "04".repeat(65))] {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let steps = line["steps"].as_array_mut().unwrap();
        let step = steps.iter_mut().find(|step| step["verify"]["kind"] == "bip340").unwrap();
        step["verify"][field] = json!(other);
        assert_eq!(replay_lines(&line.to_string()).unwrap().mismatches.len(), 1, "{field}");
    }
}

#[test]
fn a_step_of_the_simulator_is_skipped_with_what_follows_another_answer() {
    let line = |sw: &str| {
        let reset = json!({"op": "apdu", "secure": false, "send": "80f20000", "sw": sw, "where": "outer", "data": "", "len": 0, "tags": ["sim"]});
        json!({"id": "a", "applet": "4.0", "tags": ["sim"], "steps": [{"op": "power"}, reset, {"op": "power"}, {"op": "power"}]}).to_string()
    };
    let same = replay_lines(&line("6d00")).unwrap();
    assert_eq!((same.steps, same.skipped, same.mismatches.len()), (3, 1, 0));
    let other = replay_lines(&line("6985")).unwrap();
    assert_eq!((other.steps, other.skipped, other.mismatches.len()), (1, 3, 0));
}

#[test]
fn a_line_that_is_no_sequence_is_an_error_with_its_number() {
    let good = sample().to_string();
    let step = |step: Value| json!({"id": "a", "applet": "3.1", "steps": [step]}).to_string();
    let mut bad = vec![
        "\u{0}".to_owned(),
        "[]".to_owned(),
        json!({"id": "a", "applet": "3.3", "steps": []}).to_string(),
        step(json!({"op": "fly"})),
        step(json!({"op": "select", "aid": "zz", "sw": "9000"})),
        step(json!({"op": "select", "aid": "00".repeat(256)})),
        step(json!({"op": "apdu", "secure": true, "send": "80f2"})),
        step(json!({"op": "apdu", "secure": true, "send": "00".repeat(300)})),
        step(json!({"op": "apdu", "send": "80f20000"})),
        step(json!({"op": "tamper", "kind": "gently", "send": "80f20000"})),
        step(json!({"op": "unpair", "index": 256})),
        step(json!({"op": "init", "plain": "00".repeat(200)})),
        step(json!({"op": "power", "data": "0"})),
        step(json!({"op": "apdu", "secure": false, "send": "80f20000", "verify": {"kind": "by eye"}})),
    ];
    bad.extend((0..good.len()).step_by(37).filter(|cut| *cut > 0).map(|cut| good[..cut].to_owned()));
    for line in bad {
        let error = replay_lines(&format!("{good}\n\n{line}\n")).unwrap_err();
        assert!(matches!(error, ReplayError::Malformed { line: 3, .. }), "{line}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
    assert!(matches!(replay(&[data("no-such-file.jsonl")]), Err(ReplayError::Io { .. })));
}

#[test]
fn steps_that_nobody_recorded_do_not_stop_the_client() {
    let init = "303030303030313233343536373839303132".to_owned() + &"07".repeat(32);
    let steps = json!([
        {"op": "init", "plain": ""},
        {"op": "open", "index": 255},
        {"op": "unpair", "index": 0},
        {"op": "tamper", "kind": "replayed", "send": "80f20000", "sw": "none", "survives": false},
        {"op": "pair", "password": "hex:zz", "p2": "00"},
        {"op": "select", "aid": "a00000080400010101"},
        {"op": "init", "plain": init},
        {"op": "apdu", "secure": true, "send": format!("80e20100ff{}", "00".repeat(255))},
        {"op": "open"},
    ]);
    for applet in ["2.2", "3.0", "3.1", "3.2", "4.0"] {
        for skipped in 0..steps.as_array().unwrap().len() {
            let some: Vec<_> = steps.as_array().unwrap().iter().skip(skipped).collect();
            replay_lines(&json!({"id": "a", "applet": applet, "steps": some}).to_string()).unwrap();
        }
    }
}
