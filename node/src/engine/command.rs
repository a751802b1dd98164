//! What the engine is told by the rest of the shell, and what it tells back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat::ChatName;
use proto::rpc::Fault;
use proto::{ChatKey, EnvelopeHash, MessageId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wire::p2p::Reason;
use wire::waku::{Former, PeerId};

use super::listener::Listening;
use super::watchers::Happening;
use crate::config::{Interest, Waku};
use crate::network::outbox::Outbox;
use crate::rooms::Room;
use crate::store::Line;

/// What the engine is told.
pub(crate) enum Command {
    /// A connection has shaken hands.
    Up {
        /// Who is there.
        peer: Peer,
        /// The way to it.
        outbox: Outbox,
        /// Its number here, or why it must go.
        reply: oneshot::Sender<Result<PeerId, Reason>>,
    },
    /// A peer sent a Waku packet.
    Packet {
        /// Which peer.
        peer: PeerId,
        /// The code, relative to the capability.
        code: u64,
        /// The payload.
        payload: Vec<u8>,
        /// Its share of the memory for packets on their way, given back once it is handled.
        _share: OwnedSemaphorePermit,
    },
    /// An envelope of ours was written to a peer that confirms nothing.
    Written(EnvelopeHash),
    /// A connection that was up has ended.
    Down {
        /// Which peer.
        peer: PeerId,
        /// A word for why.
        why: &'static str,
    },
    /// The connection to this node is not wanted any more.
    Dismiss(ChatKey),
    /// Somebody asks how things stand.
    Status(oneshot::Sender<Snapshot>),
    /// Somebody changes a setting.
    Set {
        /// Which, and to what.
        change: Change,
        /// Says that it holds.
        reply: oneshot::Sender<()>,
    },
    /// Somebody wants to follow a chat.
    Join {
        /// The chat.
        room: Arc<Room>,
        /// How many stored messages.
        history: u32,
        /// The stored messages and the way to those that come.
        reply: oneshot::Sender<Result<Following, Trouble>>,
    },
    /// Somebody leaves a chat.
    Leave {
        /// The chat.
        chat: ChatName,
        /// Whether it was joined.
        reply: oneshot::Sender<Result<bool, Trouble>>,
    },
    /// Somebody writes in a chat.
    Post(Post),
    /// Somebody wants the stored messages of a chat.
    History {
        /// The chat.
        chat: ChatName,
        /// How many of the latest at most.
        limit: u32,
        /// The messages, oldest first.
        reply: oneshot::Sender<Vec<Line>>,
    },
    /// Somebody wants to know what happens.
    Watch(oneshot::Sender<Listening<Happening>>),
}

/// A message to be written in a chat.
pub(crate) struct Post {
    /// The chat.
    pub(crate) room: Arc<Room>,
    /// What to say.
    pub(crate) text: String,
    /// The message that it answers.
    pub(crate) response_to: Option<MessageId>,
    /// What the caller waits for.
    pub(crate) until: Until,
    /// How long it waits.
    pub(crate) within: Duration,
    /// What became of it.
    pub(crate) reply: oneshot::Sender<Result<Posted, Trouble>>,
}

/// What the caller of a post waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The message is signed, kept, and on its way.
    Kept,
    /// A peer has it.
    Acknowledged,
}

/// A peer that has shaken hands.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its node id.
    pub(crate) id: ChatKey,
    /// What it calls itself.
    pub(crate) client: String,
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// Whether it dialled us.
    pub(crate) inbound: bool,
    /// The version of Waku that is spoken.
    pub(crate) version: u32,
}

/// A setting that can be changed while the node runs.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// The least proof of work that is taken.
    MinPow {
        /// The new value.
        pow: f64,
        /// What becomes of the old value.
        former: Former,
    },
    /// What peers are asked for.
    Interest(Interest),
    /// Whether everything is taken, whatever peers are asked for.
    FullNode(bool),
}

/// How things stand.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The connected peers.
    pub(crate) peers: Vec<Peer>,
    /// The chats that are followed.
    pub(crate) chats: Vec<String>,
    /// Envelopes in the pool.
    pub(crate) pooled: u64,
    /// Messages in the store.
    pub(crate) stored: u64,
    /// The settings as they are.
    pub(crate) settings: Waku,
    /// Whether everything is taken.
    pub(crate) full_node: bool,
}

/// A chat that is followed from here on.
pub(crate) struct Following {
    /// The latest stored messages, oldest first.
    pub(crate) history: Vec<Line>,
    /// What comes after them.
    pub(crate) listening: Listening<Line>,
}

/// A message that is on its way, or that a peer has acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posted {
    /// The message.
    pub(crate) id: MessageId,
    /// The envelope that carried it, once it is acknowledged.
    pub(crate) envelope: Option<EnvelopeHash>,
    /// From the request to the answer.
    pub(crate) after: Duration,
}

/// Why something asked for was not done, in one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The cause; none when it is only a matter of trying later.
    pub(crate) fault: Option<Fault>,
    /// The line.
    pub(crate) message: String,
}

impl Trouble {
    pub(crate) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault: Some(fault), message: message.into() }
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self { fault: None, message: message.into() }
    }
}
