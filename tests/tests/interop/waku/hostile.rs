//! Misbehaviour: what a relay makes of peers that break the rules, by chance or on purpose. After each of them it still
//! serves good ones.

use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, Scenario, World};
use serde_json::{Value, json};

use super::{PEERS, Prober, confirming, counted, list, node, pass, serves};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "waku",
        name: "whoever_speaks_before_its_status_is_dropped_unheard",
        peers: PEERS,
        shows: &["WAKU1-20", "WAKU1-21", "WAKU1-24", "WAKU1-25"],
        within: Duration::from_secs(60),
        run: whoever_speaks_before_its_status_is_dropped_unheard,
    },
    Scenario {
        group: "waku",
        name: "whoever_says_no_status_is_dropped_after_a_while",
        peers: PEERS,
        shows: &["WAKU1-21", "WAKU1-22"],
        within: Duration::from_secs(60),
        run: whoever_says_no_status_is_dropped_after_a_while,
    },
    Scenario {
        group: "waku",
        name: "a_status_that_asks_the_impossible_ends_the_connection",
        peers: PEERS,
        shows: &["WAKU1-23", "WAKU1-33", "WAKU1-42"],
        within: Duration::from_secs(60),
        run: a_status_that_asks_the_impossible_ends_the_connection,
    },
    Scenario {
        group: "waku",
        name: "a_bad_update_or_a_second_status_changes_nothing",
        peers: PEERS,
        shows: &["WAKU1-26", "WAKU1-33", "WAKU1-42"],
        within: Duration::from_secs(60),
        run: a_bad_update_or_a_second_status_changes_nothing,
    },
    Scenario {
        group: "waku",
        name: "envelopes_out_of_their_time_or_without_work_stay_where_they_are",
        peers: PEERS,
        shows: &["WAKU1-06", "WAKU1-34", "WAKU1-61"],
        within: Duration::from_secs(60),
        run: envelopes_out_of_their_time_or_without_work_stay_where_they_are,
    },
    Scenario {
        group: "waku",
        name: "what_does_not_decode_offends_nobody",
        peers: PEERS,
        shows: &["WAKU1-14"],
        within: Duration::from_secs(60),
        run: what_does_not_decode_offends_nobody,
    },
    Scenario {
        group: "waku",
        name: "codes_that_mean_nothing_are_ignored",
        peers: PEERS,
        shows: &["WAKU1-15", "WAKU1-16", "WAKU1-81"],
        within: Duration::from_secs(60),
        run: codes_that_mean_nothing_are_ignored,
    },
    Scenario {
        group: "waku",
        name: "a_claim_of_sixteen_mebibytes_costs_nothing",
        peers: PEERS,
        shows: &["WAKU1-09", "WAKU1-10"],
        within: Duration::from_secs(90),
        run: a_claim_of_sixteen_mebibytes_costs_nothing,
    },
    Scenario {
        group: "waku",
        name: "garbage_behind_a_valid_hello_ends_the_connection_alone",
        peers: PEERS,
        shows: &["WAKU1-01"],
        within: Duration::from_secs(60),
        run: garbage_behind_a_valid_hello_ends_the_connection_alone,
    },
    Scenario {
        group: "waku",
        name: "packets_from_peer_to_peer_are_taken_from_trusted_nodes_and_never_forwarded",
        peers: PEERS,
        shows: &["WAKU1-18", "WAKU1-62", "WAKU1-63", "GO-20"],
        within: Duration::from_secs(60),
        run: packets_from_peer_to_peer_are_taken_from_trusted_nodes_and_never_forwarded,
    },
    Scenario {
        group: "waku",
        name: "an_ignored_node_is_not_told_that_it_is",
        peers: PEERS,
        shows: &["GO-19"],
        within: Duration::from_secs(60),
        run: an_ignored_node_is_not_told_that_it_is,
    },
];

fn whoever_speaks_before_its_status_is_dropped_unheard(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut witness = Prober::dial(world, &relay, &[])?;
    let envelope = witness.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    for code in [1, 11, 22, 99, 127] {
        let mut early = Prober::silent(world, &relay, &[])?;
        early.send_as(code, &[&envelope])?;
        assert_eq!(early.closed()?, Some(0x10), "code {code}");
    }
    assert_eq!(counted(world, &relay, "peer.dropped.before-status")?, 5);
    let mut good = Prober::dial(world, &relay, &[])?;
    pass(&mut good, &mut witness)?;
    assert_eq!(witness.times(&envelope), 0);
    serves(world, &relay)
}

