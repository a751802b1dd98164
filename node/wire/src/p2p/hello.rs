//! The first message of the base protocol, code 0.
//!
//! ```text
//! [version, client name, [[capability, version]...], listen port, node id (64), ...]      at most 2 KiB
//! ```
//!
//! What is not needed is not judged, as the peers do: names of any bytes, any port, further elements and bytes behind the
//! list pass. The node id must be what the handshake proved; comparing the two is the session's task.

use std::fmt;

use proto::ChatKey;

use super::{Capability, Offer, VERSION};
use crate::rlp::{self, Malformed, Reader};

/// What a node says about itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Version of the base protocol; messages are compressed from 5 on.
    pub version: u64,
    /// The name of the program, as received: any bytes.
    pub client_name: Vec<u8>,
    /// The subprotocols it speaks.
    pub capabilities: Vec<Offer>,
    /// The TCP port it listens on; 0 when it does not, or does not say.
    pub listen_port: u64,
    /// Its public key `X || Y`, not checked to be on the curve.
    pub id: [u8; 64],
    /// How many elements of later versions followed.
    pub extra_elements: usize,
}

/// A hello that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHello {
    /// More than [`Hello::MAX_LEN`] bytes.
    #[error("the hello is longer than 2 KiB")]
    TooLong,
    /// No hello at all.
    #[error("the hello cannot be read")]
    Malformed(#[from] Malformed),
    /// The id is of another length than 64, or all zeros. The peers answer this with disconnect reason 7.
    #[error("the hello names no node id")]
    NullIdentity,
}

impl Hello {
    /// The longest payload that is read as a hello, in bytes.
    pub const MAX_LEN: usize = 2048;

    /// Returns our own hello. Capabilities are sorted by name and version.
    #[must_use]
    pub fn ours(id: &ChatKey, client_name: &str, listen_port: u16, capabilities: &[Capability]) -> Self {
        let mut sorted = capabilities.to_vec();
        sorted.sort_unstable();
        Self {
            version: VERSION,
            client_name: client_name.as_bytes().to_vec(),
            capabilities: sorted
                .iter()
                .map(|c| Offer { name: c.name.as_bytes().to_vec(), version: c.version.into() })
                .collect(),
            listen_port: listen_port.into(),
            id: id.to_node_id(),
            extra_elements: 0,
        }
    }

    /// Returns the payload of the message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rlp::list(|w| {
            w.uint(self.version).bytes(&self.client_name);
            w.list(|w| {
                for offer in &self.capabilities {
                    w.list(|w| {
                        w.bytes(&offer.name).uint(offer.version);
                    });
                }
            });
            w.uint(self.listen_port).bytes(&self.id);
        })
    }

    /// Reads the payload of a message with code 0.
    ///
    /// # Errors
    /// [`BadHello`], sorted by what the peers do about it.
    pub fn decode(payload: &[u8]) -> Result<Self, BadHello> {
        if payload.len() > Self::MAX_LEN {
            return Err(BadHello::TooLong);
        }
        let mut fields = Reader::new(payload).list()?;
        let version = fields.u64()?;
        let client_name = fields.bytes()?.to_vec();
        let mut list = fields.list()?;
        let mut capabilities = Vec::new();
        while !list.is_empty() {
            let mut pair = list.list()?;
            capabilities.push(Offer { name: pair.bytes()?.to_vec(), version: pair.u64()? });
            pair.finish()?;
        }
        let listen_port = fields.u64()?;
        let id = fields.bytes()?;
        let mut extra_elements = 0;
        while !fields.is_empty() {
            fields.raw()?;
            extra_elements += 1;
        }
        let id: [u8; 64] = id.try_into().map_err(|_| BadHello::NullIdentity)?;
        if id == [0; 64] {
            return Err(BadHello::NullIdentity);
        }
        Ok(Self { version, client_name, capabilities, listen_port, id, extra_elements })
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, client_name, capabilities, listen_port, id: _, extra_elements } = self;
        f.debug_struct("Hello")
            .field("version", version)
            .field("client_name", &format_args!("{}", client_name.escape_ascii()))
            .field("capabilities", capabilities)
            .field("listen_port", listen_port)
            .field("extra_elements", extra_elements)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> ChatKey {
        k256::SecretKey::from_slice(&[7; 32]).unwrap().public_key().into()
    }

    /// WAKU1-03: the hello advertises waku/1.
    #[test]
    fn our_hello_names_version_client_capabilities_port_and_id() {
        let ours = Hello::ours(&id(), "Cardinal/0.1.0", 30303, &[Capability::WAKU_1, Capability::SHH_6]);
        let fields = b"\xf8\x63\x05\x8eCardinal/0.1.0\xcd\xc5\x83shh\x06\xc6\x84waku\x01\x82\x76\x5f\xb8\x40";
        let expected = [fields.as_slice(), &id().to_node_id()].concat();
        assert_eq!(hex::encode(ours.encode()), hex::encode(expected));
        assert_eq!(Hello::decode(&ours.encode()), Ok(ours));
    }

    #[test]
    fn what_is_not_needed_is_not_judged() {
        let payload = rlp::list(|w| {
            w.uint(u64::MAX).bytes(b"\xff\xfe").list(|w| {
                w.list(|w| {
                    w.bytes(b"").uint(u64::MAX);
                });
            });
            w.uint(1 << 40).bytes(&[1; 64]).bytes(b"more").list(|_| ());
        });
        let hello = Hello::decode(&[payload.as_slice(), b"trailing"].concat()).unwrap();
        assert_eq!((hello.version, hello.listen_port, hello.extra_elements), (u64::MAX, 1 << 40, 2));
        assert_eq!(hello.capabilities, [Offer { name: Vec::new(), version: u64::MAX }]);
    }

    #[test]
    fn each_bad_hello_has_its_name() {
        let with_id = |id: &[u8]| {
            rlp::list(|w| {
                w.uint(5).bytes(b"x").list(|_| ()).uint(0).bytes(id);
            })
        };
        assert_eq!(Hello::decode(&with_id(&[0; 64])), Err(BadHello::NullIdentity));
        assert_eq!(Hello::decode(&with_id(&[1; 63])), Err(BadHello::NullIdentity));
        assert_eq!(Hello::decode(&[0; 2049]), Err(BadHello::TooLong));
        assert!(matches!(Hello::decode(b"\x80"), Err(BadHello::Malformed(_))));
        let three = rlp::list(|w| {
            w.uint(5).bytes(b"x").list(|w| {
                w.list(|w| {
                    w.bytes(b"waku").uint(1).uint(1);
                });
            });
            w.uint(0).bytes(&[1; 64]);
        });
        assert!(matches!(Hello::decode(&three), Err(BadHello::Malformed(_))), "a capability of three elements");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let _ = Hello::decode(&bytes);
        }
    }
}
