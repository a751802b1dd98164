//! Forwarding: each envelope once to each peer that wants it, in packets below 1 MiB.

use std::collections::VecDeque;
use std::time::Duration;

use proto::{EnvelopeHash, Instant};

use super::{Host, Now, Output};
use crate::rlp;
use crate::waku::code;
use crate::waku::confirm::BatchHash;
use crate::waku::peer::{Batches, PeerId, Stage};
use crate::waku::pool::{Entry, Slot};

impl Host {
    /// Has a new envelope sent with the next tick, together with what else comes until then; but not within
    /// [`Config::coalesce`](super::Config::coalesce) of what was sent on before.
    pub(super) fn forward_soon(&mut self, now: Now, slot: Slot) {
        self.fresh.push(slot);
        self.flush_by(self.flushed_at.map_or(now.at, |last| last.after(self.config.coalesce).max(now.at)));
    }

    /// Has the whole pool gone through for a peer: at once, but not more often than [`RESCAN_EVERY`].
    pub(super) fn rescan(&mut self, now: Now, id: PeerId) {
        if self.pool.len() == 0 {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            let at = peer.scanned_at.map_or(now.at, |last| last.after(RESCAN_EVERY).max(now.at));
            peer.rescan_at = Some(at);
            if at == now.at {
                self.flush(now);
            } else {
                self.flush_by(at);
            }
        }
    }

    /// Sends every peer what it wants and does not have.
    pub(super) fn flush(&mut self, now: Now) {
        let fresh = std::mem::take(&mut self.fresh);
        let light = self.config.light_node;
        let mut rescans: Option<Instant> = None;
        for (id, peer) in &mut self.peers {
            let Stage::Up(requirements) = &peer.stage else { continue };
            let mut batch = Batch::new(*id);
            let mut offer = |slot: Slot| {
                let Some(entry) = self.pool.entry(slot) else { return };
                if (entry.own || !light)
                    && !peer.known.contains(slot)
                    && entry.pow >= requirements.pow
                    && requirements.wants.admits(entry.envelope.topic())
                    && entry.envelope.expiry_s() >= now.secs
                {
                    peer.known.insert(slot);
                    batch.add(entry, &mut peer.batches, &mut self.outputs);
                }
            };
            if peer.rescan_at.is_some_and(|at| at <= now.at) {
                peer.rescan_at = None;
                peer.scanned_at = Some(now.at);
                self.pool.slots().for_each(&mut offer);
            } else {
                fresh.iter().copied().for_each(&mut offer);
            }
            batch.send(&mut peer.batches, &mut self.outputs);
            rescans = rescans.into_iter().chain(peer.rescan_at).min();
        }
        if !fresh.is_empty() {
            self.flushed_at = Some(now.at);
        }
        self.flush_at = rescans;
    }

    fn flush_by(&mut self, at: Instant) {
        self.flush_at = Some(self.flush_at.map_or(at, |flush| flush.min(at)));
    }
}

/// A Messages packet in the making.
struct Batch {
    to: PeerId,
    body: Vec<u8>,
    own: Vec<EnvelopeHash>,
}

impl Batch {
    fn new(to: PeerId) -> Self {
        Self { to, body: Vec::new(), own: Vec::new() }
    }

    fn add(&mut self, entry: &Entry, batches: &mut Batches, outputs: &mut VecDeque<Output>) {
        let raw = entry.envelope.as_bytes();
        if self.body.len() + raw.len() > MAX_BODY {
            std::mem::replace(self, Self::new(self.to)).send(batches, outputs);
        }
        self.body.extend_from_slice(raw);
        if entry.own {
            self.own.push(entry.envelope.hash());
        }
    }

    fn send(self, batches: &mut Batches, outputs: &mut VecDeque<Output>) {
        if self.body.is_empty() {
            return;
        }
        let payload = rlp::list_of(&self.body);
        // Only envelopes of our own are waited for, so a relay hashes no batch.
        if !self.own.is_empty() {
            batches.sent(BatchHash::of(&payload), self.own);
        }
        outputs.push_back(Output::Send { peer: self.to, code: code::MESSAGES, payload });
    }
}

/// The most bytes of envelopes in a packet: with the list's header it stays below 1 MiB, above which a peer closes. An
/// envelope that is larger by itself could never be sent on, and is not let in.
pub(super) const MAX_BODY: usize = (1 << 20) - 5;

/// How often, at most, the whole pool is gone through for one peer, however often it changes its mind.
const RESCAN_EVERY: Duration = Duration::from_millis(300);