fn whoever_says_no_status_is_dropped_after_a_while(world: &World) -> Outcome {
    let relay = confirming(world, &["--status-within", "2"])?;
    let mut silent = Prober::silent(world, &relay, &[])?;
    let since = Instant::now();
    let mut good = Prober::dial(world, &relay, &[])?;
    let envelope = good.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    good.send(&[&envelope])?;
    assert_eq!(silent.closed()?, Some(0x10));
    let took = since.elapsed();
    assert!((Duration::from_millis(1500)..Duration::from_secs(6)).contains(&took), "{took:?}");
    assert_eq!(silent.received(), 0, "nothing is sent to a peer of which nothing is known");
    assert_eq!(counted(world, &relay, "peer.dropped.no-status")?, 1);
    good.sync()?;
    serves(world, &relay)
}

fn a_status_that_asks_the_impossible_ends_the_connection(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let too_many: Vec<String> = (0..10_001).map(|n| format!("{n:08x}")).collect();
    let (bloom, too_many) = ("ab".repeat(63), too_many.join(","));
    let bad: [&[&str]; 9] = [
        &["-topics", &too_many],
        &["-bloom", &bloom],
        // Not a number, infinite, negative.
        &["-rawstatus", "cbca80887ff8000000000001"],
        &["-rawstatus", "cbca80887ff0000000000000"],
        &["-rawstatus", "cbca8088bff0000000000000"],
        // A string, a list cut short, a pair with two values, half a pair.
        &["-rawstatus", "83646f67"],
        &["-rawstatus", "cbca80883f"],
        &["-rawstatus", "c4c3030101"],
        &["-rawstatus", "c2c103"],
    ];
    for flags in bad {
        let mut peer = Prober::silent(world, &relay, flags)?;
        peer.say_status()?;
        assert_eq!(peer.closed()?, Some(0x10), "{}", &flags[1][..flags[1].len().min(40)]);
    }
    assert_eq!(counted(world, &relay, "peer.dropped.bad-status")?, 9);
    // What is impossible in waku/1 is so in waku/0; and the shape of one is no status of the other.
    for flags in [["-version", "0", "-topics", &too_many], ["-version", "0", "-rawstatus", "c3c20280"]] {
        let mut peer = Prober::silent(world, &relay, &flags)?;
        peer.say_status()?;
        assert_eq!(peer.closed()?, Some(0x10));
    }
    serves(world, &relay)
}

fn a_bad_update_or_a_second_status_changes_nothing(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut peer = Prober::dial(world, &relay, &["-topics", "aabbccdd"])?;
    let topics: Vec<String> = (0..10_001).map(|n| format!("{n:08x}")).collect();
    for update in [json!({"topics": topics}), json!({"bloom": "ab".repeat(63)}), json!({"pow": -1.0})] {
        peer.call("update", update)?;
    }
    for payload in ["cbca80887ff8000000000001", "83646f67", "", "ff"] {
        peer.call("send", json!({"code": 22, "payload": payload}))?;
    }
    // A status with nothing but the wish for everything.
    peer.packet_of(0, &[0xc0])?;
    peer.sync()?;
    assert_eq!(counted(world, &relay, "refused.bad-update")?, 7);
    assert_eq!(counted(world, &relay, "refused.repeated-status")?, 1);
    let mut from = Prober::dial(world, &relay, &[])?;
    let (wanted, other) = ("aabbccdd", "01020304");
    let [wanted, other] =
        [wanted, other].map(|topic| from.seal_one(json!({"topic": topic, "size": 9, "target": 0.002})));
    let (wanted, other) = (wanted?, other?);
    from.send(&[&other, &wanted])?;
    peer.gets(&wanted)?;
    assert_eq!(peer.times(&other), 0);
    serves(world, &relay)
}

