//! The calls that did not come back.
//!
//! The invariant: there are at most [`MOST`] of them, and none more for a reader that has one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::trouble::Trouble;

/// The threads that were given up, as long as they are there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hanging(Arc<Mutex<Vec<Call>>>);

/// A thread that waits for a reader, or for the service when it has no name.
#[derive(Debug)]
struct Call {
    reader: String,
    thread: Weak<Alive>,
    seconds: u64,
}

/// Held by a thread until it ends.
#[derive(Debug)]
pub(crate) struct Alive;

impl Hanging {
    /// Gives a thread up.
    pub(crate) fn abandon(&self, reader: &str, thread: Weak<Alive>, seconds: u64) {
        tracing::error!(reader, "a call to the card reader did not come back within {seconds} s and is given up");
        self.lock().push(Call { reader: reader.to_owned(), thread, seconds });
    }

    /// Says no to another call to a reader that has not answered the one before, and to too many at all.
    pub(crate) fn admit(&self, reader: &str) -> Result<(), Trouble> {
        let mut calls = self.lock();
        calls.retain(|call| call.thread.strong_count() > 0);
        let same = calls.iter().find(|call| call.reader == reader);
        match same.or_else(|| calls.last().filter(|_| calls.len() >= MOST)) {
            Some(call) => Err(Trouble::Hung { seconds: call.seconds }),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader more or less makes no difference: whoever reaches this has to restart the service.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_hangs_is_lost_until_its_call_comes_back() {
        let hanging = Hanging::default();
        let thread = Arc::new(Alive);
        assert_eq!(hanging.admit("a"), Ok(()));
        hanging.abandon("a", Arc::downgrade(&thread), 15);
        assert_eq!(hanging.admit("a"), Err(Trouble::Hung { seconds: 15 }));
        assert_eq!(hanging.admit("b"), Ok(()));
        drop(thread);
        assert_eq!(hanging.admit("a"), Ok(()));
    }

    #[test]
    fn no_more_than_a_few_calls_hang_at_a_time() {
        let hanging = Hanging::default();
        let threads: Vec<Arc<Alive>> = (0..MOST).map(|_| Arc::new(Alive)).collect();
        for (n, thread) in threads.iter().enumerate() {
            assert_eq!(hanging.admit(&n.to_string()), Ok(()));
            hanging.abandon(&n.to_string(), Arc::downgrade(thread), 1);
        }
        assert_eq!(hanging.admit("another"), Err(Trouble::Hung { seconds: 1 }));
    }
}
