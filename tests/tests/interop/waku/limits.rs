//! Limits: of size, of work, and of rate.

use std::time::{Duration, Instant};

use scenarios::peer::{Outcome, Scenario, World};
use serde_json::json;

use super::{PEERS, Prober, Sealed, confirming, counted, node, pass, serves, set, status};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        group: "waku",
        name: "a_larger_envelope_is_refused_and_a_larger_packet_ends_the_connection",
        peers: PEERS,
        shows: &["WAKU1-08", "WAKU1-09", "WAKU1-10", "WAKU1-11", "WAKU1-12"],
        within: Duration::from_secs(60),
        run: a_larger_envelope_is_refused_and_a_larger_packet_ends_the_connection,
    },
    Scenario {
        group: "waku",
        name: "by_default_ten_mebibytes_are_taken_and_no_more",
        peers: PEERS,
        shows: &["WAKU1-08", "WAKU1-09", "WAKU1-10"],
        within: Duration::from_secs(60),
        run: by_default_ten_mebibytes_are_taken_and_no_more,
    },
    Scenario {
        group: "waku",
        name: "after_a_raise_less_work_is_taken_for_ten_seconds_more",
        peers: PEERS,
        shows: &["WAKU1-33", "WAKU1-34", "WAKU1-35"],
        within: Duration::from_secs(60),
        run: after_a_raise_less_work_is_taken_for_ten_seconds_more,
    },
    Scenario {
        group: "waku",
        name: "rate_limits_are_told_and_what_exceeds_them_is_counted_and_taken",
        peers: PEERS,
        shows: &["WAKU1-45", "WAKU1-50", "WAKU1-54", "WU10-10", "WU10-14", "WU10-15"],
        within: Duration::from_secs(60),
        run: rate_limits_are_told_and_what_exceeds_them_is_counted_and_taken,
    },
    Scenario {
        group: "waku",
        name: "a_peer_with_limits_is_sent_all_in_fewer_packets",
        peers: PEERS,
        shows: &["WAKU1-51", "WAKU1-52", "WU10-16"],
        within: Duration::from_secs(60),
        run: a_peer_with_limits_is_sent_all_in_fewer_packets,
    },
    Scenario {
        group: "waku",
        name: "after_so_many_excesses_the_connection_ends",
        peers: PEERS,
        shows: &["WAKU1-46", "WAKU1-47", "WAKU1-48", "WAKU1-53", "WU10-11", "WU10-12", "WU10-13"],
        within: Duration::from_secs(60),
        run: after_so_many_excesses_the_connection_ends,
    },
];

fn a_larger_envelope_is_refused_and_a_larger_packet_ends_the_connection(world: &World) -> Outcome {
    let relay = confirming(world, &["--max-envelope", "1000", "--max-packet", "4000"])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    let mut to = Prober::dial(world, &relay, &[])?;
    // Messages are padded to multiples of 256: 512 + 28 + 20 is below the limit, 1024 + 28 + 20 above.
    let small = from.seal_one(json!({"topic": "01020304", "size": 400, "target": 0.002}))?;
    let large = from.seal_one(json!({"topic": "01020304", "size": 900, "target": 0.002}))?;
    from.send(&[&large, &small])?;
    to.gets(&small)?;
    assert_eq!(to.times(&large), 0);
    let failures = from.packet("message-response")?["failures"].take();
    assert_eq!(failures, json!([{"hash": large.hash, "code": 21, "text": "oversized envelope"}]));
    assert_eq!(counted(world, &relay, "refused.oversize")?, 1);

    // Each of them would be taken by itself.
    let many = from.seal(json!({"topic": "01020304", "size": 400, "target": 0.002, "n": 8}))?;
    from.send(&many.iter().collect::<Vec<_>>())?;
    assert_eq!(from.closed()?, Some(0x10));
    assert_eq!(counted(world, &relay, "peer.dropped.oversize-packet")?, 1);
    let mut other = Prober::dial(world, &relay, &[])?;
    pass(&mut other, &mut to)?;
    assert!(many.iter().all(|envelope| to.times(envelope) == 0), "a packet is taken whole or not at all");

    // A status may be of any size.
    let topics: Vec<String> = (0..10_000).map(|n| format!("{n:08x}")).collect();
    let mut peer = Prober::dial(world, &relay, &["-topics", &topics.join(",")])?;
    peer.sync()?;
    serves(world, &relay)
}

