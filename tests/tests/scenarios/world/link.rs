//! A link: bytes both ways, each way in order, with a delay.

use std::collections::VecDeque;
use std::time::Duration;

use super::NodeId;

/// How a link carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) delay: Duration,
    /// The longest piece that arrives at once.
    pub(crate) piece: usize,
}

impl Shape {
    pub(crate) const fn millis(delay: u64) -> Self {
        Self { delay: Duration::from_millis(delay), piece: 1400 }
    }
}

/// What a link does to what its dialler sends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tamper {
    /// Flips a bit of the byte that comes after so many more.
    FlipAfter(usize),
}

/// What arrives.
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Two nodes, and what is under way between them.
pub(crate) struct Link {
    dialler: NodeId,
    listener: NodeId,
    shape: Shape,
    open: bool,
    tamper: Option<Tamper>,
    under_way: VecDeque<(Duration, NodeId, Piece)>,
}

impl Link {
    pub(crate) fn new(dialler: NodeId, listener: NodeId, shape: Shape) -> Self {
        Self { dialler, listener, shape, open: false, tamper: None, under_way: VecDeque::new() }
    }

    pub(crate) const fn ends(&self) -> (NodeId, NodeId) {
        (self.dialler, self.listener)
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn open(&mut self) {
        self.close();
        self.open = true;
    }

    pub(crate) fn close(&mut self) {
        self.open = false;
        self.under_way.clear();
    }

    pub(crate) const fn tamper(&mut self, how: Tamper) {
        self.tamper = Some(how);
    }

    pub(crate) fn send(&mut self, from: NodeId, now: Duration, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if let Some(Tamper::FlipAfter(left)) = &mut self.tamper
            && from == self.dialler
        {
            match bytes.get_mut(*left) {
                Some(byte) => {
                    *byte ^= 1;
                    self.tamper = None;
                }
                None => *left -= bytes.len(),
            }
        }
        for piece in bytes.chunks(self.shape.piece) {
            self.put(from, now, Piece::Bytes(piece.to_vec()));
        }
    }

    /// One end closes: the other learns of it behind what was sent before, and what it sends itself is lost.
    pub(crate) fn hang_up(&mut self, from: NodeId, now: Duration) {
        self.under_way.retain(|(_, to, _)| *to != from);
        self.put(from, now, Piece::End);
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.under_way.front().map(|(at, ..)| *at)
    }

    pub(crate) fn arrived(&mut self, now: Duration) -> Option<(NodeId, Piece)> {
        self.under_way.front().filter(|(at, ..)| *at <= now)?;
        let (_, to, piece) = self.under_way.pop_front()?;
        if matches!(piece, Piece::End) {
            self.close();
        }
        Some((to, piece))
    }

    fn put(&mut self, from: NodeId, now: Duration, piece: Piece) {
        if self.open {
            let to = if from == self.dialler { self.listener } else { self.dialler };
            self.under_way.push_back((now + self.shape.delay, to, piece));
        }
    }
}
