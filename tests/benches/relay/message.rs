//! A public message: from the sender's command to the reader's screen, through one relay. Both are programs that speak JSON
//! lines, ours with software cards, the peer's the one that `PEER_CHAT` names.

use std::time::{Duration, Instant};

use scenarios::peer::error::Outcome;
use scenarios::peer::{Program, Tool};
use serde_json::{Value, json};

use super::subject::{Subjects, Who};
use crate::Bench;
use crate::clock::quantile;
use crate::row::{Row, Unit};

/// Measures messages, one after the other.
pub(super) fn rows(bench: &mut Bench, subjects: &Subjects) -> Outcome {
    let [p50, p99] = ["p50", "p99"].map(|part| format!("public message, sender to reader through one relay, {part}"));
    if !bench.wants(&p50) && !bench.wants(&p99) {
        return Ok(());
    }
    let (mut ours, mut peer) = subjects.both(|who| messages(subjects, who))?;
    let mut row = |what, part, target| {
        let peer = peer.as_mut().map(|times| quantile(times, part));
        let row = Row::new(what, Unit::Ms).ours(quantile(&mut ours, part)).peer(peer, subjects.peer());
        bench.add(Row { target, ..row });
    };
    row(p50, 0.5, Some(20.0));
    row(p99, 0.99, None);
    Ok(())
}

/// Returns how long each of [`MESSAGES`] took, in milliseconds.
fn messages(subjects: &Subjects, who: Who) -> Outcome<Vec<f64>> {
    let relay = subjects.start(who, true)?;
    let mut sender = person(subjects, who, &relay.enode.to_string())?;
    let mut reader = person(subjects, who, &relay.enode.to_string())?;
    for person in [&mut sender, &mut reader] {
        person.call("join_public", json!({ "chat": CHAT }))?;
        person.call("wait_peers", json!({ "count": 1 }))?;
    }
    let mut times = Vec::new();
    for number in 0..MESSAGES + WARM {
        let text = format!("number {number}");
        let begin = Instant::now();
        sender.send(&json!({ "id": text, "cmd": "send_public", "chat": CHAT, "text": text }));
        reader.wait_for("the message", PATIENCE, |line| {
            line.get("event").and_then(Value::as_str) == Some("message") && line.get("text") == Some(&json!(text))
        })?;
        let time = begin.elapsed().as_secs_f64() * 1e3;
        sender.wait_for("the reply", PATIENCE, |line| line.get("id") == Some(&json!(text)))?;
        if number >= WARM {
            times.push(time);
        }
    }
    Ok(times)
}

/// Starts somebody who talks through this relay alone.
fn person(subjects: &Subjects, who: Who, relay: &str) -> Outcome<Program> {
    let world = subjects.world();
    match who {
        Who::Ours => {
            let mut bot = world.start(Tool::Cardinal, &["bot", "--ephemeral", "--peer", relay])?;
            bot.event("started", START)?;
            Ok(bot)
        }
        Who::Peer => {
            let arguments = ["-listen", "127.0.0.1:0", "-peers", relay];
            Ok(world.peer(Tool::Given("PEER_CHAT"), &arguments)?.0)
        }
    }
}

const CHAT: &str = "bench";
const MESSAGES: usize = 25;
/// Until everybody has told everybody what they want.
const WARM: usize = 3;
/// A card is made, provisioned and unlocked, and a database is created.
const START: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(20);
