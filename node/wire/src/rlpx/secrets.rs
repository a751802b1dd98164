//! What a handshake agrees on: two keys and the two MAC states (devp2p `rlpx.md`, "Initial Handshake").
//!
//! ```text
//! ephemeral = ECDH(ephemeral keys)         shared = keccak(ephemeral || keccak(responder nonce || initiator nonce))
//! aes = keccak(ephemeral || shared)        mac = keccak(ephemeral || aes)
//! initiator's egress:  mac ^ responder nonce || auth packet      initiator's ingress: mac ^ initiator nonce || ack packet
//! ```

use k256::SecretKey;
use proto::{ChatKey, Keccak256, Secret};

use super::frame::{FrameReader, FrameWriter};
use super::mac::Mac;
use crate::ecies;

/// Which side of the handshake one is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that dialled, and wrote the auth packet.
    Initiator,
    /// The side that accepted, and wrote the ack packet.
    Responder,
}

/// What both sides saw of the handshake.
#[derive(Clone, Copy)]
pub struct Transcript<'a> {
    /// Nonce of the auth packet.
    pub initiator_nonce: &'a [u8; 32],
    /// Nonce of the ack packet.
    pub responder_nonce: &'a [u8; 32],
    /// The auth packet as sent, with its size prefix.
    pub auth: &'a [u8],
    /// The ack packet as sent, with its size prefix.
    pub ack: &'a [u8],
}

/// The secrets of one connection, seen from one side.
pub struct Secrets {
    pub(super) aes: Secret<32>,
    pub(super) egress: Mac,
    pub(super) ingress: Mac,
}

impl Secrets {
    /// Derives the secrets from one ephemeral private key and the other side's public one.
    ///
    /// `role` says only which MAC is for sending: who holds either ephemeral private key can take either side.
    #[must_use]
    pub fn derive(role: Role, ours: &SecretKey, theirs: &ChatKey, seen: Transcript<'_>) -> Self {
        let ephemeral = ecies::agree(ours, theirs);
        let nonces = proto::keccak256(&[seen.responder_nonce, seen.initiator_nonce]);
        let shared = keccak(ephemeral.expose(), &nonces);
        let aes = keccak(ephemeral.expose(), shared.expose());
        let mac = keccak(ephemeral.expose(), aes.expose());
        let direction = |nonce: &[u8; 32], packet: &[u8]| {
            let keyed = Secret::<32>::fill(|room| {
                room.iter_mut().zip(mac.expose()).zip(nonce).for_each(|((room, mac), nonce)| *room = mac ^ nonce);
            });
            Mac::new(&mac, &[keyed.expose(), packet])
        };
        let from_initiator = direction(seen.responder_nonce, seen.auth);
        let from_responder = direction(seen.initiator_nonce, seen.ack);
        let (egress, ingress) = match role {
            Role::Initiator => (from_initiator, from_responder),
            Role::Responder => (from_responder, from_initiator),
        };
        Self { aes, egress, ingress }
    }

    /// Returns the two halves of the connection.
    #[must_use]
    pub fn into_frames(self) -> (FrameWriter, FrameReader) {
        let Self { aes, egress, ingress } = self;
        (FrameWriter::new(&aes, egress), FrameReader::new(&aes, ingress))
    }
}

fn keccak(a: &[u8; 32], b: &[u8; 32]) -> Secret<32> {
    let mut sponge = Keccak256::new();
    sponge.update(a);
    sponge.update(b);
    Secret::fill(|room| *room = sponge.digest())
}