fn by_default_ten_mebibytes_are_taken_and_no_more(world: &World) -> Outcome {
    // Work on envelopes of this size would take the probe long.
    let relay = confirming(world, &["--min-pow", "0"])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    let mut to = Prober::dial(world, &relay, &["-pow", "0"])?;
    // What a node of the network has for a peer may come in one packet that the network's nodes would not take.
    let many = from.seal(json!({"topic": "01020304", "size": 500_000, "n": 19}))?;
    from.send(&many.iter().collect::<Vec<_>>())?;
    for envelope in &many {
        to.gets(envelope)?;
    }
    // Zeros, which decode to nothing, one byte below, at and above the limit: only the last one is not looked at.
    for (len, ends) in [((10 << 20) - 1, false), (10 << 20, false), ((10 << 20) + 1, true)] {
        let mut peer = Prober::dial(world, &relay, &[])?;
        peer.call("send", json!({"code": 1, "zeros": len}))?;
        if ends {
            assert_eq!(peer.closed()?, Some(0x10));
        } else {
            peer.sync()?;
        }
    }
    assert_eq!(counted(world, &relay, "peer.dropped.oversize-packet")?, 1);
    assert_eq!(counted(world, &relay, "refused.malformed-messages")?, 2);
    serves(world, &relay)
}

fn after_a_raise_less_work_is_taken_for_ten_seconds_more(world: &World) -> Outcome {
    let relay = confirming(world, &["--min-pow", "0.002"])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    let mut to = Prober::dial(world, &relay, &[])?;
    let mut weak = from.seal(json!({"topic": "01020304", "size": 99, "target": 0.002, "n": 100}))?;
    weak.retain(|envelope| envelope.pow < 0.05);
    let mut weak = weak.into_iter();
    set(world, &relay, &["--min-pow", "0.05"])?;
    let raised = Instant::now();
    assert_eq!(from.updates()?[0]["pow_requirement"], 0.05);
    let graced = weak.next().ok_or("none is weak")?;
    from.send(&[&graced])?;
    to.gets(&graced)?;
    let refused_after = loop {
        let envelope = weak.next().ok_or("the grace does not end")?;
        from.send(&[&envelope])?;
        pass(&mut from, &mut to)?;
        if to.times(&envelope) == 0 {
            break raised.elapsed();
        }
        std::thread::sleep(Duration::from_millis(250));
    };
    let grace = Duration::from_secs(9)..Duration::from_secs(14);
    assert!(grace.contains(&refused_after), "the grace took {refused_after:?}");
    assert_eq!(counted(world, &relay, "refused.low-pow")?, 1);

    // Lowered, less is enough from that moment on; raised at once, there is no grace.
    set(world, &relay, &["--min-pow", "0.002"])?;
    let envelope = weak.next().ok_or("none is left")?;
    from.send(&[&envelope])?;
    to.gets(&envelope)?;
    set(world, &relay, &["--min-pow", "0.05", "--at-once"])?;
    from.send(&[&weak.next().ok_or("none is left")?])?;
    from.sync()?;
    assert_eq!(counted(world, &relay, "refused.low-pow")?, 2);
    pass(&mut from, &mut to)
}

fn rate_limits_are_told_and_what_exceeds_them_is_counted_and_taken(world: &World) -> Outcome {
    let options = ["--packets-per-peer", "5", "--packets-per-address", "1000", "--bytes-per-peer", "2000000"];
    let relay = confirming(world, &[&options[..], &["--min-pow", "0"]].concat())?;
    let (mut from, said) = Prober::greet(world, &relay, &[])?;
    assert_eq!(said["packet_rate_limits"], json!([1000, 5, 0]));
    assert_eq!(said["bytes_rate_limits"], json!([0, 2_000_000, 0]));
    assert_eq!(status(world, &relay)?["waku"]["rate_limits"]["packets_per_peer"], 5);
    let mut to = Prober::dial(world, &relay, &["-pow", "0"])?;
    flood(&mut from, &mut to, 20)?;
    let by_packets = counted(world, &relay, "refused.rate-limit")?;
    assert!((10..=15).contains(&by_packets), "{by_packets} of 20 packets beyond a limit of 5 a second");

    // The same for bytes, of another node: four packets of a megabyte, whatever is in them.
    let mut heavy = Prober::dial(world, &relay, &[])?;
    for _ in 0..4 {
        heavy.call("send", json!({"code": 99, "zeros": 1_000_000}))?;
    }
    pass(&mut heavy, &mut to)?;
    assert!(counted(world, &relay, "refused.rate-limit")? > by_packets);
    assert_eq!(counted(world, &relay, "peer.dropped.rate-limit")?, 0);
    Ok(())
}

