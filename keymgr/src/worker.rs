//! The one thread that owns the card and its session. Everybody else asks it over a bounded queue.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use audit::LogStore;
use keycard::CardTransport;
use tokio::sync::oneshot;

use crate::broker::Broker;

/// The way to the thread; clones lead to the same one.
pub struct Worker<T: CardTransport, S: LogStore>(SyncSender<Job<T, S>>);

/// Tells when the thread has ended.
pub struct Ended(Option<oneshot::Receiver<()>>);

/// Why the thread did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// Too many requests wait.
    #[error("the key manager is busy; try again")]
    Busy,
    /// The thread has stopped.
    #[error("the key manager is stopping")]
    Stopped,
}

enum Job<T: CardTransport, S: LogStore> {
    Ask(Question<T, S>),
    Stop,
}

type Question<T, S> = Box<dyn FnOnce(&mut Broker<T, S>) + Send>;

impl<T: CardTransport, S: LogStore> Clone for Worker<T, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T, S> Worker<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub fn start(broker: Broker<T, S>) -> io::Result<(Self, Ended)> {
        let (queue, jobs) = sync_channel(QUEUE);
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("card".to_owned()).spawn(move || {
            work(broker, &jobs);
            // Dropped also when a job panics; the card was reset by the broker's end then.
            drop(end);
        })?;
        Ok((Self(queue), Ended(Some(ended))))
    }

    /// Asks the broker and waits for its answer. A request whose caller has gone away is not begun.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn ask<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Broker<T, S>) -> R + Send + 'static,
    ) -> Result<R, NoAnswer> {
        let (answer, wait) = oneshot::channel();
        let job = Job::Ask(Box::new(move |broker| {
            if !answer.is_closed() {
                // A caller that goes away meanwhile finds the record in the log.
                drop(answer.send(ask(broker)));
            }
        }));
        match self.0.try_send(job) {
            Ok(()) => wait.await.map_err(|_| NoAnswer::Stopped),
            Err(TrySendError::Full(_)) => Err(NoAnswer::Busy),
            Err(TrySendError::Disconnected(_)) => Err(NoAnswer::Stopped),
        }
    }

    /// Has the broker do something and does not wait for it. When too many requests wait it is not done.
    pub fn tell(&self, tell: impl FnOnce(&mut Broker<T, S>) + Send + 'static) {
        drop(self.0.try_send(Job::Ask(Box::new(tell))));
    }

    /// Lets the thread finish what is queued, reset the card, and end. It waits while the queue is full.
    pub fn stop(&self) {
        drop(self.0.send(Job::Stop));
    }
}

impl Ended {
    /// Waits until the thread has ended. It may be waited for again afterwards.
    pub async fn wait(&mut self) {
        if let Some(ended) = &mut self.0 {
            drop(ended.await);
            self.0 = None;
        }
    }
}

fn work<T: CardTransport, S: LogStore>(mut broker: Broker<T, S>, jobs: &Receiver<Job<T, S>>) {
    loop {
        let job = next(&mut broker, jobs);
        broker.heed();
        match job {
            Ok(Job::Ask(ask)) => ask(&mut broker),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => {
                broker.settle();
                broker.lock_all();
                return;
            }
        }
    }
}

/// Waits for the next request. In a lull a card signs what came of the ones before; in a burst it does when that is overdue.
fn next<T: CardTransport, S: LogStore>(
    broker: &mut Broker<T, S>,
    jobs: &Receiver<Job<T, S>>,
) -> Result<Job<T, S>, RecvTimeoutError> {
    if broker.is_overdue() {
        broker.settle();
    }
    if broker.owes_signature() {
        match jobs.recv_timeout(LULL) {
            Err(RecvTimeoutError::Timeout) => broker.settle(),
            other => return other,
        }
    }
    broker.heed();
    match broker.wake_in() {
        Some(left) => jobs.recv_timeout(left.min(LOOK_AGAIN)),
        None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// When no request comes for so long, whoever asks several things in a row has their answers.
const LULL: Duration = Duration::from_millis(20);

/// The wait does not count the time that the computer sleeps, a PIN's lifetime does: it is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How many requests wait at most.
const QUEUE: usize = 32;
