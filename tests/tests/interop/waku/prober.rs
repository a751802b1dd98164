//! One connection of `wakuprobe`, driven command by command.

use std::collections::BTreeMap;
use std::time::Duration;

use scenarios::peer::{Outcome, Program, Relay, Tool, World};
use serde_json::{Value, json};

/// A peer of the relay that sends what the scenario wants, and nothing else.
pub(super) struct Prober {
    program: Program,
    /// What came in Messages packets, by hash.
    received: BTreeMap<String, Value>,
    /// How often it came.
    times: BTreeMap<String, u32>,
}

/// An envelope that the probe has made.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    pub(super) hash: String,
    /// Its bytes, in hexadecimal digits.
    pub(super) rlp: String,
    pub(super) pow: f64,
    pub(super) topic: String,
}

impl Prober {
    /// Connects, says its status as the flags say, and waits for the relay's.
    pub(super) fn dial(world: &World, relay: &Relay, flags: &[&str]) -> Outcome<Self> {
        Ok(Self::greet(world, relay, flags)?.0)
    }

    /// The same, with what the relay said.
    pub(super) fn greet(world: &World, relay: &Relay, flags: &[&str]) -> Outcome<(Self, Value)> {
        let mut prober = Self::silent(world, relay, flags)?;
        prober.say_status()?;
        let status = prober.status()?;
        Ok((prober, status))
    }

    /// Connects and says no more than Hello.
    pub(super) fn silent(world: &World, relay: &Relay, flags: &[&str]) -> Outcome<Self> {
        let enode = relay.enode.to_string();
        let mut prober = Self::start(world, &[&["drive", "-enode", &enode], flags].concat())?;
        prober.up()?;
        Ok(prober)
    }

    /// Waits for a connection; returns its address.
    pub(super) fn listen(world: &World, flags: &[&str]) -> Outcome<(Self, String)> {
        let mut prober = Self::start(world, &[&["drive", "-listen", "127.0.0.1:0"], flags].concat())?;
        let listening = prober.program.event("listening", SOON)?;
        Ok((prober, text(&listening["enode"])))
    }

    fn start(world: &World, arguments: &[&str]) -> Outcome<Self> {
        let program = world.start(Tool::Probe, arguments)?;
        Ok(Self { program, received: BTreeMap::new(), times: BTreeMap::new() })
    }

    /// Waits until the Hellos are exchanged; returns what was agreed.
    pub(super) fn up(&mut self) -> Outcome<Value> {
        Ok(self.program.event("up", SOON)?)
    }

    pub(super) fn say_status(&mut self) -> Outcome {
        self.program.call("status", Value::Null)?;
        Ok(())
    }

    /// What the relay has told in Status Updates since it was asked last. It must confirm.
    pub(super) fn updates(&mut self) -> Outcome<Vec<Value>> {
        let batch = self.send(&[])?;
        let mut updates = Vec::new();
        loop {
            let mut packet = self.next()?;
            match packet["name"].as_str() {
                Some("status-update") => updates.push(packet["status"].take()),
                Some("batch-ack") if packet["batch"] == batch.as_str() => return Ok(updates),
                _ => {}
            }
        }
    }

    /// Waits for the relay's status.
    pub(super) fn status(&mut self) -> Outcome<Value> {
        Ok(self.packet("status")?["status"].take())
    }

    /// Waits for a packet of this name.
    pub(super) fn packet(&mut self, name: &str) -> Outcome<Value> {
        let awaited = format!("a packet {name}");
        Ok(self.program.wait_for(&awaited, SOON, |line| line["event"] == "packet" && line["name"] == name)?)
    }

    /// Waits for the next packet.
    pub(super) fn next(&mut self) -> Outcome<Value> {
        Ok(self.program.event("packet", SOON)?)
    }

