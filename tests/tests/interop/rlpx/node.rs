//! The real `cardinal-node` beside go-ethereum and `wakuprobe`: connections, refusals, and finding each other again.

use std::io::Write as _;
use std::time::Duration;

use scenarios::peer::{Outcome, Relay, Scenario, Tool, World};
use serde_json::{Value, json};
use wire::p2p::{Capability, Hello, Message, Offer, Reason};

use super::hostile::{Stranger, next_message};
use crate::geth::{BOTH, Geth, SOON, same};

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "rlpx",
        name: "a_node_keeps_its_peers_whoever_dialled",
        peers: &[Tool::Node, Tool::Geth1103, Tool::Geth],
        shows: &[
            "CLIENT-01",
            "CLIENT-03",
            "CLIENT-27",
            "WAKU1-01",
            "WAKU1-02",
            "WAKU1-03",
            "WAKU1-16",
            "WAKU1-19",
            "WAKU1-20",
            "WAKU1-72",
            "WAKU1-78",
        ],
        within: Duration::from_secs(90),
        run: a_node_keeps_its_peers_whoever_dialled,
    },
    Scenario {
        group: "rlpx",
        name: "a_peer_that_was_killed_is_dialled_again",
        peers: &[Tool::Node, Tool::Geth1103, Tool::Geth],
        shows: &["CLIENT-12", "WAKU1-78"],
        within: Duration::from_secs(90),
        run: a_peer_that_was_killed_is_dialled_again,
    },
    Scenario {
        group: "rlpx",
        name: "a_node_that_was_killed_finds_its_peers_again_and_is_the_same",
        peers: &[Tool::Node, Tool::Geth1103, Tool::Geth],
        shows: &["CLIENT-12", "CLIENT-39", "WAKU1-78"],
        within: Duration::from_secs(60),
        run: a_node_that_was_killed_finds_its_peers_again_and_is_the_same,
    },
    Scenario {
        group: "rlpx",
        name: "a_node_that_was_killed_is_found_again_by_those_who_dial_it",
        peers: &[Tool::Node, Tool::Geth1103, Tool::Geth],
        shows: &["CLIENT-39"],
        within: Duration::from_secs(90),
        run: a_node_that_was_killed_is_found_again_by_those_who_dial_it,
    },
    Scenario {
        group: "rlpx",
        name: "a_node_dials_again_whatever_it_was_told_and_says_when_it_leaves",
        peers: &[Tool::Node, Tool::Geth1103, Tool::Geth],
        shows: &["CLIENT-12", "WAKU1-78"],
        within: Duration::from_secs(90),
        run: a_node_dials_again_whatever_it_was_told_and_says_when_it_leaves,
    },
    Scenario {
        group: "rlpx",
        name: "a_probe_shakes_hands_with_a_node_again_and_again",
        peers: &[Tool::Node, Tool::Probe],
        shows: &["CLIENT-01", "WAKU1-01", "WAKU1-03", "WAKU1-19", "WAKU1-71"],
        within: Duration::from_secs(60),
        run: a_probe_shakes_hands_with_a_node_again_and_again,
    },
    Scenario {
        group: "rlpx",
        name: "a_node_tells_why_it_refuses",
        peers: &[Tool::Node, Tool::Probe, Tool::Geth],
        shows: &["CLIENT-01", "WAKU1-01", "WAKU1-73"],
        within: Duration::from_secs(60),
        run: a_node_tells_why_it_refuses,
    },
];

/// A peer that speaks both versions of Waku, and something that we do not.
const CAPABILITIES: &str = "waku/1,waku/0,eth/63:17";

/// A Waku status without any option.
const STATUS: &[u8] = &[0xc0];

/// go-ethereum's word for a node: it has connected by Waku and shown its status first.
fn greeted(geth: &mut Geth, relay: &Relay) -> Outcome<Value> {
    let pk = format!("04{}", hex::encode(relay.enode.key.to_node_id()));
    let connect =
        geth.program.wait_for("our node", REDIAL, |event| event["event"] == "connect" && event["pk"] == *pk)?;
    same("capability", &connect["cap"], &json!("waku/1"))?;
    same("first packet", geth.packet("waku/1")?.0, 0)?;
    geth.send(connect["peer"].as_str().unwrap_or_default(), "waku/1", 0, STATUS)?;
    Ok(connect)
}

fn both(world: &World, arguments: &[&str]) -> Outcome<[Geth; 2]> {
    Ok([Geth::start(world, BOTH[0], arguments)?, Geth::start(world, BOTH[1], arguments)?])
}

