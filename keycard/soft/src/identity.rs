//! The card's identity: a key of its own and the certificate that vouches for it: the public test CA's for a software card.
//!
//! ```text
//! certificate(98) = identity public key, compressed(33) || r(32) || s(32) || v(1)
//! r, s, v = recoverable ECDSA of the CA over SHA-256(identity public key)
//! ```

use k256::ecdsa::{Signature, SigningKey};
use proto::Secret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::file::hexadecimal;
use crate::key::{draw, keep};

/// The identity key with its certificate. It outlives INIT and FACTORY RESET.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    #[serde(with = "hexadecimal")]
    key: Secret<32>,
    #[serde(with = "hexadecimal::plain")]
    certificate: [u8; 98],
}

impl Identity {
    /// Returns a fresh identity, certified by the test CA. Of `rng` it takes 32 bytes, again for as long as they are no
    /// private key.
    pub(crate) fn draw(rng: &mut dyn CryptoRng) -> Self {
        let authority = SigningKey::from_slice(&TEST_CA).expect("the published key is one");
        let key = draw(rng);
        let public = compressed(&SigningKey::from(&key));
        let (signature, recovery) = authority.sign_prehash_recoverable(&Sha256::digest(public));
        let mut certificate = [0; 98];
        let (key_room, rest) = certificate.split_at_mut(public.len());
        let (signature_room, recovery_room) = rest.split_at_mut(64);
        key_room.copy_from_slice(&public);
        signature_room.copy_from_slice(&signature.to_bytes());
        recovery_room.fill(recovery.to_byte());
        Self { key: keep(&key), certificate }
    }

    /// Returns the identity that a factory stores: certificate, then private key.
    pub(crate) fn store(data: &[u8; 130]) -> Self {
        let (certificate, key) = data.split_at(98);
        let mut room = [0; 98];
        room.copy_from_slice(certificate);
        Self { key: Secret::fill(|room| room.copy_from_slice(key)), certificate: room }
    }

    /// Returns the public key that the certificate names, compressed.
    pub(crate) fn public(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(self.certificate.split_at(33).0);
        bytes
    }

    pub(crate) fn certificate(&self) -> &[u8; 98] {
        &self.certificate
    }

    /// Signs a hash; returns the signature in DER, or nothing when the key is none.
    ///
    /// The applet does not normalise `s`, so half of its signatures are "high". Which half is up to one byte of `rng`.
    pub(crate) fn sign(&self, hash: &[u8; 32], rng: &mut dyn CryptoRng) -> Option<Vec<u8>> {
        let (low, _) = SigningKey::from_slice(self.key.expose()).ok()?.sign_prehash_recoverable(hash);
        let mut coin = [0u8];
        rng.fill_bytes(&mut coin);
        Some(match Signature::from_scalars(low.r(), -low.s()) {
            Ok(high) if coin[0] & 1 == 1 => high.to_der().as_bytes().to_vec(),
            _ => low.to_der().as_bytes().to_vec(),
        })
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self { key: Secret::fill(|room| *room = *self.key.expose()), certificate: self.certificate }
    }
}

fn compressed(key: &SigningKey) -> [u8; 33] {
    let mut bytes = [0; 33];
    bytes.copy_from_slice(key.verifying_key().to_sec1_point(true).as_bytes());
    bytes
}

/// The private key of the applet test-suite's certificate authority: published, so its word proves nothing.
const TEST_CA: [u8; 32] = [
    0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0xa7, 0xb8, 0xc9, 0xd0, 0xe1, 0xf2, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8, 0xa9,
    0xb0, 0xc1, 0xd2, 0xe3, 0xf4, 0xa5, 0xb6, 0xc7, 0xd8, 0xe9, 0xf0, 0xa1, 0xb2,
];
