//! What goes into a host and what comes out of it.

use std::net::IpAddr;
use std::time::Duration;

use proto::{ChatKey, EnvelopeHash};

use crate::waku::envelope::Envelope;
use crate::waku::interest::{Former, Interest};
use crate::waku::mail::{Completion, MailRequest};
use crate::waku::peer::PeerId;
use crate::waku::pool::PoolLimits;
use crate::waku::rate_limits::Allowance;
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
    /// Whose packets we confirm.
    pub confirmations: Confirmations,
    /// The largest packet we take; a longer one ends the connection unread.
    pub max_packet: usize,
    /// The largest envelope we take, counted as 20 + data.
    pub max_envelope: usize,
    /// What peers may send in a second, which the status tells them; nothing is counted without it.
    pub allowance: Option<Allowance>,
    /// Nodes that are trusted whenever they connect: what they send directly is taken.
    pub trusted: Vec<ChatKey>,
    /// Nodes whose envelopes are left lying without a word.
    pub ignored: Vec<ChatKey>,
    /// Whether requests for old envelopes are passed on to a mail server behind this node.
    pub mail_server: bool,
    /// The bounds of the pool.
    pub pool: PoolLimits,
    /// How long after what was sent on last a new envelope waits for others to share a packet with.
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
            confirmations: Confirmations::Always,
            // The network's nodes put all they have for a peer into one packet, beyond their own limit of 1 MiB.
            max_packet: 10 << 20,
            max_envelope: 1 << 20,
            allowance: None,
            trusted: Vec::new(),
            ignored: Vec::new(),
            mail_server: false,
            pool: PoolLimits::default(),
            coalesce: Duration::from_millis(2),
            status_timeout: Duration::from_secs(30),
        }
    }
}

/// Whose packets a host confirms, and what it says of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmations {
    /// Every peer's. The status says so.
    Always,
    /// Those of peers that confirm ours. The status says no, and an update tells such a peer otherwise. A chat of status-go
    /// waits without end for what it is promised, and sends each message again; only a node that confirms can be told.
    InReturn,
    /// Nobody's.
    Never,
}

impl Confirmations {
    /// Returns the word for it: `always`, `in-return` or `never`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::InReturn => "in-return",
            Self::Never => "never",
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
        /// Where it is; peers without an address count as one for the rate limits.
        address: Option<IpAddr>,
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
    /// What we want changes. Peers are told, even if it is what they know.
    Interest(Interest),
    /// Whether everything is taken, whatever the interest. Peers that are connected learn of the end only, as those of
    /// status-go do; to be sent everything at once, say [`Interest::Full`].
    FullNode(bool),
    /// The least proof of work we ask for changes. A value that cannot be is ignored.
    MinPow {
        /// The new value.
        pow: f64,
        /// What becomes of the value before.
        former: Former,
    },
    /// What this peer sends directly is taken, as long as it is connected.
    Trust(PeerId),
    /// Old envelopes are to be asked of a peer, a mail server, which is trusted from here on.
    Request {
        /// Which peer.
        peer: PeerId,
        /// What is asked.
        request: MailRequest,
    },
    /// Envelopes are to be sent to a peer directly, whatever it wants: the answer to its request.
    SendDirect {
        /// Which peer.
        peer: PeerId,
        /// The envelopes, in one packet.
        envelopes: Vec<Envelope>,
    },
    /// The peer's request is at its end.
    Complete {
        /// Which peer.
        peer: PeerId,
        /// How it ended.
        completion: Completion,
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
        /// Whether only filters that take envelopes sent directly are to see it: so it is on a light node, as in
        /// status-go.
        direct: bool,
    },
    /// An envelope that was posted here is new, and on its way.
    Posted {
        /// The envelope.
        envelope: Envelope,
        /// The proof of work that counts.
        pow: f64,
    },
    /// Envelopes of a trusted peer came directly, past the pool. They may be old, and have any proof of work.
    Direct {
        /// The envelopes.
        envelopes: Vec<Envelope>,
        /// Who sent them.
        from: PeerId,
    },
    /// A peer asks for old envelopes.
    MailRequest {
        /// What it asks.
        request: MailRequest,
        /// Who asks.
        from: PeerId,
    },
    /// A trusted peer says that a request is at its end.
    MailCompleted {
        /// How it ended.
        completion: Completion,
        /// Who says so.
        from: PeerId,
    },
    /// A peer confirmed an envelope that was posted here.
    Acknowledged {
        /// The envelope.
        hash: EnvelopeHash,
        /// The peer.
        peer: PeerId,
    },
    /// An envelope that was posted here went out to a peer that confirms nothing: nobody will hear more of it.
    Unconfirmed {
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
