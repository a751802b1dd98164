//! Our session machine beside go-ethereum, in every detail: who dials, what is said, how it ends.

use std::time::Duration;

use proto::shell::dice;
use rand_core::Rng;
use scenarios::peer::connection::somebody;
use scenarios::peer::{Connection, Outcome, Scenario, Tool, World};
use serde_json::json;
use wire::p2p::{Capability, Reason};
use wire::rlpx::DownReason;

use crate::geth::{BOTH, Geth, SOON, Way, same};

/// What these scenarios show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "rlpx",
        name: "both_sides_hear_what_the_other_says_of_itself",
        peers: &BOTH,
        shows: &["CLIENT-01", "WAKU1-01", "WAKU1-73"],
        within: Duration::from_secs(60),
        run: both_sides_hear_what_the_other_says_of_itself,
    },
    Scenario {
        group: "rlpx",
        name: "payloads_of_any_size_come_through_compressed",
        peers: &BOTH,
        shows: &["CLIENT-01", "WAKU1-13"],
        within: Duration::from_secs(90),
        run: payloads_of_any_size_come_through_compressed,
    },
    Scenario {
        group: "rlpx",
        name: "shared_capabilities_get_their_ranges_and_others_take_none",
        peers: &BOTH,
        shows: &["WAKU1-15", "WAKU1-72", "WAKU1-73"],
        within: Duration::from_secs(60),
        run: shared_capabilities_get_their_ranges_and_others_take_none,
    },
    Scenario {
        group: "rlpx",
        name: "every_code_of_a_capability_comes_through",
        peers: &BOTH,
        shows: &["WAKU1-13", "WAKU1-15"],
        within: Duration::from_secs(60),
        run: every_code_of_a_capability_comes_through,
    },
    Scenario {
        group: "rlpx",
        name: "every_disconnect_reason_is_understood_both_ways",
        peers: &BOTH,
        shows: &["CLIENT-01", "WAKU1-01"],
        within: Duration::from_secs(90),
        run: every_disconnect_reason_is_understood_both_ways,
    },
    Scenario {
        group: "rlpx",
        name: "an_idle_connection_is_kept_by_pings",
        peers: &BOTH,
        shows: &["CLIENT-01", "WAKU1-01"],
        within: Duration::from_secs(90),
        run: an_idle_connection_is_kept_by_pings,
    },
    Scenario {
        group: "rlpx",
        name: "who_shares_nothing_or_finds_no_room_is_told_so",
        peers: &BOTH,
        shows: &["CLIENT-01", "WAKU1-73"],
        within: Duration::from_secs(60),
        run: who_shares_nothing_or_finds_no_room_is_told_so,
    },
];

const WAKU: [Capability; 1] = [Capability::WAKU_1];

/// Calls `check` for each go-ethereum, and for each of the two sides that may open the connection.
fn each_way(world: &World, arguments: &[&str], mut check: impl FnMut(&mut Geth, Tool, Way) -> Outcome) -> Outcome {
    for tool in BOTH {
        let mut geth = Geth::start(world, tool, arguments)?;
        for way in [Way::WeDial, Way::TheyDial] {
            check(&mut geth, tool, way).map_err(|error| format!("{tool}, {way:?}: {error}"))?;
        }
    }
    Ok(())
}

fn both_sides_hear_what_the_other_says_of_itself(world: &World) -> Outcome {
    each_way(world, &["-caps", "waku/1", "-name", "geth at home"], |geth, _, way| {
        let local = somebody(&WAKU)?;
        let meeting = geth.meet(&local, way, "waku/1")?;
        let hello = &meeting.up.hello;
        same("their version", hello.version, 5)?;
        same("their name", String::from_utf8_lossy(&hello.client_name).as_ref(), "geth at home")?;
        same("their id", &meeting.up.peer, &geth.enode.key)?;
        same("their capabilities", format!("{:?}", hello.capabilities), "[Offer(waku/1)]".to_owned())?;
        same("our name", &meeting.theirs["name"], &json!("cardinal-interop"))?;
        same("our capabilities", &meeting.theirs["caps"], &json!("[waku/1]"))?;
        same("inbound there", &meeting.theirs["inbound"], &json!(way == Way::WeDial))
    })
}

