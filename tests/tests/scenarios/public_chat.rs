//! A public chat over relays, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use chat::{ChatName, Event, Input};

use crate::world::{LinkId, NodeId, Shape, Trade, World};

const RELAY: Trade = Trade::Relay { min_pow: 0.002 };

fn demo() -> ChatName {
    ChatName::try_from("demo").unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Alice, a relay, Bob, on one line, both in `#demo`.
struct Line {
    world: World,
    alice: NodeId,
    relay: NodeId,
    bob: NodeId,
    links: [LinkId; 2],
}

fn line() -> Line {
    let mut world = World::new();
    let (alice, relay, bob) = (world.add(Trade::Person), world.add(RELAY), world.add(Trade::Person));
    let links = [alice, bob].map(|person| world.join(person, relay, Shape::millis(20)));
    for person in [alice, bob] {
        world.act(person, Input::Join(demo()));
    }
    world.pass(secs(1));
    Line { world, alice, relay, bob, links }
}

#[track_caller]
fn assert_read(world: &World, people: &[NodeId], texts: &[&str]) {
    for person in people {
        assert_eq!(world.node(*person).person().reads(&demo()), texts, "what {person:?} reads");
    }
}

/// CLIENT-04, WAKU1-04, WU10-07: the middle node of a line forwards, and only to those who want it.
#[test]
fn two_people_talk_over_a_relay() {
    let Line { mut world, alice, relay, bob, .. } = line();
    let carol = world.add(Trade::Person);
    world.join(carol, relay, Shape::millis(5));
    world.pass(secs(1));
    world.say(alice, 1, &demo(), "hello bob");
    world.pass(secs(1));
    world.say(bob, 1, &demo(), "hello alice");
    world.pass(secs(1));
    assert_read(&world, &[alice, bob], &["hello bob", "hello alice"]);
    assert_eq!(world.node(relay).taken, 2);
    assert_eq!(world.node(carol).taken, 0);
    let authors = world.node(bob).person().history.iter().map(|message| (message.author, message.own));
    let identity = |id: NodeId| world.node(id).person().identity();
    assert_eq!(authors.collect::<Vec<_>>(), [(identity(alice), false), (identity(bob), true)]);
}

/// A new envelope is forwarded within milliseconds, not on a tick.
#[test]
fn a_message_arrives_a_few_milliseconds_after_the_links_delays() {
    let Line { mut world, alice, bob, .. } = line();
    world.say(alice, 1, &demo(), "quick");
    world.pass(millis(39));
    assert_read(&world, &[bob], &[]);
    world.pass(millis(6));
    assert_read(&world, &[bob], &["quick"]);
}

/// WU10-09, WAKU1-58: a message counts as delivered once a peer has confirmed it.
#[test]
fn the_relay_confirms_and_nothing_is_sent_again() {
    let Line { mut world, alice, relay, bob, .. } = line();
    world.say(alice, 1, &demo(), "one");
    world.pass(millis(39));
    assert_eq!(world.node(alice).person().disk.unsent.len(), 1);
    world.pass(millis(6));
    let person = world.node(alice).person();
    assert!(person.disk.unsent.is_empty());
    assert!(matches!(person.told.as_slice(), [Event::Posted { .. }, Event::Delivered(_)]), "{:?}", person.told);
    world.pass(secs(300));
    assert_eq!(world.node(relay).taken, 1);
    assert_read(&world, &[bob], &["one"]);
}

/// WAKU1-07: over two relays each envelope comes twice and counts once; what overtakes it on a shorter way is read behind
/// it.
#[test]
fn what_comes_by_two_ways_counts_once_and_in_its_order() {
    let mut world = World::new();
    let [alice, bob, carol] = [(); 3].map(|()| world.add(Trade::Person));
    for slow in [500, 600] {
        let relay = world.add(RELAY);
        world.join(alice, relay, Shape::millis(5));
        world.join(bob, relay, Shape::millis(slow));
    }
    world.join(carol, bob, Shape::millis(5));
    for person in [alice, bob, carol] {
        world.act(person, Input::Join(demo()));
    }
    world.pass(secs(5));
    world.say(alice, 1, &demo(), "one");
    world.pass(millis(100));
    world.say(carol, 1, &demo(), "two");
    world.pass(millis(100));
    assert_read(&world, &[bob], &["two"]);
    world.pass(secs(5));
    assert_read(&world, &[alice, bob, carol], &["one", "two"]);
    assert_eq!(world.node(bob).person().history.len(), 2);
    assert!(world.node(bob).refused.contains_key("duplicate"), "{:?}", world.node(bob).refused);
}

/// A connection that breaks loses what is under way; it is sent again when there is one.
#[test]
fn a_message_survives_the_loss_of_its_connection() {
    let Line { mut world, alice, relay, bob, links } = line();
    world.say(alice, 1, &demo(), "half way");
    world.pass(millis(10));
    world.cut(links[0]);
    world.pass(secs(2));
    assert_eq!(world.node(relay).taken, 0);
    world.connect(links[0]);
    world.pass(secs(2));
    assert_read(&world, &[alice, bob], &["half way"]);
    assert!(world.node(alice).person().disk.unsent.is_empty());
}

/// Longer away than an envelope lives: the engine sends the message again in a new one.
#[test]
fn a_message_survives_its_envelope() {
    let Line { mut world, alice, bob, links, .. } = line();
    world.cut(links[0]);
    world.say(alice, 1, &demo(), "later");
    world.pass(secs(30));
    world.connect(links[0]);
    world.pass(secs(30));
    assert_read(&world, &[alice, bob], &["later"]);
    assert_eq!(world.node(bob).person().history.len(), 1);
}

/// A card that takes half a minute delays its owner's messages and nobody else's; clock and text stand from the start.
#[test]
fn a_slow_signer_delays_only_its_owner() {
    let Line { mut world, alice, bob, .. } = line();
    world.node_mut(alice).person_mut().signs_in(secs(30));
    world.say(alice, 1, &demo(), "slow");
    world.pass(secs(10));
    world.say(bob, 1, &demo(), "quick");
    world.pass(secs(10));
    assert_read(&world, &[alice, bob], &["quick"]);
    world.pass(secs(60));
    // Written first, it stands first.
    assert_read(&world, &[alice, bob], &["slow", "quick"]);
}

/// A node that dies after any output of its engine and starts again from its disk: nothing is lost, nothing comes twice,
/// no clock is used by two messages.
#[test]
fn a_node_that_dies_at_any_point_loses_and_repeats_nothing() {
    for outputs in 1.. {
        let Line { mut world, alice, bob, .. } = line();
        world.node_mut(alice).person_mut().fuse = Some(outputs);
        let texts = ["one", "two", "three"];
        for (token, text) in (0..).zip(texts) {
            world.say(alice, token, &demo(), text);
            world.pass(millis(30));
            if world.node(alice).wake_at().is_none() {
                world.restart(alice);
                world.pass(secs(1));
                // Alice sees whether her node kept what she wrote.
                if !world.node(alice).person().reads(&demo()).contains(&text) {
                    world.say(alice, token, &demo(), text);
                }
            }
            world.say(bob, token, &demo(), "aha");
            world.pass(secs(1));
        }
        let blown = world.node(alice).person().fuse.is_none();
        if world.node(alice).wake_at().is_none() {
            world.restart(alice);
        }
        world.pass(secs(60));
        let read = world.node(bob).person().reads(&demo());
        let written: Vec<_> = read.into_iter().filter(|text| *text != "aha").collect();
        assert_eq!(written, texts, "after output {outputs}");
        let author = world.node(alice).person().identity();
        let own = world.node(bob).person().history.iter().filter(|message| message.author == author);
        let clocks: BTreeSet<_> = own.map(|message| message.clock).collect();
        assert_eq!(clocks.len(), texts.len(), "after output {outputs}");
        let reads = |id: NodeId| world.node(id).person().reads(&demo());
        assert_eq!((reads(alice), reads(alice).len()), (reads(bob), 6), "after output {outputs}");
        assert!(world.node(alice).person().disk.unsent.is_empty(), "after output {outputs}");
        if !blown {
            assert!(outputs > 20, "the scenario has more outputs than that");
            break;
        }
    }
}
