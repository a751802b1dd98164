//! Several hosts: what crosses them, and how often.

use super::*;

/// WAKU1-04, WAKU1-19, WAKU1-58: an envelope crosses a relay, and its sender learns that it was taken.
#[test]
fn the_middle_of_three_forwards_and_confirms() {
    let mut world = World::new(vec![wanting(&[1]), full(), wanting(&[1])]);
    world.link(0, 1);
    world.link(1, 2);
    world.run(Duration::from_millis(20));
    let envelope = fresh(topic(1), 1);
    world.give(0, Input::Post(envelope.clone()));
    world.run(Duration::from_millis(20));
    assert_eq!(world.envelopes_at(1), [envelope.hash()]);
    assert_eq!(world.envelopes_at(2), [envelope.hash()]);
    assert!(world.events.contains(&(0, Event::Acknowledged { hash: envelope.hash(), peer: PeerId(1) })));
    world.run(Duration::from_secs(30));
    assert!(world.events.contains(&(0, Event::Expired { hash: envelope.hash() })));
    assert!(world.hosts.iter().all(|host| host.pool_len() == 0 && host.wake_at().is_none()));
}

/// WAKU1-07: over a ring, nobody sends to a peer what it brought or has.
#[test]
fn nobody_sends_an_envelope_twice_over_a_link() {
    let mut world = World::new(vec![full(), full(), full()]);
    for (a, b) in [(0, 1), (1, 2), (2, 0)] {
        world.link(a, b);
    }
    world.run(Duration::from_millis(20));
    for n in 0..10 {
        world.give(usize::from(n % 3), Input::Post(fresh(topic(1), n)));
        world.run(Duration::from_millis(7));
    }
    world.run(Duration::from_secs(5));
    for host in 0..3 {
        let mut all = world.envelopes_at(host);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(count, all.len(), "each is told once");
        assert_eq!(world.hosts[host].pool_len(), 10);
    }
    assert!(world.traffic.values().all(|count| *count <= 10), "{:?}", world.traffic);
}

/// WAKU1-41, WU10-07: a topic that a peer does not want never reaches it, until it says so.
#[test]
fn a_peer_gets_its_topics_and_what_it_asks_for_later() {
    let mut world = World::new(vec![full(), wanting(&[1])]);
    world.link(0, 1);
    world.run(Duration::from_millis(20));
    let (wanted, other) = (fresh(topic(1), 1), fresh(topic(2), 2));
    world.give(0, Input::Post(wanted.clone()));
    world.give(0, Input::Post(other.clone()));
    world.run(Duration::from_secs(1));
    assert_eq!(world.traffic[&(0, 1)], 1);
    assert_eq!(world.envelopes_at(1), [wanted.hash()]);
    world.give(1, Input::Interest(Interest::topics([topic(1), topic(2)])));
    world.run(Duration::from_secs(1));
    assert_eq!(world.envelopes_at(1), [wanted.hash(), other.hash()]);
    assert_eq!(world.traffic[&(0, 1)], 2);
}

#[test]
fn a_peer_that_connects_later_gets_what_is_still_alive() {
    let mut world = World::new(vec![full(), full()]);
    world.give(0, Input::Post(sent(0, 2, topic(1), 1)));
    world.give(0, Input::Post(fresh(topic(1), 2)));
    world.run(Duration::from_secs(5));
    world.link(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.envelopes_at(1), [fresh(topic(1), 2).hash()]);
}

/// WAKU1-65, WAKU1-66, WAKU1-56: a light node sends its own and nobody else's.
#[test]
fn a_light_node_sends_only_its_own() {
    let mut world = World::new(vec![full(), Config { light_node: true, ..full() }, full()]);
    world.link(0, 1);
    world.link(1, 2);
    world.run(Duration::from_millis(20));
    let own = fresh(topic(1), 1);
    world.give(0, Input::Post(fresh(topic(1), 2)));
    world.give(1, Input::Post(own.clone()));
    world.run(Duration::from_secs(1));
    assert_eq!(world.envelopes_at(2), [own.hash()]);
    assert_eq!(world.envelopes_at(1).len(), 1);
}

/// What a peer brought to a light node becomes its own when it is posted there.
#[test]
fn a_light_node_sends_what_it_posts_though_it_knew_it() {
    let mut solo = Solo::new(Config { light_node: true, ..full() });
    for peer in [1, 2] {
        solo.connect(peer, &Options::default());
    }
    let envelope = fresh(topic(1), 1);
    let mut told = solo.packet(1, code::MESSAGES, &messages(&[&envelope]));
    told.extend(solo.settle());
    assert!(sent_to(&told, 2).is_empty());
    assert!(told.iter().any(|output| matches!(output, Output::Event(Event::Envelope { direct: true, .. }))));
    solo.give(Input::Post(envelope.clone()));
    let told = solo.settle();
    assert_eq!((sent_to(&told, 1), sent_to(&told, 2)), (vec![], vec![envelope.hash()]));
}
