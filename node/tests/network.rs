//! Whole nodes in one process, on loopback: a relay, two people, and what goes wrong between them.

mod support;

use std::sync::atomic::Ordering;

use node::{Node, NodeError};
use proto::Fingerprint;
use proto::rpc::Fault;
use support::{Person, Program, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::waku::Confirmations;

/// CLIENT-27: static peers are all there is.
/// CLIENT-04: the relay forwards what neither end could send to the other directly.
/// CLIENT-03: waku/1 is the version that is negotiated.
#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_in_a_public_chat_through_a_relay() {
    let place = Relay::new();
    let relay = place.start().await;
    let (alice, bob) = (Person::new(1), Person::new(2));
    let (alice_node, bob_node) = (alice.start(&[&relay]).await, bob.start(&[&relay]).await);
    let (mut at_alice, mut at_bob) = (Program::of(&alice_node).await, Program::of(&bob_node).await);
    at_alice.until_ready(1).await;
    at_bob.until_ready(1).await;
    let (mut alice_hears, mut bob_hears) = (at_alice.join("demo", 50).await, at_bob.join("demo", 50).await);
    assert!(alice_hears.history().await.is_empty() && bob_hears.history().await.is_empty());

    let posted = at_alice.post("demo", "hello bob", 10_000).await.unwrap();
    let (own, heard) = (alice_hears.next().await.unwrap(), bob_hears.next().await.unwrap());
    assert_eq!((own.text.as_str(), own.own, &own.id), ("hello bob", true, &posted.id));
    assert_eq!((heard.text.as_str(), heard.own, &heard.id), ("hello bob", false, &posted.id));
    assert_eq!(heard.from, alice.identity.to_string());
    assert_eq!(heard.fingerprint, Fingerprint::of(&alice.identity).to_string());
    assert_eq!((heard.chat.as_str(), heard.clock), ("demo", own.clock));

    at_bob.post("demo", "hello alice", 10_000).await.unwrap();
    let heard = alice_hears.next().await.unwrap();
    assert_eq!((heard.text.as_str(), heard.own), ("hello alice", false));
    assert!(heard.clock > own.clock, "the chat's clock moves on");

    let status = at_alice.status().await;
    assert_eq!((status.role.as_str(), status.messages_stored, status.chats), ("chat", 2, vec!["demo".to_owned()]));
    assert_eq!(status.chat_key, alice.identity.to_string());
    assert_eq!((status.peers[0].capability.as_str(), status.peers[0].inbound), ("waku/1", false));
    assert!(status.peers[0].client.starts_with("Cardinal/v"), "{}", status.peers[0].client);
    let mut at_relay = Program::of(&relay).await;
    let status = at_relay.status().await;
    assert_eq!((status.role.as_str(), status.peers.len(), status.chat_key.as_str()), ("relay", 2, ""));
    assert!(status.envelopes_pooled >= 2);

    for node in [alice_node, bob_node, relay] {
        node.stop().await.unwrap();
    }
    assert!(alice_hears.ends().await, "followers are let go when the node stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_there_after_the_node_starts_again() {
    let place = Relay::new();
    let relay = place.start().await;
    let alice = Person::new(3);
    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    program.until_ready(1).await;
    for text in ["one", "two", "three"] {
        program.post("demo", text, 10_000).await.unwrap();
    }
    node.stop().await.unwrap();

    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    let texts = |lines: Vec<proto::rpc::api::ChatLine>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
    assert_eq!(program.status().await.chats, ["demo"], "a joined chat stays joined");
    assert_eq!(texts(program.join("demo", 50).await.history().await), ["one", "two", "three"]);
    assert_eq!(texts(program.join("demo", 2).await.history().await), ["two", "three"]);
    assert!(program.join("demo", 0).await.history().await.is_empty());
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_left_is_heard_no_more_and_keeps_its_history() {
    let place = Relay::new();
    let relay = place.start().await;
    let alice = Person::new(13);
    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    program.until_ready(1).await;
    program.post("demo", "one", 10_000).await.unwrap();
    let mut follower = program.join("demo", 0).await;
    assert!(follower.history().await.is_empty());
    program.leave("demo").await.unwrap();
    assert!(follower.ends().await, "who followed it is let go");
    assert!(program.status().await.chats.is_empty());
    assert_eq!(Fault::of(&program.leave("demo").await.unwrap_err()), Some(Fault::BadInput), "left already");
    assert_eq!(program.join("demo", 50).await.history().await.len(), 1);
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_without_peers_is_not_acknowledged_and_says_why() {
    let alice = Person::new(4);
    let node = alice.start(&[]).await;
    let mut program = Program::of(&node).await;
    let status = program.post("demo", "anybody?", 1).await.err().unwrap();
    assert_eq!(Fault::of(&status), Some(Fault::NotAcknowledged));
    assert!(status.message().contains("no peer is connected"), "{}", status.message());
    // It is kept, and reaches the relay that comes later.
    let place = Relay::new();
    let relay = place.start().await;
    program.add_peer(&relay.enode().to_string()).await.unwrap();
    program.until("the message delivered", |s| s.counters.iter().any(|c| c.name == "message.delivered")).await;
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

/// A relay that confirms nothing is how the network's relays are. What was written to it counts as sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_to_a_relay_that_confirms_nothing_is_sent_once_it_is_written() {
    let mut config = Relay::new().config();
    config.waku.host.confirmations = Confirmations::Never;
    let relay = Node::start(config).await.unwrap();
    let alice = Person::new(6);
    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    program.until_ready(1).await;
    program.post("demo", "hello", 10_000).await.unwrap();
    let status = program.status().await;
    let count = |name: &str| status.counters.iter().find(|c| c.name == name).map_or(0, |c| c.value);
    assert_eq!(count("envelope.unconfirmed"), 1);
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named_and_changes_nothing() {
    let alice = Person::new(5);
    let node = alice.start(&[]).await;
    let mut program = Program::of(&node).await;
    let long = "x".repeat(4097);
    for (chat, text) in [("demo", ""), ("demo", "  \n\t"), ("demo", long.as_str()), ("", "hello"), (&long, "hello")] {
        let status = program.post(chat, text, 1000).await.err().unwrap();
        assert_eq!(Fault::of(&status), Some(Fault::BadInput), "{:?}", status.message());
    }
    assert_eq!(Fault::of(&program.try_join("").await.unwrap_err()), Some(Fault::BadInput));
    for enode in ["", "enode://x@y", &node.enode().to_string()] {
        assert_eq!(Fault::of(&program.add_peer(enode).await.unwrap_err()), Some(Fault::BadInput), "{enode}");
    }
    assert_eq!(program.status().await.messages_stored, 0);
    node.stop().await.unwrap();

    let place = Relay::new();
    let relay = place.start().await;
    let mut program = Program::of(&relay).await;
    assert_eq!(Fault::of(&program.try_join("demo").await.unwrap_err()), Some(Fault::BadInput));
    relay.stop().await.unwrap();
}

/// CLIENT-12: a static peer is dialled again after it was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_starts_again_is_found_again() {
    let place = Relay::new();
    let relay = place.start().await;
    let alice = Person::new(6);
    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    program.until_ready(1).await;
    let before = relay.enode();
    relay.stop().await.unwrap();
    program.until("the peer gone", |status| status.peers.is_empty()).await;
    assert_eq!(program.counter("connection.ended.quitting").await, 1, "it said goodbye");
    let relay = place.start_where(before).await;
    assert_eq!(relay.enode(), before, "with the key it had");
    let posted = program.post("demo", "are you back?", 20_000).await.unwrap();
    assert!(!posted.envelope.is_empty());
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_speaks_garbage_is_dropped_and_counted_and_others_do_not_notice() {
    let place = Relay::new();
    let relay = place.start().await;
    let alice = Person::new(7);
    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    program.until_ready(1).await;
    // Both begin with the size of a handshake packet, 307 and 320 bytes; what follows is none.
    for garbage in [[&[0x01, 0x33][..], &[4; 700]].concat(), [&[0x01, 0x40][..], &[0xff; 700]].concat()] {
        let mut stream = tokio::net::TcpStream::connect(relay.enode().socket_addr()).await.unwrap();
        stream.write_all(&garbage).await.unwrap();
        let mut rest = Vec::new();
        // The end, in whichever way the kernel tells it.
        drop(stream.read_to_end(&mut rest).await);
        assert!(rest.is_empty(), "garbage is not answered");
    }
    let mut at_relay = Program::of(&relay).await;
    at_relay
        .until("both counted", |status| {
            status.counters.iter().any(|c| c.name == "connection.ended.bad_handshake" && c.value == 2)
        })
        .await;
    program.post("demo", "still here", 10_000).await.unwrap();
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_know_each_other_keep_one_connection() {
    let (one, two) = (Relay::new(), Relay::new());
    let (one, two) = (one.start().await, two.start().await);
    let (mut at_one, mut at_two) = (Program::of(&one).await, Program::of(&two).await);
    let (first, second) = (one.enode().to_string(), two.enode().to_string());
    let (a, b) = tokio::join!(at_one.add_peer(&second), at_two.add_peer(&first));
    a.unwrap();
    b.unwrap();
    at_one.until_ready(1).await;
    at_two.until_ready(1).await;
    let (a, b) = (at_one.status().await, at_two.status().await);
    assert_eq!((a.peers.len(), b.peers.len()), (1, 1));
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_use_names_its_process_and_leaves_it_alone() {
    let alice = Person::new(8);
    let node = alice.start(&[]).await;
    let error = alice.fails_to_start().await;
    assert!(matches!(error, NodeError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    assert_eq!(error.fault(), Fault::InUse);
    Program::of(&node).await.status().await;
    node.stop().await.unwrap();
    alice.start(&[]).await.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_damaged_state_is_an_error_that_says_so() {
    let alice = Person::new(9);
    alice.start(&[]).await.stop().await.unwrap();
    for (file, at) in [("nodekey", 0), ("store.sqlite", 30)] {
        let path = alice.state().join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(alice.fails_to_start().await.fault(), Fault::StateMissing, "{file}");
        let mut damaged = whole.clone();
        damaged[at..at + 20].fill(0xff);
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(alice.fails_to_start().await.fault(), Fault::StateDamaged, "{file}");
        std::fs::write(&path, &whole).unwrap();
    }
    alice.start(&[]).await.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_is_missing_altogether_is_no_first_start() {
    let alice = Person::new(14);
    alice.start(&[]).await.stop().await.unwrap();
    let names = ["nodekey", "store.sqlite"];
    let state = names.map(|name| std::fs::read(alice.state().join(name)).unwrap());
    for name in names {
        std::fs::remove_file(alice.state().join(name)).unwrap();
    }
    let error = alice.fails_to_start().await;
    assert_eq!(error.fault(), Fault::StateMissing);
    assert!(error.to_string().contains("nodekey is missing; restore it"), "{error}");
    for (name, content) in names.iter().zip(state) {
        assert!(!alice.state().join(name).exists(), "nothing was made in its place");
        std::fs::write(alice.state().join(name), content).unwrap();
    }
    alice.start(&[]).await.stop().await.unwrap();

    let place = Relay::new();
    let config = place.config();
    place.start().await.stop().await.unwrap();
    std::fs::remove_file(config.dir.join("nodekey")).unwrap();
    assert_eq!(Node::start(config).await.unwrap_err().fault(), Fault::StateMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_another_card_is_refused() {
    let (alice, bob) = (Person::new(10), Person::new(11));
    alice.start(&[]).await.stop().await.unwrap();
    let mut config = bob.config(&[]);
    config.dir = alice.state();
    let error = Node::start(config).await.unwrap_err();
    assert_eq!(error.fault(), Fault::OtherKey);
    alice.start(&[]).await.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_card_is_waited_for_without_asking_for_a_key() {
    let alice = Person::new(12);
    alice.switches.locked.store(true, Ordering::SeqCst);
    let config = alice.config(&[]);
    let starting = tokio::spawn(Node::start(config));
    while alice.switches.status_calls.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(alice.switches.exports.load(Ordering::SeqCst), 0, "no refusal fills the export log");
    alice.switches.locked.store(false, Ordering::SeqCst);
    starting.await.unwrap().unwrap().stop().await.unwrap();
    assert_eq!(alice.switches.exports.load(Ordering::SeqCst), 2);

    alice.switches.locked.store(true, Ordering::SeqCst);
    let mut config = alice.config(&[]);
    if let node::Role::Chat { unlock_within, .. } = &mut config.role {
        *unlock_within = std::time::Duration::ZERO;
    }
    assert_eq!(Node::start(config).await.unwrap_err().fault(), Fault::Locked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_manager_that_refuses_or_lies_or_is_not_there_stops_the_start() {
    let alice = Person::new(13);
    alice.switches.refuses.store(true, Ordering::SeqCst);
    assert_eq!(alice.fails_to_start().await.fault(), Fault::Refused);
    alice.switches.refuses.store(false, Ordering::SeqCst);
    alice.switches.lies.store(true, Ordering::SeqCst);
    assert_eq!(alice.fails_to_start().await.fault(), Fault::BadCardAnswer);
    let mut config = alice.config(&[]);
    config.role =
        node::Role::Chat { keymgr: alice.state().join("nothing.sock"), unlock_within: std::time::Duration::ZERO };
    assert_eq!(Node::start(config).await.unwrap_err().fault(), Fault::NotRunning);
}
