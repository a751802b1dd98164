//! Whatever a peer sends.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a peer sends, in whatever order, the host stays alive and the other peer is served.
    #[test]
    fn a_hostile_peer_harms_nobody_else(packets: Vec<(u8, Vec<u8>)>, flips: Vec<(prop::sample::Index, u8)>, seconds in 0..40u64) {
        let mut solo = Solo::new(Config { trusted: vec![key(1)], mail_server: true, ..full() });
        solo.connect(1, &Options::default());
        solo.connect(2, &Options::default());
        let good = messages(&[&fresh(topic(1), 1), &fresh(topic(2), 2)]);
        for (code, payload) in &packets {
            solo.packet(1, u64::from(*code) % 24, payload);
            solo.packet(1, 125 + u64::from(*code) % 3, payload);
        }
        for (at, bit) in &flips {
            let mut near = good.clone();
            let place = at.index(near.len());
            near[place] ^= 1 << (bit % 8);
            solo.packet(1, code::MESSAGES, &near);
            let _ = solo.settle();
        }
        solo.pass(Duration::from_secs(seconds));
        prop_assert!(solo.host.peers().any(|(id, _)| id == PeerId(2)));
        let now = UnixMillis::new(START_MS).after(solo.now).to_secs();
        let draft = Draft::new(now, 20, topic(3), b"still here");
        let nonce = draft.search(0.002).advance(100_000).unwrap();
        let envelope = draft.seal(nonce).unwrap();
        let mut told = solo.give(Input::Post(envelope.clone()));
        told.extend(solo.settle());
        prop_assert_eq!(sent_to(&told, 2), [envelope.hash()]);
    }
}
