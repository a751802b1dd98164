//! The connections to us that have not shaken hands yet.
//!
//! The invariant: there are never more than so many. The oldest makes room for one that comes: whoever opens
//! connections and leaves them idle does not keep others out.

use std::collections::VecDeque;
use std::convert::Infallible;

use tokio::sync::oneshot;

/// The listener's end: one slot for each of them, oldest first.
pub(super) struct Handshakes {
    limit: usize,
    slots: VecDeque<oneshot::Sender<Infallible>>,
}

/// The connection's end. Dropping it says that hands were shaken, or that they never will be.
pub(crate) struct Slot(oneshot::Receiver<Infallible>);

impl Handshakes {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, slots: VecDeque::new() }
    }

    /// Takes one more in; says whether another one lost its slot.
    pub(super) fn enter(&mut self) -> (Slot, bool) {
        self.slots.retain(|slot| !slot.is_closed());
        let full = self.slots.len() >= self.limit;
        if full {
            self.slots.pop_front();
        }
        let (kept, slot) = oneshot::channel();
        self.slots.push_back(kept);
        (Slot(slot), full)
    }
}

impl Slot {
    /// Waits until the slot is lost to another connection.
    pub(super) async fn lost(&mut self) {
        // Nothing is ever sent: what comes is the end of the other side.
        let _lost = (&mut self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn is_lost(slot: &mut Slot) -> bool {
        slot.0.try_recv() == Err(TryRecvError::Closed)
    }

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let mut handshakes = Handshakes::new(2);
        let (mut first, _) = handshakes.enter();
        let (mut second, lost) = handshakes.enter();
        assert!(!lost && !is_lost(&mut first));
        let (mut third, lost) = handshakes.enter();
        assert!(lost && !is_lost(&mut second) && !is_lost(&mut third));
        first.lost().await;
    }

    #[test]
    fn those_that_have_shaken_hands_take_no_room() {
        let mut handshakes = Handshakes::new(2);
        let (mut first, _) = handshakes.enter();
        for _ in 0..100 {
            let (_shaken, lost) = handshakes.enter();
            assert!(!lost && !is_lost(&mut first));
        }
    }
}
