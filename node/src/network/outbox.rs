//! The queue of packets from the engine to one connection. The engine never waits for a peer: what does not fit makes
//! the peer a slow one, and it is dropped.
//!
//! The invariant: what waits is bounded by its memory, [`MAX_BYTES`]. A peer that asks much at once is not slow for it:
//! its connection takes nothing more from it while the queue is [crowded](Outgoings::is_crowded).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use wire::p2p::Reason;

/// What the engine tells a connection.
pub(crate) enum Outgoing {
    /// A Waku packet.
    Packet {
        /// Its code, relative to the capability.
        code: u64,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// Say goodbye and close.
    Disconnect(Reason),
}

/// The engine's end.
#[derive(Clone)]
pub(crate) struct Outbox {
    queue: mpsc::UnboundedSender<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The connection's end.
pub(crate) struct Outgoings {
    queue: mpsc::UnboundedReceiver<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The queue is full: the peer does not read as fast as we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slow;

/// Returns both ends of an empty queue.
pub(crate) fn outbox() -> (Outbox, Outgoings) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let bytes = Arc::new(AtomicUsize::new(0));
    (Outbox { queue: sender, bytes: Arc::clone(&bytes) }, Outgoings { queue: receiver, bytes })
}

impl Outbox {
    /// Queues a packet. A queue whose connection has ended takes everything: its end is on the way to the engine.
    pub(crate) fn packet(&self, code: u64, payload: Vec<u8>) -> Result<(), Slow> {
        let size = memory(&payload);
        if self.bytes.load(Ordering::Relaxed) > MAX_BYTES {
            return Err(Slow);
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let _ended = self.queue.send(Outgoing::Packet { code, payload });
        Ok(())
    }

    /// Queues the goodbye.
    pub(crate) fn disconnect(&self, reason: Reason) {
        let _ended = self.queue.send(Outgoing::Disconnect(reason));
    }
}

impl Outgoings {
    /// Waits for what is next; nothing when the engine has let go of the connection.
    pub(crate) async fn next(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.recv().await?;
        Some(self.taken(outgoing))
    }

    /// Returns what is next, if it is there already.
    pub(crate) fn waiting(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.try_recv().ok()?;
        Some(self.taken(outgoing))
    }

    fn taken(&self, outgoing: Outgoing) -> Outgoing {
        if let Outgoing::Packet { payload, .. } = &outgoing {
            self.bytes.fetch_sub(memory(payload), Ordering::Relaxed);
        }
        outgoing
    }

    /// Returns whether so much waits that the peer should take some of it before it is listened to.
    ///
    /// Packets are counted, not bytes: answers are many and small, while a whole pool for a peer that has just come is
    /// few and large. Two nodes that send each other their pools must not wait for each other.
    pub(crate) fn is_crowded(&self) -> bool {
        self.queue.len() > CROWD
    }
}

/// What a packet that waits takes of the memory.
fn memory(payload: &[u8]) -> usize {
    payload.len() + OVERHEAD
}

/// Bytes that may wait before another packet is refused: a whole pool for a peer that has just come, and no more.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// A place in the queue and what the allocator adds, generously.
const OVERHEAD: usize = 128;
/// Packets that wait for a peer that is listened to. As answers they take half of [`MAX_BYTES`] at most, so that the
/// answers to what the engine still has of the peer find room.
const CROWD: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_slow_and_one_that_reads_is_not() {
        let (outbox, mut outgoings) = outbox();
        let mut waiting = 0;
        while outbox.packet(1, Vec::new()).is_ok() {
            waiting += 1;
            assert!(waiting * size_of::<Outgoing>() <= MAX_BYTES, "packets without a payload take memory too");
        }
        assert!(waiting > 2 * CROWD, "a crowd is no reason yet");
        assert!(outgoings.next().await.is_some());
        outbox.packet(1, Vec::new()).unwrap();
        assert_eq!(outbox.packet(1, Vec::new()), Err(Slow));
    }

    #[tokio::test]
    async fn many_packets_are_a_crowd_and_a_whole_pool_is_none() {
        let (outbox, mut outgoings) = outbox();
        outbox.packet(1, vec![0; MAX_BYTES / 2]).unwrap();
        for _ in 1..CROWD {
            outbox.packet(1, Vec::new()).unwrap();
        }
        assert!(!outgoings.is_crowded());
        outbox.packet(1, Vec::new()).unwrap();
        assert!(outgoings.is_crowded());
        outgoings.next().await;
        assert!(!outgoings.is_crowded());
    }

    #[tokio::test]
    async fn bytes_count_too() {
        let (outbox, mut outgoings) = outbox();
        outbox.packet(1, vec![0; MAX_BYTES - OVERHEAD]).unwrap();
        outbox.packet(1, vec![0; 1]).unwrap();
        assert_eq!(outbox.packet(1, vec![0; 1]), Err(Slow));
        outgoings.next().await;
        outgoings.next().await;
        assert!(outbox.packet(1, vec![0; 1]).is_ok());
    }
}
