//! From peer to peer, past the pool.

use super::*;
use crate::waku::mail::{Completion, MailRequest, MessagesRequest};

const DIRECT: [u64; 2] = [code::P2P_MESSAGE, code::P2P_REQUEST_COMPLETE];

fn done() -> Completion {
    Completion::Done { request: [1; 32], last: None, cursor: None }
}

/// MAIL-17: what comes directly is taken from a trusted peer only, and trust ends with the connection.
#[test]
fn only_a_trusted_peer_is_listened_to() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    let old = sent(1_000, 20, topic(1), 1);
    let packets = [messages(&[&old]), done().encode()];
    for (code, packet) in DIRECT.into_iter().zip(&packets) {
        assert_eq!(refusals(&solo.packet(1, code, packet)), [(Why::Untrusted, 1)]);
    }
    solo.give(Input::Trust(PeerId(1)));
    let from = PeerId(1);
    assert_eq!(events(solo.packet(1, DIRECT[0], &packets[0])), [Event::Direct { envelopes: vec![old], from }]);
    assert_eq!(events(solo.packet(1, DIRECT[1], &packets[1])), [Event::MailCompleted { completion: done(), from }]);
    solo.give(Input::PeerDown(PeerId(1)));
    solo.connect(1, &Options::default());
    assert_eq!(refusals(&solo.packet(1, DIRECT[0], &packets[0])), [(Why::Untrusted, 1)]);
}

#[test]
fn a_node_that_is_always_trusted_is_so_whenever_it_connects() {
    let mut solo = Solo::new(Config { trusted: vec![key(1)], ..full() });
    for peer in [1, 2] {
        solo.connect(peer, &Options::default());
    }
    assert_eq!(solo.host.peers().map(|(_, peer)| peer.is_trusted()).collect::<Vec<_>>(), [true, false]);
}

/// MAIL-32, WAKU1-63: expired and without work, it comes in directly; it is not pooled, and nobody is sent it.
#[test]
fn what_comes_directly_bypasses_the_checks_and_is_not_forwarded() {
    let mut solo = Solo::new(Config { trusted: vec![key(1)], min_pow: 1e9, ..full() });
    solo.connect(1, &Options::default());
    solo.connect(2, &Options { pow_bits: Some(0), ..Options::default() });
    let (old, young) = (sent(100_000, 20, topic(1), 1), fresh(topic(1), 2));
    let mut told = solo.packet(1, code::P2P_MESSAGE, &messages(&[&old, &young]));
    told.extend(solo.settle());
    assert!(sent_to(&told, 2).is_empty());
    assert_eq!(solo.host.pool_len(), 0);
    let all = |outputs| match events(outputs).as_slice() {
        [Event::Direct { envelopes, .. }] => envelopes.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(all(told), 2);
    assert_eq!(all(solo.packet(1, code::P2P_MESSAGE, &messages(&[&old]))), 1, "again, when it is sent again");
}

/// WAKU1-62, MAIL-06: a request needs no trust, but a mail server behind the node.
#[test]
fn requests_are_passed_on_by_a_node_with_a_mail_server() {
    let sealed = MailRequest::Sealed(sent(5_000, 20, topic(0), 1));
    let open = MailRequest::Open(MessagesRequest { id: vec![3; 32], to_s: 9, ..Default::default() });
    for mail_server in [true, false] {
        let mut solo = Solo::new(Config { mail_server, ..full() });
        solo.connect(1, &Options::default());
        for request in [&sealed, &open] {
            let told = solo.packet(1, code::P2P_REQUEST, &request.encode());
            let passed_on = Event::MailRequest { request: request.clone(), from: PeerId(1) };
            let why = Event::Refused { peer: PeerId(1), why: Why::NoMailServer, count: 1 };
            assert_eq!(events(told), [if mail_server { passed_on } else { why }]);
        }
    }
}

/// MAIL-15: an answer is one packet of whole envelopes; asking a mail server is trusting it.
#[test]
fn two_nodes_exchange_old_envelopes() {
    let mut world = World::new(vec![wanting(&[]), Config { mail_server: true, ..full() }]);
    world.link(0, 1);
    world.run(Duration::from_millis(20));
    let request = MailRequest::Sealed(fresh(topic(0), 1));
    world.give(0, Input::Request { peer: PeerId(1), request: request.clone() });
    world.run(Duration::from_millis(20));
    assert!(world.events.contains(&(1, Event::MailRequest { request, from: PeerId(0) })));
    let envelopes = vec![sent(900, 20, topic(7), 1), sent(800, 20, topic(8), 2)];
    world.give(1, Input::SendDirect { peer: PeerId(0), envelopes: envelopes.clone() });
    world.give(1, Input::Complete { peer: PeerId(0), completion: done() });
    world.run(Duration::from_millis(20));
    assert!(world.events.contains(&(0, Event::Direct { envelopes, from: PeerId(1) })));
    assert!(world.events.contains(&(0, Event::MailCompleted { completion: done(), from: PeerId(1) })));
}

#[test]
fn what_does_not_decode_is_counted_and_survived() {
    let mut solo = Solo::new(Config { trusted: vec![key(1)], mail_server: true, ..full() });
    solo.connect(1, &Options::default());
    let mut half = messages(&[&fresh(topic(1), 1)]);
    half.extend_from_slice(&[0xc0; 3]);
    half[0] += 3;
    let bad: [(u64, &[u8]); 6] = [
        (code::P2P_MESSAGE, &[]),
        (code::P2P_MESSAGE, b"\x80"),
        (code::P2P_MESSAGE, &half),
        (code::P2P_REQUEST, b"garbage"),
        (code::P2P_REQUEST_COMPLETE, &[0xc0]),
        (code::P2P_REQUEST_COMPLETE, &[0x83, 1, 2, 3]),
    ];
    for (code, packet) in bad {
        assert_eq!(refusals(&solo.packet(1, code, packet)), [(Why::MalformedDirect, 1)], "{code} {packet:02x?}");
    }
}

/// MAIL-30: a hostile mail server cannot make more of a packet than this.
#[test]
fn envelopes_without_end_are_not_taken() {
    let mut solo = Solo::new(Config { trusted: vec![key(1)], ..full() });
    solo.connect(1, &Options::default());
    assert_eq!(refusals(&solo.packet(1, code::P2P_MESSAGE, &many((1 << 16) + 1))), [(Why::MalformedDirect, 1)]);
    assert_eq!(events(solo.packet(1, code::P2P_MESSAGE, &many(1 << 16))).len(), 1);
}

#[test]
fn nothing_is_sent_to_a_peer_that_is_not_there() {
    let mut solo = Solo::new(full());
    let (peer, request) = (PeerId(9), MailRequest::Sealed(fresh(topic(0), 1)));
    for input in [
        Input::Trust(peer),
        Input::Request { peer, request },
        Input::SendDirect { peer, envelopes: vec![] },
        Input::Complete { peer, completion: done() },
    ] {
        assert!(solo.give(input).is_empty());
    }
}