fn payloads_of_any_size_come_through_compressed(world: &World) -> Outcome {
    let mut random = vec![0; 1 << 20];
    dice().fill_bytes(&mut random);
    each_way(world, &["-caps", "waku/1"], |geth, _, way| {
        let mut meeting = geth.meet(&somebody(&WAKU)?, way, "waku/1")?;
        let peer = meeting.our_id().to_owned();
        let cut = |len: usize| random[..len].to_vec();
        let payloads = [
            vec![0xc0],
            Vec::new(),
            cut(1),
            cut(15),
            cut(16),
            cut(17),
            cut(1000),
            cut(1 << 16),
            random.clone(),
            vec![7; 1 << 22],
        ];
        for payload in &payloads {
            let len = payload.len();
            meeting.ours.send(Capability::WAKU_1, 1, payload)?;
            if geth.packet("waku/1")? != (1, payload.clone()) {
                return Err(format!("our {len} bytes came through as others").into());
            }
            geth.send(&peer, "waku/1", 1, payload)?;
            if meeting.ours.message(SOON)? != (Capability::WAKU_1, 1, payload.clone()) {
                return Err(format!("their {len} bytes came through as others").into());
            }
        }
        // The most that a frame holds, of what hardly takes room once it is compressed.
        let most = vec![0; (1 << 24) - 1];
        meeting.ours.send(Capability::WAKU_1, 1, &most)?;
        let size = geth.program.wait_for("16 MiB", SOON, |event| event["event"] == "packet")?["payload"].clone();
        same("digits of 16 MiB - 1", size.as_str().map(str::len), Some(2 * most.len()))
    })
}

fn shared_capabilities_get_their_ranges_and_others_take_none(world: &World) -> Outcome {
    const OURS_ALONE: Capability = Capability { name: "abc", version: 1, length: 40 };
    let ours = [OURS_ALONE, Capability::SHH_6, Capability::WAKU_0, Capability::WAKU_1];
    each_way(world, &["-caps", "waku/0,waku/1,eth/63:17,shh/6"], |geth, tool, way| {
        let local = somebody(&ours)?;
        let mut meeting = geth.meet(&local, way, "waku/1")?;
        geth.connected(&local, "shh/6")?;
        let agreed: Vec<_> = meeting.up.capabilities.iter().map(|s| (s.capability.to_string(), s.offset)).collect();
        same("agreed", agreed, vec![("shh/6".to_owned(), 0x10), ("waku/1".to_owned(), 0x90)])?;
        let peer = meeting.our_id().to_owned();
        for (capability, name) in [(Capability::SHH_6, "shh/6"), (Capability::WAKU_1, "waku/1")] {
            for code in [0, 127] {
                meeting.ours.send(capability, code, name.as_bytes())?;
                same("theirs", geth.packet(name)?, (code, name.as_bytes().to_vec()))?;
                geth.send(&peer, name, code, name.as_bytes())?;
                same("ours", meeting.ours.message(SOON)?, (capability, code, name.as_bytes().to_vec()))?;
            }
        }
        // Each lower version is spoken with who has no other.
        let mut old = Geth::start(world, tool, &["-caps", "waku/0"])?;
        let mut meeting = old.meet(&somebody(&ours)?, way, "waku/0")?;
        same("agreed with an old one", meeting.up.capabilities.len(), 1)?;
        meeting.ours.send(Capability::WAKU_0, 127, b"old")?;
        same("theirs", old.packet("waku/0")?, (127, b"old".to_vec()))
    })
}

fn every_code_of_a_capability_comes_through(world: &World) -> Outcome {
    each_way(world, &["-caps", "waku/1"], |geth, _, way| {
        let mut meeting = geth.meet(&somebody(&WAKU)?, way, "waku/1")?;
        let peer = meeting.our_id().to_owned();
        for code in 0..Capability::WAKU_1.length {
            let payload = code.to_string().into_bytes();
            meeting.ours.send(Capability::WAKU_1, code, &payload)?;
            same("theirs", geth.packet("waku/1")?, (code, payload.clone()))?;
            geth.send(&peer, "waku/1", code, &payload)?;
            same("ours", meeting.ours.message(SOON)?, (Capability::WAKU_1, code, payload))?;
        }
        Ok(())
    })
}

