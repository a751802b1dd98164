//! `@ethereumjs/devp2p`: a third implementation of RLPx, with its own ECIES, MAC and snappy.
//!
//! It takes one byte as the message code, so nothing above 127 (111 of the capability) is sent to it, and it is no judge
//! of refusals.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use scenarios::peer::connection::somebody;
use scenarios::peer::{Connection, Outcome, Program, Scenario, Tool, World};
use serde_json::{Value, json};
use wire::p2p::{Capability, Enode, Reason};
use wire::rlpx::DownReason;

use crate::geth::{SOON, Way, payload, same};

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "rlpx",
        name: "a_third_implementation_understands_us_both_ways",
        peers: &[Tool::Ethereumjs],
        shows: &["CLIENT-01", "WAKU1-01", "WAKU1-13", "WAKU1-73"],
        within: Duration::from_secs(60),
        run: a_third_implementation_understands_us_both_ways,
    },
    Scenario {
        group: "rlpx",
        name: "a_node_and_a_third_implementation_keep_the_line",
        peers: &[Tool::Node, Tool::Ethereumjs],
        shows: &["CLIENT-01", "CLIENT-03", "WAKU1-01", "WAKU1-03", "WAKU1-19"],
        within: Duration::from_secs(90),
        run: a_node_and_a_third_implementation_keep_the_line,
    },
];

fn start(world: &World) -> Outcome<(Program, Enode)> {
    let (program, started) = world.peer(Tool::Ethereumjs, &[])?;
    Ok((program, started["enode"].as_str().unwrap_or_default().parse()?))
}

fn packet(peer: &mut Program) -> Outcome<(u64, Vec<u8>)> {
    let event = peer.event("packet", SOON)?;
    Ok((event["code"].as_u64().ok_or("no code")?, payload(&event)?))
}

fn a_third_implementation_understands_us_both_ways(world: &World) -> Outcome {
    let (mut peer, enode) = start(world)?;
    for way in [Way::WeDial, Way::TheyDial] {
        for reason in [Reason::Requested, Reason::Quitting, Reason::TooManyPeers, Reason::Subprotocol] {
            let local = somebody(&[Capability::WAKU_1])?;
            let mut ours = match way {
                Way::WeDial => Connection::dial(&local, &enode)?,
                Way::TheyDial => {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                    let at = listener.local_addr()?;
                    let us = Enode { key: *local.key.id(), ip: at.ip(), tcp: at.port(), udp: at.port() };
                    peer.call("add_peer", json!({"enode": us.to_string()}))?;
                    Connection::accept(&local, &listener, SOON)?
                }
            };
            let up = ours.up()?;
            same("their id", up.peer, enode.key)?;
            same("their name", up.hello.client_name.as_slice(), b"npm-devp2p")?;
            let connect = peer.event("connect", SOON)?;
            same("our name", &connect["name"], &json!("cardinal-interop"))?;
            same("our id", &connect["id"], &json!(hex::encode(local.key.id().to_node_id())))?;
            for code in (0..=111).step_by(37) {
                for payload in [vec![0xc0], (0..=255).collect(), vec![7; 100_000]] {
                    ours.send(Capability::WAKU_1, code, &payload)?;
                    if packet(&mut peer)? != (code, payload.clone()) {
                        return Err(
                            format!("{way:?}: our {} bytes of code {code} came as others", payload.len()).into()
                        );
                    }
                    peer.call("send", json!({"code": code, "payload": hex::encode(&payload)}))?;
                    if ours.message(SOON)? != (Capability::WAKU_1, code, payload) {
                        return Err(format!("{way:?}: their message of code {code} came as another").into());
                    }
                }
            }
            ours.disconnect(reason)?;
            same("our end", ours.down(SOON)?, DownReason::Ours(reason))?;
            // It tells of the end once the stream is closed on both sides.
            drop(ours);
            same("what they read", &peer.event("disconnect", SOON)?["reason"], &json!(reason.code()))?;
        }
    }
    Ok(())
}

fn a_node_and_a_third_implementation_keep_the_line(world: &World) -> Outcome {
    let (mut dialled, at) = start(world)?;
    let relay = world.relay(&["--peer", &at.to_string()])?;
    let (mut dialling, _) = start(world)?;
    dialling.call("add_peer", json!({"enode": relay.enode.to_string()}))?;
    for peer in [&mut dialled, &mut dialling] {
        let connect = peer.event("connect", SOON)?;
        same("our id", &connect["id"], &json!(hex::encode(relay.enode.key.to_node_id())))?;
        same("first packet", packet(peer)?.0, 0)?;
        peer.call("send", json!({"code": 0, "payload": "c0"}))?;
    }
    // It pings, and gives up who does not answer.
    if let Ok(event) = dialled.wait_for("no end", IDLE, |event| event["event"] == "disconnect") {
        return Err(format!("it hung up: {event}").into());
    }
    let ended: Vec<Value> =
        dialling.drain().into_iter().chain(dialled.drain()).filter(|event| event["event"] == "disconnect").collect();
    same("ends", ended, Vec::new())
}

/// Longer than a silent connection lives.
const IDLE: Duration = Duration::from_secs(34);
