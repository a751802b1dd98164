//! What a node is told, and every limit it keeps.

mod interest;
mod waku;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use wire::p2p::Enode;

pub use self::interest::{Interest, NotAnInterest};
pub use self::waku::{BadSetting, MAX_ENVELOPE, MAX_PACKET, MIN_ENVELOPE, Waku};
pub(crate) use self::waku::{check_interest, check_pow};

/// What a node is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The profile directory.
    pub dir: PathBuf,
    /// The Unix socket of the local API.
    pub socket: PathBuf,
    /// Where peers connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Peers that are dialled until they answer, and again whenever they are lost.
    pub peers: Vec<Enode>,
    /// What the node is for.
    pub role: Role,
    /// How it behaves towards its Waku peers.
    pub waku: Waku,
    /// Every bound.
    pub limits: Limits,
}

/// What a node is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Carries everybody's envelopes; knows no key and keeps nothing.
    Relay,
    /// One person's node.
    Chat {
        /// The key manager's socket.
        keymgr: PathBuf,
        /// How long to wait for the card to be unlocked.
        unlock_within: Duration,
    },
}

impl Role {
    /// Returns the word for the status and the ready line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Chat { .. } => "chat",
        }
    }

    /// Returns whether such a node follows chats.
    #[must_use]
    pub const fn follows_chats(&self) -> bool {
        matches!(self, Self::Chat { .. })
    }
}

/// Every bound that is a matter of size rather than of protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connected peers, static ones included.
    pub peers: usize,
    /// Of those, peers that connected to us: the rest stays free for the ones we dial.
    pub inbound: usize,
    /// TCP connections that have not finished their handshake.
    pub handshakes: usize,
    /// Peers that are dialled for ever.
    pub static_peers: usize,
    /// Public chats joined.
    pub chats: usize,
    /// Streams of the local API that follow a chat, or watch.
    pub subscribers: usize,
}

impl Limits {
    /// The bounds of one person's node: 25 peers as go-ethereum's `MaxPeers` (protocol reference 9.1).
    pub const CHAT: Self =
        Self { peers: 25, inbound: 17, handshakes: 50, static_peers: 16, chats: 128, subscribers: 32 };
    /// The bounds of a relay: mostly inbound.
    pub const RELAY: Self =
        Self { peers: 200, inbound: 184, handshakes: 50, static_peers: 16, chats: 0, subscribers: 8 };

    /// Returns the same limits for another number of peers, a third of them kept free for those we dial.
    #[must_use]
    pub const fn with_peers(self, peers: usize) -> Self {
        Self { peers, inbound: peers - peers / 3, ..self }
    }
}

/// Returns the name in Hello, after the manner of devp2p client ids: `Cardinal/v0.1.0/linux-x86_64/rust`.
#[must_use]
pub fn client_name() -> String {
    format!("Cardinal/v{}/{}-{}/rust", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)
}
