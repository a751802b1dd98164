//! Confirmations: Batch Acknowledgement and Message Response.

use std::time::Duration;

use scenarios::peer::{Outcome, Scenario, World};
use serde_json::{Value, json};

use super::{PEERS, Prober, Sealed, confirming, serves};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "waku",
        name: "every_packet_that_decodes_is_confirmed_and_what_was_refused_is_named",
        peers: PEERS,
        shows: &["WAKU1-18", "WAKU1-58", "WAKU1-59", "WAKU1-60", "WAKU1-61", "WU10-09", "WU10-33", "WU10-34", "WU3-28"],
        within: Duration::from_secs(60),
        run: every_packet_that_decodes_is_confirmed_and_what_was_refused_is_named,
    },
    Scenario {
        group: "waku",
        name: "confirmations_are_not_passed_on",
        peers: PEERS,
        shows: &["WU10-35", "WU3-30"],
        within: Duration::from_secs(60),
        run: confirmations_are_not_passed_on,
    },
    Scenario {
        group: "waku",
        name: "who_confirms_is_confirmed_in_return",
        peers: PEERS,
        shows: &["WAKU1-58"],
        within: Duration::from_secs(60),
        run: who_confirms_is_confirmed_in_return,
    },
    Scenario {
        group: "waku",
        name: "without_confirmations_none_is_sent",
        peers: PEERS,
        shows: &["WAKU1-58"],
        within: Duration::from_secs(60),
        run: without_confirmations_none_is_sent,
    },
];

fn every_packet_that_decodes_is_confirmed_and_what_was_refused_is_named(world: &World) -> Outcome {
    let relay = confirming(world, &["--min-pow", "0.002"])?;
    // Whether the other side confirms makes no difference.
    for flags in [&["-topics", "empty", "-confirm"][..], &["-topics", "empty"]] {
        let (mut peer, said) = Prober::greet(world, &relay, flags)?;
        assert_eq!(said["confirmations"], true);
        let good = peer.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
        let weak = peer.seal(json!({"topic": "01020304", "size": 99, "n": 16}))?;
        let weak = weak.into_iter().find(|envelope| envelope.pow < 0.002).ok_or("none is weak")?;
        let future = peer.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002, "expires_in": 90}))?;
        let very_old = peer.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002, "expires_in": -60}))?;
        let batches: [(&[&Sealed], &[&Sealed]); 4] = [
            (&[&good], &[]),
            (&[], &[]),
            (&[&good, &weak, &future, &very_old], &[&weak, &future, &very_old]),
            (&[&weak], &[&weak]),
        ];
        for (envelopes, refused) in batches {
            let batch = peer.send(envelopes)?;
            let (response, ack) = (peer.next()?, peer.next()?);
            assert_eq!((&response["name"], &ack["name"]), (&"message-response".into(), &"batch-ack".into()));
            assert_eq!((&response["error"], &ack["error"]), (&Value::Null, &Value::Null));
            assert_eq!((&response["batch"], &ack["batch"]), (&batch.as_str().into(), &batch.as_str().into()));
            let failures = response["failures"].as_array().cloned().unwrap_or_default();
            let named: Vec<_> = failures.iter().map(|it| (it["hash"].as_str().unwrap(), &it["code"])).collect();
            let code = json!(21);
            assert_eq!(named, refused.iter().map(|it| (it.hash.as_str(), &code)).collect::<Vec<_>>());
        }
    }
    serves(world, &relay)
}

fn confirmations_are_not_passed_on(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut from = Prober::dial(world, &relay, &["-confirm"])?;
    let mut to = Prober::dial(world, &relay, &["-confirm"])?;
    let envelope = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    from.send(&[&envelope])?;
    let packet = to.messages()?;
    // It confirms what it got, as every peer may.
    let batch = packet["batch"].as_str().unwrap().trim_start_matches("0x").to_owned();
    to.call("send", json!({"code": 12, "payload": format!("e401e2a0{batch}c0")}))?;
    to.call("send", json!({"code": 11, "payload": format!("a0{batch}")}))?;
    to.sync()?;
    from.packet("message-response")?;
    from.packet("batch-ack")?;
    let own = from.send(&[])?;
    let response = from.next()?;
    assert_eq!(response["batch"], own.as_str(), "the next word is about its own packet");
    assert_eq!(from.next()?["batch"], own.as_str());
    Ok(())
}

fn who_confirms_is_confirmed_in_return(world: &World) -> Outcome {
    let relay = world.relay(&[])?;
    let (mut promising, said) = Prober::greet(world, &relay, &["-confirm"])?;
    assert_eq!(said["confirmations"], false);
    let update = promising.packet("status-update")?;
    assert_eq!(update["status"]["confirmations"], true);
    let batch = promising.send(&[])?;
    assert_eq!(promising.packet("batch-ack")?["batch"], batch.as_str());

    let (mut silent, _) = Prober::greet(world, &relay, &[])?;
    let envelope = promising.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    silent.send(&[])?;
    promising.send(&[&envelope])?;
    assert_eq!(silent.next()?["name"], "messages", "it is neither told nor confirmed");
    Ok(())
}

fn without_confirmations_none_is_sent(world: &World) -> Outcome {
    let relay = world.relay(&["--confirmations", "never"])?;
    let (mut from, said) = Prober::greet(world, &relay, &["-confirm"])?;
    assert_eq!(said["confirmations"], false);
    let mut to = Prober::dial(world, &relay, &["-confirm"])?;
    let envelope = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    from.send(&[&envelope])?;
    to.gets(&envelope)?;
    let answer = to.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    to.send(&[&answer])?;
    assert_eq!(from.next()?["name"], "messages", "nothing comes before the answer");
    Ok(())
}
