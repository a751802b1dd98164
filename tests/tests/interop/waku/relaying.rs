//! Relaying: who gets an envelope, once and unchanged, and who does not.

use std::time::Duration;

use k256::SecretKey;
use proto::ChatKey;
use scenarios::peer::{Outcome, Scenario, World};
use serde_json::json;

use super::{PEERS, Prober, Sealed, confirming, serves, status};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "waku",
        name: "an_envelope_reaches_the_other_side_byte_for_byte_and_opens_there",
        peers: PEERS,
        shows: &[
            "CLIENT-04",
            "WAKU1-04",
            "WAKU1-13",
            "WAKU1-14",
            "WAKU1-17",
            "WAKU1-19",
            "WAKU1-64",
            "WDATA-01",
            "WDATA-03",
            "WDATA-12",
            "WDATA-14",
        ],
        within: Duration::from_secs(60),
        run: an_envelope_reaches_the_other_side_byte_for_byte_and_opens_there,
    },
    Scenario {
        group: "waku",
        name: "nobody_gets_an_envelope_twice_or_back",
        peers: PEERS,
        shows: &["WAKU1-07"],
        within: Duration::from_secs(60),
        run: nobody_gets_an_envelope_twice_or_back,
    },
    Scenario {
        group: "waku",
        name: "what_has_expired_is_sent_to_nobody",
        peers: PEERS,
        shows: &["WAKU1-06"],
        within: Duration::from_secs(60),
        run: what_has_expired_is_sent_to_nobody,
    },
    Scenario {
        group: "waku",
        name: "a_newcomer_gets_all_there_is_in_packets_below_a_mebibyte",
        peers: PEERS,
        shows: &["WAKU1-08", "WAKU1-09"],
        within: Duration::from_secs(60),
        run: a_newcomer_gets_all_there_is_in_packets_below_a_mebibyte,
    },
    Scenario {
        group: "waku",
        name: "a_peer_gets_no_envelope_below_the_work_it_asks_for",
        peers: PEERS,
        shows: &["WAKU1-04", "WAKU1-34", "WAKU1-35"],
        within: Duration::from_secs(60),
        run: a_peer_gets_no_envelope_below_the_work_it_asks_for,
    },
    Scenario {
        group: "waku",
        name: "a_relay_dials_the_peer_it_is_told_of",
        peers: PEERS,
        shows: &["WAKU1-02", "WAKU1-78", "CLIENT-27"],
        within: Duration::from_secs(60),
        run: a_relay_dials_the_peer_it_is_told_of,
    },
];

fn an_envelope_reaches_the_other_side_byte_for_byte_and_opens_there(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let (recipient, signer) = (SecretKey::from_slice(&[7; 32])?, SecretKey::from_slice(&[8; 32])?);
    let (to, sign) = (ChatKey::from(recipient.public_key()), ChatKey::from(signer.public_key()));
    let (symkey, privkey) = (hex::encode([9; 32]), hex::encode(recipient.to_bytes()));
    let signing = hex::encode(signer.to_bytes());
    let mut from = Prober::dial(world, &relay, &[])?;
    let mut reader = Prober::dial(world, &relay, &["-symkey", &symkey, "-privkey", &privkey])?;
    let orders = [
        json!({"topic": "01020304", "text": "symmetric", "symkey": symkey, "target": 0.002}),
        json!({"topic": "01020304", "text": "symmetric", "symkey": symkey, "sign": signing, "target": 0.002}),
        json!({"topic": "05060708", "text": "asymmetric", "to": to.to_string(), "target": 0.002}),
        json!({"topic": "05060708", "text": "asymmetric", "to": to.to_string(), "sign": signing, "target": 0.002}),
        json!({"topic": "#status", "text": "none can read this", "symkey": hex::encode([1; 32]), "target": 0.002}),
    ];
    for order in orders {
        let envelope = from.seal_one(order.clone())?;
        from.send(&[&envelope])?;
        let got = reader.gets(&envelope)?;
        assert_eq!(got["rlp"], envelope.rlp.as_str(), "byte for byte");
        let readable = order["topic"] != "#status";
        assert_eq!(got["payload_text"].is_string(), readable, "{got}");
        if readable {
            assert_eq!(got["payload_text"], format!("\"{}\"", order["text"].as_str().unwrap()));
            let src = order.get("sign").map(|_| sign.to_string().trim_start_matches("0x").to_owned());
            assert_eq!(got.get("src").and_then(|src| src.as_str()), src.as_deref(), "who signed");
        }
    }
    Ok(())
}