fn every_disconnect_reason_is_understood_both_ways(world: &World) -> Outcome {
    each_way(world, &["-caps", "waku/1", "-maxpeers", "100"], |geth, tool, way| {
        for reason in Reason::ALL {
            let mut meeting = geth.meet(&somebody(&WAKU)?, way, "waku/1")?;
            let peer = meeting.our_id().to_owned();
            meeting.ours.disconnect(reason)?;
            same("our end", meeting.ours.down(SOON)?, DownReason::Ours(reason))?;
            let drop = geth
                .program
                .wait_for("disconnect", SOON, |event| event["event"] == "disconnect" && event["peer"] == *peer)?;
            same("what they read", drop["reason"].as_str(), Some(in_their_words(reason)))?;
        }
        // 17 ends the process of an old go-ethereum that prints it, whoever sends it.
        let numbers = (0..=16).chain([18, 255]).chain((tool == Tool::Geth).then_some(17));
        for number in numbers {
            let mut meeting = geth.meet(&somebody(&WAKU)?, way, "waku/1")?;
            geth.program.call("disconnect", json!({"peer": meeting.our_id(), "reason": number}))?;
            match meeting.ours.down(SOON)? {
                DownReason::Theirs(reason) if reason.code() == number => {}
                // They do not tell a network error.
                DownReason::Closed if number == 1 => {}
                other => return Err(format!("their reason {number} is {other:?} here").into()),
            }
        }
        Ok(())
    })
}

/// go-ethereum's texts, the same in both versions.
const fn in_their_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Requested => "disconnect requested",
        Reason::TcpError => "network error",
        Reason::BreachOfProtocol => "breach of protocol",
        Reason::UselessPeer => "useless peer",
        Reason::TooManyPeers => "too many peers",
        Reason::AlreadyConnected => "already connected",
        Reason::IncompatibleVersion => "incompatible p2p protocol version",
        Reason::NullIdentity => "invalid node identity",
        Reason::Quitting => "client quitting",
        Reason::UnexpectedIdentity => "unexpected identity",
        Reason::SelfConnection => "connected to self",
        Reason::PingTimeout => "read timeout",
        Reason::Subprotocol => "subprotocol error",
    }
}

/// Both sides ping each 15 s, and each gives up one that is silent for 30 s.
fn an_idle_connection_is_kept_by_pings(world: &World) -> Outcome {
    let check = |tool: Tool, way: Way| -> Outcome {
        let mut geth = Geth::start(world, tool, &["-caps", "waku/1"])?;
        let mut meeting = geth.meet(&somebody(&WAKU)?, way, "waku/1")?;
        if let Ok(event) = meeting.ours.next(IDLE) {
            return Err(format!("{tool}, {way:?}: not idle but {event:?}").into());
        }
        meeting.ours.send(Capability::WAKU_1, 1, b"still there")?;
        same("after all", geth.packet("waku/1")?, (1, b"still there".to_vec()))
    };
    std::thread::scope(|scope| {
        let pairs = BOTH.into_iter().flat_map(|tool| [(tool, Way::WeDial), (tool, Way::TheyDial)]);
        let threads: Vec<_> = pairs.map(|(tool, way)| scope.spawn(move || check(tool, way))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "panic")?)
    })
}

fn who_shares_nothing_or_finds_no_room_is_told_so(world: &World) -> Outcome {
    for tool in BOTH {
        let mut geth = Geth::start(world, tool, &["-caps", "waku/1", "-maxpeers", "2"])?;
        let mut useless = Connection::dial(&somebody(&[Capability::SHH_6])?, &geth.enode)?;
        same("nothing shared", useless.down(SOON)?, DownReason::UselessPeer)?;
        // Of two, one place is kept for those that it dials.
        let _first = geth.meet(&somebody(&WAKU)?, Way::WeDial, "waku/1")?;
        let mut second = Connection::dial(&somebody(&WAKU)?, &geth.enode)?;
        match second.down(SOON)? {
            DownReason::Theirs(reason) if reason.named() == Some(Reason::TooManyPeers) => {}
            other => return Err(format!("{tool} has no room, and says {other:?}").into()),
        }
    }
    Ok(())
}

/// Longer than a silent connection lives.
const IDLE: Duration = Duration::from_secs(34);
