//! The double ratchet of the secure transport, as an independent implementation computes it.
//!
//! `DoubleRatchet` from PyPI knows nothing of Status but the parameters in `tests/interop/py/ratchet.py`. What these
//! scenarios show is that with them it says what status-go said: it is the judge of our own ratchet.

use std::time::Duration;

use scenarios::peer::{Outcome, Program, Scenario, Tool, World};
use serde_json::{Value, json};

use crate::geth::same;

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[Scenario {
    group: "ratchet",
    name: "doubleratchet_says_what_status_go_said",
    peers: &[Tool::Ratchet],
    shows: &[],
    within: Duration::from_secs(30),
    run: doubleratchet_says_what_status_go_said,
}];

/// Headers and ciphertexts of a conversation between two nodes of status-go 0.62.18.
const TRANSCRIPT: &str = include_str!("../../interop/data/ratchet-status-go-0.62.18.txt");

/// Returns a recorded message.
fn recorded(name: &str) -> Outcome<Value> {
    let line = TRANSCRIPT.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such record")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let field = |name| words.iter().position(|word| *word == name).map_or("", |at| words[at + 1]);
    let number = |name| field(name).parse::<u64>();
    Ok(json!({"dh": field("dh"), "n": number("n")?, "pn": number("pn")?, "ct": field("ct")}))
}

fn word(name: &str) -> Outcome<&'static str> {
    let line = TRANSCRIPT.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such record")?;
    Ok(line.trim())
}

/// Alice sends two messages, Bob gets them in the wrong order and answers, Alice answers on a new key.
fn doubleratchet_says_what_status_go_said(world: &World) -> Outcome {
    let (mut peer, _) = world.peer(Tool::Ratchet, &[])?;
    let (shared, remote) = (word("sk ")?, word("bobSPK ")?);
    let digit = |digit: u8| hex::encode([digit; 32]);
    peer.call("keys", json!({"keys": [digit(b'4'), digit(b'5'), digit(b'6')]}))?;
    let encrypt = |peer: &mut Program, session: &Value, text: &str| {
        peer.call("encrypt", json!({"session": session, "plaintext": hex::encode(text)}))
    };
    let decrypt = |peer: &mut Program, session: &Value, message: &str| -> Outcome<Value> {
        Ok(peer.call("decrypt", json!({"session": session, "message": recorded(message)?}))?)
    };
    let clear = |text: &str| Value::from(hex::encode(text));

    let begin = peer.call("initiate", json!({"shared": shared, "remote": remote, "plaintext": hex::encode("one")}))?;
    let alice = &begin["session"];
    same("A1", &begin["message"], &recorded("A1")?)?;
    same("A2", encrypt(&mut peer, alice, "two")?, recorded("A2")?)?;
    let begin = peer.call("respond", json!({"shared": shared, "own": digit(b'3'), "message": recorded("A2")?}))?;
    let bob = &begin["session"];
    same("A2 at Bob's", &begin["plaintext"], &clear("two"))?;
    same("A1 at Bob's", decrypt(&mut peer, bob, "A1")?, clear("one"))?;
    same("B1", encrypt(&mut peer, bob, "three")?, recorded("B1")?)?;
    same("B1 at Alice's", decrypt(&mut peer, alice, "B1")?, clear("three"))?;
    same("A3", encrypt(&mut peer, alice, "four")?, recorded("A3")?)?;
    same("A3 at Bob's", decrypt(&mut peer, bob, "A3")?, clear("four"))?;

    let mut altered = recorded("B1")?;
    altered["ct"] = altered["ct"].as_str().unwrap_or_default().replacen("f1", "f0", 1).into();
    match peer.call("decrypt", json!({"session": alice, "message": altered})) {
        Ok(opened) => Err(format!("an altered message opened: {opened}").into()),
        Err(_) => Ok(()),
    }
}
