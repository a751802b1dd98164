//! One chat program, theirs or our bot: the same lines drive both.

use std::time::Duration;

use scenarios::peer::{Outcome, Program, Tool, World};
use serde_json::{Value, json};

use super::{REDIAL, SOON};

/// A chat program that runs.
#[derive(Debug)]
pub(super) struct Chat {
    program: Program,
    started: Value,
}

impl Chat {
    /// Starts a program of an identity of its own, that stays connected to `peer`, and waits until it is.
    pub(super) fn start(world: &World, tool: Tool, peer: &str) -> Outcome<Self> {
        Self::start_with(world, tool, peer, &[])
    }

    /// The same with more options.
    pub(super) fn start_with(world: &World, tool: Tool, peer: &str, more: &[&str]) -> Outcome<Self> {
        let mut chat = Self::alone(world, tool, &[option(tool), &[peer], more].concat())?;
        chat.connected()?;
        Ok(chat)
    }

    /// Starts a program with these options and no others.
    pub(super) fn alone(world: &World, tool: Tool, options: &[&str]) -> Outcome<Self> {
        let before: &[&str] = if tool == Tool::Cardinal { &["bot", "--ephemeral"] } else { &[] };
        let (program, started) = world.peer(tool, &[before, options].concat())?;
        Ok(Self { program, started })
    }

    /// Returns a field of `started`.
    pub(super) fn is(&self, field: &str) -> Outcome<&str> {
        Ok(self.started[field].as_str().ok_or_else(|| format!("`started` has no {field}: {}", self.started))?)
    }

    /// Returns its identity, which is its one-to-one chat in the eyes of others.
    pub(super) fn key(&self) -> Outcome<String> {
        Ok(self.is("identity_pk")?.to_owned())
    }

    /// Returns whether it tells of deliveries.
    pub(super) fn tells_of_deliveries(&self) -> bool {
        self.started["delivered_events"] == true
    }

    /// Gives a command.
    pub(super) fn call(&mut self, command: &str, arguments: Value) -> Outcome<Value> {
        Ok(self.program.call(command, arguments)?)
    }

    /// Waits until it has a peer.
    pub(super) fn connected(&mut self) -> Outcome {
        // Its own patience is 20 s; a peer that was just lost is dialled again later than that.
        let begin = std::time::Instant::now();
        loop {
            self.program.send(&json!({ "id": "peers", "cmd": "wait_peers", "count": 1 }));
            let reply = self.program.wait_for("the reply to wait_peers", REDIAL, |line| line["id"] == "peers")?;
            if reply["ok"] == true {
                return Ok(());
            }
            if begin.elapsed() > REDIAL {
                return Err(format!("no peer within {REDIAL:?}: {reply}").into());
            }
        }
    }

    /// Waits for an event.
    pub(super) fn event(&mut self, name: &str, matches: impl Fn(&Value) -> bool) -> Outcome<Value> {
        self.event_within(SOON, name, matches)
    }

    /// Waits for an event that may take so long.
    pub(super) fn event_within(
        &mut self,
        within: Duration,
        name: &str,
        matches: impl Fn(&Value) -> bool,
    ) -> Outcome<Value> {
        let event = |line: &Value| line["event"] == name && matches(line);
        Ok(self.program.wait_for(&format!("the event {name}"), within, event)?)
    }

    /// Waits for the message with this text.
    pub(super) fn hears(&mut self, text: &str) -> Outcome<Value> {
        let heard = |line: &Value| line["event"] == "message" && line["text"] == text;
        Ok(self.program.wait_for(&format!("the message {text:?}"), SOON, heard)?)
    }

    /// Returns the texts of the messages that have come and that nobody has waited for.
    pub(super) fn unheard(&mut self) -> Vec<String> {
        let lines = self.program.drain();
        lines
            .iter()
            .filter(|line| line["event"] == "message")
            .filter_map(|line| Some(line["text"].as_str()?.to_owned()))
            .collect()
    }

    /// Says something in a public chat, and returns the message's id.
    pub(super) fn says(&mut self, chat: &str, text: &str) -> Outcome<String> {
        id(&self.call("send_public", json!({ "chat": chat, "text": text }))?)
    }

    /// Answers a message in a public chat, and returns the answer's id.
    pub(super) fn answers(&mut self, chat: &str, text: &str, to: &str) -> Outcome<String> {
        let result = self.call("send_public", json!({ "chat": chat, "text": text, "response_to": to }))?;
        // Some programs return the answered message with the answer.
        let ids = result["ids"].as_array().into_iter().flatten();
        match ids.filter_map(Value::as_str).find(|id| *id != to) {
            Some(id) => Ok(id.to_owned()),
            None => id(&result),
        }
    }

    /// Says something to one other, and returns the message's id.
    pub(super) fn tells(&mut self, to: &str, text: &str) -> Outcome<String> {
        id(&self.call("send_1to1", json!({ "to": to, "text": text }))?)
    }

    /// Ends it without a word.
    pub(super) fn kill(self) {
        self.program.kill();
    }
}

/// Returns the id in the result of a command that sends.
fn id(result: &Value) -> Outcome<String> {
    Ok(result["id"].as_str().ok_or_else(|| format!("a result without an id: {result}"))?.to_owned())
}

/// Fails unless a claim holds.
pub(super) fn hold(claim: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if claim { Ok(()) } else { Err(otherwise().into()) }
}

/// How it is told of its static peers.
const fn option(tool: Tool) -> &'static [&'static str] {
    match tool {
        Tool::Cardinal => &["--peers"],
        _ => &["-peers"],
    }
}
