//! The modes of a node: what it asks for, what it offers, and what a light node does not do.

use std::time::Duration;

use proto::Topic;
use scenarios::peer::{Outcome, Scenario, World};
use serde_json::{Value, json};
use wire::waku::BloomFilter;

use super::{PEERS, Prober, confirming, counted, serves, status};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "waku",
        name: "a_full_node_says_so_with_every_bit_and_carries_every_topic",
        peers: PEERS,
        shows: &["WAKU1-03", "WAKU1-20", "WAKU1-27", "WAKU1-37", "WU10-06"],
        within: Duration::from_secs(60),
        run: a_full_node_says_so_with_every_bit_and_carries_every_topic,
    },
    Scenario {
        group: "waku",
        name: "in_bloom_mode_a_relay_carries_what_lies_inside_its_filter",
        peers: PEERS,
        shows: &["WAKU1-36", "WAKU1-04", "GO-04"],
        within: Duration::from_secs(60),
        run: in_bloom_mode_a_relay_carries_what_lies_inside_its_filter,
    },
    Scenario {
        group: "waku",
        name: "with_a_topic_interest_a_relay_carries_these_topics_alone",
        peers: PEERS,
        shows: &["WAKU1-27", "WAKU1-42"],
        within: Duration::from_secs(60),
        run: with_a_topic_interest_a_relay_carries_these_topics_alone,
    },
    Scenario {
        group: "waku",
        name: "a_light_node_forwards_nothing_of_others",
        peers: PEERS,
        shows: &["WAKU1-05", "WAKU1-56", "WAKU1-65", "WAKU1-68", "WU10-08"],
        within: Duration::from_secs(60),
        run: a_light_node_forwards_nothing_of_others,
    },
    Scenario {
        group: "waku",
        name: "two_light_nodes_part_unless_they_are_told_to_stay",
        peers: PEERS,
        shows: &["WAKU1-67"],
        within: Duration::from_secs(60),
        run: two_light_nodes_part_unless_they_are_told_to_stay,
    },
    Scenario {
        group: "waku",
        name: "the_highest_version_that_both_offer_is_spoken",
        peers: PEERS,
        shows: &["WAKU1-71", "WAKU1-72", "WAKU1-73", "CLIENT-03", "CLIENT-02"],
        within: Duration::from_secs(60),
        run: the_highest_version_that_both_offer_is_spoken,
    },
];

fn a_full_node_says_so_with_every_bit_and_carries_every_topic(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let (mut from, said) = Prober::greet(world, &relay, &[])?;
    assert_eq!((&said["bloom_full"], &said["light_node"]), (&true.into(), &false.into()));
    assert_eq!((&said["keys"], &said["pow_requirement"]), (&json!([0, 1, 2, 3, 4, 6]), &0.000_002.into()));
    let mut to = Prober::dial(world, &relay, &[])?;
    for topic in ["00000000", "ffffffff", "01020304", "80000006"] {
        let envelope = from.seal_one(json!({"topic": topic, "size": 99, "target": 0.002}))?;
        from.send(&[&envelope])?;
        to.gets(&envelope)?;
    }
    Ok(())
}

fn in_bloom_mode_a_relay_carries_what_lies_inside_its_filter(world: &World) -> Outcome {
    // Of the second one, whose bits share a byte, status-go's value has fewer bits than the specified one.
    let (inside, shared, outside) = ("aabbccdd", "00010200", "01020304");
    let relay = confirming(world, &["--interest", &format!("bloom:{inside},{shared}")])?;
    let (mut from, said) = Prober::greet(world, &relay, &[])?;
    let topics = [[0xaa, 0xbb, 0xcc, 0xdd], [0, 1, 2, 0]].map(Topic::from);
    assert_eq!(said["bloom_filter"], hex::encode(BloomFilter::of_topics(topics).as_bytes()));
    carries(world, &relay, &mut from, &[inside, shared], outside)
}

fn with_a_topic_interest_a_relay_carries_these_topics_alone(world: &World) -> Outcome {
    let relay = confirming(world, &["--interest", "topics:aabbccdd,00010200"])?;
    let (mut from, said) = Prober::greet(world, &relay, &[])?;
    assert_eq!(said["topic_interest"], json!(["0x00010200", "0xaabbccdd"]));
    assert_eq!(said["bloom_filter"], Value::Null);
    carries(world, &relay, &mut from, &["aabbccdd", "00010200"], "01020304")?;

    // As many as a status may list.
    let topics: Vec<String> = (0..10_000).map(|n| format!("{n:08x}")).collect();
    let relay = confirming(world, &["--interest", &format!("topics:{}", topics.join(","))])?;
    let (mut from, said) = Prober::greet(world, &relay, &[])?;
    assert_eq!(said["topic_interest"].as_array().map(Vec::len), Some(10_000));
    carries(world, &relay, &mut from, &["00000000", "0000270f"], "00002710")
}

