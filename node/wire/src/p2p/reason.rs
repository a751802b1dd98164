//! Why a connection ends, as the two sides tell each other (message code 1, `[reason]`).

use crate::rlp::{self, Reader};

/// A reason that this node may send. 0x11 is not among them: it ends the process of a status-go peer that prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The connection is not wanted any more.
    Requested = 0x00,
    /// The transport failed.
    TcpError = 0x01,
    /// A rule of the protocol was broken.
    BreachOfProtocol = 0x02,
    /// No capability is shared.
    UselessPeer = 0x03,
    /// No room for another peer.
    TooManyPeers = 0x04,
    /// The two are connected already.
    AlreadyConnected = 0x05,
    /// The version of the base protocol is not supported.
    IncompatibleVersion = 0x06,
    /// The hello names no node id.
    NullIdentity = 0x07,
    /// The program ends.
    Quitting = 0x08,
    /// The hello names another node id than the handshake proved.
    UnexpectedIdentity = 0x09,
    /// The node is connected to itself.
    SelfConnection = 0x0a,
    /// No answer came in time.
    PingTimeout = 0x0b,
    /// A subprotocol gave up.
    Subprotocol = 0x10,
}

impl Reason {
    /// Every reason with a name.
    pub const ALL: [Self; 13] = [
        Self::Requested,
        Self::TcpError,
        Self::BreachOfProtocol,
        Self::UselessPeer,
        Self::TooManyPeers,
        Self::AlreadyConnected,
        Self::IncompatibleVersion,
        Self::NullIdentity,
        Self::Quitting,
        Self::UnexpectedIdentity,
        Self::SelfConnection,
        Self::PingTimeout,
        Self::Subprotocol,
    ];

    /// Returns the number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the payload of the message.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        rlp::list(|w| {
            w.uint(self.code().into());
        })
    }

    /// Returns a short name for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::TcpError => "tcp_error",
            Self::BreachOfProtocol => "breach_of_protocol",
            Self::UselessPeer => "useless_peer",
            Self::TooManyPeers => "too_many_peers",
            Self::AlreadyConnected => "already_connected",
            Self::IncompatibleVersion => "incompatible_version",
            Self::NullIdentity => "null_identity",
            Self::Quitting => "quitting",
            Self::UnexpectedIdentity => "unexpected_identity",
            Self::SelfConnection => "self_connection",
            Self::PingTimeout => "ping_timeout",
            Self::Subprotocol => "subprotocol",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The reason that the other side gave: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteReason(u64);

impl RemoteReason {
    /// Reads the payload of a message with code 1. What cannot be read is reason 0, as the peers take it.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Self {
        Self(Reader::new(payload).list().and_then(|mut fields| fields.u64()).unwrap_or(0))
    }

    /// Returns the number on the wire.
    #[must_use]
    pub const fn code(self) -> u64 {
        self.0
    }

    /// Returns the reason, when it is one with a name.
    #[must_use]
    pub fn named(self) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| u64::from(reason.code()) == self.0)
    }
}

impl std::fmt::Display for RemoteReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.named() {
            Some(reason) => reason.fmt(f),
            None => write!(f, "reason {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, RemoteReason};

    #[test]
    fn a_reason_reads_back_what_it_writes() {
        for reason in Reason::ALL {
            assert_eq!(RemoteReason::decode(&reason.encode()).named(), Some(reason));
        }
        assert_eq!(Reason::Requested.encode(), [0xc1, 0x80]);
        assert_eq!(Reason::Subprotocol.encode(), [0xc1, 0x10]);
    }

    /// The peer's rule: a bare integer, nothing and garbage are reason 0.
    #[test]
    fn what_cannot_be_read_is_reason_zero() {
        for odd in [&[4u8][..], &[], &[0xc0], &[0xc1], &[0xff, 0xff], &[0xc1, 0xc0]] {
            assert_eq!(RemoteReason::decode(odd).code(), 0, "{odd:?}");
        }
        assert_eq!(RemoteReason::decode(&[0xc2, 4, 7]).code(), 4, "what follows does not matter");
    }

    #[test]
    fn the_reason_that_ends_a_peers_process_has_no_name_to_send() {
        assert!(Reason::ALL.iter().all(|reason| reason.code() != 0x11));
        assert_eq!(RemoteReason::decode(&[0xc1, 0x11]).named(), None);
        assert_eq!(RemoteReason::decode(&[0xc1, 0x11]).to_string(), "reason 17");
    }
}
