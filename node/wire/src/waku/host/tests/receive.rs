//! What is let in, what is told of it, and what is confirmed.

use super::*;
use crate::waku::confirm::BatchHash;

/// WAKU1-09, WAKU1-10: a packet above the limit ends the connection without being read.
#[test]
fn an_oversized_packet_ends_the_connection() {
    let mut solo = Solo::new(Config { max_packet: 1_000, ..full() });
    solo.connect(1, &Options::default());
    assert_eq!(refusals(&solo.packet(1, code::MESSAGES, &[0xff; 1_000])), [(Why::MalformedMessages, 1)]);
    assert_eq!(drops(&solo.packet(1, code::MESSAGES, &[0xff; 1_001])), ["oversize-packet"]);
}

/// WAKU1-11: the order of checks and their names, each with what the sender is told.
#[test]
fn each_refusal_has_its_name() {
    let mut solo = Solo::new(Config { max_envelope: 500, min_pow: 0.001, ..full() });
    solo.connect(1, &Options::default());
    let draft = |ttl, len: usize| Draft::new(UnixSecs::new(START_MS / 1000), ttl, topic(1), &vec![1; len]);
    let lazy = (0..).map(|n| draft(200, 400).seal(n).unwrap()).find(|e| e.pow(0) < 0.000_1).unwrap();
    let big = draft(20, 481);
    let nonce = big.search(0.01).advance(1_000_000).unwrap();
    let cases = [
        (sent(-11, 20, topic(1), 1), Why::FromFuture, true),
        (sent(41, 20, topic(1), 1), Why::VeryOld, true),
        (sent(21, 20, topic(1), 1), Why::Expired, false),
        (sent(40, 20, topic(1), 1), Why::Expired, false),
        (big.seal(nonce).unwrap(), Why::Oversize, true),
        (lazy, Why::LowPow, true),
    ];
    for (envelope, why, told) in cases {
        let outputs = solo.packet(1, code::MESSAGES, &messages(&[&envelope]));
        assert_eq!(refusals(&outputs), [(why, 1)], "{why}");
        let response = Response::decode(&payloads(&outputs, 1, code::MESSAGE_RESPONSE)[0]).unwrap().unwrap();
        let failed: Vec<_> = response.failures.iter().map(|f| (f.hash, f.code)).collect();
        assert_eq!(failed, if told { vec![(envelope.hash(), 21)] } else { vec![] }, "{why}");
        assert!(received(&outputs).is_empty());
    }
    for good in [sent(-10, 20, topic(1), 1), sent(20, 20, topic(1), 2)] {
        let outputs = solo.packet(1, code::MESSAGES, &messages(&[&good]));
        assert_eq!((received(&outputs), refusals(&outputs)), (vec![good.hash()], vec![]));
    }
}

/// WAKU1-34: what comes from the near future has less work, for peers too.
#[test]
fn an_envelope_from_the_near_future_loses_work_for_good() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    let early = sent(-10, 20, topic(1), 1);
    let (own, reduced) = (early.pow(0), early.pow(11));
    solo.connect(2, &Options { pow_bits: Some(reduced.to_bits()), ..Options::default() });
    solo.connect(3, &Options { pow_bits: Some(own.to_bits()), ..Options::default() });
    let mut told = solo.packet(1, code::MESSAGES, &messages(&[&early]));
    told.extend(solo.settle());
    assert!(told.iter().any(|o| matches!(o, Output::Event(Event::Envelope { pow, .. }) if *pow == reduced)));
    assert_eq!((sent_to(&told, 2).len(), sent_to(&told, 3).len()), (1, 0));
}

/// WAKU1-59, WAKU1-60: every packet that decodes is confirmed by 12 and 11, the empty one too, and no other.
#[test]
fn every_packet_that_decodes_is_confirmed() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    for payload in [messages(&[]), messages(&[&fresh(topic(1), 1), &fresh(topic(1), 2)])] {
        let told = solo.packet(1, code::MESSAGES, &payload);
        let codes: Vec<u64> =
            told.iter().filter_map(|o| if let Output::Send { code, .. } = o { Some(*code) } else { None }).collect();
        assert_eq!(codes, [code::MESSAGE_RESPONSE, code::BATCH_ACK]);
        assert_eq!(read_batch_ack(&payloads(&told, 1, code::BATCH_ACK)[0]), Ok(BatchHash::of(&payload)));
    }
    let mut bad = messages(&[&fresh(topic(1), 3)]);
    bad.push(0);
    let told = solo.packet(1, code::MESSAGES, &bad);
    assert_eq!(refusals(&told), [(Why::MalformedMessages, 1)]);
    assert!(!told.iter().any(|o| matches!(o, Output::Send { .. } | Output::Drop { .. })));

    let mut quiet = Solo::new(Config { confirmations: Confirmations::Never, ..full() });
    quiet.connect(1, &options(&full()));
    let told = quiet.packet(1, code::MESSAGES, &messages(&[&fresh(topic(1), 1)]));
    assert!(!told.iter().any(|o| matches!(o, Output::Send { .. })));
}

/// What a peer that says this status is sent.
fn greeted(solo: &mut Solo, peer: u64, status: &Options) -> Vec<Output> {
    let mut told = solo.give(Input::PeerUp { peer: PeerId(peer), id: key(peer as u8), address: None, version: 1 });
    told.extend(solo.packet(peer, code::STATUS, &status.to_status(Version::V1)));
    told
}