fn a_node_keeps_its_peers_whoever_dialled(world: &World) -> Outcome {
    let mut dialled = both(world, &["-caps", CAPABILITIES])?;
    let [one, other] = [&dialled[0], &dialled[1]].map(|geth| geth.enode.to_string());
    let relay = world.relay(&["--peer", &one, "--peer", &other])?;
    let mut dialling = both(world, &["-caps", CAPABILITIES, "-peers", &relay.enode.to_string()])?;
    for (geth, inbound) in
        dialled.iter_mut().map(|geth| (geth, true)).chain(dialling.iter_mut().map(|geth| (geth, false)))
    {
        let connect = greeted(geth, &relay)?;
        same("inbound there", &connect["inbound"], &json!(inbound))?;
        let name = connect["name"].as_str().unwrap_or_default();
        if !name.starts_with("Cardinal/v") {
            return Err(format!("our node calls itself {name:?}").into());
        }
        // What means nothing to it does no harm.
        let peer = connect["peer"].as_str().unwrap_or_default();
        for code in [5, 20, 22, 50, 99, 123, 124, 125] {
            geth.send(peer, "waku/1", code, &[0xc0])?;
        }
    }
    // More than the 30 s that a silent peer is given.
    let ended = |event: &Value| event["event"] == "disconnect";
    if let Ok(event) = dialled[0].program.wait_for("no end", IDLE, ended) {
        return Err(format!("a peer is gone: {event}").into());
    }
    for geth in dialled.iter_mut().chain(&mut dialling) {
        same("ends", geth.program.drain().into_iter().find(ended), None)?;
        same("connected peers", &geth.program.call("info", json!({}))?["peers"], &json!(1))?;
    }
    Ok(())
}

/// Starts a go-ethereum peer as it was: same key, same port.
fn again(world: &World, tool: Tool, before: &Geth, key: &str) -> Outcome<Geth> {
    Geth::start(world, tool, &["-caps", "waku/1", "-nodekey", key, "-listen", &before.enode.socket_addr().to_string()])
}

fn a_peer_that_was_killed_is_dialled_again(world: &World) -> Outcome {
    each_at_once(|tool| {
        let first = Geth::start(world, tool, &["-caps", "waku/1", "-nodekey", KEY])?;
        let relay = world.relay(&["--peer", &first.enode.to_string()])?;
        let mut geth = first;
        greeted(&mut geth, &relay)?;
        for _ in 0..2 {
            let before = geth;
            before.program.leash().pull();
            geth = again(world, tool, &before, KEY)?;
            same("same address", geth.enode, before.enode)?;
            greeted(&mut geth, &relay)?;
        }
        Ok(())
    })
}

fn a_node_that_was_killed_finds_its_peers_again_and_is_the_same(world: &World) -> Outcome {
    each_at_once(|tool| {
        let mut geth = Geth::start(world, tool, &["-caps", "waku/1"])?;
        let peer = geth.enode.to_string();
        let mut relay = world.relay(&["--peer", &peer])?;
        greeted(&mut geth, &relay)?;
        for _ in 0..2 {
            let before = relay.enode;
            relay = world.relay_again(relay.kill(), &["--peer", &peer])?;
            geth.program.event("disconnect", SOON)?;
            same("same id and address", relay.enode, before)?;
            greeted(&mut geth, &relay)?;
        }
        Ok(())
    })
}

/// go-ethereum dials a static peer again after some 30 s.
fn a_node_that_was_killed_is_found_again_by_those_who_dial_it(world: &World) -> Outcome {
    each_at_once(|tool| {
        let relay = world.relay(&[])?;
        let mut geth = Geth::start(world, tool, &["-caps", "waku/1", "-peers", &relay.enode.to_string()])?;
        greeted(&mut geth, &relay)?;
        let relay = world.relay_again(relay.kill(), &[])?;
        geth.program.event("disconnect", SOON)?;
        same("they dialled", &greeted(&mut geth, &relay)?["inbound"], &json!(false))
    })
}

/// Some reasons are a refusal; a static peer is dialled again after each of them.
fn a_node_dials_again_whatever_it_was_told_and_says_when_it_leaves(world: &World) -> Outcome {
    each_at_once(|tool| {
        let mut geth = Geth::start(world, tool, &["-caps", "waku/1"])?;
        let relay = world.relay(&["--peer", &geth.enode.to_string()])?;
        let mut connect = greeted(&mut geth, &relay)?;
        for reason in
            [Reason::Requested, Reason::UselessPeer, Reason::TooManyPeers, Reason::Quitting, Reason::Subprotocol]
        {
            geth.program.call("disconnect", json!({"peer": connect["peer"], "reason": reason.code()}))?;
            geth.program.event("disconnect", SOON)?;
            connect = greeted(&mut geth, &relay).map_err(|error| format!("after {reason}: {error}"))?;
        }
        same("how it ends", relay.program.close(SOON)?.code(), Some(0))?;
        same("what it says then", &geth.program.event("disconnect", SOON)?["reason"], &json!("client quitting"))
    })
}

