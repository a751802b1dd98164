//! The thread that owns the card.

use std::pin::Pin as Pinned;
use std::task::Poll;

use proto::rpc::Fault;

use super::*;
use crate::policy::CHAT_PURPOSE;
use crate::worker::{NoAnswer, Worker};

#[tokio::test]
async fn a_worker_that_stops_resets_the_card() {
    let world = World::new();
    let broker = world.unlocked();
    let resets = world.reader.seen().resets;
    let (worker, mut ended) = Worker::start(broker).unwrap();
    assert!(worker.ask(|broker| broker.status().unlocked).await.unwrap());
    worker.stop();
    ended.wait().await;
    assert_eq!(world.reader.seen().resets, resets + 1);
    assert_eq!(worker.ask(|_| ()).await, Err(NoAnswer::Stopped));
}

#[tokio::test]
async fn a_panic_resets_the_card_and_is_told() {
    let world = World::new();
    let broker = world.unlocked();
    let resets = world.reader.seen().resets;
    let (worker, mut ended) = Worker::start(broker).unwrap();
    assert_eq!(worker.ask(|_| panic!("on purpose")).await, Err::<(), _>(NoAnswer::Stopped));
    ended.wait().await;
    assert_eq!(world.reader.seen().resets, resets + 1);
}

/// A manager whose PIN is valid for one millisecond of its clock, which stands still.
fn about_to_expire(world: &World) -> Broker<Reader, Memory> {
    let mut broker = world.enrolled();
    broker.unlock(lasting(PIN, 1), &why("unlock")).unwrap();
    world.clock.pass_millis(999);
    broker
}

fn export(broker: &mut Broker<Reader, Memory>) -> Option<Fault> {
    let (_, caller) = one_time();
    broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)).err().map(|error| error.fault())
}

#[tokio::test]
async fn the_card_is_reset_at_the_end_of_the_pins_lifetime_though_nobody_asks() {
    let world = World::new();
    let broker = about_to_expire(&world);
    let resets = world.reader.resets();
    let (worker, _ended) = Worker::start(broker).unwrap();
    assert_eq!(worker.ask(export).await.unwrap(), None, "the PIN is valid to its last millisecond");
    assert!(resets.try_recv().is_err());
    world.clock.pass_millis(1);
    tokio::task::spawn_blocking(move || resets.recv_timeout(PATIENCE)).await.unwrap().expect("a reset");
    assert_eq!(worker.ask(export).await.unwrap(), Some(Fault::Locked));
}

#[tokio::test]
async fn a_request_that_waits_past_the_end_of_the_pins_lifetime_meets_a_locked_card() {
    let world = World::new();
    let (worker, _ended) = Worker::start(about_to_expire(&world)).unwrap();
    let (begun, begins) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let mut first = Box::pin(worker.ask(move |broker| {
        begun.send(()).unwrap();
        assert!(wait.recv().is_err(), "the test lets go");
        broker.status().unlocked
    }));
    let mut second = Box::pin(worker.ask(export));
    // Each is queued when it is first polled.
    assert!(poll_once(&mut first).await.is_pending() && poll_once(&mut second).await.is_pending());
    tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
    world.clock.pass_millis(1);
    drop(go);
    assert!(first.await.unwrap(), "it was begun in time");
    assert_eq!(second.await.unwrap(), Some(Fault::Locked));
}

/// The card is on the step's stack then, and no longer with the broker.
#[tokio::test]
async fn a_panic_in_the_middle_of_a_step_resets_the_card() {
    // SELECT, OPEN, VERIFY PIN and the exports of an unlocking; the PIN is validated from the third answer on.
    for after in 0..5 {
        let world = World::new();
        let broker = world.enrolled();
        world.reader.tamper(after, Tamper::Panic);
        let (worker, mut ended) = Worker::start(broker).unwrap();
        let resets = world.reader.seen().resets;
        let answer = worker.ask(|broker| broker.unlock(unlocking(PIN), &why("unlock")).is_ok()).await;
        assert_eq!(answer, Err(NoAnswer::Stopped), "answer {after}");
        ended.wait().await;
        // One before SELECT, one at the end.
        assert_eq!(world.reader.seen().resets, resets + 2, "answer {after}");
    }
}

#[tokio::test]
async fn too_many_requests_are_turned_away() {
    let world = World::new();
    let (worker, _ended) = Worker::start(world.enrolled()).unwrap();
    let (begun, begins) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let first = tokio::spawn({
        let worker = worker.clone();
        async move {
            worker
                .ask(move |_| {
                    begun.send(()).unwrap();
                    assert!(wait.recv().is_err(), "the test lets go");
                })
                .await
        }
    });
    tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
    let mut waiting = Vec::new();
    let busy = loop {
        let mut ask = Box::pin(worker.ask(|_| ()));
        match poll_once(&mut ask).await {
            Poll::Pending => waiting.push(ask),
            Poll::Ready(answer) => break answer,
        }
    };
    assert_eq!(busy, Err(NoAnswer::Busy));
    assert!((1..100).contains(&waiting.len()));
    drop(go);
    first.await.unwrap().unwrap();
    for ask in waiting {
        ask.await.unwrap();
    }
}

async fn poll_once<F: Future>(future: &mut Pinned<Box<F>>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// After so long nothing will come. It is no part of what is tested.
const PATIENCE: Duration = Duration::from_secs(30);
