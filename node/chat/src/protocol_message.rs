//! `ProtocolMessage`, as far as public chats use it (5/SECURE-TRANSPORT, "Protobuf").
//!
//! ```text
//!   2 installation_id   the sender's installation
//! 102 public_message    application bytes in the clear
//! ```
//!
//! Peers since 2020-08 put the wrapper into `public_message`, older ones send it bare; both are accepted. We send the
//! newer form, without bundles.

use std::fmt;

use prost::Message as _;
use proto::pb::ProtocolMessage;
use rand_core::CryptoRng;

/// The random name of this device's installation of an account, in the form of a UUID.
#[derive(Clone, PartialEq, Eq)]
pub struct InstallationId(String);

impl InstallationId {
    /// Returns a new id, a UUID of version 4.
    #[must_use]
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let n = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        Self(format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            n >> 80 & 0xffff,
            n >> 64 & 0xffff,
            n >> 48 & 0xffff,
            n & 0xffff_ffff_ffff
        ))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no installation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an installation id has 1 to {MAX_ID_LEN} bytes")]
pub struct NotAnInstallation;

impl TryFrom<&str> for InstallationId {
    type Error = NotAnInstallation;

    fn try_from(text: &str) -> Result<Self, NotAnInstallation> {
        if (1..=MAX_ID_LEN).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(NotAnInstallation) }
    }
}

impl fmt::Debug for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstallationId({})", self.0)
    }
}

/// Returns the application bytes of an envelope's payload on a public chat's topic.
///
/// Those of `public_message` where it is present on the wire, even when it has no bytes; otherwise the payload itself,
/// which then is a bare wrapper or nothing we know.
#[must_use]
pub fn open(payload: &[u8]) -> Vec<u8> {
    ProtocolMessage::decode(payload).ok().and_then(|message| message.public_message).unwrap_or_else(|| payload.to_vec())
}

/// Returns the payload that carries `wrapper` to a public chat.
#[must_use]
pub fn seal(installation: &InstallationId, wrapper: &[u8]) -> Vec<u8> {
    ProtocolMessage {
        installation_id: installation.0.clone(),
        public_message: Some(wrapper.to_vec()),
        ..ProtocolMessage::default()
    }
    .encode_to_vec()
}

/// The longest installation id taken from a file: a UUID has 36 bytes.
const MAX_ID_LEN: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Dice;

    impl rand_core::TryRng for Dice {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(u32::MAX)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(u64::MAX)
        }

        fn try_fill_bytes(&mut self, room: &mut [u8]) -> Result<(), Self::Error> {
            room.fill(0xff);
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Dice {}

    #[test]
    fn a_random_installation_is_a_uuid_of_version_4() {
        assert_eq!(InstallationId::random(&mut Dice).as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn what_we_seal_opens_to_the_wrapper() {
        let sealed = seal(&InstallationId::try_from("inst-b").unwrap(), b"wrapper");
        assert_eq!(hex::encode(&sealed), "1206696e73742d62b2060777726170706572");
        assert_eq!(open(&sealed), b"wrapper");
    }

    /// "protocol message public" of status-go 0.62.18: installation "inst-b", its bundle, and the wrapper of A.
    #[test]
    fn the_peers_public_message_opens_to_its_wrapper() {
        let payload = hex::decode(concat!(
            "1206696e73742d621aa3010a210290999dbbf43034bffb1dd53eac1eb4c33a4ea1c4f48ba585cfde3830840f0555",
            "12310a06696e73742d6212270a21023c72addb4fdf09af94f0c94d7fe92a386a7e70cf8a1d85916386bb2535c7b1b110011801",
            "224150448dded338d5bff2244e1513db0c5c8961911c48b4e3f758e0d55ade3d606d62a5714522d9be01a2c511dcac112e",
            "22d6ff96df8a0cad4231acf0cbd6d285bc0128808080c5ddf0959a16b20668",
            "0a41aebaa98be478eb638e874f802868eed63775b368d87b6d85a4a165256b491a8c63071c7ba6750ee79d143617a51899",
            "ae0be8eea8d894572da7e5e027cd0ee7e9011221088080babbc82e108080babbc82e1a0568656c6c6f3206737461747573",
            "380240011801"
        ))
        .unwrap();
        let wrapper = open(&payload);
        assert_eq!(wrapper.len(), 104);
        assert_eq!(payload.get(payload.len() - 104..), Some(wrapper.as_slice()));
    }

    #[test]
    fn a_bare_wrapper_is_left_as_it_is() {
        // Field 3 is a number in a wrapper and a bundle in a ProtocolMessage.
        let bare = [0x12, 1, b'x', 0x18, 1];
        assert_eq!(open(&bare), bare);
        // Without it the same bytes are a readable ProtocolMessage that carries nothing.
        assert_eq!(open(&bare[..3]), &bare[..3]);
    }

    #[test]
    fn an_empty_public_message_counts_when_it_is_on_the_wire() {
        assert_eq!(open(&[0x12, 1, b'i', 0xb2, 0x06, 0]), b"");
    }

    proptest! {
        #[test]
        fn any_bytes_open_to_something_no_longer(bytes: Vec<u8>) {
            prop_assert!(open(&bytes).len() <= bytes.len());
        }

        #[test]
        fn a_sealed_wrapper_comes_back(bytes: Vec<u8>) {
            prop_assert_eq!(open(&seal(&InstallationId::try_from("i").unwrap(), &bytes)), bytes);
        }
    }
}
