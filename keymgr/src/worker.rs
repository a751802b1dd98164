//! The one thread that owns the card and its session. Everybody else asks it over a bounded queue.
//!
//! Answers go back through one task of the runtime that hands them out: a runtime that is busy is woken once for all answers
//! that are there by then.

use std::io;
use std::time::Duration;

use audit::LogStore;
use keycard::CardTransport;
use tokio::sync::{mpsc, oneshot};

use crate::broker::Broker;
use crate::queue::{NotSent, Nothing, Receiver, Sender, queue};

/// The way to the thread; clones lead to the same one.
pub struct Worker<T: CardTransport, S: LogStore> {
    jobs: Sender<Job<T, S>>,
    /// Never more than callers that wait.
    answers: mpsc::UnboundedSender<HandOut>,
}

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

type Job<T, S> = Box<dyn FnOnce(&mut Broker<T, S>) + Send>;

/// Gives an answer to whoever waits for it.
type HandOut = Box<dyn FnOnce() + Send>;

impl<T: CardTransport, S: LogStore> Clone for Worker<T, S> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), answers: self.answers.clone() }
    }
}

impl<T, S> Worker<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    /// Starts the thread, and on the runtime from which this is called the task that hands out answers.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub fn start(broker: Broker<T, S>) -> io::Result<(Self, Ended)> {
        let (jobs, waiting) = queue(QUEUE);
        let (answers, mut answered) = mpsc::unbounded_channel::<HandOut>();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("card".to_owned()).spawn(move || {
            work(broker, &waiting);
            // Dropped also when a job panics; the card was reset by the broker's end then.
            drop(end);
        })?;
        tokio::spawn(async move {
            while let Some(hand_out) = answered.recv().await {
                hand_out();
            }
        });
        Ok((Self { jobs, answers }, Ended(Some(ended))))
    }

    /// Asks the broker and waits for its answer. A request whose caller has gone away is not begun.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn ask<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Broker<T, S>) -> R + Send + 'static,
    ) -> Result<R, NoAnswer> {
        let (to_caller, wait) = oneshot::channel();
        let answers = self.answers.clone();
        let job = Box::new(move |broker: &mut Broker<T, S>| {
            if !to_caller.is_closed() {
                let answer = ask(broker);
                // A caller that goes away meanwhile finds the record in the log.
                drop(answers.send(Box::new(move || drop(to_caller.send(answer)))));
            }
        });
        match self.jobs.try_send(job) {
            Ok(()) => wait.await.map_err(|_| NoAnswer::Stopped),
            Err(NotSent::Full) => Err(NoAnswer::Busy),
            Err(NotSent::Closed) => Err(NoAnswer::Stopped),
        }
    }

    /// Has the broker do something and does not wait for it. When too many requests wait it is not done.
    pub fn tell(&self, tell: impl FnOnce(&mut Broker<T, S>) + Send + 'static) {
        let _ = self.jobs.try_send(Box::new(tell));
    }

    /// Lets the thread finish what is queued, reset the card, and end. It is not waited for.
    pub fn stop(&self) {
        self.jobs.close();
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

fn work<T: CardTransport, S: LogStore>(mut broker: Broker<T, S>, waiting: &Receiver<Job<T, S>>) {
    loop {
        let job = next(&mut broker, waiting);
        broker.heed();
        match job {
            Ok(job) => job(&mut broker),
            Err(Nothing::Yet) => {}
            Err(Nothing::Ever) => {
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
    waiting: &Receiver<Job<T, S>>,
) -> Result<Job<T, S>, Nothing> {
    if broker.is_overdue() {
        broker.settle();
    }
    if broker.owes_signature() {
        match waiting.next(Some(LULL)) {
            Err(Nothing::Yet) => broker.settle(),
            other => return other,
        }
    }
    broker.heed();
    waiting.next(broker.wake_in().map(|left| left.min(LOOK_AGAIN)))
}

/// When no request comes for so long, whoever asks several things in a row has their answers.
const LULL: Duration = Duration::from_millis(20);

/// The wait does not count the time that the computer sleeps, a PIN's lifetime does: it is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How many requests wait at most.
const QUEUE: usize = 32;