fn nobody_gets_an_envelope_twice_or_back(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut senders = [Prober::dial(world, &relay, &[])?, Prober::dial(world, &relay, &[])?];
    let mut reader = Prober::dial(world, &relay, &[])?;
    let envelope = senders[0].seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    senders[0].send(&[&envelope, &envelope])?;
    reader.gets(&envelope)?;
    for sender in &mut senders {
        sender.send(&[&envelope])?;
        let fence = sender.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
        sender.send(&[&fence])?;
        reader.gets(&fence)?;
    }
    assert_eq!(reader.times(&envelope), 1);
    let fence = reader.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    reader.send(&[&fence])?;
    let [first, second] = &mut senders;
    first.gets(&fence)?;
    second.gets(&fence)?;
    assert_eq!((first.times(&envelope), second.times(&envelope)), (0, 1), "it was the first one's own");
    Ok(())
}

fn what_has_expired_is_sent_to_nobody(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    let mut witness = Prober::dial(world, &relay, &[])?;
    let brief = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002, "ttl": 3}))?;
    from.send(&[&brief])?;
    witness.gets(&brief)?;
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    while status(world, &relay)?["envelopes_pooled"] != 0 {
        assert!(std::time::Instant::now() < deadline, "it stays in the pool");
    }
    let mut late = Prober::dial(world, &relay, &[])?;
    let fence = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    from.send(&[&brief, &fence])?;
    late.gets(&fence)?;
    witness.gets(&fence)?;
    assert_eq!((late.times(&brief), witness.times(&brief)), (0, 1));
    Ok(())
}

fn a_newcomer_gets_all_there_is_in_packets_below_a_mebibyte(world: &World) -> Outcome {
    // Work on envelopes of this size would take the probe long.
    let relay = confirming(world, &["--min-pow", "0"])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    let envelopes = from.seal(json!({"topic": "01020304", "size": 200_000, "n": 24}))?;
    // The network's nodes put all they have into one packet, and none of them would take it.
    from.send(&envelopes.iter().collect::<Vec<_>>())?;
    let mut newcomer = Prober::dial(world, &relay, &["-pow", "0"])?;
    let mut missing: Vec<&Sealed> = envelopes.iter().collect();
    while !missing.is_empty() {
        let packet = newcomer.messages()?;
        assert!(packet["size"].as_u64().unwrap() < 1 << 20, "{}", packet["size"]);
        let came = packet["envelopes"].as_array().unwrap();
        let before = missing.len();
        missing.retain(|envelope| came.iter().all(|it| it["hash"] != envelope.hash.as_str()));
        assert_eq!(before - missing.len(), came.len(), "each of them once");
    }
    Ok(())
}

fn a_peer_gets_no_envelope_below_the_work_it_asks_for(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    let mut strict = Prober::dial(world, &relay, &["-pow", "0.02"])?;
    let mut lax = Prober::dial(world, &relay, &["-pow", "0.00001"])?;
    let low = from.seal(json!({"topic": "01020304", "size": 99, "target": 0.002, "n": 16}))?;
    let low: Vec<&Sealed> = low.iter().filter(|envelope| envelope.pow < 0.02).collect();
    assert!(!low.is_empty());
    from.send(&low)?;
    let high = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.02}))?;
    from.send(&[&high])?;
    strict.gets(&high)?;
    for envelope in low {
        lax.gets(envelope)?;
        assert_eq!(strict.times(envelope), 0, "a proof of work of {}", envelope.pow);
    }
    Ok(())
}

fn a_relay_dials_the_peer_it_is_told_of(world: &World) -> Outcome {
    let (mut dialled, enode) = Prober::listen(world, &[])?;
    let relay = confirming(world, &["--peer", &enode])?;
    let up = dialled.up()?;
    assert_eq!(up["caps"], "[waku/0 waku/1]");
    dialled.say_status()?;
    dialled.status()?;
    assert_eq!(status(world, &relay)?["peers"][0]["inbound"], false);
    let mut from = Prober::dial(world, &relay, &[])?;
    let envelope = from.seal_one(json!({"topic": "01020304", "size": 99, "target": 0.002}))?;
    from.send(&[&envelope])?;
    dialled.gets(&envelope)?;
    serves(world, &relay)
}