/// WAKU1-58: a peer that promises nothing is promised nothing, and one that does is told in an update, once.
#[test]
fn who_confirms_is_confirmed_in_return() {
    let packet = messages(&[&fresh(topic(1), 1)]);
    let promises = |promised| Options { confirmations: Some(promised), ..Options::default() };
    let mut solo = Solo::new(Config { confirmations: Confirmations::InReturn, ..full() });
    let told = greeted(&mut solo, 1, &promises(false));
    let said = Options::from_status(Version::V1, &payloads(&told, 1, code::STATUS)[0]).unwrap();
    assert_eq!(said.confirmations, Some(false));
    assert!(payloads(&told, 1, code::STATUS_UPDATE).is_empty());
    assert!(payloads(&solo.packet(1, code::MESSAGES, &packet), 1, code::BATCH_ACK).is_empty());

    let told = greeted(&mut solo, 2, &promises(true));
    assert_eq!(payloads(&told, 2, code::STATUS_UPDATE), [promises(true).to_update(Version::V1)]);
    assert_eq!(payloads(&solo.packet(2, code::MESSAGES, &packet), 2, code::BATCH_ACK).len(), 1);
    let told = solo.packet(2, code::STATUS_UPDATE, &promises(true).to_update(Version::V1));
    assert!(payloads(&told, 2, code::STATUS_UPDATE).is_empty(), "it knows");

    let told = solo.packet(1, code::STATUS_UPDATE, &promises(true).to_update(Version::V1));
    assert_eq!(payloads(&told, 1, code::STATUS_UPDATE).len(), 1, "it may promise later");
    assert_eq!(payloads(&solo.packet(1, code::MESSAGES, &packet), 1, code::BATCH_ACK).len(), 1);
}

/// A packet of tiny envelopes holds nobody up for long.
#[test]
fn more_envelopes_than_any_packet_has_are_none() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    assert_eq!(refusals(&solo.packet(1, code::MESSAGES, &many((1 << 16) + 1))), [(Why::MalformedMessages, 1)]);
    assert_eq!(refusals(&solo.packet(1, code::MESSAGES, &many(1 << 16))), [(Why::VeryOld, 1 << 16)]);
}

/// WAKU1-61: a peer's answer settles each envelope of the batch once.
#[test]
fn a_response_settles_the_batch_once() {
    let mut solo = Solo::new(full());
    solo.connect(1, &options(&full()));
    let (good, bad) = (fresh(topic(1), 1), fresh(topic(1), 2));
    solo.give(Input::Post(good.clone()));
    solo.give(Input::Post(bad.clone()));
    let told = solo.settle();
    let [payload] = payloads(&told, 1, code::MESSAGES).try_into().unwrap();
    let batch = BatchHash::of(&payload);
    let failures = vec![crate::waku::confirm::Failure { hash: bad.hash(), code: 1, text: b"late".to_vec() }];
    let told = solo.packet(1, code::MESSAGE_RESPONSE, &Response { batch, failures }.encode());
    let settled: Vec<Event> =
        told.into_iter().filter_map(|o| if let Output::Event(e) = o { Some(e) } else { None }).collect();
    let peer = PeerId(1);
    assert!(settled.contains(&Event::Acknowledged { hash: good.hash(), peer }));
    assert!(settled.contains(&Event::Rejected { hash: bad.hash(), peer, code: 1 }));
    assert_eq!(settled.len(), 2);
    assert!(solo.packet(1, code::BATCH_ACK, &crate::waku::confirm::batch_ack(&batch)).is_empty());
}

/// WAKU1-58: status-go confirms only when it is told to. What went out to such a peer is not waited for.
#[test]
fn what_goes_to_a_peer_that_confirms_nothing_is_told_when_it_goes() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options { confirmations: Some(false), ..Options::default() });
    let (ours, theirs) = (fresh(topic(1), 1), fresh(topic(1), 2));
    solo.connect(2, &options(&full()));
    solo.packet(2, code::MESSAGES, &messages(&[&theirs]));
    solo.give(Input::Post(ours.clone()));
    let told = solo.settle();
    let unconfirmed: Vec<&Event> = told
        .iter()
        .filter_map(|o| if let Output::Event(e @ Event::Unconfirmed { .. }) = o { Some(e) } else { None })
        .collect();
    assert_eq!(unconfirmed, [&Event::Unconfirmed { hash: ours.hash(), peer: PeerId(1) }]);
    let [payload] = payloads(&told, 1, code::MESSAGES).try_into().unwrap();
    let ack = crate::waku::confirm::batch_ack(&BatchHash::of(&payload));
    assert!(solo.packet(1, code::BATCH_ACK, &ack).is_empty(), "it is settled");
}

#[test]
fn a_confirmation_of_what_was_not_sent_to_that_peer_means_nothing() {
    let mut solo = Solo::new(full());
    solo.connect(1, &options(&full()));
    solo.connect(2, &Options { topics: Some(vec![]), ..Options::default() });
    solo.give(Input::Post(fresh(topic(1), 1)));
    let told = solo.settle();
    let ack = crate::waku::confirm::batch_ack(&BatchHash::of(&payloads(&told, 1, code::MESSAGES)[0]));
    assert!(solo.packet(2, code::BATCH_ACK, &ack).is_empty());
    assert_eq!(refusals(&solo.packet(1, code::BATCH_ACK, &ack[..9])), [(Why::MalformedConfirmation, 1)]);
    assert_eq!(solo.packet(1, code::BATCH_ACK, &ack).len(), 1);
}
