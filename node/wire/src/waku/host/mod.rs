//! The host: a Waku node among its peers, as a machine.
//!
//! It says its status to every peer and waits for theirs, takes envelopes by the checks of reference section 2.4 in that
//! order, keeps them in its pool until they expire, and forwards them at once to the peers that want them. Invariant: no
//! envelope is sent to a peer before its status is in, none twice, and none that has expired.

mod direct;
mod forward;
mod handshake;
mod port;
mod receive;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::{EnvelopeHash, Instant, Turn};

pub use self::port::{Config, Confirmations, Event, Input, Output};
use self::receive::Admitted;
use super::code;
use super::confirm::{Response, read_batch_ack};
use super::envelope::{Envelope, Fields};
use super::interest::Wanted;
use super::peer::{Peer, PeerId, Stage};
use super::pool::{Pool, Slot};
use super::rate_limits::{Limiter, Load};
use super::refusal::{DropReason, Why};
use super::status::Options;

/// A Waku node among its peers.
pub struct Host {
    config: Config,
    wanted: Wanted,
    limiter: Option<Limiter>,
    pool: Pool,
    peers: BTreeMap<PeerId, Peer>,
    /// Envelopes that came into the pool since the last flush.
    fresh: Vec<Slot>,
    flush_at: Option<Instant>,
    flushed_at: Option<Instant>,
    swept_s: u32,
    sweep_at: Instant,
    outputs: VecDeque<Output>,
}

