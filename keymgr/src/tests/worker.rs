//! The thread that owns the card.

use std::sync::mpsc;

use super::*;
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
        match std::future::poll_fn(|cx| std::task::Poll::Ready(ask.as_mut().poll(cx))).await {
            std::task::Poll::Pending => waiting.push(ask),
            std::task::Poll::Ready(answer) => break answer,
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
