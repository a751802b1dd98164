//! Statuses, updates, and what comes in their place.

use super::*;

/// WAKU1-20, WAKU1-24, WAKU1-25: whatever comes before the status ends the connection.
#[test]
fn a_packet_before_the_status_ends_the_connection() {
    for code in [code::MESSAGES, code::STATUS_UPDATE, code::BATCH_ACK, 99] {
        let mut solo = Solo::new(full());
        let told = solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), address: None, version: 1 });
        assert_eq!(payloads(&told, 1, code::STATUS).len(), 1);
        assert_eq!(drops(&solo.packet(1, code, &[0xc0])), ["before-status"]);
        assert_eq!(solo.host.peers().count(), 0);
        assert!(solo.packet(1, code::STATUS, &[0xc0]).is_empty(), "it is forgotten");
    }
}

/// WAKU1-21: no envelope is sent to a peer whose status is not in.
#[test]
fn no_envelope_is_sent_before_the_peers_status() {
    let mut solo = Solo::new(full());
    solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), address: None, version: 1 });
    let envelope = fresh(topic(1), 1);
    let mut told = solo.give(Input::Post(envelope.clone()));
    told.extend(solo.pass(Duration::from_secs(2)));
    assert!(sent_to(&told, 1).is_empty());
    let told = solo.packet(1, code::STATUS, &[0xc0]);
    assert_eq!(sent_to(&told, 1), [envelope.hash()]);
}

/// WAKU1-22: a peer that stays silent is dropped.
#[test]
fn a_status_that_does_not_come_is_not_waited_for() {
    let mut solo = Solo::new(Config { status_timeout: Duration::from_secs(3), ..full() });
    solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), address: None, version: 1 });
    assert!(solo.pass(Duration::from_millis(2_999)).is_empty());
    assert_eq!(drops(&solo.pass(Duration::from_millis(1))), ["no-status"]);
}

/// WAKU1-23: an impossible status ends the connection.
#[test]
fn a_bad_status_ends_the_connection() {
    let bad = [
        Options { pow_bits: Some(f64::NAN.to_bits()), ..Options::default() },
        Options { bloom: Some(vec![1; 63]), ..Options::default() },
        Options { topics: Some(vec![topic(1); 10_001]), ..Options::default() },
    ];
    for payload in bad.iter().map(|o| o.to_status(Version::V1)).chain([vec![], vec![0x80], vec![0xc1]]) {
        let mut solo = Solo::new(full());
        solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), address: None, version: 1 });
        assert_eq!(drops(&solo.packet(1, code::STATUS, &payload)), ["bad-status"]);
    }
}

/// WAKU1-26: a second status changes nothing. WAKU1-16, WAKU1-81: nor do codes that nobody knows.
#[test]
fn a_second_status_and_unknown_codes_are_ignored() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    let told =
        solo.packet(1, code::STATUS, &Options { topics: Some(vec![]), ..Options::default() }.to_status(Version::V1));
    assert_eq!(refusals(&told), [(Why::RepeatedStatus, 1)]);
    for code in [2, 3, 20, 21, 10, 123, 124, 128, u64::MAX] {
        assert_eq!(refusals(&solo.packet(1, code, b"\xff\xff")), [(Why::UnknownCode, 1)]);
    }
    let mut told = solo.give(Input::Post(fresh(topic(1), 1)));
    told.extend(solo.settle());
    assert_eq!(sent_to(&told, 1).len(), 1);
}

/// WAKU1-17: a change of ours reaches every peer as an update, and nothing else with it.
#[test]
fn our_changes_are_told_to_every_peer() {
    let mut solo = Solo::new(wanting(&[1]));
    solo.connect(1, &Options::default());
    solo.give(Input::PeerUp { peer: PeerId(2), id: key(2), address: None, version: 0 });
    let told = solo.give(Input::Interest(Interest::topics([topic(3)])));
    let update = Options { topics: Some(vec![topic(3)]), ..Options::default() };
    assert_eq!(payloads(&told, 1, code::STATUS_UPDATE), [update.to_update(Version::V1)]);
    assert_eq!(payloads(&told, 2, code::STATUS_UPDATE), [update.to_update(Version::V0)]);
    let told = solo.give(Input::MinPow { pow: 0.5, former: Former::Tolerated });
    let update = Options { pow_bits: Some(0.5f64.to_bits()), ..Options::default() };
    assert_eq!(payloads(&told, 1, code::STATUS_UPDATE), [update.to_update(Version::V1)]);
}

/// A bad update never ends the connection, and what came before the bad option counts.
#[test]
fn a_bad_update_is_counted_and_survived() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    let bad = Options { pow_bits: Some(9f64.to_bits()), bloom: Some(vec![0; 3]), ..Options::default() };
    assert_eq!(refusals(&solo.packet(1, code::STATUS_UPDATE, &bad.to_update(Version::V1))), [(Why::BadUpdate, 1)]);
    assert_eq!(refusals(&solo.packet(1, code::STATUS_UPDATE, b"\xc5")), [(Why::BadUpdate, 1)]);
    let peer = solo.host.peers().next().unwrap().1;
    assert_eq!(peer.requirements().unwrap().pow, 9.0);
}

/// WAKU1-37: a full node takes what its interest leaves out; only the end of that is told.
#[test]
fn a_node_is_full_for_a_while() {
    let mut solo = Solo::new(wanting(&[1]));
    solo.connect(1, &Options::default());
    let takes =
        |solo: &mut Solo, n| !received(&solo.packet(1, code::MESSAGES, &messages(&[&fresh(topic(2), n)]))).is_empty();
    assert!(!takes(&mut solo, 1));
    assert!(solo.give(Input::FullNode(true)).is_empty());
    assert!(takes(&mut solo, 2));
    let told = solo.give(Input::FullNode(false));
    let update = Options { topics: Some(vec![topic(1)]), ..Options::default() };
    assert_eq!(payloads(&told, 1, code::STATUS_UPDATE), [update.to_update(Version::V1)]);
    assert!(!takes(&mut solo, 3));
}