impl Host {
    /// Returns a host without peers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            wanted: Wanted::new(config.interest.clone(), config.min_pow),
            limiter: config.allowance.clone().map(Limiter::new),
            pool: Pool::new(config.pool),
            config,
            peers: BTreeMap::new(),
            fresh: Vec::new(),
            flush_at: None,
            flushed_at: None,
            swept_s: 0,
            sweep_at: Instant::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, turn: &mut Turn<'_>, input: Input) {
        let now = Now { at: turn.now, secs: turn.unix.to_secs().get() as u32 };
        self.wanted.tick(now.at);
        if now.secs != self.swept_s || self.sweep_at <= now.at {
            let swept = self.sweep(now);
            let next = Duration::from_millis(1000 - turn.unix.get() % 1000);
            self.sweep_at = if swept { now.at.after(next) } else { now.at };
        }
        // What this input brings may share a packet with what the next one brings.
        let due = if matches!(input, Input::Tick) { self.flush_at } else { self.flush_at.filter(|at| *at < now.at) };
        match input {
            Input::PeerUp { peer, id, address, version } => self.greet(now, peer, id, address, version),
            Input::PeerDown(peer) => {
                self.peers.remove(&peer);
            }
            Input::Packet { peer, code, payload } => self.packet(now, peer, code, &payload),
            Input::Post(envelope) => self.post(now, &envelope),
            Input::Interest(interest) => {
                if let Some(told) = self.wanted.set_interest(now.at, interest) {
                    self.tell(&told);
                }
            }
            Input::FullNode(full_node) => {
                if let Some(told) = self.wanted.set_full_node(full_node) {
                    self.tell(&told);
                }
            }
            Input::MinPow { pow, former } => {
                if let Some(told) = self.wanted.set_min_pow(now.at, pow, former) {
                    self.tell(&told);
                }
            }
            Input::Trust(peer) => self.trust(peer),
            Input::Request { peer, request } => self.request(peer, &request),
            Input::SendDirect { peer, envelopes } => self.send_direct(peer, &envelopes),
            Input::Complete { peer, completion } => self.complete(peer, &completion),
            Input::Tick => self.drop_silent(now),
        }
        if due.is_some_and(|at| at <= now.at) {
            self.flush(now);
        }
    }

    /// Returns the next thing to do; to be called until there is none after each [`Host::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`Input::Tick`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let sweep = (self.pool.len() > 0).then_some(self.sweep_at);
        let silent = self.peers.values().filter_map(|peer| match peer.stage {
            Stage::AwaitingStatus { until } => Some(until),
            Stage::Up(_) => None,
        });
        [self.flush_at, sweep, self.wanted.wake_at()].into_iter().flatten().chain(silent).min()
    }

    /// Returns the connected peers.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    /// Returns the names of the envelopes in the pool.
    pub fn pooled(&self) -> impl Iterator<Item = EnvelopeHash> + '_ {
        self.pool.hashes()
    }

    /// Returns how many envelopes the pool holds.
    #[must_use]
    pub fn pool_len(&self) -> usize {
        self.pool.len()
    }

    /// Tells every peer of a change. Our status has reached them all, whether or not theirs is in.
    fn tell(&mut self, options: &Options) {
        let told = self.peers.iter().map(|(id, peer)| Output::Send {
            peer: *id,
            code: code::STATUS_UPDATE,
            payload: options.to_update(peer.version),
        });
        self.outputs.extend(told);
    }

    fn packet(&mut self, now: Now, id: PeerId, code: u64, payload: &[u8]) {
        match self.peers.get(&id).map(|peer| &peer.stage) {
            None => return,
            Some(Stage::AwaitingStatus { .. }) => return self.first_packet(now, id, code, payload),
            Some(Stage::Up(_)) => {}
        }
        match self.load(now, id, payload.len()) {
            Load::Within => {}
            Load::Excess => self.refused(id, Why::RateLimit),
            Load::Intolerable => return self.drop_peer(id, DropReason::RateLimit),
        }
        if payload.len() > self.config.max_packet {
            return self.drop_peer(id, DropReason::Oversize { len: payload.len() });
        }
        match code {
            code::STATUS => self.refused(id, Why::RepeatedStatus),
            code::STATUS_UPDATE => self.updated(now, id, payload),
            code::MESSAGES => self.messages(now, id, payload),
            code::BATCH_ACK => match read_batch_ack(payload) {
                Ok(batch) => self.confirmed(id, &batch, &[]),
                Err(_) => self.refused(id, Why::MalformedConfirmation),
            },
            code::MESSAGE_RESPONSE => match Response::decode(payload) {
                Ok(Some(response)) => self.confirmed(id, &response.batch, &response.failures),
                Ok(None) => {}
                Err(_) => self.refused(id, Why::MalformedConfirmation),
            },
            code::P2P_REQUEST | code::P2P_MESSAGE | code::P2P_REQUEST_COMPLETE => self.direct(id, code, payload),
            _ => self.refused(id, Why::UnknownCode),
        }
    }

    /// Counts a packet against the rate limits.
    fn load(&mut self, now: Now, id: PeerId, len: usize) -> Load {
        let Some(limiter) = &mut self.limiter else { return Load::Within };
        self.peers.get(&id).map_or(Load::Within, |peer| limiter.count(now.at, peer.address, &peer.node, len))
    }

    fn post(&mut self, now: Now, envelope: &Envelope) {
        let admitted = match Fields::decode(envelope.as_bytes()) {
            Ok(fields) => self.admit(now, &fields, Some(envelope)),
            Err(_) => Err(Why::MalformedMessages),
        };
        match admitted {
            Ok(Admitted::New(slot)) => {
                if let Some(entry) = self.pool.entry(slot) {
                    let event = Event::Posted { envelope: entry.envelope.clone(), pow: entry.pow };
                    self.outputs.push_back(Output::Event(event));
                }
            }
            Ok(Admitted::Known(slot)) => {
                self.pool.adopt(slot);
                if self.config.light_node {
                    self.forward_soon(now, slot);
                }
            }
            Err(why) => {
                let event = Event::NotPosted { hash: envelope.hash(), why };
                self.outputs.push_back(Output::Event(event));
            }
        }
    }

    /// Takes out what has expired, a part of it at a time, and says whether that was all.
    fn sweep(&mut self, now: Now) -> bool {
        self.swept_s = now.secs;
        let mut gone = Vec::new();
        while gone.len() < SWEPT_AT_ONCE
            && let Some(slot) = self.pool.expired(now.secs)
        {
            gone.push(slot);
            if let Some(entry) = self.pool.remove(slot).filter(|entry| entry.own) {
                let event = Event::Expired { hash: entry.envelope.hash() };
                self.outputs.push_back(Output::Event(event));
            }
        }
        self.forget(&gone);
        gone.len() < SWEPT_AT_ONCE
    }

    /// Takes the bits of slots that are free from every peer, because they will be used again.
    fn forget(&mut self, slots: &[Slot]) {
        for peer in self.peers.values_mut() {
            slots.iter().for_each(|slot| peer.forget(*slot));
        }
    }

    fn drop_silent(&mut self, now: Now) {
        let silent = |peer: &Peer| matches!(peer.stage, Stage::AwaitingStatus { until } if until <= now.at);
        let late: Vec<PeerId> = self.peers.iter().filter(|(_, peer)| silent(peer)).map(|(id, _)| *id).collect();
        for id in late {
            self.drop_peer(id, DropReason::NoStatus);
        }
    }

    fn drop_peer(&mut self, peer: PeerId, reason: DropReason) {
        self.peers.remove(&peer);
        self.outputs.push_back(Output::Drop { peer, reason });
    }

    fn refused(&mut self, peer: PeerId, why: Why) {
        self.outputs.push_back(Output::Event(Event::Refused { peer, why, count: 1 }));
    }

    fn send(&mut self, peer: PeerId, code: u64, payload: Vec<u8>) {
        self.outputs.push_back(Output::Send { peer, code, payload });
    }
}

/// Envelopes that are taken out before anything else has its turn: some milliseconds' work.
const SWEPT_AT_ONCE: usize = 4096;

#[derive(Clone, Copy)]
struct Now {
    at: Instant,
    /// Seconds of the wall clock as the wire counts them.
    secs: u32,
}

#[cfg(test)]
mod tests;
