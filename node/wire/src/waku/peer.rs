//! One peer of the host: how far the handshake is, what it wants, what it has, which batches it may still confirm.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use proto::{ChatKey, EnvelopeHash, Instant};

use super::confirm::BatchHash;
use super::pool::{Known, Slot};
use super::status::{Requirements, Version};

/// A connection, as the shell numbers them. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What the host knows of a peer.
pub struct Peer {
    id: ChatKey,
    /// The same as the rate limits know it.
    pub(super) node: [u8; 64],
    pub(super) address: Option<IpAddr>,
    pub(super) trusted: bool,
    pub(super) ignored: bool,
    /// We said that we confirm what it sends.
    pub(super) confirmed: bool,
    pub(super) version: Version,
    pub(super) stage: Stage,
    pub(super) known: Known,
    pub(super) batches: Batches,
    /// When to go through the whole pool for it again, because what it wants changed.
    pub(super) rescan_at: Option<Instant>,
    pub(super) scanned_at: Option<Instant>,
    /// Until when it has had its share of packets, by the limits it announced.
    pub(super) rests_until: Option<Instant>,
    pub(super) held: Held,
}

/// How far the handshake is.
pub(super) enum Stage {
    /// Our status is out, theirs is not in.
    AwaitingStatus { until: Instant },
    /// Both know what the other wants.
    Up(Requirements),
}

impl Peer {
    pub(super) fn new(id: ChatKey, address: Option<IpAddr>, version: Version, status_until: Instant) -> Self {
        Self {
            id,
            node: id.to_node_id(),
            address,
            trusted: false,
            ignored: false,
            confirmed: false,
            version,
            stage: Stage::AwaitingStatus { until: status_until },
            known: Known::default(),
            batches: Batches::default(),
            rescan_at: None,
            scanned_at: None,
            rests_until: None,
            held: Held::default(),
        }
    }

    /// Returns the peer's node key.
    #[must_use]
    pub fn id(&self) -> ChatKey {
        self.id
    }

    /// Returns the version of the capability.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns whether envelopes are taken from it directly.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Returns what it wants of us, once its status came.
    #[must_use]
    pub fn requirements(&self) -> Option<&Requirements> {
        match &self.stage {
            Stage::AwaitingStatus { .. } => None,
            Stage::Up(requirements) => Some(requirements),
        }
    }

    /// Has the whole pool gone through for it, but not too soon after the last time.
    pub(super) fn rescan(&mut self, now: Instant) {
        self.rescan_at = Some(self.scanned_at.map_or(now, |last| last.after(RESCAN_EVERY).max(now)));
    }

    /// Returns when there is something to offer it, once it has rested.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let due = if self.held.slots.is_empty() { self.rescan_at? } else { Instant::default() };
        Some(due.max(self.rests_until.unwrap_or_default()))
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        self.known.remove(slot);
    }
}

/// What came in while a peer rested, to be offered to it afterwards. A slot may hold another envelope by then, which is
/// offered in its place.
#[derive(Default)]
pub(super) struct Held {
    slots: Vec<Slot>,
    is_overfull: bool,
}

impl Held {
    pub(super) fn push(&mut self, slot: Slot) {
        if self.slots.len() < MAX_HELD {
            self.slots.push(slot);
        } else {
            self.is_overfull = true;
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.slots.iter().copied()
    }

    /// Returns whether there was more than it holds, so that only the whole pool tells what.
    pub(super) const fn is_overfull(&self) -> bool {
        self.is_overfull
    }
}

/// The Messages packets with envelopes of our own that a peer has not confirmed yet, the latest few of them.
#[derive(Default)]
pub(super) struct Batches {
    waiting: BTreeMap<BatchHash, Vec<EnvelopeHash>>,
    order: VecDeque<BatchHash>,
}

impl Batches {
    pub(super) fn sent(&mut self, batch: BatchHash, own: Vec<EnvelopeHash>) {
        if self.order.len() >= MAX_BATCHES
            && let Some(oldest) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
        self.order.push_back(batch);
        self.waiting.insert(batch, own);
    }

    pub(super) fn confirmed(&mut self, batch: &BatchHash) -> Vec<EnvelopeHash> {
        let own = self.waiting.remove(batch);
        if own.is_some() {
            self.order.retain(|waiting| waiting != batch);
        }
        own.unwrap_or_default()
    }
}

/// How often, at most, the whole pool is gone through for one peer, however often it changes its mind.
const RESCAN_EVERY: Duration = Duration::from_millis(300);

const MAX_BATCHES: usize = 256;
const MAX_HELD: usize = 4096;