fn envelopes_out_of_their_time_or_without_work_stay_where_they_are(world: &World) -> Outcome {
    let relay = confirming(world, &["--min-pow", "0.001"])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    let mut to = Prober::dial(world, &relay, &[])?;
    let order = |more: Value| {
        let mut order = json!({"topic": "01020304", "size": 99, "target": 0.002});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order
    };
    // Sent 10 s ahead of time is soon enough; whoever is later than 20 s past the end hears of it, others do not.
    let cases = [
        ("from-future", order(json!({"ttl": 50, "expires_in": 70})), true),
        ("from-future", order(json!({"ttl": 50, "expires_in": 4_000_000})), true),
        ("very-old", order(json!({"ttl": 50, "expires_in": -40})), true),
        ("very-old", order(json!({"ttl": 50, "expires_in": -1_000_000})), true),
        ("expired", order(json!({"ttl": 50, "expires_in": -5})), false),
        ("low-pow", json!({"topic": "01020304", "size": 9000, "ttl": 86_400, "expires_in": 30}), true),
    ];
    let mut refused = Vec::new();
    for (why, order, told) in cases {
        let before = counted(world, &relay, &format!("refused.{why}"))?;
        let envelope = from.seal_one(order)?;
        from.send(&[&envelope])?;
        let response = from.packet("message-response")?;
        let named =
            response["failures"].as_array().is_some_and(|failures| failures[0]["hash"] == envelope.hash.as_str());
        assert_eq!(named, told, "{why}: {response}");
        assert_eq!(counted(world, &relay, &format!("refused.{why}"))?, before + 1, "{why}");
        refused.push(envelope);
    }
    let soon = from.seal_one(order(json!({"ttl": 50, "expires_in": 57})))?;
    from.send(&[&soon])?;
    to.gets(&soon)?;
    assert!(refused.iter().all(|envelope| to.times(envelope) == 0));
    serves(world, &relay)
}

fn what_does_not_decode_offends_nobody(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut peer = Prober::dial(world, &relay, &[])?;
    let mut witness = Prober::dial(world, &relay, &[])?;
    let envelope = peer.seal_one(json!({"topic": "01020304", "size": 9, "target": 0.002}))?;
    // Nothing, a string, a list cut short, a list of a string, an envelope of four fields, a topic of five bytes, a
    // number with a leading zero, a nonce of nine bytes, an envelope with a sixth field, a good one before a bad one.
    let good = envelope.rlp.clone();
    let (expiry, ttl, topic, data, nonce) = ("846b01c949", "32", "8401020304", "83646f67", "01");
    let payloads = [
        String::new(),
        "83646f67".to_owned(),
        "f90400".to_owned(),
        "c483646f67".to_owned(),
        packet(&[expiry, ttl, topic, data]),
        packet(&[expiry, ttl, "850102030405", data, nonce]),
        packet(&["85006b01c949", ttl, topic, data, nonce]),
        packet(&[expiry, ttl, topic, data, "89112233445566778899"]),
        packet(&[expiry, ttl, topic, data, nonce, nonce]),
        list(&(good.clone() + "c3010203")),
    ];
    for payload in &payloads {
        peer.call("send", json!({"code": 1, "payload": payload}))?;
    }
    let bad_confirmations = ["", "a0aa", "c0", "83646f67", "c20101"];
    for payload in bad_confirmations {
        peer.call("send", json!({"code": 11, "payload": payload}))?;
        peer.call("send", json!({"code": 12, "payload": payload}))?;
    }
    pass(&mut peer, &mut witness)?;
    assert_eq!(witness.times(&envelope), 0, "a packet is taken whole or not at all");
    assert_eq!(counted(world, &relay, "refused.malformed-messages")?, 10);
    peer.send(&[&envelope])?;
    witness.gets(&envelope)?;
    serves(world, &relay)
}

fn codes_that_mean_nothing_are_ignored(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    for version in ["0", "1"] {
        let mut peer = Prober::dial(world, &relay, &["-version", version])?;
        let before = counted(world, &relay, "refused.unknown-code")?;
        // Of these 2, 3, 20 and 21 meant something in earlier versions.
        let codes = [2, 3, 4, 5, 10, 13, 19, 20, 21, 23, 77, 122, 123, 124];
        for code in codes {
            for payload in [&[][..], &[0xc0], &[0xff; 64]] {
                peer.packet_of(code, payload)?;
            }
        }
        peer.sync()?;
        assert_eq!(counted(world, &relay, "refused.unknown-code")?, before + 3 * codes.len() as u64);
        // Behind the range of the capability there is nobody to ignore it.
        peer.packet_of(128, &[0xc0])?;
        assert_eq!(peer.closed()?, None);
    }
    serves(world, &relay)
}

