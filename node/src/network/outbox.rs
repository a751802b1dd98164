//! The queue of packets from the engine to one connection. The engine never waits for a peer: what does not fit makes
//! the peer a slow one, and it is dropped.

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
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The connection's end.
pub(crate) struct Outgoings {
    queue: mpsc::Receiver<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The queue is full: the peer does not read as fast as we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slow;

/// Returns both ends of an empty queue.
pub(crate) fn outbox() -> (Outbox, Outgoings) {
    let (sender, receiver) = mpsc::channel(MAX_PACKETS);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Outbox { queue: sender, bytes: Arc::clone(&bytes) }, Outgoings { queue: receiver, bytes })
}

impl Outbox {
    /// Queues a packet. A queue whose connection has ended takes everything: its end is on the way to the engine.
    pub(crate) fn packet(&self, code: u64, payload: Vec<u8>) -> Result<(), Slow> {
        let size = payload.len();
        if self.bytes.fetch_add(size, Ordering::Relaxed) > MAX_BYTES {
            return Err(Slow);
        }
        self.send(Outgoing::Packet { code, payload })
    }

    /// Queues the goodbye.
    pub(crate) fn disconnect(&self, reason: Reason) -> Result<(), Slow> {
        self.send(Outgoing::Disconnect(reason))
    }

    fn send(&self, outgoing: Outgoing) -> Result<(), Slow> {
        match self.queue.try_send(outgoing) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Slow),
        }
    }
}

impl Outgoings {
    /// Waits for what is next; nothing when the engine has let go of the connection.
    pub(crate) async fn next(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.recv().await?;
        if let Outgoing::Packet { payload, .. } = &outgoing {
            self.bytes.fetch_sub(payload.len(), Ordering::Relaxed);
        }
        Some(outgoing)
    }
}

/// Packets that may wait: acknowledgements are small, a full pool comes in few packets.
const MAX_PACKETS: usize = 1024;
/// Bytes that may wait before another packet is refused: a whole pool for a peer that has just come, and no more.
const MAX_BYTES: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_slow_and_one_that_reads_is_not() {
        let (outbox, mut outgoings) = outbox();
        for _ in 0..MAX_PACKETS {
            outbox.packet(1, Vec::new()).unwrap();
        }
        assert_eq!(outbox.packet(1, Vec::new()), Err(Slow));
        assert!(outgoings.next().await.is_some());
        outbox.packet(1, Vec::new()).unwrap();
    }

    #[tokio::test]
    async fn bytes_count_too() {
        let (outbox, mut outgoings) = outbox();
        outbox.packet(1, vec![0; MAX_BYTES]).unwrap();
        outbox.packet(1, vec![0; 1]).unwrap();
        assert_eq!(outbox.packet(1, vec![0; 1]), Err(Slow));
        outgoings.next().await;
        outgoings.next().await;
        assert!(outbox.packet(1, vec![0; 1]).is_ok());
    }
}
