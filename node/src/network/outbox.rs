//! The queue of packets from the engine to one connection. The engine never waits for a peer: what does not fit makes
//! the peer a slow one, and it is dropped.
//!
//! The invariant: what waits is bounded by its memory, for one peer by [`MAX_BYTES`] and for all of them by [`MAX_ALL`] and
//! a [`FAIR`] share each. A peer that asks much at once is not slow for it: its connection takes nothing more from it while
//! the queue is [crowded](Outgoings::is_crowded).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proto::EnvelopeHash;
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
    /// Say when everything before this is written: an envelope of ours, which the peer will not confirm, is among it.
    Mark(EnvelopeHash),
    /// Say goodbye and close.
    Disconnect(Reason),
}

/// The queues of a node.
#[derive(Clone, Default)]
pub(crate) struct Outboxes {
    /// What waits in all of them.
    bytes: Arc<AtomicUsize>,
}

/// The engine's end.
#[derive(Clone)]
pub(crate) struct Outbox {
    queue: mpsc::UnboundedSender<Outgoing>,
    waiting: Waiting,
}

/// The connection's end.
pub(crate) struct Outgoings {
    queue: mpsc::UnboundedReceiver<Outgoing>,
    waiting: Waiting,
}

/// What waits in one queue, and in all of them.
#[derive(Clone)]
struct Waiting {
    bytes: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

/// The queue is full: the peer does not read as fast as we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slow;

impl Outboxes {
    /// Returns both ends of an empty queue.
    pub(crate) fn open(&self) -> (Outbox, Outgoings) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Waiting { bytes: Arc::default(), all: Arc::clone(&self.bytes) };
        (Outbox { queue: sender, waiting: waiting.clone() }, Outgoings { queue: receiver, waiting })
    }
}

impl Waiting {
    fn is_too_much(&self) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        bytes > MAX_BYTES || (bytes > FAIR && self.all.load(Ordering::Relaxed) > MAX_ALL)
    }

    fn add(&self, outgoing: &Outgoing) {
        self.bytes.fetch_add(outgoing.memory(), Ordering::Relaxed);
        self.all.fetch_add(outgoing.memory(), Ordering::Relaxed);
    }

    fn take(&self, outgoing: &Outgoing) {
        self.bytes.fetch_sub(outgoing.memory(), Ordering::Relaxed);
        self.all.fetch_sub(outgoing.memory(), Ordering::Relaxed);
    }
}

impl Outgoing {
    /// What it takes of the memory while it waits.
    fn memory(&self) -> usize {
        match self {
            Self::Packet { payload, .. } => payload.len() + OVERHEAD,
            Self::Mark(_) => OVERHEAD,
            Self::Disconnect(_) => 0,
        }
    }
}

impl Outbox {
    /// Queues a packet. A queue whose connection has ended takes everything: its end is on the way to the engine.
    pub(crate) fn packet(&self, code: u64, payload: Vec<u8>) -> Result<(), Slow> {
        if self.waiting.is_too_much() {
            return Err(Slow);
        }
        let packet = Outgoing::Packet { code, payload };
        self.waiting.add(&packet);
        if let Err(ended) = self.queue.send(packet) {
            self.waiting.take(&ended.0);
        }
        Ok(())
    }

    /// Queues a mark behind the packet that the envelope is in.
    pub(crate) fn mark(&self, envelope: EnvelopeHash) {
        let mark = Outgoing::Mark(envelope);
        self.waiting.add(&mark);
        if let Err(ended) = self.queue.send(mark) {
            self.waiting.take(&ended.0);
        }
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
        self.waiting.take(&outgoing);
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

/// What still waits when the connection ends is given up.
impl Drop for Outgoings {
    fn drop(&mut self) {
        self.queue.close();
        while self.waiting().is_some() {}
    }
}

/// Bytes that may wait before another packet is refused: a whole pool for a peer that has just come, and no more.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that may wait for all peers together before those who have most of them waiting are the slow ones.
const MAX_ALL: usize = 192 * 1024 * 1024;
/// What may wait for a peer all the same.
const FAIR: usize = 1024 * 1024;
/// A place in the queue and what the allocator adds, generously.
const OVERHEAD: usize = 128;
/// Packets that wait for a peer that is listened to. As answers they take half of [`MAX_BYTES`] at most, so that the
/// answers to what the engine still has of the peer find room.
const CROWD: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> (Outbox, Outgoings) {
        Outboxes::default().open()
    }

    #[test]
    fn all_peers_together_are_bounded_and_the_slowest_go_first() {
        let outboxes = Outboxes::default();
        let mut slow: Vec<_> = (0..8).map(|_| outboxes.open()).collect();
        for (outbox, _) in slow.iter().cycle().take(200) {
            let _full = outbox.packet(1, vec![0; 1024 * 1024]);
        }
        let waiting = outboxes.bytes.load(Ordering::Relaxed);
        assert!((MAX_ALL..MAX_ALL + 8 * FAIR).contains(&waiting), "{waiting}");
        assert!(slow.iter().all(|(outbox, _)| outbox.packet(1, Vec::new()) == Err(Slow)));
        let (quick, _reads) = outboxes.open();
        assert!(quick.packet(1, vec![0; 1024]).is_ok());
        slow.pop();
        assert!(slow[0].0.packet(1, Vec::new()).is_ok(), "a connection that ended takes no memory");
        slow.clear();
        assert!(outboxes.bytes.load(Ordering::Relaxed) < 2 * 1024);
        assert!(quick.packet(1, Vec::new()).is_ok());
    }

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