fn after_so_many_excesses_the_connection_ends(world: &World) -> Outcome {
    let (spared, spared_id) = node(0xa5)?;
    let relay =
        confirming(world, &["--packets-per-peer", "5", "--excess-tolerance", "10", "--spare-peer", &spared_id])?;
    let mut witness = Prober::dial(world, &relay, &[])?;
    let mut white = Prober::dial(world, &relay, &["-nodekey", &spared])?;
    flood(&mut white, &mut witness, 30)?;
    assert_eq!(counted(world, &relay, "refused.rate-limit")?, 0, "it is spared");
    let mut greedy = Prober::dial(world, &relay, &[])?;
    let envelopes = greedy.seal(json!({"topic": "01020304", "size": 99, "target": 0.002, "n": 40}))?;
    let mut sent = 0;
    for envelope in &envelopes {
        sent += u32::from(greedy.send(&[envelope]).is_ok());
    }
    assert!(sent >= 10);
    assert_eq!(greedy.closed()?, Some(0x10));
    assert_eq!(counted(world, &relay, "peer.dropped.rate-limit")?, 1);

    // The limit of an address counts whoever is there.
    let relay = confirming(world, &["--packets-per-address", "8", "--excess-tolerance", "20"])?;
    let mut pair = [Prober::dial(world, &relay, &[])?, Prober::dial(world, &relay, &[])?];
    let envelopes = pair[0].seal(json!({"topic": "01020304", "size": 99, "target": 0.002, "n": 60}))?;
    for (index, envelope) in envelopes.iter().enumerate() {
        let _closed = pair[index % 2].send(&[envelope]);
    }
    let [first, second] = &mut pair;
    assert!(first.closed().or_else(|_| second.closed())? == Some(0x10));
    let relay =
        confirming(world, &["--packets-per-address", "8", "--excess-tolerance", "2", "--spare-address", "127.0.0.1"])?;
    let [mut from, mut to] = [Prober::dial(world, &relay, &[])?, Prober::dial(world, &relay, &[])?];
    flood(&mut from, &mut to, 30)?;
    serves(world, &relay)
}

fn a_peer_with_limits_is_sent_all_in_fewer_packets(world: &World) -> Outcome {
    let relay = confirming(world, &[])?;
    let mut from = Prober::dial(world, &relay, &[])?;
    // [4, [0, 5, 0]]: five packets a second.
    let mut limited = Prober::dial(world, &relay, &["-rawstatus", "c6c504c3800580"])?;
    let mut free = Prober::dial(world, &relay, &[])?;
    let envelopes = from.seal(json!({"topic": "01020304", "size": 99, "target": 0.002, "n": 40}))?;
    for envelope in &envelopes {
        from.send(&[envelope])?;
        free.gets(envelope)?;
    }
    let mut came = Vec::new();
    let mut missing = envelopes.len();
    while missing > 0 {
        let packet = limited.messages()?;
        missing -= packet["envelopes"].as_array().map_or(0, Vec::len);
        came.push(packet["t"].as_u64().ok_or("no time")?);
    }
    assert!(came.len() < envelopes.len(), "{} packets", came.len());
    let crowded = came.windows(6).find(|six| six[5] - six[0] < 1_000_000);
    assert_eq!(crowded, None, "six packets within a second");
    Ok(())
}

/// Sends so many packets at once, and sees that all of them arrive.
fn flood(from: &mut Prober, to: &mut Prober, packets: usize) -> Outcome {
    let envelopes = from.seal(json!({"topic": "01020304", "size": 99, "target": 0.002, "n": packets}))?;
    for envelope in &envelopes {
        from.send(&[envelope])?;
    }
    envelopes.iter().try_for_each(|envelope: &Sealed| to.gets(envelope).map(drop))
}
