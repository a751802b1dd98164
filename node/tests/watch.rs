//! What a program that watches a node is told: peers, chats, messages, and what becomes of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod support;

use proto::rpc::Fault;
use proto::rpc::api::node_event::Event;
use support::{Person, Program, Relay};

#[tokio::test]
async fn a_watcher_is_told_of_peers_chats_messages_and_what_became_of_its_own() {
    let (alice, bob) = (Person::new(1), Person::new(2));
    let home = Relay::new();
    let relay = home.start().await;
    let (alice_node, bob_node) = (alice.start(&[]).await, bob.start(&[&relay]).await);
    let (mut alice_program, mut bob_program) = (Program::of(&alice_node).await, Program::of(&bob_node).await);
    let (mut alice_sees, mut bob_sees) = (alice_program.watch().await, bob_program.watch().await);

    // Without a peer a message is kept, and the caller is free at once.
    let question = alice_program.keep("demo", "is anybody there?", "").await.unwrap();
    assert!(alice_sees.next().await == Some(Event::Joined("demo".into())));
    let Some(Event::Message(own)) = alice_sees.next().await else { panic!("no message") };
    assert_eq!((own.id.as_str(), own.own, own.content_type), (question.as_str(), true, 1));
    drop(bob_program.join("demo", 0).await);
    loop {
        match bob_sees.next().await {
            Some(Event::Joined(chat)) => break assert_eq!(chat, "demo"),
            Some(Event::PeerUp(_)) => {}
            _ => panic!("something else happened"),
        }
    }

    alice_program.add_peer(&relay.enode().to_string()).await.unwrap();
    let Some(Event::PeerUp(up)) = alice_sees.next().await else { panic!("no peer") };
    assert_eq!((up.id.as_str(), up.inbound), (hex::encode(relay.enode().key.to_node_id()).as_str(), false));
    assert!(alice_sees.next().await == Some(Event::Sent(question.clone())));
    let Some(Event::Message(heard)) = bob_sees.next().await else { panic!("no message") };
    assert_eq!((heard.text.as_str(), heard.own), ("is anybody there?", false));
    assert_eq!(heard.sent_ms % 1000, 0);
    assert!(heard.sent_ms.abs_diff(heard.timestamp_ms) < 60_000, "{} {}", heard.sent_ms, heard.timestamp_ms);

    let answer = bob_program.keep("demo", "I am", &question).await.unwrap();
    let Some(Event::Message(heard)) = alice_sees.next().await else { panic!("no message") };
    assert_eq!((heard.id.as_str(), heard.response_to.as_str()), (answer.as_str(), question.as_str()));
    let stored = alice_program.history("demo", 9).await;
    assert_eq!(stored.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["is anybody there?", "I am"]);
    assert_eq!(stored[1].response_to, question);
    assert_eq!(alice_program.history("demo", 1).await.len(), 1);

    alice_program.leave("demo").await.unwrap();
    assert!(alice_sees.next().await == Some(Event::Left("demo".into())));
    assert_eq!(alice_program.history("demo", 9).await.len(), 2, "what is stored stays");
    relay.stop().await.unwrap();
    let Some(Event::PeerDown(gone)) = alice_sees.next().await else { panic!("the peer did not go") };
    assert_eq!((gone.id, gone.why.as_str()), (up.id, "quitting"));
    alice_node.stop().await.unwrap();
    assert!(alice_sees.next().await.is_none());
    bob_node.stop().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_was_removed_is_gone_and_is_dialled_no_more() {
    let home = Relay::new();
    let relay = home.start().await;
    let alice = Person::new(3);
    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    program.until_ready(1).await;
    let mut sees = program.watch().await;
    let enode = relay.enode().to_string();
    program.remove_peer(&enode).await.unwrap();
    let Some(Event::PeerDown(gone)) = sees.next().await else { panic!("the peer did not go") };
    assert_eq!(gone.why, "removed");
    let mut of_relay = Program::of(&relay).await;
    of_relay.until("nobody", |status| status.peers.is_empty()).await;
    // It takes its place again only when it is asked for, and then at once.
    program.remove_peer(&enode).await.unwrap();
    assert!(program.status().await.peers.is_empty());
    program.add_peer(&enode).await.unwrap();
    assert!(matches!(sees.next().await, Some(Event::PeerUp(_))));
    of_relay.until("one peer", |status| status.peers.len() == 1).await;
    let error = program.remove_peer("enode://nonsense").await.unwrap_err();
    assert_eq!(Fault::of(&error), Some(Fault::BadInput));
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_dialled_us_can_be_removed_too() {
    let home = Relay::new();
    let relay = home.start().await;
    let alice = Person::new(4);
    let node = alice.start(&[&relay]).await;
    let mut of_relay = Program::of(&relay).await;
    of_relay.until_ready(1).await;
    let mut sees = of_relay.watch().await;
    of_relay.remove_peer(&node.enode().to_string()).await.unwrap();
    let Some(Event::PeerDown(gone)) = sees.next().await else { panic!("the peer did not go") };
    assert_eq!((gone.id, gone.why.as_str()), (hex::encode(node.enode().key.to_node_id()), "removed"));
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_relay_has_no_history_and_an_answer_needs_a_message() {
    let home = Relay::new();
    let relay = home.start().await;
    let alice = Person::new(5);
    let node = alice.start(&[&relay]).await;
    let mut program = Program::of(&node).await;
    let error = program.keep("demo", "x", "0x12").await.unwrap_err();
    assert_eq!(Fault::of(&error), Some(Fault::BadInput));
    assert!(program.history("never joined", 9).await.is_empty());
    let waku = program.status().await.waku.unwrap();
    assert_eq!((waku.takes_everything, waku.topics.len()), (false, 0));
    program.keep("demo", "x", "").await.unwrap();
    // The reference's topic of "demo" would serve as well; here it matters that there is one, in hex.
    let topics = program.status().await.waku.unwrap().topics;
    assert!(topics.len() == 1 && topics[0].len() == 8, "{topics:?}");
    assert!(Program::of(&relay).await.status().await.waku.unwrap().takes_everything);
    node.stop().await.unwrap();
    relay.stop().await.unwrap();
}
