//! PINs end in time though the broker is held up.

use proto::rpc::Fault;

use super::seats::{THERE, at, both_enrolled, in_reader, two_cards};
use super::*;
use crate::policy::CHAT_PURPOSE;
use crate::worker::Worker;

type TimedBroker = Broker<Timed<Reader>, Memory>;

fn export(broker: &mut TimedBroker, target: &Target) -> Option<Fault> {
    let (_, caller) = one_time();
    let work = |broker: &mut TimedBroker| broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE));
    broker.in_session(target, work).err().map(|error| error.fault())
}

/// Two unlocked cards, the one in the other reader for a minute.
fn both_unlocked(world: &World) -> TimedBroker {
    drop(both_enrolled(world));
    let mut broker = world.timed_broker();
    broker.unlock(at(in_reader(OWN)), &why("unlock")).unwrap();
    broker.unlock(Unlocking { target: in_reader(THERE), ..lasting(PIN, 60) }, &why("unlock")).unwrap();
    broker.settle();
    broker
}

async fn heard<V: Send + 'static>(from: mpsc::Receiver<V>) -> V {
    let wait = move || from.recv_timeout(Duration::from_secs(30)).expect("it happens");
    tokio::task::spawn_blocking(wait).await.unwrap()
}

#[tokio::test]
async fn a_reader_that_hangs_does_not_lengthen_the_lifetime_of_another_cards_pin() {
    let (world, other) = two_cards();
    let (worker, _ended) = Worker::start(both_unlocked(&world)).unwrap();
    let (begins, go) = world.reader.hang();
    let stuck = tokio::spawn({
        let worker = worker.clone();
        async move { worker.ask(|broker| export(broker, &in_reader(OWN))).await }
    });
    heard(begins).await;
    let (resets, commands) = (other.resets(), other.commands());
    world.clock.pass(62);
    heard(resets).await;
    assert!(!stuck.is_finished(), "the broker is held up still");
    drop(go);
    assert_eq!(stuck.await.unwrap().unwrap(), None, "the card that was slow is unlocked for longer");
    assert_eq!(worker.ask(|broker| export(broker, &in_reader(THERE))).await.unwrap(), Some(Fault::Locked));
    assert_eq!(other.commands(), commands, "a card whose time is over is asked for nothing");
    assert!(world.log.report().is_consistent());
}

/// Its opening needs no PIN, in whichever reader it is.
#[tokio::test]
async fn a_card_whose_time_is_over_before_it_could_sign_signs_in_its_next_opening() {
    let (world, other) = two_cards();
    let mut broker = both_unlocked(&world);
    assert_eq!(export(&mut broker, &in_reader(THERE)), None);
    assert!(broker.owes_signature());
    let resets = other.resets();
    world.clock.pass(62);
    heard(resets).await;
    let before = world.log.report().entries();
    broker.settle();
    assert!(!broker.owes_signature());
    let story = world.log.story();
    let signed = story.iter().skip(usize::try_from(before).unwrap()).filter(|line| line.contains("channel"));
    assert_eq!(signed.count(), 1, "{story:#?}");
    assert_eq!(export(&mut broker, &in_reader(THERE)), Some(Fault::Locked));
}

#[tokio::test]
async fn a_card_that_was_reset_in_time_signs_what_came_of_its_session_all_the_same() {
    let world = World::new();
    drop(world.enrolled());
    let mut broker = world.timed_broker();
    broker.unlock(lasting(PIN, 60), &why("unlock")).unwrap();
    broker.settle();
    assert_eq!(export(&mut broker, &Target::default()), None);
    assert!(broker.owes_signature());
    let resets = world.reader.resets();
    world.clock.pass(62);
    heard(resets).await;
    broker.heed();
    assert!(!broker.status().unlocked && !broker.owes_signature());
    assert_eq!(broker.status().seats[0].state, "present");
    let story = world.log.story();
    assert!(story.last().unwrap().contains("channel"), "{story:#?}");
}

#[test]
fn a_request_in_whose_midst_the_time_is_over_is_told_that_the_card_is_locked() {
    let world = World::new();
    drop(world.enrolled());
    let mut broker = world.timed_broker();
    broker.unlock(lasting(PIN, 60), &why("unlock")).unwrap();
    world.clock.pass(62);
    // The broker is not told of the time: it is in the midst of a request.
    let commands = world.reader.commands();
    assert_eq!(export(&mut broker, &Target::default()), Some(Fault::Locked));
    assert_eq!(world.reader.commands(), commands);
    assert_eq!(broker.status().seats[0].state, "present", "the reader has not failed");
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    assert_eq!(export(&mut broker, &Target::default()), None);
}
