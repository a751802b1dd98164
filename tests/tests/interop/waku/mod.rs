//! Waku, beside `wakuprobe`: its transport is go-ethereum's and its codec its own.
//!
//! Each scenario starts a relay of ours in one mode and as many [`Prober`]s as it needs. What must *not* arrive is shown
//! by what arrives behind it: a node forwards in the order in which it takes envelopes in.

pub(crate) mod chat;
pub(crate) mod confirmations;
pub(crate) mod hostile;
pub(crate) mod limits;
pub(crate) mod modes;
mod prober;
pub(crate) mod relaying;
pub(crate) mod updates;

use scenarios::peer::{Outcome, Relay, Tool, World};
use serde_json::Value;

use self::prober::{Prober, SOON, Sealed};

/// The programs that nearly every scenario needs.
const PEERS: &[Tool] = &[Tool::Node, Tool::Cardinal, Tool::Probe];

/// Starts a relay that confirms to everybody, so that a probe hears what became of its packets.
fn confirming(world: &World, options: &[&str]) -> Outcome<Relay> {
    world.relay(&[&["--confirmations", "always"], options].concat())
}

/// What `cardinal node status` says of a relay.
fn status(world: &World, relay: &Relay) -> Outcome<Value> {
    cardinal(world, relay, &["status"])
}

/// Changes settings of a running relay, as an operator does.
fn set(world: &World, relay: &Relay, options: &[&str]) -> Outcome<Value> {
    cardinal(world, relay, &[&["set"], options].concat())
}

fn cardinal(world: &World, relay: &Relay, words: &[&str]) -> Outcome<Value> {
    let socket = relay.home().join("run/node.sock");
    let socket = socket.to_str().ok_or("an odd temporary directory")?;
    let arguments = [&["--json", "node"], words, &["--socket", socket]].concat();
    let mut cardinal = world.start(Tool::Cardinal, &arguments)?;
    Ok(cardinal.wait_for("its report", SOON, Value::is_object)?)
}

/// What a relay has counted under this name.
fn counted(world: &World, relay: &Relay, name: &str) -> Outcome<u64> {
    Ok(status(world, relay)?["counters"][name].as_u64().unwrap_or(0))
}

/// Sends an envelope behind whatever one peer has sent, and waits until it reaches the other: what was to be forwarded
/// before has come then.
fn pass(from: &mut Prober, to: &mut Prober) -> Outcome {
    let envelope = from.seal_one(serde_json::json!({"topic": "00c0ffee", "size": 100, "target": 0.05}))?;
    from.send(&[&envelope])?;
    to.gets(&envelope)?;
    Ok(())
}

/// Shows that a relay serves: an envelope of one good peer reaches another.
fn serves(world: &World, relay: &Relay) -> Outcome {
    let mut from = Prober::dial(world, relay, &[])?;
    let mut to = Prober::dial(world, relay, &[])?;
    pass(&mut from, &mut to)
}

/// A node by its key, in hexadecimal digits, and by its id.
fn node(byte: u8) -> Outcome<(String, String)> {
    let key = k256::SecretKey::from_slice(&[byte; 32])?;
    Ok((hex::encode(key.to_bytes()), hex::encode(proto::ChatKey::from(key.public_key()).to_node_id())))
}

/// An RLP list with this content, all in hexadecimal digits.
fn list(content: &str) -> String {
    match content.len() / 2 {
        len @ 0..56 => format!("{:02x}{content}", 0xc0 + len),
        len @ 56..256 => format!("f8{len:02x}{content}"),
        len => format!("f9{len:04x}{content}"),
    }
}

fn hex_topic(text: &str) -> proto::Topic {
    let mut bytes = [0; 4];
    hex::decode_to_slice(text.trim_start_matches("0x"), &mut bytes).unwrap();
    bytes.into()
}
