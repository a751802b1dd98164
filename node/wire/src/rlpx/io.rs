//! What a session is told, and what it wants done.

use proto::ChatKey;

use super::down::DownReason;
use super::frame::TooLong;
use super::handshake::NodeKey;
use crate::p2p::{Capability, Hello, Reason, Shared};

/// Who this node is: the same for all its sessions.
pub struct Local {
    /// The static key.
    pub key: NodeKey,
    /// The name of the program that the hello tells.
    pub client_name: String,
    /// The TCP port that the hello tells; 0 when this node does not listen.
    pub listen_port: u16,
    /// What this node speaks.
    pub capabilities: Vec<Capability>,
}

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes from the stream, in pieces of any size.
    Bytes(&'a [u8]),
    /// The stream has ended.
    Eof,
    /// A message to send.
    Send {
        /// Of which shared capability.
        capability: Capability,
        /// Its code within the capability.
        code: u64,
        /// What it carries.
        payload: &'a [u8],
    },
    /// End the connection and say why.
    Disconnect(Reason),
    /// The time that [`Session::wake_at`](super::Session::wake_at) named has come.
    Tick,
}

/// What a session wants done, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes to write to the stream.
    Send(Vec<u8>),
    /// Something happened.
    Event(Event),
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The other side has proven who it is, and something is shared. Comes once, before any message.
    Up {
        /// Its node id.
        peer: ChatKey,
        /// What it said about itself.
        hello: Box<Hello>,
        /// What both speak, sorted by name.
        capabilities: Vec<Shared>,
    },
    /// A message of a shared capability.
    Message {
        /// Of which capability.
        capability: Capability,
        /// Its code within the capability.
        code: u64,
        /// What it carries.
        payload: Vec<u8>,
    },
    /// A message was not sent; the session goes on.
    NotSent {
        /// Of which capability.
        capability: Capability,
        /// Its code within the capability.
        code: u64,
        /// Why not.
        why: NotSent,
    },
    /// The session is over; nothing comes after this. The shell closes the stream once everything is written.
    Down(DownReason),
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The connection is not up, or the capability is not shared on it.
    #[error("the peer does not speak this capability")]
    NotShared,
    /// The capability has no such code.
    #[error("the capability has no such message code")]
    CodeOutOfRange,
    /// No frame holds so much.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}
