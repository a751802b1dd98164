//! The bounded queue of the thread that owns the cards.
//!
//! The invariant: whoever puts something in never waits. The thread is woken only when it sleeps, once, and when the queue is
//! not locked any more: woken to a locked queue it would sleep again.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Returns the two ends of a queue with `room` places.
pub(crate) fn queue<J>(room: usize) -> (Sender<J>, Receiver<J>) {
    let state = State { jobs: VecDeque::with_capacity(room), room, closed: false, asleep: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Sender(Arc::new(Senders(Arc::clone(&shared)))), Receiver(shared))
}

/// Where something is put in. When the last clone is dropped, nothing can come any more.
pub(crate) struct Sender<J>(Arc<Senders<J>>);

/// Where it is taken out. When it is dropped, so is all that was in the queue.
pub(crate) struct Receiver<J>(Arc<Shared<J>>);

/// Why something was not put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// There is no room.
    Full,
    /// The queue is closed.
    Closed,
}

/// Why nothing was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// Nothing came in time.
    Yet,
    /// The queue is closed, and all that was in it was taken out.
    Ever,
}

/// All clones of a sender together.
struct Senders<J>(Arc<Shared<J>>);

struct Shared<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    jobs: VecDeque<J>,
    room: usize,
    closed: bool,
    /// Whether the thread sleeps and nobody has woken it yet.
    asleep: bool,
}

impl<J> Sender<J> {
    /// Puts something in.
    ///
    /// # Errors
    /// [`NotSent`].
    pub(crate) fn try_send(&self, job: J) -> Result<(), NotSent> {
        let mut state = self.0.0.lock();
        if state.closed {
            return Err(NotSent::Closed);
        }
        if state.jobs.len() >= state.room {
            return Err(NotSent::Full);
        }
        state.jobs.push_back(job);
        self.0.0.wake(state);
        Ok(())
    }

    /// Lets nothing more in. What is in the queue is still taken out.
    pub(crate) fn close(&self) {
        self.0.0.close();
    }
}

impl<J> Clone for Sender<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J> Receiver<J> {
    /// Takes out what was put in first, and waits for it at most `patience`; without one for as long as it takes.
    ///
    /// # Errors
    /// [`Nothing`].
    pub(crate) fn next(&self, patience: Option<Duration>) -> Result<J, Nothing> {
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut state = self.0.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Ok(job);
            }
            if state.closed {
                return Err(Nothing::Ever);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Nothing::Yet);
            }
            state.asleep = true;
            state = match left {
                Some(left) => {
                    self.0.changed.wait_timeout(state, left).map_or_else(|poisoned| poisoned.into_inner().0, |it| it.0)
                }
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.asleep = false;
        }
    }
}

impl<J> Shared<J> {
    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State<J>>) {
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.changed.notify_one();
        }
    }

    /// Nothing is left half done while it is held.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> Drop for Senders<J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<J> Drop for Receiver<J> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.jobs);
        // What is in it may put something in when it is dropped.
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn what_was_put_in_first_comes_out_first_and_no_more_than_fits_goes_in() {
        let (sender, receiver) = queue(2);
        assert_eq!(receiver.next(NOW), Err(Nothing::Yet));
        assert_eq!([1, 2, 3].map(|job| sender.try_send(job)), [Ok(()), Ok(()), Err(NotSent::Full)]);
        assert_eq!(receiver.next(None), Ok(1));
        assert_eq!(sender.try_send(4), Ok(()));
        assert_eq!([receiver.next(None), receiver.next(NOW), receiver.next(NOW)], [Ok(2), Ok(4), Err(Nothing::Yet)]);
    }

    #[test]
    fn what_is_in_a_closed_queue_comes_out_and_nothing_goes_in() {
        let (sender, receiver) = queue(2);
        let other = sender.clone();
        sender.try_send(1).unwrap();
        other.close();
        assert_eq!(sender.try_send(2), Err(NotSent::Closed));
        assert_eq!([receiver.next(None), receiver.next(None)], [Ok(1), Err(Nothing::Ever)]);
    }

    #[test]
    fn a_queue_without_senders_is_closed_and_one_without_its_thread_too() {
        let (sender, receiver) = queue::<Sender<()>>(2);
        let other = sender.clone();
        drop(sender);
        assert!(matches!(receiver.next(NOW), Err(Nothing::Yet)));
        drop(other);
        assert!(matches!(receiver.next(None), Err(Nothing::Ever)));

        let (sender, receiver) = queue(2);
        let (held, let_go) = channel::<()>();
        sender.try_send(held).unwrap();
        drop(receiver);
        assert!(let_go.recv().is_err(), "what was in it is dropped");
        assert_eq!(sender.try_send(channel().0), Err(NotSent::Closed));
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_by_a_job_and_by_the_end() {
        const SOON: Duration = Duration::from_secs(30);
        let (sender, receiver) = queue(1);
        let (tell, told) = channel();
        std::thread::spawn(move || {
            loop {
                let next = receiver.next(Some(SOON * 60));
                if tell.send(next).is_err() || next.is_err() {
                    return;
                }
            }
        });
        for job in 0..1000 {
            sender.try_send(job).unwrap();
            assert_eq!(told.recv_timeout(SOON), Ok(Ok(job)));
        }
        drop(sender);
        assert_eq!(told.recv_timeout(SOON), Ok(Err(Nothing::Ever)));
    }

    #[test]
    fn nothing_is_lost_among_many_that_put_something_in() {
        let (sender, receiver) = queue(4);
        let put = |sender: Sender<usize>, from: usize| {
            for job in from..from + 2000 {
                while sender.try_send(job) == Err(NotSent::Full) {
                    std::thread::yield_now();
                }
            }
        };
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let sender = sender.clone();
                std::thread::spawn(move || put(sender, n * 2000))
            })
            .collect();
        drop(sender);
        let mut taken: Vec<usize> = std::iter::from_fn(|| receiver.next(Some(Duration::from_secs(60))).ok()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..8000).collect::<Vec<_>>());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
