//! Peers that send more than they may.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::waku::rate_limits::{Allowance, Rate};
use crate::waku::status::RateLimits;

fn allowing(packets: u64, tolerance: u64) -> Config {
    let rate = Rate { packets, bytes: 0 };
    Config { allowance: Some(Allowance { per_peer: rate, tolerance, ..Allowance::default() }), ..full() }
}

/// WU10-14, WU10-15, WAKU1-49, WAKU1-50: the limits are in the status; without any it says zeros.
#[test]
fn the_status_says_the_limits() {
    for (config, ip, peer) in [(allowing(3, 0), 10, 3), (full(), 0, 0)] {
        let mut solo = Solo::new(config);
        let told = solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), address: None, version: 1 });
        let said = Options::from_status(Version::V1, &payloads(&told, 1, code::STATUS)[0]).unwrap();
        assert_eq!(said.packet_limits, Some(RateLimits { ip, peer, topic: 0 }));
    }
}

/// Nothing is dropped: the packet beyond the limit is handled and counted.
#[test]
fn what_is_beyond_the_limit_is_handled_and_counted() {
    let mut solo = Solo::new(allowing(1, 0));
    solo.connect(1, &Options::default());
    for n in 0..3 {
        let told = solo.packet(1, code::MESSAGES, &messages(&[&fresh(topic(1), n)]));
        assert_eq!(received(&told), [fresh(topic(1), n).hash()]);
        assert_eq!(refusals(&told), if n == 0 { vec![] } else { vec![(Why::RateLimit, 1)] });
    }
}

/// WU10-13, WAKU1-48, WAKU1-53: the peer that goes too far is dropped, and that packet of it is not handled.
#[test]
fn the_excess_that_is_one_too_many_ends_the_connection() {
    let mut solo = Solo::new(allowing(2, 2));
    solo.connect(1, &Options::default());
    assert!((0..3).all(|_| drops(&solo.packet(1, 99, b"")).is_empty()), "the status is not counted");
    let told = solo.packet(1, code::MESSAGES, &messages(&[&fresh(topic(1), 1)]));
    assert_eq!((drops(&told), received(&told)), (vec!["rate-limit"], vec![]));
    assert!(solo.packet(1, 99, b"").is_empty());
}

/// A node that connects again does not get a fresh second's worth, nor does another at the same address.
#[test]
fn connecting_again_refills_nothing() {
    let mut solo = Solo::new(Config {
        allowance: Some(Allowance {
            per_peer: Rate { packets: 2, bytes: 0 },
            per_address: Rate { packets: 3, bytes: 0 },
            tolerance: 1,
            ..Allowance::default()
        }),
        ..full()
    });
    let connect = |solo: &mut Solo, peer: u64, who: u8, host: u8| {
        let address = Some(IpAddr::from(Ipv4Addr::new(10, 0, 0, host)));
        solo.give(Input::PeerUp { peer: PeerId(peer), id: key(who), address, version: 1 });
        solo.packet(peer, code::STATUS, &[0xc0]);
    };
    connect(&mut solo, 1, 1, 1);
    assert!((0..2).all(|_| drops(&solo.packet(1, 99, b"")).is_empty()));
    solo.give(Input::PeerDown(PeerId(1)));
    connect(&mut solo, 2, 1, 2);
    assert_eq!(drops(&solo.packet(2, 99, b"")), ["rate-limit"], "the same node elsewhere");
    connect(&mut solo, 3, 3, 1);
    assert_eq!(drops(&solo.packet(3, 99, b"")), Vec::<&str>::new());
    assert_eq!(drops(&solo.packet(3, 99, b"")), ["rate-limit"], "another node there");
}

/// Envelopes of an ignored node are left lying; it is confirmed all the same, and learns nothing of it.
#[test]
fn an_ignored_node_is_confirmed_and_not_heard() {
    let mut solo = Solo::new(Config { ignored: vec![key(1)], ..full() });
    for peer in [1, 2] {
        solo.connect(peer, &Options::default());
    }
    let late = sent(-11, 20, topic(1), 2);
    let mut told = solo.packet(1, code::MESSAGES, &messages(&[&fresh(topic(1), 1), &late]));
    told.extend(solo.settle());
    assert_eq!((received(&told), sent_to(&told, 2), solo.host.pool_len()), (vec![], vec![], 0));
    assert_eq!(refusals(&told), [(Why::Ignored, 2)]);
    let response = Response::decode(&payloads(&told, 1, code::MESSAGE_RESPONSE)[0]).unwrap().unwrap();
    assert_eq!(response.failures, []);
    assert_eq!(payloads(&told, 1, code::BATCH_ACK).len(), 1);
    let told = solo.packet(2, code::MESSAGES, &messages(&[&fresh(topic(1), 1)]));
    assert_eq!(received(&told), [fresh(topic(1), 1).hash()], "from another it comes in");
}