fn a_claim_of_sixteen_mebibytes_costs_nothing(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    serves(world, &relay)?;
    let before = relay.program.rss().ok_or("no memory")?;
    // An RLP list that claims 16 MiB - 1, an envelope that does, and a string in one.
    for payload in ["faffffff", "f4faffffff", "c5baffffff00"] {
        let mut peer = Prober::dial(world, &relay, &[])?;
        for code in [1, 22, 126, 127] {
            peer.call("send", json!({"code": code, "payload": payload}))?;
        }
        peer.sync()?;
    }
    // Snappy that claims 16 MiB - 1 and 16 MiB, and holds nothing.
    for claim in ["ffffff07", "80808008", "ffffffff0f"] {
        for code in [0, 1] {
            let mut peer = Prober::silent(world, &relay, &[])?;
            peer.call("raw", json!({"code": code, "payload": claim}))?;
            assert_eq!(peer.closed()?, None);
        }
    }
    // So many zeros indeed, before the status and after it.
    let zeros = (1 << 24) - 1;
    let mut peer = Prober::silent(world, &relay, &[])?;
    peer.call("send", json!({"code": 1, "zeros": zeros}))?;
    assert_eq!(peer.closed()?, None, "nobody's status is that large");
    let mut peer = Prober::dial(world, &relay, &[])?;
    peer.call("send", json!({"code": 1, "zeros": zeros}))?;
    assert_eq!(peer.closed()?, Some(0x10));
    serves(world, &relay)?;
    let grown = relay.program.rss().ok_or("no memory")?.saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes more");
    Ok(())
}

fn garbage_behind_a_valid_hello_ends_the_connection_alone(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut good = Prober::dial(world, &relay, &[])?;
    for garbage in ["00".repeat(32), "ff".repeat(32), "a5".repeat(100_000)] {
        let mut peer = Prober::silent(world, &relay, &[])?;
        peer.call("bytes", json!({"payload": garbage}))?;
        assert_eq!(peer.closed()?, None);
        let mut peer = Prober::dial(world, &relay, &[])?;
        peer.call("bytes", json!({"payload": garbage}))?;
        assert_eq!(peer.closed()?, None);
    }
    good.sync()?;
    serves(world, &relay)
}

fn packets_from_peer_to_peer_are_taken_from_trusted_nodes_and_never_forwarded(world: &World) -> Outcome {
    let (trusted, id) = node(0xb6)?;
    let relay = confirming(world, &["--trust", &id])?;
    let mut witness = Prober::dial(world, &relay, &[])?;
    let old = witness.seal_one(json!({"topic": "01020304", "size": 99, "expires_in": -1000}))?;
    let mut stranger = Prober::dial(world, &relay, &[])?;
    let mut friend = Prober::dial(world, &relay, &["-nodekey", &trusted])?;
    for (peer, taken, refused) in [(&mut stranger, 0, 1), (&mut friend, 1, 1)] {
        peer.send_as(127, &[&old])?;
        peer.sync()?;
        assert_eq!(counted(world, &relay, "envelope.direct")?, taken);
        assert_eq!(counted(world, &relay, "refused.untrusted")?, refused);
    }
    // A relay keeps no old envelopes, and says so to nobody.
    friend.call("send", json!({"code": 126, "payload": old.rlp}))?;
    friend.packet_of(125, &[0x80])?;
    pass(&mut friend, &mut witness)?;
    assert_eq!(witness.times(&old), 0);
    serves(world, &relay)
}

fn an_ignored_node_is_not_told_that_it_is(world: &World) -> Outcome {
    let (key, id) = node(0xc7)?;
    let relay = confirming(world, &["--ignore", &id])?;
    let mut ignored = Prober::dial(world, &relay, &["-nodekey", &key])?;
    let mut witness = Prober::dial(world, &relay, &[])?;
    let envelope = ignored.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    let batch = ignored.send(&[&envelope])?;
    let response = ignored.packet("message-response")?;
    assert_eq!((&response["batch"], &response["failures"]), (&batch.as_str().into(), &Value::Null));
    let mut good = Prober::dial(world, &relay, &[])?;
    pass(&mut good, &mut witness)?;
    assert_eq!(witness.times(&envelope), 0);
    // Of another it is taken.
    good.send(&[&envelope])?;
    witness.gets(&envelope)?;
    serves(world, &relay)
}

/// A Messages packet of one envelope with these fields, which take few bytes.
fn packet(fields: &[&str]) -> String {
    list(&list(&fields.concat()))
}
