//! A `devp2p-peer`: go-ethereum's own server with opaque subprotocols, and our session machine connected with it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use scenarios::peer::connection::Up;
use scenarios::peer::{Connection, Outcome, PeerError, Program, Tool, World};
use serde_json::{Value, json};
use wire::p2p::Enode;
use wire::rlpx::Local;

/// Both go-ethereums: the one with the handshake of Status' fork, and the newest.
pub(crate) const BOTH: [Tool; 2] = [Tool::Geth1103, Tool::Geth];

/// A go-ethereum peer.
pub(crate) struct Geth {
    pub(crate) program: Program,
    pub(crate) enode: Enode,
}

/// Who opens the TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    WeDial,
    TheyDial,
}

/// Our machine and a go-ethereum peer, connected.
pub(crate) struct Meeting {
    /// Our end.
    pub(crate) ours: Connection,
    /// What our end knows of the other.
    pub(crate) up: Up,
    /// What go-ethereum knows of us: its event `connect`.
    pub(crate) theirs: Value,
}

impl Meeting {
    /// What go-ethereum calls us.
    pub(crate) fn our_id(&self) -> &str {
        self.theirs["peer"].as_str().unwrap_or_default()
    }
}

impl Geth {
    pub(crate) fn start(world: &World, tool: Tool, arguments: &[&str]) -> Outcome<Self> {
        let (program, started) = world.peer(tool, arguments)?;
        let enode = started["enode"].as_str().unwrap_or_default().parse()?;
        Ok(Self { program, enode })
    }

    /// Connects our machine with it, by a capability that both speak.
    pub(crate) fn meet(&mut self, local: &Arc<Local>, way: Way, capability: &str) -> Outcome<Meeting> {
        let mut ours = match way {
            Way::WeDial => Connection::dial(local, &self.enode)?,
            Way::TheyDial => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let address = listener.local_addr()?;
                let ours = Enode { key: *local.key.id(), ip: address.ip(), tcp: address.port(), udp: address.port() };
                self.program.call("add_peer", json!({"enode": ours.to_string()}))?;
                Connection::accept(local, &listener, SOON)?
            }
        };
        let up = ours.up()?;
        let theirs = self.connected(local, capability)?;
        Ok(Meeting { ours, up, theirs })
    }

    /// Waits until it says that it is connected with this node by this capability.
    pub(crate) fn connected(&mut self, with: &Local, capability: &str) -> Outcome<Value> {
        let pk = format!("04{}", hex::encode(with.key.id().to_node_id()));
        Ok(self.program.wait_for(&format!("connect by {capability}"), SOON, |event| {
            event["event"] == "connect" && event["pk"] == *pk && event["cap"] == capability
        })?)
    }

    /// Sends a message to one of its peers.
    pub(crate) fn send(&mut self, to: &str, capability: &str, code: u64, payload: &[u8]) -> Result<(), PeerError> {
        let arguments = json!({"peer": to, "cap": capability, "code": code, "payload": hex::encode(payload)});
        self.program.call("send", arguments).map(drop)
    }

    /// Returns code and payload of the next message that it got.
    pub(crate) fn packet(&mut self, capability: &str) -> Outcome<(u64, Vec<u8>)> {
        let event = self.program.wait_for(&format!("a packet of {capability}"), SOON, |event| {
            event["event"] == "packet" && event["cap"] == capability
        })?;
        let code = event["code"].as_u64().ok_or("a packet without a code")?;
        Ok((code, payload(&event)?))
    }
}

/// What an event `packet` carries.
pub(crate) fn payload(event: &Value) -> Outcome<Vec<u8>> {
    let digits = event["payload"].as_str().ok_or("a packet without a payload")?;
    Ok(hex::decode(digits).map_err(|error| error.to_string())?)
}

/// Fails with what was seen instead.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, seen: T, expected: T) -> Outcome {
    if seen == expected { Ok(()) } else { Err(format!("{what}: {seen:?}, expected {expected:?}").into()) }
}

/// For what comes at once, on a machine that is busy with something else.
pub(crate) const SOON: Duration = Duration::from_secs(20);
