//! Recordings of the real applet byte-code (version 4.0, in a Java Card simulator), replayed against the software card.
//!
//! The format and the matching rule are those of the recordings' own description: a `..` stands for a byte that is not
//! determined, a step tagged `sim` is not compared.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{Client, Place, Reply, dice};
use serde_json::Value;
use softcard::{Model, SoftCard};

/// How far a sequence was followed.
enum End {
    Whole,
    /// For so many steps, up to a command that this card does not have.
    Unsupported(usize),
    /// What differed.
    Differs(String),
}

/// The source of `data/scenarios-40.jsonl`: the hand-written scenarios of the Keycard applet behaviour corpus for applet
/// 4.0 (status-keycard's byte-code, run in jcardsim), each cut before the first command that this card lacks.
#[test]
fn recorded_scenarios_of_applet_4_0_replay() {
    let lines = include_str!("data/scenarios-40.jsonl");
    let mut steps = 0;
    for line in lines.lines() {
        let sequence: Value = serde_json::from_str(line).unwrap();
        steps += sequence["steps"].as_array().unwrap().len();
        match replay(&sequence) {
            End::Whole => {}
            End::Unsupported(_) => panic!("{}: uses a command that this card lacks", sequence["id"]),
            End::Differs(what) => panic!("{}: {what}", sequence["id"]),
        }
    }
    assert!(steps > 1000, "only {steps} steps");
}

/// Follows whole recording files, named in `SOFTCARD_RECORDINGS` and separated by spaces, up to unsupported commands.
#[test]
#[ignore = "needs the recordings, which are not in this repository"]
fn recordings_from_elsewhere_replay_as_far_as_the_commands_go() {
    let (mut whole, mut cut, mut bad, mut steps) = (0, 0, 0, 0);
    for file in std::env::var("SOFTCARD_RECORDINGS").unwrap().split_whitespace() {
        for line in fs::read_to_string(file).unwrap().lines() {
            let sequence: Value = serde_json::from_str(line).unwrap();
            match replay(&sequence) {
                End::Whole => {
                    whole += 1;
                    steps += sequence["steps"].as_array().unwrap().len();
                }
                End::Unsupported(followed) => {
                    cut += 1;
                    steps += followed;
                }
                End::Differs(what) => {
                    bad += 1;
                    println!("{}: {what}", sequence["id"]);
                }
            }
        }
    }
    println!("whole={whole} cut={cut} bad={bad} steps={steps}");
    assert_eq!(bad, 0);
}

fn replay(sequence: &Value) -> End {
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, dice(1)));
    for (number, step) in sequence["steps"].as_array().unwrap().iter().enumerate() {
        let differs = run(&mut client, step).err();
        let is_simulator = step["tags"].as_array().is_some_and(|tags| tags.iter().any(|t| t == "sim"));
        match differs {
            None => {}
            Some(_) if is_unsupported(step) => return End::Unsupported(number),
            // The outcome is the simulator's; what follows depends on it.
            Some(_) if is_simulator => return End::Unsupported(number),
            Some(what) => return End::Differs(format!("step {number} {step}: {what}")),
        }
    }
    End::Whole
}

/// Returns whether a step needs a command, a form of LOAD KEY or an applet that this card lacks.
fn is_unsupported(step: &Value) -> bool {
    let send = step["send"].as_str().unwrap_or("");
    match step["op"].as_str().unwrap() {
        "select" => step["aid"] != hex::encode(common::KEYCARD),
        "apdu" => match send.get(2..4).unwrap() {
            "21" | "22" | "c0" | "c3" | "c4" | "c5" | "ca" | "d2" | "d3" | "e2" => true,
            "d0" => matches!(send.get(4..6), Some("01" | "02" | "04")),
            _ => false,
        },
        _ => false,
    }
}

fn run(client: &mut Client, step: &Value) -> Result<(), String> {
    let bytes = |field: &str| hex::decode(step[field].as_str().unwrap()).unwrap();
    match step["op"].as_str().unwrap() {
        "power" => {
            client.power();
            Ok(())
        }
        "select" => compare(step, &client.select(&bytes("aid"))),
        "open" => same("sw", &step["sw"], &status(client.open().sw)),
        "init" => {
            let plain = bytes("plain");
            let mut command = vec![0x80, 0xfe, 0, 0, u8::try_from(plain.len()).unwrap()];
            command.extend_from_slice(&plain);
            compare(step, &client.secured(&command))
        }
        // Applet 4.0 knows no pairing: the first step fails.
        "pair" => {
            let reply = client.plain(&[&[0x80, 0x12, 0, 0, 32][..], &[9; 32]].concat());
            same("sw", &step["sw"], &status(reply.sw))?;
            same("where", &step["where"], place(&reply))?;
            same("stage", &step["stage"], "1")
        }
        "apdu" if step["secure"] == true => compare(step, &client.secured(&bytes("send"))),
        "apdu" => compare(step, &client.plain(&bytes("send"))),
        "tamper" => {
            let kind = step["kind"].as_str().unwrap();
            let Some(reply) = client.tamper(kind, &bytes("send")) else {
                return same("sw", &step["sw"], "none");
            };
            same("sw", &step["sw"], &status(reply.sw))?;
            same("where", &step["where"], place(&reply))?;
            same("data", step.get("data").unwrap_or(&Value::from("")), &hex::encode(&reply.data))?;
            let probe = client.send("80f20000");
            same("survives", &step["survives"], &(probe.place == Place::Inner).to_string())?;
            same("probe", &step["probe"], &status(probe.sw))
        }
        other => panic!("unknown step {other}"),
    }
}

fn compare(step: &Value, reply: &Reply) -> Result<(), String> {
    same("sw", &step["sw"], &status(reply.sw))?;
    same("where", &step["where"], place(reply))?;
    if step["data"].is_null() {
        return Ok(());
    }
    same("len", &step["len"], &reply.data.len().to_string())?;
    let want = step["data"].as_str().unwrap();
    let have = hex::encode(&reply.data);
    let matches = want.len() == have.len()
        && want.as_bytes().chunks(2).zip(have.as_bytes().chunks(2)).all(|(w, h)| w == b".." || w == h);
    if matches { Ok(()) } else { Err(format!("data is {have}")) }
}

fn same(what: &str, want: &Value, have: &str) -> Result<(), String> {
    let want = want.as_str().map_or_else(|| want.to_string(), str::to_owned);
    if want == have { Ok(()) } else { Err(format!("{what} is {have}, recorded {want}")) }
}

fn status(sw: u16) -> String {
    format!("{sw:04x}")
}

fn place(reply: &Reply) -> &'static str {
    match reply.place {
        Place::Inner => "inner",
        Place::Outer => "outer",
    }
}
