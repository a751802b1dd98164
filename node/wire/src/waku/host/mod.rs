//! The host: a Waku node among its peers, as a machine.
//!
//! It says its status to every peer and waits for theirs, takes envelopes by the checks of reference section 2.4 in that
//! order, keeps them in its pool until they expire, and forwards them at once to the peers that want them. Invariant: no
//! envelope is sent to a peer before its status is in, none twice, and none that has expired.

mod forward;
mod port;
mod receive;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::{ChatKey, EnvelopeHash, Instant, Turn};

pub use self::port::{Config, Event, Input, Output};
use self::receive::Admitted;
use super::code;
use super::confirm::{Response, read_batch_ack};
use super::envelope::{Envelope, Fields};
use super::interest::Wanted;
use super::peer::{Peer, PeerId, Stage};
use super::pool::{Entry, Pool, Slot};
use super::refusal::{DropReason, Why};
use super::status::{Options, RateLimits, Requirements, StatusError, Version};

/// A Waku node among its peers.
pub struct Host {
    config: Config,
    wanted: Wanted,
    pool: Pool,
    peers: BTreeMap<PeerId, Peer>,
    /// Envelopes that came into the pool since the last flush.
    fresh: Vec<Slot>,
    flush_at: Option<Instant>,
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
            pool: Pool::new(config.pool),
            config,
            peers: BTreeMap::new(),
            fresh: Vec::new(),
            flush_at: None,
            swept_s: 0,
            sweep_at: Instant::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, turn: &mut Turn<'_>, input: Input) {
        let now = Now { at: turn.now, secs: turn.unix.to_secs().get() as u32 };
        self.wanted.tick(now.at);
        if now.secs != self.swept_s {
            self.sweep(now);
        }
        self.sweep_at = now.at.after(Duration::from_millis(1000 - turn.unix.get() % 1000));
        match input {
            Input::PeerUp { peer, id, version } => self.greet(now, peer, id, version),
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
            Input::MinPow { pow, tolerate } => {
                if let Some(told) = self.wanted.set_min_pow(now.at, pow, tolerate) {
                    self.tell(&told);
                }
            }
            Input::Tick => self.drop_silent(now),
        }
        if self.flush_at.is_some_and(|at| at <= now.at) {
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

    fn greet(&mut self, now: Now, peer: PeerId, id: ChatKey, version: u32) {
        let version = if version == 0 { Version::V0 } else { Version::V1 };
        let mut options = Options {
            pow_bits: Some(self.wanted.min_pow().to_bits()),
            light_node: Some(self.config.light_node),
            confirmations: Some(self.config.confirmations),
            packet_limits: Some(RateLimits::default()),
            byte_limits: Some(RateLimits::default()),
            ..Options::default()
        };
        self.wanted.interest().tell(&mut options);
        self.send(peer, code::STATUS, options.to_status(version));
        self.peers.insert(peer, Peer::new(id, version, now.at.after(self.config.status_timeout)));
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
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match (&mut peer.stage, code) {
            (Stage::AwaitingStatus { .. }, code::STATUS) => match self.status(id, payload) {
                Ok(requirements) => self.ready(now, id, requirements),
                Err(source) => self.drop_peer(id, DropReason::BadStatus { source }),
            },
            (Stage::AwaitingStatus { .. }, code) => self.drop_peer(id, DropReason::BeforeStatus { code }),
            (Stage::Up(_), _) if payload.len() > self.config.max_packet => {
                self.drop_peer(id, DropReason::Oversize { len: payload.len() });
            }
            (Stage::Up(_), code::STATUS) => self.refused(id, Why::RepeatedStatus),
            (Stage::Up(requirements), code::STATUS_UPDATE) => {
                let refuse_light = self.config.light_node && self.config.refuse_light_peers;
                let applied = Options::from_update(peer.version, payload)
                    .and_then(|options| requirements.apply(&options, refuse_light));
                self.rescan(now, id);
                if applied.is_err() {
                    self.refused(id, Why::BadUpdate);
                }
            }
            (Stage::Up(_), code::MESSAGES) => self.messages(now, id, payload),
            (Stage::Up(_), code::BATCH_ACK) => match read_batch_ack(payload) {
                Ok(batch) => self.confirmed(id, &batch, &[]),
                Err(_) => self.refused(id, Why::MalformedConfirmation),
            },
            (Stage::Up(_), code::MESSAGE_RESPONSE) => match Response::decode(payload) {
                Ok(Some(response)) => self.confirmed(id, &response.batch, &response.failures),
                Ok(None) => {}
                Err(_) => self.refused(id, Why::MalformedConfirmation),
            },
            (Stage::Up(_), _) => self.refused(id, Why::UnknownCode),
        }
    }

    fn status(&self, id: PeerId, payload: &[u8]) -> Result<Requirements, StatusError> {
        let version = self.peers.get(&id).map_or(Version::V1, |peer| peer.version);
        let refuse_light = self.config.light_node && self.config.refuse_light_peers;
        Requirements::of_status(&Options::from_status(version, payload)?, refuse_light)
    }

    fn ready(&mut self, now: Now, id: PeerId, requirements: Requirements) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stage = Stage::Up(requirements);
        }
        self.rescan(now, id);
        self.outputs.push_back(Output::Event(Event::Ready { peer: id }));
    }

    fn post(&mut self, now: Now, envelope: &Envelope) {
        let admitted = match Fields::decode(envelope.as_bytes()) {
            Ok(fields) => self.admit(now, &fields, Some(envelope)),
            Err(_) => Err(Why::MalformedMessages),
        };
        match admitted {
            Ok(Admitted::New(_)) => {}
            Ok(Admitted::Known(slot)) => self.pool.adopt(slot),
            Err(why) => {
                let event = Event::NotPosted { hash: envelope.hash(), why };
                self.outputs.push_back(Output::Event(event));
            }
        }
    }

    fn sweep(&mut self, now: Now) {
        self.swept_s = now.secs;
        while let Some(slot) = self.pool.expired(now.secs) {
            if let Some(entry) = self.take_out(slot).filter(|entry| entry.own) {
                let event = Event::Expired { hash: entry.envelope.hash() };
                self.outputs.push_back(Output::Event(event));
            }
        }
    }

    /// Takes an envelope out of the pool, and the slot's bit from every peer, because the slot will be used again.
    fn take_out(&mut self, slot: Slot) -> Option<Entry> {
        for peer in self.peers.values_mut() {
            peer.forget(slot);
        }
        self.pool.remove(slot)
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

#[derive(Clone, Copy)]
struct Now {
    at: Instant,
    /// Seconds of the wall clock as the wire counts them.
    secs: u32,
}

#[cfg(test)]
mod tests;
