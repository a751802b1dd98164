//! Somebody who is told over a bounded queue. One that does not read is let go, and never waited for.

use tokio::sync::{mpsc, oneshot};

/// The telling end.
pub(super) struct Listener<T> {
    items: mpsc::Sender<T>,
    slow: oneshot::Sender<TooSlow>,
}

/// The hearing end.
pub(crate) struct Listening<T> {
    /// What comes, until the node stops or it is read too slowly.
    pub(crate) live: mpsc::Receiver<T>,
    /// Says so when it was read too slowly.
    pub(crate) ended: oneshot::Receiver<TooSlow>,
}

/// Why the items end: they were not read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSlow;

impl<T: Clone> Listener<T> {
    /// Returns both ends, with room for `unread` items.
    pub(super) fn new(unread: usize) -> (Self, Listening<T>) {
        let (items, live) = mpsc::channel(unread);
        let (slow, ended) = oneshot::channel();
        (Self { items, slow }, Listening { live, ended })
    }

    /// Returns whether nobody listens any more.
    pub(super) fn is_gone(&self) -> bool {
        self.items.is_closed()
    }

    /// Tells; gives the listener back unless it has gone or is let go.
    pub(super) fn told(self, item: &T) -> Option<Self> {
        match self.items.try_send(item.clone()) {
            Ok(()) => Some(self),
            Err(mpsc::error::TrySendError::Full(_)) => {
                let _gone = self.slow.send(TooSlow);
                None
            }
            Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }
}