/// Shows that envelopes of some topics are carried, and that of another is refused, without offence.
fn carries(world: &World, relay: &scenarios::peer::Relay, from: &mut Prober, topics: &[&str], other: &str) -> Outcome {
    let mut to = Prober::dial(world, relay, &[])?;
    let unwanted = from.seal_one(json!({"topic": other, "size": 99, "target": 0.002}))?;
    from.send(&[&unwanted])?;
    for topic in topics {
        let envelope = from.seal_one(json!({"topic": topic, "size": 99, "target": 0.002}))?;
        from.send(&[&envelope])?;
        to.gets(&envelope)?;
    }
    assert_eq!(to.times(&unwanted), 0);
    assert_eq!(counted(world, relay, "refused.unwanted")?, 1);
    Ok(())
}

fn a_light_node_forwards_nothing_of_others(world: &World) -> Outcome {
    let relay = confirming(world, &["--light"])?;
    let (mut from, said) = Prober::greet(world, &relay, &[])?;
    assert_eq!(said["light_node"], true);
    assert_eq!(status(world, &relay)?["waku"]["light_node"], true);
    let mut to = Prober::dial(world, &relay, &[])?;
    let envelope = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    from.send(&[&envelope])?;
    // It has taken the envelope in once it confirms it, and tells the other peer of its minimum after that.
    from.packet("batch-ack")?;
    super::set(world, &relay, &["--min-pow", "0.001"])?;
    loop {
        let packet = to.next()?;
        assert_ne!(packet["name"], "messages");
        if packet["name"] == "status-update" {
            break;
        }
    }
    assert_eq!(counted(world, &relay, "envelope.new")?, 1);
    Ok(())
}

fn two_light_nodes_part_unless_they_are_told_to_stay(world: &World) -> Outcome {
    let relay = confirming(world, &["--light"])?;
    let mut light = Prober::dial(world, &relay, &["-light"])?;
    assert_eq!(light.closed()?, Some(0x10));
    assert_eq!(counted(world, &relay, "peer.dropped.bad-status")?, 1);

    let relay = confirming(world, &["--light", "--accept-light-peers"])?;
    let mut light = Prober::dial(world, &relay, &["-light"])?;
    let envelope = light.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    light.send(&[&envelope])?;
    light.packet("batch-ack")?;

    // A full node has light peers.
    let relay = confirming(world, &[])?;
    let mut light = Prober::dial(world, &relay, &["-light"])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    from.send(&[&envelope])?;
    light.gets(&envelope)?;
    serves(world, &relay)
}

fn the_highest_version_that_both_offer_is_spoken(world: &World) -> Outcome {
    let cases: [(&[&str], &[&str]); 5] = [
        (&[], &["-caps", "waku/0,waku/1", "-version", "1"]),
        (&[], &["-caps", "shh/6,waku/0", "-version", "0"]),
        (&[], &["-version", "0"]),
        (&["--capability", "waku/0"], &["-caps", "waku/0,waku/1", "-version", "0"]),
        (&["--capability", "waku/1"], &["-caps", "waku/0,waku/1,waku/2", "-version", "1"]),
    ];
    for (options, flags) in cases {
        let relay = confirming(world, options)?;
        let (mut from, said) = Prober::greet(world, &relay, flags)?;
        // A status in the other version's shape has no keys here.
        assert!(said["keys"].as_array().is_some_and(|keys| keys.contains(&json!(0))), "{flags:?}: {said}");
        let version = status(world, &relay)?["peers"][0]["capability"].clone();
        assert_eq!(version, format!("waku/{}", flags.last().unwrap()));
        let mut to = Prober::dial(world, &relay, flags)?;
        let envelope = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
        from.send(&[&envelope])?;
        to.gets(&envelope)?;
    }
    // Nothing in common: Whisper is not offered.
    let relay = confirming(world, &[])?;
    let mut stranger = Prober::silent(world, &relay, &["-caps", "shh/6"])?;
    assert_eq!(stranger.closed()?, Some(3));
    serves(world, &relay)
}
