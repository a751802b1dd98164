//! Why a session is over, by name, for whoever counts.

use super::frame::FrameError;
use super::handshake::HandshakeError;
use super::snappy::BadSnappy;
use crate::p2p::{BadHello, Reason, RemoteReason};

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// We ended it, and said why when there was somebody to tell.
    #[error("we disconnected: {0}")]
    Ours(Reason),
    /// The other side ended it and said why.
    #[error("the peer disconnected: {0}")]
    Theirs(RemoteReason),
    /// The stream ended without a word.
    #[error("the connection was closed")]
    Closed,
    /// The handshake or the hello was not done in time.
    #[error("the handshake took too long")]
    HandshakeTimeout,
    /// Nothing came for too long, not even an answer to pings.
    #[error("the peer was silent for too long")]
    ReadTimeout,
    /// The encryption handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A frame broke the rules.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first message was neither a hello nor a disconnect.
    #[error("the first message has code {code} instead of a hello")]
    NoHello {
        /// Its code.
        code: u64,
    },
    /// The hello broke the rules.
    #[error(transparent)]
    Hello(#[from] BadHello),
    /// The hello names another node than the handshake proved.
    #[error("the hello names another node than the handshake")]
    UnexpectedIdentity,
    /// The other side is this node.
    #[error("connected to ourselves")]
    SelfConnection,
    /// No capability is shared.
    #[error("no capability is shared")]
    UselessPeer,
    /// A message lies beyond every capability.
    #[error("message code {code} belongs to no capability")]
    CodeOutOfRange {
        /// Its code.
        code: u64,
    },
}

impl DownReason {
    /// Returns a short name for counters; a reason given by the other side keeps its own.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Theirs(reason) => reason.named().map_or("remote_other", Reason::name),
            Self::Closed => "closed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::ReadTimeout => "read_timeout",
            Self::Handshake(_) => "bad_handshake",
            Self::Frame(FrameError::HeaderMac | FrameError::BodyMac) => "bad_mac",
            Self::Frame(FrameError::TooLong { .. }) => "oversized_frame",
            Self::Frame(FrameError::Snappy(BadSnappy::Bomb { .. })) => "snappy_bomb",
            Self::Frame(FrameError::Snappy(BadSnappy::Corrupt)) => "bad_snappy",
            Self::Frame(FrameError::Empty | FrameError::Code) => "bad_frame",
            Self::NoHello { .. } => "no_hello",
            Self::Hello(_) => "bad_hello",
            Self::UnexpectedIdentity => "bad_identity",
            Self::SelfConnection => "self",
            Self::UselessPeer => "useless",
            Self::CodeOutOfRange { .. } => "code_out_of_range",
        }
    }

    /// Whether the other side broke a rule, and not only left.
    #[must_use]
    pub const fn is_misbehaviour(&self) -> bool {
        match self {
            Self::Handshake(_)
            | Self::Frame(_)
            | Self::NoHello { .. }
            | Self::Hello(_)
            | Self::UnexpectedIdentity
            | Self::CodeOutOfRange { .. } => true,
            Self::Ours(_)
            | Self::Theirs(_)
            | Self::Closed
            | Self::HandshakeTimeout
            | Self::ReadTimeout
            | Self::SelfConnection
            | Self::UselessPeer => false,
        }
    }
}