/// Checks both go-ethereums side by side.
fn each_at_once(check: impl Fn(Tool) -> Outcome + Sync) -> Outcome {
    std::thread::scope(|scope| {
        let threads = BOTH.map(|tool| {
            (
                tool,
                scope.spawn({
                    let check = &check;
                    move || check(tool)
                }),
            )
        });
        for (tool, thread) in threads {
            thread.join().map_err(|_| format!("{tool}: panic"))?.map_err(|error| format!("{tool}: {error}"))?;
        }
        Ok(())
    })
}

/// Runs the probe and returns what it says in the end.
fn probe(world: &World, relay: &Relay, arguments: &[&str]) -> Outcome<Value> {
    let enode = relay.enode.to_string();
    let mut all = arguments.to_vec();
    all.extend(["-enode", &enode]);
    let mut probe = world.start(Tool::Probe, &all)?;
    Ok(probe.wait_for("its result", SOON, |event| {
        matches!(event["event"].as_str(), Some("status" | "handshakes" | "fatal"))
    })?)
}

fn a_probe_shakes_hands_with_a_node_again_and_again(world: &World) -> Outcome {
    let relay = world.relay(&[])?;
    let status = probe(world, &relay, &["status"])?;
    same("base protocol", &status["p2p_version"], &json!(5))?;
    same("snappy", &status["snappy"], &json!(true))?;
    same("its capabilities", &status["remote_caps"], &json!("[waku/0 waku/1]"))?;
    same("error", &status["error"], &Value::Null)?;
    // Who speaks an older base protocol compresses nothing, and is understood.
    let status = probe(world, &relay, &["status", "-p2pversion", "4"])?;
    same("error of version 4", &status["error"], &Value::Null)?;
    let many = probe(world, &relay, &["handshakes", "-n", "200", "-conns", "8"])?;
    same("handshakes", (&many["ok"], &many["failed"]), (&json!(200), &json!(0)))
}

fn a_node_tells_why_it_refuses(world: &World) -> Outcome {
    let relay = world.relay(&["--max-peers", "1"])?;
    let refused = |arguments: &[&str], reason: &str| -> Outcome {
        let end = probe(world, &relay, arguments)?;
        let error = end["error"].as_str().unwrap_or_default();
        if error.ends_with(&format!("disconnected: {reason}")) {
            Ok(())
        } else {
            Err(format!("not {reason:?} but {end}").into())
        }
    };
    refused(&["status", "-proto", "nope"], "0x03 useless peer")?;
    let own = std::fs::read_to_string(relay.home().join("state/nodekey"))?;
    refused(&["status", "-nodekey", own.trim()], "0x0a connected to self")?;
    let hello = |id: [u8; 64]| {
        let capabilities = vec![Offer { name: b"waku".to_vec(), version: Capability::WAKU_1.version.into() }];
        let client_name = b"nobody".to_vec();
        Hello { version: 5, client_name, capabilities, listen_port: 0, id, extra_elements: 0 }.encode()
    };
    refused(&["status", "-rawhello", &hex::encode(hello(relay.enode.key.to_node_id()))], "0x09 unexpected identity")?;
    // Said before anything is compressed, which the probe cannot read.
    let stranger = Stranger::who_wants(relay.enode.key);
    let (mut stream, mut writer, mut reader) = stranger.shake(&relay.enode, &stranger.auth(4, 0, 200))?;
    stream.write_all(&writer.seal(Message::HELLO, &hello([0; 64]))?)?;
    let last = next_message(&mut stream, &mut reader)?;
    same("to who has no id", (last.code, last.payload), (Message::DISCONNECT, Reason::NullIdentity.encode()))?;
    let mut geth = Geth::start(world, Tool::Geth, &["-caps", "waku/1", "-peers", &relay.enode.to_string()])?;
    greeted(&mut geth, &relay)?;
    refused(&["status"], "0x04 too many peers")
}

/// A node key of a peer that comes back.
const KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
/// For a peer that dials again: go-ethereum does after 30 to 35 s.
const REDIAL: Duration = Duration::from_secs(50);
/// Longer than a silent connection lives.
const IDLE: Duration = Duration::from_secs(34);
