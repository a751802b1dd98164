//! What is sent on, when, and in what packets.

use super::*;
use crate::waku::bloom::BloomFilter;

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
