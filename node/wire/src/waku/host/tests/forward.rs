//! What is sent on, when, and in what packets.

use super::*;
use crate::waku::bloom::BloomFilter;
use crate::waku::status::RateLimits;

/// WAKU1-06: an expired envelope is not sent, even when nobody swept it yet.
#[test]
fn an_expired_envelope_is_never_sent() {
    let mut solo = Solo::new(Config { coalesce: Duration::from_secs(3), ..full() });
    solo.connect(1, &Options::default());
    solo.give(Input::Post(sent(0, 1, topic(1), 1)));
    assert_eq!(sent_to(&solo.settle(), 1).len(), 1);
    solo.give(Input::Post(sent(0, 1, topic(1), 2)));
    let told = solo.pass(Duration::from_secs(10));
    assert!(sent_to(&told, 1).is_empty(), "its turn comes three seconds after the first one's");
    assert!(told.iter().any(|o| matches!(o, Output::Event(Event::Expired { .. }))));
}

/// WAKU1-08: what is sent stays below 1 MiB a packet, and what could not be sent on is not let in.
#[test]
fn packets_stay_below_one_mebibyte() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options { pow_bits: Some(0), ..Options::default() });
    let large = |n: u8| {
        Draft::new(UnixSecs::new(START_MS / 1000), 20, topic(1), &vec![n; 400_000]).seal(u64::from(n) << 20).unwrap()
    };
    let mut told = Vec::new();
    solo.give(Input::MinPow { pow: 0.0, former: Former::Tolerated });
    for n in 0..6 {
        told.extend(solo.give(Input::Post(large(n))));
    }
    told.extend(solo.settle());
    let packets = payloads(&told, 1, code::MESSAGES);
    assert_eq!(packets.iter().map(|p| hashes(p).len()).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(packets.iter().all(|p| p.len() < 1 << 20));
    let huge = Draft::new(UnixSecs::new(START_MS / 1000), 20, topic(1), &vec![1; (1 << 20) - 20]).seal(0).unwrap();
    let told = solo.give(Input::Post(huge));
    assert!(matches!(told.as_slice(), [Output::Event(Event::NotPosted { why: Why::Oversize, .. })]));
}

/// A Go peer's filter lacks bits that two of a topic's bits share; its topic must reach it all the same.
#[test]
fn a_go_peers_lossy_filter_admits_its_topic() {
    let lossy = Topic::from([0, 1, 2, 0]);
    let mut solo = Solo::new(full());
    let bloom = Some(BloomFilter::assigned(lossy).as_bytes().to_vec());
    solo.connect(1, &Options { bloom, ..Options::default() });
    let mut told = solo.give(Input::Post(fresh(lossy, 1)));
    told.extend(solo.give(Input::Post(fresh(topic(9), 1))));
    told.extend(solo.settle());
    assert_eq!(sent_to(&told, 1), [fresh(lossy, 1).hash()]);
}

/// A peer that changes its mind all the time does not make us go through the pool all the time.
#[test]
fn the_whole_pool_is_gone_through_at_most_every_300_ms_for_a_peer() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options { topics: Some(vec![]), ..Options::default() });
    solo.give(Input::Post(fresh(topic(1), 1)));
    solo.settle();
    let change = |n| Options { topics: Some(vec![topic(n)]), ..Options::default() }.to_update(Version::V1);
    assert!(sent_to(&solo.packet(1, code::STATUS_UPDATE, &change(2)), 1).is_empty());
    assert!(sent_to(&solo.packet(1, code::STATUS_UPDATE, &change(1)), 1).is_empty());
    assert!(sent_to(&solo.pass(Duration::from_millis(299)), 1).is_empty());
    assert_eq!(sent_to(&solo.pass(Duration::from_millis(1)), 1).len(), 1);
}

/// WU10-16, WAKU1-51, WAKU1-52: a peer that takes 5 packets a second is sent three, with all that came in the meantime, and no
/// other peer waits for that.
#[test]
fn a_peer_is_sent_no_more_packets_than_it_takes() {
    let mut solo = Solo::new(full());
    let limits = RateLimits { ip: 10, peer: 5, topic: 0 };
    solo.connect(1, &Options { packet_limits: Some(limits), ..Options::default() });
    solo.connect(2, &Options::default());
    let mut told = Vec::new();
    let envelopes: Vec<Envelope> = (0..100).map(|n| fresh(topic(1), n)).collect();
    for envelope in &envelopes {
        told.extend(solo.give(Input::Post(envelope.clone())));
        told.extend(solo.pass(Duration::from_millis(9)));
    }
    let (few, many) = (payloads(&told, 1, code::MESSAGES).len(), payloads(&told, 2, code::MESSAGES).len());
    assert!((3..=4).contains(&few) && many > 50, "{few} {many}");
    told.extend(solo.pass(Duration::from_millis(300)));
    for peer in [1, 2] {
        let got = sent_to(&told, peer);
        assert_eq!(got, envelopes.iter().map(Envelope::hash).collect::<Vec<_>>());
    }
    assert!(solo.pass(Duration::from_secs(1)).is_empty(), "and nobody is woken for nothing");
}

/// A crowd of envelopes waits in the pool, and not for each peer that rests.
#[test]
fn what_waits_for_a_peer_that_rests_is_bounded() {
    let mut solo = Solo::new(Config { min_pow: 0.0, ..full() });
    let limits = RateLimits { ip: 0, peer: 1, topic: 0 };
    solo.connect(1, &Options { packet_limits: Some(limits), pow_bits: Some(0), ..Options::default() });
    let draft = |n: u32| Draft::new(UnixSecs::new(START_MS / 1000), 60, topic(1), &n.to_be_bytes().repeat(75));
    let mut told = Vec::new();
    for n in 0..6_000 {
        told.extend(solo.give(Input::Post(draft(n).seal(0).unwrap())));
        told.extend(solo.give(Input::Tick));
    }
    assert_eq!(payloads(&told, 1, code::MESSAGES).len(), 1);
    told.extend(solo.pass(Duration::from_secs(10)));
    let packets = payloads(&told, 1, code::MESSAGES);
    assert!(packets.iter().all(|packet| packet.len() <= 1 << 20) && packets.len() <= 6, "{}", packets.len());
    let mut got = sent_to(&told, 1);
    got.sort_unstable();
    got.dedup();
    assert_eq!(got.len(), 6_000);
}
