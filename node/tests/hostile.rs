//! Peers that shake hands properly and then break the rules: each is dropped, or what it sent is, under a name.

mod support;

use node::Node;
use support::raw::{DeafPeer, RawPeer, STATUS};
use support::{Program, Relay};
use wire::p2p::{Capability, Reason};
use wire::rlpx::DownReason;
use wire::waku::code;

async fn counted(relay: &Node, name: &str, value: u64) {
    Program::of(relay)
        .await
        .until(name, |status| status.counters.iter().any(|c| c.name == name && c.value == value))
        .await;
}

/// An envelope's RLP.
fn envelope(expiry: u32, ttl: u32) -> Vec<u8> {
    let fields = |w: &mut wire::rlp::Writer| {
        w.uint(expiry.into()).uint(ttl.into()).bytes(&[1, 2, 3, 4]).bytes(&[7; 100]).uint(0);
    };
    let one = wire::rlp::list(fields);
    wire::rlp::list(|w| {
        w.raw(&one);
    })
}

fn now() -> u32 {
    u32::try_from(node::clock::Clock::start().unix().to_secs().get()).unwrap_or(u32::MAX)
}

/// WAKU1-24, WAKU1-25: a packet before the status ends the connection.
#[tokio::test(flavor = "multi_thread")]
async fn packets_before_the_status_end_the_connection() {
    let place = Relay::new();
    let relay = place.start().await;
    let mut peer = RawPeer::connect(relay.enode(), 1, Capability::WAKU_1).await;
    peer.send(code::MESSAGES, &[0xc0]).await;
    let DownReason::Theirs(reason) = peer.until_down().await else { panic!("no reason") };
    assert_eq!(reason.named(), Some(Reason::Subprotocol));
    counted(&relay, "peer.dropped.before-status", 1).await;
    let mut peer = RawPeer::connect(relay.enode(), 1, Capability::WAKU_1).await;
    peer.send(code::STATUS, &[0xff]).await;
    peer.until_down().await;
    counted(&relay, "peer.dropped.bad-status", 1).await;
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_envelopes_are_counted_by_name_and_the_connection_goes_on() {
    let place = Relay::new();
    let relay = place.start().await;
    let mut peer = RawPeer::connect(relay.enode(), 2, Capability::WAKU_1).await;
    peer.send(code::STATUS, STATUS).await;
    for (payload, name) in [
        (vec![0xc1, 0xc1], "refused.malformed-messages"),
        (envelope(now() - 1000, 10), "refused.very-old"),
        (envelope(now() + 1000, 10), "refused.from-future"),
        // No work was done for it, and it asks to live for years.
        (envelope(now() + 400_000_000, 400_000_000), "refused.low-pow"),
    ] {
        peer.send(code::MESSAGES, &payload).await;
        counted(&relay, name, 1).await;
    }
    peer.send(99, &[0xc0]).await;
    counted(&relay, "refused.unknown-code", 1).await;
    let status = Program::of(&relay).await.status().await;
    assert_eq!((status.peers.len(), status.envelopes_pooled), (1, 0));
    assert_eq!(status.peers[0].client, "raw\\x1b[31m", "nothing of it reaches a terminal as it is");
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_mac_ends_the_connection() {
    let place = Relay::new();
    let relay = place.start().await;
    let mut peer = RawPeer::connect(relay.enode(), 3, Capability::WAKU_1).await;
    peer.send_raw(&[0x5a; 32]).await;
    peer.until_down().await;
    counted(&relay, "connection.ended.bad_mac", 1).await;
    counted(&relay, "peer.down", 1).await;
    relay.stop().await.unwrap();
}

/// WAKU1-19: a status goes out as soon as the connection stands; WU10-33: any batch is confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_good_peer_gets_a_status_and_its_batches_confirmed() {
    let place = Relay::new();
    let relay = place.start().await;
    let mut peer = RawPeer::connect(relay.enode(), 4, Capability::WAKU_1).await;
    peer.until_packet(code::STATUS).await;
    peer.send(code::STATUS, STATUS).await;
    let batch = envelope(now() + 10, 10);
    peer.send(code::MESSAGES, &batch).await;
    let ack = peer.until_packet(code::BATCH_ACK).await;
    assert_eq!(ack[1..], proto::keccak256(&[&batch]));
    relay.stop().await.unwrap();
}

/// What is answered without being asked for by the engine is bounded too.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_pings_and_reads_few_of_the_pongs_is_dropped() {
    let place = Relay::new();
    let relay = place.start().await;
    let mut peer = DeafPeer::connect(relay.enode(), 5).await;
    let mut thousands = 0;
    while peer.ping().await {
        thousands += 1;
        assert!(thousands < 1000, "64 MB of pongs wait for it");
    }
    counted(&relay, "connection.ended.deaf_peer", 1).await;
    relay.stop().await.unwrap();
}

/// Packets in one burst, each with two answers: more than may wait at a time.
const CROWD: usize = 5000;

/// A peer that reads all it is sent is not slow, however much it asks at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_many_small_packets_is_answered_whole() {
    let place = Relay::new();
    let relay = place.start().await;
    let mut peer = RawPeer::connect(relay.enode(), 6, Capability::WAKU_1).await;
    peer.send(code::STATUS, STATUS).await;
    // No work was done for it: each packet is refused and confirmed, in two answers.
    peer.burst(code::MESSAGES, &envelope(now() + 10, 10), CROWD, code::BATCH_ACK).await;
    let status = Program::of(&relay).await.status().await;
    assert_eq!(status.peers.len(), 1);
    assert!(!status.counters.iter().any(|counter| counter.name == "peer.dropped.slow"));
    relay.stop().await.unwrap();
}

/// What waits for a peer that asks and never reads is bounded: it is not listened to, and dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_packets_and_reads_no_answer_is_dropped() {
    let place = Relay::new();
    let relay = place.start().await;
    let mut peer = DeafPeer::connect(relay.enode(), 7).await;
    let packet = envelope(now() + 10, 10);
    let mut packets = 0;
    while peer.send(code::MESSAGES, &packet).await {
        packets += 1;
        assert!(packets < 200_000, "400000 answers wait for it");
    }
    counted(&relay, "connection.ended.slow_peer", 1).await;
    let status = Program::of(&relay).await.status().await;
    assert!(!status.counters.iter().any(|counter| counter.name == "peer.dropped.slow"), "not for what it asked");
    relay.stop().await.unwrap();
}

/// Connections that are left idle hold up nobody who shakes hands.
#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_keep_no_newcomer_out() {
    let place = Relay::new();
    let limit = place.config().limits.handshakes;
    let relay = place.start().await;
    let mut idle = Vec::new();
    for _ in 0..limit {
        idle.push(tokio::net::TcpStream::connect(relay.enode().socket_addr()).await.unwrap());
    }
    let mut peer = RawPeer::connect(relay.enode(), 8, Capability::WAKU_1).await;
    peer.until_packet(code::STATUS).await;
    counted(&relay, "connection.ended.displaced", 1).await;
    counted(&relay, "listener.too-many-handshakes", 1).await;
    relay.stop().await.unwrap();
}
