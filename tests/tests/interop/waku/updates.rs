//! Status options: what a status may look like, and what either side says later.

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, World};
use serde_json::{Value, json};
use wire::waku::BloomFilter;

use super::{PEERS, Prober, Sealed, confirming, counted, hex_topic, list, serves, set};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "waku",
        name: "what_a_peer_changes_holds_from_then_on",
        peers: PEERS,
        shows: &[
            "WAKU1-30", "WAKU1-31", "WAKU1-38", "WAKU1-39", "WAKU1-40", "WAKU1-41", "WAKU1-43", "WAKU1-44", "WU10-07",
        ],
        within: Duration::from_secs(60),
        run: what_a_peer_changes_holds_from_then_on,
    },
    Scenario {
        group: "waku",
        name: "what_an_operator_changes_is_told_once_and_alone",
        peers: PEERS,
        shows: &["WAKU1-17", "WAKU1-32"],
        within: Duration::from_secs(60),
        run: what_an_operator_changes_is_told_once_and_alone,
    },
    Scenario {
        group: "waku",
        name: "a_status_may_hold_anything_in_any_order",
        peers: PEERS,
        shows: &["WAKU1-27", "WAKU1-28", "WAKU1-29", "WAKU1-75"],
        within: Duration::from_secs(60),
        run: a_status_may_hold_anything_in_any_order,
    },
];

const A: &str = "aabbccdd";
const B: &str = "01020304";

fn what_a_peer_changes_holds_from_then_on(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    for version in ["0", "1"] {
        let flags = ["-version", version, "-topics", A];
        let mut to = Prober::dial(world, &relay, &flags)?;
        let mut witness = Prober::dial(world, &relay, &[])?;
        let filter = |topic: &str| hex::encode(BloomFilter::of_topics([hex_topic(topic)]).as_bytes());
        // What it says, and of which of the two topics it wants envelopes from then on.
        let steps = [
            (Value::Null, [true, false]),
            (json!({}), [true, false]),
            (json!({"topics": [B]}), [false, true]),
            (json!({"topics": [A, B]}), [true, true]),
            (json!({"bloom": filter(A)}), [true, false]),
            (json!({"confirm": true}), [true, false]),
            (json!({"bloom": filter(A), "topics": [B]}), [false, true]),
            (json!({"bloom": "00".repeat(64)}), [false, false]),
            (json!({"bloom": ""}), [true, true]),
            (json!({"topics": []}), [false, false]),
            (json!({"bloom": "ff".repeat(64)}), [true, true]),
        ];
        for (update, wanted) in steps {
            if update.is_object() {
                to.call("update", update.clone())?;
                to.sync()?;
            }
            let [a, b] = [A, B].map(|topic| from.seal_one(json!({"topic": topic, "size": 99, "target": 0.002})));
            let (a, b) = (a?, b?);
            from.send(&[&a, &b])?;
            witness.gets(&b)?;
            to.sync()?;
            let came = [&a, &b].map(|envelope| to.times(envelope) == 1);
            assert_eq!(came, wanted, "waku/{version}, after {update}");
        }
    }
    Ok(())
}

fn what_an_operator_changes_is_told_once_and_alone(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    for version in ["0", "1"] {
        let mut peer = Prober::dial(world, &relay, &["-version", version])?;
        let topics = format!("topics:{A},{B}");
        let bloom = format!("bloom:{A}");
        let (pow, before) = (["--min-pow", "0.003"], ["--min-pow", "0.001"]);
        // What is set, and the keys of the options that are told; the second time there is nothing to tell.
        let steps: [(&[&str], Value); 6] = [
            (&pow, json!([0])),
            (&["--interest", &topics], json!([5])),
            (&["--interest", &bloom], json!([1])),
            (&["--interest", &topics, "--min-pow", "0.002"], json!([0, 5])),
            (&["--interest", "full"], json!([1])),
            (&before, json!([0])),
        ];
        for (options, keys) in steps {
            for again in [false, true] {
                set(world, &relay, options)?;
                let told = peer.updates()?;
                let told: Vec<&Value> = told.iter().flat_map(|it| it["keys"].as_array().unwrap()).collect();
                let expected = if again { Vec::new() } else { keys.as_array().unwrap().iter().collect() };
                assert_eq!(told, expected, "waku/{version}, after {options:?}, again: {again}");
            }
        }
        set(world, &relay, &["--interest", &topics])?;
        assert_eq!(peer.updates()?[0]["topic_interest"], json!([format!("0x{B}"), format!("0x{A}")]));
        set(world, &relay, &["--min-pow", "0.25", "--interest", "full"])?;
        let told = peer.updates()?;
        assert_eq!((&told[0]["pow_requirement"], &told[1]["bloom_full"]), (&0.25.into(), &true.into()));
        set(world, &relay, &["--min-pow", "0.000002", "--at-once"])?;
    }
    Ok(())
}

fn a_status_may_hold_anything_in_any_order(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    // [key, value] pairs of waku/1: proof of work 0.5, light node, confirmations, topic interest, an option of later.
    let (pow, light, confirm) = ("ca80883fe0000000000000", "c20280", "c20301");
    let (topics, later) = ("c705c584aabbccdd", "c66384deadbeef");
    let statuses = [
        list(""),
        list(&[topics, confirm, light, pow].concat()),
        list(&[pow, light, confirm, topics].concat()),
        list(&[later, topics, later, pow].concat()),
        list(topics),
    ];
    for (index, said) in statuses.iter().enumerate() {
        let mut to = Prober::dial(world, &relay, &["-rawstatus", said])?;
        let mut witness = Prober::dial(world, &relay, &[])?;
        let weak = from.seal(json!({"topic": A, "size": 99, "target": 0.002, "n": 16}))?;
        let weak: Vec<&Sealed> = weak.iter().filter(|envelope| envelope.pow < 0.5).take(1).collect();
        let strong = from.seal_one(json!({"topic": A, "size": 99, "target": 0.5}))?;
        let other = from.seal_one(json!({"topic": B, "size": 99, "target": 0.5}))?;
        from.send(&[weak[0], &other, &strong])?;
        witness.gets(&strong)?;
        to.gets(&strong)?;
        let (asks_work, has_interest) = (said.contains(pow), said.contains(topics));
        assert_eq!(
            (to.times(weak[0]), to.times(&other)),
            ((!asks_work).into(), (!has_interest).into()),
            "status {index}"
        );
    }
    assert_eq!(counted(world, &relay, "peer.dropped.bad-status")?, 0);
    serves(world, &relay)
}