    /// Seals as many envelopes as the order says.
    pub(super) fn seal(&mut self, order: Value) -> Outcome<Vec<Sealed>> {
        let sealed = self.program.call("seal", order)?;
        let sealed = sealed.as_array().ok_or("no list of envelopes")?;
        let one = |it: &Value| Sealed {
            hash: text(&it["hash"]),
            rlp: text(&it["rlp"]),
            pow: it["pow"].as_f64().unwrap_or(f64::INFINITY),
            topic: text(&it["topic"]),
        };
        Ok(sealed.iter().map(one).collect())
    }

    pub(super) fn seal_one(&mut self, order: Value) -> Outcome<Sealed> {
        Ok(self.seal(order)?.pop().ok_or("no envelope")?)
    }

    /// Sends envelopes in one packet; returns the packet's hash.
    pub(super) fn send(&mut self, envelopes: &[&Sealed]) -> Outcome<String> {
        self.send_as(1, envelopes)
    }

    /// Sends them in a packet of another code.
    pub(super) fn send_as(&mut self, code: u64, envelopes: &[&Sealed]) -> Outcome<String> {
        let envelopes: Vec<&str> = envelopes.iter().map(|envelope| envelope.rlp.as_str()).collect();
        let sent = self.program.call("messages", json!({"code": code, "envelopes": envelopes}))?;
        Ok(text(&sent["batch"]))
    }

    /// Sends any packet.
    pub(super) fn packet_of(&mut self, code: u64, payload: &[u8]) -> Outcome {
        self.call("send", json!({"code": code, "payload": hex::encode(payload)}))
    }

    /// Gives any command.
    pub(super) fn call(&mut self, command: &str, arguments: Value) -> Outcome {
        self.program.call(command, arguments)?;
        Ok(())
    }

    /// Waits until an envelope has come in a Messages packet; returns what the probe makes of it.
    pub(super) fn gets(&mut self, envelope: &Sealed) -> Outcome<Value> {
        while !self.received.contains_key(&envelope.hash) {
            let packet = self.messages()?;
            self.note(&packet);
        }
        Ok(self.received[&envelope.hash].clone())
    }

    /// Waits until the relay has taken in what was sent here, and what it had sent until then has come. It must confirm.
    pub(super) fn sync(&mut self) -> Outcome {
        // An empty packet is confirmed like any other.
        let batch = self.send(&[])?;
        loop {
            let packet = self.next()?;
            self.note(&packet);
            if packet["name"] == "batch-ack" && packet["batch"] == batch.as_str() {
                return Ok(());
            }
        }
    }

    fn note(&mut self, packet: &Value) {
        for envelope in packet["envelopes"].as_array().into_iter().flatten() {
            let hash = text(&envelope["hash"]);
            *self.times.entry(hash.clone()).or_default() += 1;
            self.received.insert(hash, envelope.clone());
        }
    }

    /// Waits for the next Messages packet, which does not count as received.
    pub(super) fn messages(&mut self) -> Outcome<Value> {
        self.packet("messages")
    }

    /// How many envelopes have come by now.
    pub(super) fn received(&mut self) -> usize {
        let packets = self.program.drain();
        packets.iter().filter(|line| line["name"] == "messages").for_each(|packet| self.note(packet));
        self.received.len()
    }

    /// The same, for what may take longer.
    pub(super) fn messages_within(&mut self, within: Duration) -> Outcome<Value> {
        Ok(self.program.wait_for("a packet messages", within, |line| line["name"] == "messages")?)
    }

    /// How often an envelope has come, among what was waited for.
    pub(super) fn times(&self, envelope: &Sealed) -> u32 {
        self.times.get(&envelope.hash).copied().unwrap_or(0)
    }

    /// Waits until the connection is closed; returns the reason of the Disconnect, if there was one.
    pub(super) fn closed(&mut self) -> Outcome<Option<u64>> {
        Ok(self.program.event("closed", LATER)?["reason"].as_u64())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// For what the other side does at once, on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// For what it does after a time-out of its own.
const LATER: Duration = Duration::from_secs(40);
