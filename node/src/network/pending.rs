//! What waits to be written to one peer.
//!
//! The invariant: it is bounded, whatever the peer reads and however much of it. Packets are taken only while there is
//! room ([`WRITE_AHEAD`]); what the session answers of itself (pongs) has to be taken at once, and of that [`ANSWERS`]
//! bytes may come while there is none. What was written is given up as soon as it is more than what waits.

use std::collections::VecDeque;
use std::time::Duration;

use proto::EnvelopeHash;
use tokio::time::Instant;

/// Bytes on their way into a socket.
pub(super) struct Pending {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes taken since there was room.
    excess: usize,
    progress: Instant,
    /// Bytes taken and bytes written in all.
    taken_ever: u64,
    written_ever: u64,
    /// Envelopes, and how many bytes must have been written when they are.
    marks: VecDeque<(u64, EnvelopeHash)>,
}

/// The peer makes us answer, and does not read the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overfull;

impl Pending {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            written: 0,
            excess: 0,
            progress: Instant::now(),
            taken_ever: 0,
            written_ever: 0,
            marks: VecDeque::new(),
        }
    }

    /// Takes a frame.
    pub(super) fn push(&mut self, frame: &[u8]) -> Result<(), Overfull> {
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
            self.progress = Instant::now();
        }
        if !self.has_room() {
            self.excess += frame.len();
            if self.excess > ANSWERS {
                return Err(Overfull);
            }
        }
        self.bytes.extend_from_slice(frame);
        self.taken_ever += frame.len() as u64;
        Ok(())
    }

    /// Has it told when all that was taken until now is written.
    pub(super) fn mark(&mut self, envelope: EnvelopeHash) {
        self.marks.push_back((self.taken_ever, envelope));
    }

    /// Returns the next envelope that was written.
    pub(super) fn passed(&mut self) -> Option<EnvelopeHash> {
        self.marks.pop_front_if(|(end, _)| *end <= self.written_ever).map(|(_, envelope)| envelope)
    }

    /// Returns what is to be written.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or(&[])
    }

    /// Notes that so many bytes of it were written.
    pub(super) fn wrote(&mut self, n: usize) {
        self.written += n;
        self.written_ever += n as u64;
        self.progress = Instant::now();
        if self.written > IDLE_BUFFER && self.written >= self.rest().len() {
            self.bytes = self.rest().to_vec();
            self.written = 0;
        }
        if self.has_room() {
            self.excess = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Returns whether another packet may be framed.
    pub(super) fn has_room(&self) -> bool {
        self.rest().len() < WRITE_AHEAD
    }

    /// Returns by when something of it must have been written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.is_empty()).then(|| self.progress + WRITE_DEADLINE)
    }
}

/// Bytes that are framed ahead of the socket; what is more waits in the outbox.
const WRITE_AHEAD: usize = 1024 * 1024;
/// A thousand pongs: a peer pings once in 15 s.
const ANSWERS: usize = 64 * 1024;
/// Memory that was written and is kept all the same, because giving it up costs a copy.
const IDLE_BUFFER: usize = 64 * 1024;
/// Without any progress for so long a peer is given up (go-ethereum's frame write deadline).
const WRITE_DEADLINE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    const PONG: [u8; 64] = [7; 64];

    /// WAKU1-58: an envelope that nobody confirms counts as sent when its last byte is written, and not before.
    #[test]
    fn an_envelope_has_passed_when_its_last_byte_is_written() {
        let (first, second) = (EnvelopeHash::from([1; 32]), EnvelopeHash::from([2; 32]));
        let mut pending = Pending::new();
        pending.push(&PONG).unwrap();
        pending.mark(first);
        pending.push(&PONG).unwrap();
        pending.mark(second);
        assert_eq!(pending.passed(), None);
        pending.wrote(PONG.len() - 1);
        assert_eq!(pending.passed(), None);
        pending.wrote(1);
        assert_eq!((pending.passed(), pending.passed()), (Some(first), None));
        pending.wrote(PONG.len());
        assert_eq!((pending.passed(), pending.passed()), (Some(second), None));
    }

    #[test]
    fn a_peer_that_always_leaves_something_unread_makes_nothing_grow() {
        let mut pending = Pending::new();
        pending.push(&PONG).unwrap();
        for _ in 0..100_000 {
            pending.push(&PONG).unwrap();
            pending.wrote(PONG.len());
            assert_eq!(pending.rest(), PONG);
            assert!(pending.bytes.capacity() <= 4 * IDLE_BUFFER, "{}", pending.bytes.capacity());
        }
    }

    #[test]
    fn a_burst_that_was_read_leaves_no_memory_behind() {
        let mut pending = Pending::new();
        pending.push(&vec![7; 16 * WRITE_AHEAD]).unwrap();
        while pending.rest().len() > PONG.len() {
            pending.wrote((pending.rest().len() - PONG.len()).min(10_000));
        }
        assert!(pending.bytes.capacity() <= 2 * IDLE_BUFFER, "{}", pending.bytes.capacity());
    }

    #[test]
    fn answers_are_not_taken_without_end_while_there_is_no_room() {
        let mut pending = Pending::new();
        pending.push(&vec![7; WRITE_AHEAD + 1]).unwrap();
        for _ in 0..ANSWERS / PONG.len() {
            pending.push(&PONG).unwrap();
            pending.wrote(1);
        }
        assert_eq!(pending.push(&PONG), Err(Overfull), "however much of it is read");
    }

    #[test]
    fn a_peer_that_reads_until_there_is_room_is_answered_again() {
        let mut pending = Pending::new();
        for _ in 0..100 {
            while pending.has_room() {
                pending.push(&PONG).unwrap();
            }
            for _ in 0..ANSWERS / PONG.len() {
                pending.push(&PONG).unwrap();
            }
            pending.wrote(2 * ANSWERS);
        }
        assert!(pending.rest().len() <= WRITE_AHEAD);
    }
}
