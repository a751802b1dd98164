//! What goes into a host and what comes out of it.

use std::time::Duration;

use proto::{ChatKey, EnvelopeHash};

use crate::waku::envelope::Envelope;
use crate::waku::interest::Interest;
use crate::waku::peer::PeerId;
use crate::waku::pool::PoolLimits;
use crate::waku::refusal::{DropReason, Why};

/// How a host behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// What we want until told otherwise.
    pub interest: Interest,
    /// The least proof of work we take.
    pub min_pow: f64,
    /// Whether we say that we are a light node: others' envelopes are not forwarded.
    pub light_node: bool,
    /// Whether a light node refuses peers that are light nodes.
    pub refuse_light_peers: bool,
    /// Whether we confirm what we receive.
    pub confirmations: bool,
    /// The largest packet we take; a longer one ends the connection unread.
    pub max_packet: usize,
    /// The largest envelope we take, counted as 20 + data.
    pub max_envelope: usize,
    /// The bounds of the pool.
    pub pool: PoolLimits,
    /// How long a new envelope may wait for others to share a packet with.
    pub coalesce: Duration,
    /// How long a peer may take for its status.
    pub status_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interest: Interest::Unsaid,
            min_pow: 0.000_002,
            light_node: false,
            refuse_light_peers: true,
            confirmations: true,
            // The network's nodes put all they have for a peer into one packet, beyond their own limit of 1 MiB.
            max_packet: 10 << 20,
            max_envelope: 1 << 20,
            pool: PoolLimits::default(),
            coalesce: Duration::from_millis(1),
            status_timeout: Duration::from_secs(30),
        }
    }
}

/// What happens to a host.
#[derive(Debug)]
pub enum Input {
    /// A connection with the capability is up.
    PeerUp {
        /// Its number.
        peer: PeerId,
        /// The peer's node key.
        id: ChatKey,
        /// The version of the capability: 0, or 1 and above.
        version: u32,
    },
    /// A connection is gone.
    PeerDown(PeerId),
    /// A message of the capability arrived.
    Packet {
        /// From whom.
        peer: PeerId,
        /// Its code, relative to the capability.
        code: u64,
        /// Its payload, decompressed.
        payload: Vec<u8>,
    },
    /// An envelope of our own is to be sent. It passes the same checks as any other.
    Post(Envelope),
    /// What we want changes.
    Interest(Interest),
    /// The least proof of work we take changes.
    MinPow {
        /// The new value.
        pow: f64,
        /// Whether the old value is good for 10 s more.
        tolerate: bool,
    },
    /// It is the time of [`Host::wake_at`].
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send a message of the capability.
    Send {
        /// To whom.
        peer: PeerId,
        /// Its code, relative to the capability.
        code: u64,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// End the connection with devp2p reason 16. The host has forgotten the peer already.
    Drop {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: DropReason,
    },
    /// Something happened.
    Event(Event),
}

/// What a host has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The handshake with a peer is complete.
    Ready {
        /// The peer.
        peer: PeerId,
    },
    /// A new and wanted envelope arrived.
    Envelope {
        /// The envelope.
        envelope: Envelope,
        /// Who brought it.
        from: PeerId,
        /// The proof of work that counts: less than its own when it came from the near future.
        pow: f64,
    },
    /// A peer confirmed an envelope that was posted here.
    Acknowledged {
        /// The envelope.
        hash: EnvelopeHash,
        /// The peer.
        peer: PeerId,
    },
    /// A peer said that it did not take an envelope that was posted here.
    Rejected {
        /// The envelope.
        hash: EnvelopeHash,
        /// The peer.
        peer: PeerId,
        /// The code it gave: 1, 21 and 22 all mean no more than "refused".
        code: u64,
    },
    /// Something of a peer was not taken.
    Refused {
        /// The peer.
        peer: PeerId,
        /// Why.
        why: Why,
        /// How often within one packet.
        count: u32,
    },
    /// An envelope could not be posted, or had to make room for another of ours.
    NotPosted {
        /// The envelope.
        hash: EnvelopeHash,
        /// Why.
        why: Why,
    },
    /// An envelope that was posted here has expired.
    Expired {
        /// The envelope.
        hash: EnvelopeHash,
    },
}
