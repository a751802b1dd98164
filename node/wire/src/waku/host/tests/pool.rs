//! A pool that is full.

use super::*;
use crate::waku::pool::PoolLimits;

#[test]
fn a_full_pool_keeps_what_has_more_work() {
    let pool = PoolLimits { envelopes: 3, bytes: 1 << 20 };
    let mut solo = Solo::new(Config { pool, ..full() });
    solo.connect(1, &Options::default());
    let mut many: Vec<Envelope> = (0..20).map(|n| fresh(topic(1), n)).collect();
    let told = solo.packet(1, code::MESSAGES, &messages(&many.iter().collect::<Vec<_>>()));
    assert!(refusals(&told).iter().any(|(why, count)| *why == Why::PoolFull && *count > 5));
    many.sort_by(|a, b| b.pow(0).total_cmp(&a.pow(0)));
    let least = many[..3].iter().map(|e| e.pow(0)).fold(f64::INFINITY, f64::min);
    assert_eq!(solo.host.pool_len(), 3);
    assert!(many.iter().filter(|e| e.pow(0) > least).all(|e| solo.host.pooled().any(|h| h == e.hash())));
}

/// An envelope with a time to live of 0 s is taken and passed on, as the peers do, and its work counts as infinite there.
/// Making it so costs nothing, so it does not push out what has work.
#[test]
fn a_flood_of_envelopes_that_live_no_second_pushes_out_nothing_that_has_work() {
    let pool = PoolLimits { envelopes: 4, bytes: 1 << 20 };
    let mut solo = Solo::new(Config { pool, ..full() });
    solo.connect(1, &Options::default());
    let worked = |n: u8| {
        let draft = Draft::new(UnixSecs::new(START_MS / 1000), 20, topic(1), &[n; 60]);
        let nonce = draft.search(0.5).advance(100_000).unwrap();
        draft.seal(nonce).unwrap()
    };
    let real = [worked(1), worked(2), worked(3)];
    solo.packet(1, code::MESSAGES, &messages(&real.each_ref()));
    let idle = |n: u16| {
        let raw = rlp::list(|w| {
            w.uint(START_MS / 1000).uint(0).bytes(&[1; 4]).bytes(&n.to_be_bytes().repeat(100)).uint(0);
        });
        Envelope::decode(&raw).unwrap()
    };
    let flood: Vec<Envelope> = (0..1000).map(idle).filter(|e| e.work().value(1, 0) < 0.1).collect();
    assert!(flood.len() > 900 && flood.iter().all(|e| e.pow(0).is_infinite()));
    let told = solo.packet(1, code::MESSAGES, &messages(&flood.iter().collect::<Vec<_>>()));
    assert!(
        told.iter().any(|it| matches!(it, Output::Event(Event::Envelope { .. }))),
        "they are taken while there is room"
    );
    assert_eq!(solo.host.pool_len(), 4);
    assert!(real.iter().all(|e| solo.host.pooled().any(|hash| hash == e.hash())));
}

#[test]
fn our_own_that_must_make_room_is_told() {
    let mut solo = Solo::new(Config { pool: PoolLimits { envelopes: 1, bytes: 1 << 20 }, ..full() });
    let mut two = [fresh(topic(1), 1), fresh(topic(1), 2)];
    two.sort_by(|a, b| a.pow(0).total_cmp(&b.pow(0)));
    solo.give(Input::Post(two[0].clone()));
    let told = solo.give(Input::Post(two[1].clone()));
    let [Output::Event(Event::NotPosted { hash, why: Why::PoolFull }), ..] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(*hash, if two[0].pow(0) < two[1].pow(0) { two[0].hash() } else { two[1].hash() });
}
