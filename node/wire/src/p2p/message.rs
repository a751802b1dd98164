//! The messages of the base protocol, codes 0 to 15.

use super::{BadHello, Hello, RemoteReason};

/// A message of the base protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Code 0.
    Hello(Hello),
    /// Code 1.
    Disconnect(RemoteReason),
    /// Code 2; any payload is answered.
    Ping,
    /// Code 3.
    Pong,
    /// Codes 4 to 15 mean nothing and do no harm.
    Unassigned,
}

impl Message {
    /// Code of [`Message::Hello`].
    pub const HELLO: u64 = 0;
    /// Code of [`Message::Disconnect`].
    pub const DISCONNECT: u64 = 1;
    /// Code of [`Message::Ping`].
    pub const PING: u64 = 2;
    /// Code of [`Message::Pong`].
    pub const PONG: u64 = 3;
    /// The payload that pings and pongs carry: an empty list.
    pub const NOTHING: [u8; 1] = [0xc0];

    /// Reads a message of the base protocol; nothing when the code belongs to a capability.
    ///
    /// # Errors
    /// [`BadHello`] for code 0 alone.
    pub fn decode(code: u64, payload: &[u8]) -> Result<Option<Self>, BadHello> {
        Ok(match code {
            Self::HELLO => Some(Self::Hello(Hello::decode(payload)?)),
            Self::DISCONNECT => Some(Self::Disconnect(RemoteReason::decode(payload))),
            Self::PING => Some(Self::Ping),
            Self::PONG => Some(Self::Pong),
            4..super::BASE_LENGTH => Some(Self::Unassigned),
            _ => None,
        })
    }
}
