//! A thread that makes calls which may never come back, and the end of it that can wait for them.
//!
//! The invariant: when a call does not come back in time the thread keeps what it has, and drops it if the call ever ends.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::hanging::{Alive, Hanging};
use crate::trouble::Trouble;

/// The way to a thread that owns an `S`.
pub(crate) struct Line<S> {
    jobs: Option<SyncSender<Job<S>>>,
    thread: Weak<Alive>,
    hanging: Hanging,
    reader: String,
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

impl<S> Line<S> {
    /// Starts a thread for calls to a reader.
    ///
    /// # Errors
    /// [`Trouble::Hung`] when an earlier call to it hangs, or there is no thread.
    pub(crate) fn start(hanging: &Hanging, reader: &str) -> Result<Self, Trouble>
    where
        S: Default + 'static,
    {
        hanging.admit(reader)?;
        let (jobs, queue) = sync_channel::<Job<S>>(1);
        let alive = Arc::new(Alive);
        let thread = Arc::downgrade(&alive);
        let work = move || {
            let mut state = S::default();
            while let Ok(job) = queue.recv() {
                job(&mut state);
            }
            drop(state);
            drop(alive);
        };
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(work)
            .map_err(|_| Trouble::Other(pcsc::Error::NoMemory))?;
        Ok(Self { jobs: Some(jobs), thread, hanging: hanging.clone(), reader: reader.to_owned() })
    }

    /// Makes a call and returns what came of it.
    ///
    /// # Errors
    /// [`Trouble::Hung`] when it does not come back within `limit`; the thread is given up then.
    pub(crate) fn call<R: Send + 'static>(
        &mut self,
        limit: Duration,
        call: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, Trouble> {
        let hung = Trouble::Hung { seconds: limit.as_secs() };
        let Some(jobs) = &self.jobs else { return Err(hung) };
        let (tell, told) = sync_channel(1);
        let job = Box::new(move |state: &mut S| {
            // Nobody may be waiting any more.
            drop(tell.send(call(state)));
        });
        let answer = match jobs.send(job) {
            Ok(()) => told.recv_timeout(limit),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                self.jobs = None;
                self.hanging.abandon(&self.reader, self.thread.clone(), limit.as_secs());
                Err(hung)
            }
            // The call panicked, and what the thread had is dropped.
            Err(RecvTimeoutError::Disconnected) => {
                self.jobs = None;
                Err(Trouble::Other(pcsc::Error::InternalError))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// After so long nothing will come. It is no part of what is tested.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[derive(Default)]
    struct Held(Option<Sender<()>>);

    #[test]
    fn a_call_that_hangs_is_given_up_and_drops_what_it_holds_when_it_ends() {
        let hanging = Hanging::default();
        let mut line = Line::<Held>::start(&hanging, "r").unwrap();
        let (held, dropped) = channel();
        let (go, wait) = channel::<()>();
        let wait: Receiver<()> = wait;
        line.call(PATIENCE, move |state| state.0 = Some(held)).unwrap();
        let hung = line.call(Duration::from_millis(20), move |_| wait.recv().is_err()).unwrap_err();
        assert!(matches!(hung, Trouble::Hung { .. }));
        assert!(matches!(line.call(PATIENCE, |_| ()), Err(Trouble::Hung { .. })), "the line is dead");
        assert!(Line::<Held>::start(&hanging, "r").is_err(), "and so is the reader");
        drop(go);
        assert!(dropped.recv().is_err(), "what the thread held is gone");
        let again = std::iter::repeat_with(|| Line::<Held>::start(&hanging, "r"));
        assert!(again.take(10_000_000).any(|line| line.is_ok()), "the reader is back");
    }

    #[test]
    fn calls_of_a_line_see_the_same_state_in_order() {
        let mut line = Line::<Vec<u8>>::start(&Hanging::default(), "r").unwrap();
        for n in 0..5 {
            assert_eq!(line.call(PATIENCE, move |state| (state.push(n), state.len())).unwrap().1, usize::from(n) + 1);
        }
    }
}
