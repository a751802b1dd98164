//! The connected peers: how many, each once, and the way to each.
//!
//! When two nodes dial each other at the same time there are two connections, and both sides must drop the same one:
//! the one that was dialled by the node with the smaller id.

use std::collections::{BTreeMap, BTreeSet};

use proto::{ChatKey, EnvelopeHash};
use tokio::sync::watch;
use wire::p2p::Reason;
use wire::waku::PeerId;

use super::command::Peer;
use crate::config::Limits;
use crate::network::dialer::Connected;
use crate::network::outbox::{Outbox, Slow};

/// The connected peers.
pub(crate) struct Peers {
    ours: ChatKey,
    limit: usize,
    inbound: usize,
    last: u64,
    connected: BTreeMap<PeerId, (Peer, Outbox)>,
    ids: watch::Sender<BTreeSet<[u8; 64]>>,
}

/// A peer that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Its number.
    pub(super) peer: PeerId,
    /// The connection to the same node that had to go.
    pub(super) replaced: Option<PeerId>,
}

impl Peers {
    pub(super) fn new(ours: ChatKey, limits: &Limits) -> (Self, Connected) {
        let (ids, connected) = watch::channel(BTreeSet::new());
        let (limit, inbound) = (limits.peers, limits.inbound);
        (Self { ours, limit, inbound, last: 0, connected: BTreeMap::new(), ids }, connected)
    }

    pub(super) fn len(&self) -> usize {
        self.connected.len()
    }

    pub(super) fn list(&self) -> Vec<Peer> {
        self.connected.values().map(|(peer, _)| peer.clone()).collect()
    }

    /// Takes a peer that has shaken hands, or says why it must go.
    pub(super) fn admit(&mut self, peer: Peer, outbox: Outbox) -> Result<Admitted, Reason> {
        let old =
            self.connected.iter().find(|(_, (old, _))| old.id == peer.id).map(|(id, (old, _))| (*id, old.inbound));
        let replaced = match old {
            Some((_, inbound)) if !self.prefers(&peer, inbound) => return Err(Reason::AlreadyConnected),
            Some((id, _)) => Some(id),
            None => None,
        };
        if replaced.is_none() {
            let inbound = self.connected.values().filter(|(peer, _)| peer.inbound).count();
            if self.connected.len() >= self.limit || (peer.inbound && inbound >= self.inbound) {
                return Err(Reason::TooManyPeers);
            }
        }
        if let Some(old) = replaced {
            self.dismiss(old, Reason::AlreadyConnected);
        }
        self.last += 1;
        let id = PeerId(self.last);
        self.connected.insert(id, (peer, outbox));
        self.publish();
        Ok(Admitted { peer: id, replaced })
    }

    /// Queues a packet.
    pub(super) fn send(&self, peer: PeerId, code: u64, payload: Vec<u8>) -> Result<(), Slow> {
        self.connected.get(&peer).map_or(Ok(()), |(_, outbox)| outbox.packet(code, payload))
    }

    /// Has it told when the last packet to a peer is written, with this envelope; never, when the peer is gone.
    pub(super) fn mark(&self, peer: PeerId, envelope: EnvelopeHash) {
        if let Some((_, outbox)) = self.connected.get(&peer) {
            outbox.mark(envelope);
        }
    }

    /// Returns the number of the node with this key, if it is connected.
    pub(super) fn number(&self, id: &ChatKey) -> Option<PeerId> {
        self.connected.iter().find(|(_, (peer, _))| peer.id == *id).map(|(number, _)| *number)
    }

    /// Tells a peer why it must go, and forgets it; says who it was, if it was known.
    pub(super) fn dismiss(&mut self, peer: PeerId, reason: Reason) -> Option<ChatKey> {
        let (peer, outbox) = self.connected.remove(&peer)?;
        outbox.disconnect(reason);
        self.publish();
        Some(peer.id)
    }

    /// Forgets a peer; says who it was, if it was known.
    pub(super) fn forget(&mut self, peer: PeerId) -> Option<ChatKey> {
        let (peer, _) = self.connected.remove(&peer)?;
        self.publish();
        Some(peer.id)
    }

    /// Returns whether a new connection wins over the one to the same node that stands, which is inbound or not.
    fn prefers(&self, new: &Peer, old_inbound: bool) -> bool {
        if new.inbound == old_inbound {
            // Who dials again has given up the first connection, whatever we still see of it.
            return new.inbound;
        }
        let theirs_is_larger = new.id.to_node_id() > self.ours.to_node_id();
        new.inbound == theirs_is_larger
    }

    fn publish(&self) {
        let ids = self.connected.values().map(|(peer, _)| peer.id.to_node_id()).collect();
        self.ids.send_replace(ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::outbox::{Outboxes, Outgoing, Outgoings};

    fn key(byte: u8) -> ChatKey {
        ChatKey::from(k256::SecretKey::from_slice(&[byte; 32]).unwrap().public_key())
    }

    fn peer(byte: u8, inbound: bool) -> Peer {
        let address = "127.0.0.1:1".parse().unwrap();
        Peer { id: key(byte), client: String::new(), address, inbound, version: 1 }
    }

    fn admit(peers: &mut Peers, peer: Peer) -> (Result<Admitted, Reason>, Outgoings) {
        let (sender, receiver) = Outboxes::default().open();
        (peers.admit(peer, sender), receiver)
    }

    #[test]
    fn two_nodes_that_dial_each_other_keep_the_same_connection() {
        for order in [[true, false], [false, true]] {
            let mut kept = Vec::new();
            for (ours, theirs) in [(1, 2), (2, 1)] {
                let (mut peers, _) = Peers::new(key(ours), &Limits::CHAT);
                let mut waiting = Vec::new();
                for inbound in order {
                    waiting.push(admit(&mut peers, peer(theirs, inbound)));
                }
                assert_eq!(peers.len(), 1);
                // Which node dialled the connection that is left?
                kept.push(if peers.list()[0].inbound { theirs } else { ours });
            }
            assert_eq!(kept[0], kept[1]);
        }
    }

    #[tokio::test]
    async fn a_node_that_dials_again_takes_the_place_of_its_dead_connection() {
        let (mut peers, _) = Peers::new(key(1), &Limits::CHAT);
        let (first, mut outgoings) = admit(&mut peers, peer(2, true));
        let (second, _) = admit(&mut peers, peer(2, true));
        assert_eq!(second.unwrap().replaced, Some(first.unwrap().peer));
        assert!(matches!(outgoings.next().await, Some(Outgoing::Disconnect(Reason::AlreadyConnected))));
        assert!(outgoings.next().await.is_none());
    }

    #[test]
    fn inbound_peers_leave_room_for_those_we_dial() {
        let limits = Limits { peers: 2, inbound: 1, ..Limits::CHAT };
        let (mut peers, connected) = Peers::new(key(1), &limits);
        let (first, _kept) = admit(&mut peers, peer(2, true));
        assert!(first.is_ok());
        assert_eq!(admit(&mut peers, peer(3, true)).0, Err(Reason::TooManyPeers));
        assert!(admit(&mut peers, peer(4, false)).0.is_ok());
        assert_eq!(admit(&mut peers, peer(5, false)).0, Err(Reason::TooManyPeers));
        assert_eq!(connected.borrow().len(), 2);
        assert_eq!(peers.forget(first.unwrap().peer), Some(key(2)));
        assert_eq!(connected.borrow().len(), 1);
    }
}
