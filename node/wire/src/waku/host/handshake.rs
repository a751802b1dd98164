//! The handshake: our status, the peer's, and its updates (reference section 2.3).

use std::net::IpAddr;

use proto::ChatKey;

use super::{Confirmations, Event, Host, Now, Output};
use crate::waku::code;
use crate::waku::peer::{Peer, PeerId, Stage};
use crate::waku::refusal::{DropReason, Why};
use crate::waku::status::{Options, RateLimits, Requirements, StatusError, Version};

impl Host {
    /// Says our status, and waits for the peer's.
    pub(super) fn greet(&mut self, now: Now, peer: PeerId, id: ChatKey, address: Option<IpAddr>, version: u32) {
        let version = if version == 0 { Version::V0 } else { Version::V1 };
        let confirms = self.config.confirmations == Confirmations::Always;
        let mut options = Options {
            light_node: Some(self.config.light_node),
            confirmations: Some(confirms),
            packet_limits: Some(RateLimits::default()),
            byte_limits: Some(RateLimits::default()),
            ..Options::default()
        };
        self.wanted.tell(&mut options);
        if let Some(limiter) = &self.limiter {
            limiter.allowance().tell(&mut options);
        }
        self.send(peer, code::STATUS, options.to_status(version));
        let mut known = Peer::new(id, address, version, now.at.after(self.config.status_timeout));
        known.confirmed = confirms;
        known.trusted = self.config.trusted.contains(&id);
        known.ignored = self.config.ignored.contains(&id);
        self.peers.insert(peer, known);
    }

    /// Takes a peer's first packet: its status, or its last.
    pub(super) fn first_packet(&mut self, now: Now, id: PeerId, code: u64, payload: &[u8]) {
        if code != code::STATUS {
            return self.drop_peer(id, DropReason::BeforeStatus { code });
        }
        match self.status(id, payload) {
            Ok(requirements) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.stage = Stage::Up(requirements);
                }
                self.confirm_in_return(id);
                self.outputs.push_back(Output::Event(Event::Ready { peer: id }));
                self.rescan(now, id);
            }
            Err(source) => self.drop_peer(id, DropReason::BadStatus { source }),
        }
    }

    /// Takes a peer's update, as far as it goes.
    pub(super) fn updated(&mut self, now: Now, id: PeerId, payload: &[u8]) {
        let refuse_light = self.refuses_light();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Stage::Up(requirements) = &mut peer.stage else { return };
        let applied =
            Options::from_update(peer.version, payload).and_then(|options| requirements.apply(&options, refuse_light));
        self.confirm_in_return(id);
        self.rescan(now, id);
        if applied.is_err() {
            self.refused(id, Why::BadUpdate);
        }
    }

    /// Promises confirmations to a peer that promised its own.
    fn confirm_in_return(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let promised = peer.requirements().is_some_and(|requirements| requirements.confirmations);
        if promised && !peer.confirmed && self.config.confirmations == Confirmations::InReturn {
            peer.confirmed = true;
            let told = Options { confirmations: Some(true), ..Options::default() };
            let payload = told.to_update(peer.version);
            self.send(id, code::STATUS_UPDATE, payload);
        }
    }

    fn status(&self, id: PeerId, payload: &[u8]) -> Result<Requirements, StatusError> {
        let version = self.peers.get(&id).map_or(Version::V1, |peer| peer.version);
        Requirements::of_status(&Options::from_status(version, payload)?, self.refuses_light())
    }

    fn refuses_light(&self) -> bool {
        self.config.light_node && self.config.refuse_light_peers
    }
}
