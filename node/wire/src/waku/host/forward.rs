//! Forwarding: each envelope once to each peer that wants it, in packets below 1 MiB.

use std::collections::VecDeque;

use proto::{EnvelopeHash, Instant};

use super::{Event, Host, Now, Output};
use crate::rlp;
use crate::waku::code;
use crate::waku::confirm::BatchHash;
use crate::waku::peer::{Batches, Peer, PeerId, Stage};
use crate::waku::pool::{Entry, Slot};
use crate::waku::rate_limits::Pace;

impl Host {
    /// Has a new envelope sent with the next tick, together with what else comes until then; but not within
    /// [`Config::coalesce`](super::Config::coalesce) of what was sent on before.
    pub(super) fn forward_soon(&mut self, now: Now, slot: Slot) {
        self.fresh.push(slot);
        self.flush_by(self.flushed_at.map_or(now.at, |last| last.after(self.config.coalesce).max(now.at)));
    }

    /// Has the whole pool gone through for a peer: at once, but not more often than every 300 ms.
    pub(super) fn rescan(&mut self, now: Now, id: PeerId) {
        if self.pool.len() == 0 {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.rescan(now.at);
            match peer.next_turn() {
                Some(at) if at > now.at => self.flush_by(at),
                _ => self.flush(now),
            }
        }
    }

    /// Sends every peer what it wants and does not have. One that announced limits gets one packet, and then rests.
    pub(super) fn flush(&mut self, now: Now) {
        let fresh = std::mem::take(&mut self.fresh);
        let light = self.config.light_node;
        for (id, peer) in &mut self.peers {
            let Stage::Up(requirements) = &peer.stage else { continue };
            if peer.rests_until.is_some_and(|until| until > now.at) {
                fresh.iter().for_each(|slot| peer.held.push(*slot));
                continue;
            }
            let pace = Pace::of(requirements);
            let held = std::mem::take(&mut peer.held);
            let mut batch = Batch::new(*id, requirements.confirmations);
            let mut offer = |slot: Slot| {
                let Some(entry) = self.pool.entry(slot) else { return };
                if (entry.own || !light)
                    && !peer.known.contains(slot)
                    && entry.pow >= requirements.pow
                    && requirements.wants.admits(entry.envelope.topic())
                    && entry.envelope.expiry_s() >= now.secs
                {
                    if pace.is_limited() && !batch.has_room_for(entry) {
                        return peer.held.push(slot);
                    }
                    peer.known.insert(slot);
                    batch.add(entry, &mut peer.batches, &mut self.outputs);
                }
            };
            if peer.rescan_at.is_some_and(|at| at <= now.at) {
                peer.rescan_at = None;
                peer.scanned_at = Some(now.at);
                self.pool.slots().for_each(&mut offer);
            } else {
                held.slots().chain(fresh.iter().copied()).for_each(&mut offer);
            }
            if !batch.body.is_empty() {
                peer.rests_until = pace.is_limited().then(|| now.at.after(pace.rest(batch.body.len())));
            }
            batch.send(&mut peer.batches, &mut self.outputs);
            if held.is_overfull() || peer.held.is_overfull() {
                peer.rescan(now.at);
            }
        }
        if !fresh.is_empty() {
            self.flushed_at = Some(now.at);
        }
        self.flush_at = self.peers.values().filter_map(Peer::next_turn).min();
    }

    fn flush_by(&mut self, at: Instant) {
        self.flush_at = Some(self.flush_at.map_or(at, |flush| flush.min(at)));
    }
}

/// A Messages packet in the making.
struct Batch {
    to: PeerId,
    /// The peer said that it confirms what it receives.
    confirms: bool,
    body: Vec<u8>,
    own: Vec<EnvelopeHash>,
}

impl Batch {
    fn new(to: PeerId, confirms: bool) -> Self {
        Self { to, confirms, body: Vec::new(), own: Vec::new() }
    }

    fn has_room_for(&self, entry: &Entry) -> bool {
        self.body.len() + entry.envelope.as_bytes().len() <= MAX_BODY
    }

    fn add(&mut self, entry: &Entry, batches: &mut Batches, outputs: &mut VecDeque<Output>) {
        if !self.has_room_for(entry) {
            std::mem::replace(self, Self::new(self.to, self.confirms)).send(batches, outputs);
        }
        self.body.extend_from_slice(entry.envelope.as_bytes());
        if entry.own {
            self.own.push(entry.envelope.hash());
        }
    }

    fn send(self, batches: &mut Batches, outputs: &mut VecDeque<Output>) {
        if self.body.is_empty() {
            return;
        }
        let payload = rlp::list_of(&self.body);
        let Self { to: peer, confirms, own, .. } = self;
        if !confirms {
            outputs.push_back(Output::Send { peer, code: code::MESSAGES, payload });
            outputs.extend(own.into_iter().map(|hash| Output::Event(Event::Unconfirmed { hash, peer })));
            return;
        }
        // Only envelopes of our own are waited for, so a relay hashes no batch.
        if !own.is_empty() {
            batches.sent(BatchHash::of(&payload), own);
        }
        outputs.push_back(Output::Send { peer, code: code::MESSAGES, payload });
    }
}

/// The most bytes of envelopes in a packet: with the list's header it stays below 1 MiB, above which a peer closes. An
/// envelope that is larger by itself could never be sent on, and is not let in.
pub(super) const MAX_BODY: usize = (1 << 20) - 5;
