//! The master key and what is derived from it (BIP-32), in the standard tree and in the one of the duress PIN.
//!
//! The invariant: the master key is the same in both trees; under duress its chain code is SHA-256(chain code), so every
//! derived key differs.

use hmac::{Hmac, KeyInit, Mac};
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{NonZeroScalar, SecretKey};
use proto::{KeyPath, KeyUid, Secret};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::file::hexadecimal;
use crate::status::StatusWord;

/// Which of the two trees a path is walked in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    Standard,
    Duress,
}

/// The master key of the wallet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MasterKey {
    #[serde(with = "hexadecimal")]
    private: Secret<32>,
    #[serde(with = "hexadecimal")]
    chain: Secret<32>,
}

impl MasterKey {
    /// Returns the master key of a BIP-39 seed (BIP-32, "Master key generation"); nothing when it is no private key.
    pub(crate) fn from_seed(seed: &[u8]) -> Option<Self> {
        let digest = hmac_sha512(b"Bitcoin seed", &[seed]);
        let (private, chain) = digest.split_at(32);
        let key = Self { private: Secret::copy_from(private)?, chain: Secret::copy_from(chain)? };
        key.is_sound().then_some(key)
    }

    /// Returns whether the private key is one.
    pub(crate) fn is_sound(&self) -> bool {
        SecretKey::from_slice(self.private.expose()).is_ok()
    }

    /// Returns SHA-256 of the uncompressed master public key.
    pub(crate) fn uid(&self) -> Option<KeyUid> {
        let key = SecretKey::from_slice(self.private.expose()).ok()?;
        Some(KeyUid::of_master(&key.public_key().into()))
    }

    /// Returns the key at `path`.
    ///
    /// # Errors
    /// 6984 when a key on the way is none: the applet does not go on to the next index, as BIP-32 would have it.
    pub(crate) fn derive(&self, path: &KeyPath, tree: Tree) -> Result<Node, StatusWord> {
        let private = SecretKey::from_slice(self.private.expose()).map_err(|_| StatusWord::INTERNAL)?;
        let chain = Secret::fill(|room| match tree {
            Tree::Standard => *room = *self.chain.expose(),
            Tree::Duress => {
                let mut digest = Sha256::digest(self.chain.expose());
                room.copy_from_slice(&digest);
                digest.as_mut_slice().zeroize();
            }
        });
        path.components()
            .iter()
            .try_fold(Node { private, chain }, |node, index| node.child(*index))
            .ok_or(StatusWord::INVALID_CHILD)
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            private: Secret::fill(|room| *room = *self.private.expose()),
            chain: Secret::fill(|room| *room = *self.chain.expose()),
        }
    }
}

/// A derived key with its chain code.
pub(crate) struct Node {
    private: SecretKey,
    chain: Secret<32>,
}

impl Node {
    /// Returns the private key, 32 bytes.
    pub(crate) fn private(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.private.to_bytes().into())
    }

    /// Returns the public key, uncompressed.
    pub(crate) fn public(&self) -> [u8; 65] {
        let mut bytes = [0; 65];
        bytes.copy_from_slice(self.private.public_key().to_sec1_point(false).as_bytes());
        bytes
    }

    pub(crate) fn chain(&self) -> &[u8; 32] {
        self.chain.expose()
    }

    /// CKDpriv of BIP-32; nothing when I_L is zero or not below n, or the sum is zero.
    fn child(&self, index: u32) -> Option<Self> {
        let index_bytes = index.to_be_bytes();
        let digest = if index & HARDENED == 0 {
            let public = self.private.public_key().to_sec1_point(true);
            hmac_sha512(self.chain.expose(), &[public.as_bytes(), &index_bytes])
        } else {
            hmac_sha512(self.chain.expose(), &[&[0], self.private().as_slice(), &index_bytes])
        };
        let (left, right) = digest.split_at(32);
        let left = Zeroizing::new(SecretKey::from_slice(left).ok()?.to_nonzero_scalar());
        let parent = Zeroizing::new(self.private.to_nonzero_scalar());
        let mut sum = **left + **parent;
        let private = Option::<NonZeroScalar>::from(NonZeroScalar::new(sum)).map(SecretKey::from);
        sum.zeroize();
        Some(Self { private: private?, chain: Secret::copy_from(right)? })
    }
}

/// Returns a fresh private key. Of `rng` it takes 32 bytes, again for as long as they are no private key.
pub(crate) fn draw(rng: &mut dyn CryptoRng) -> SecretKey {
    let mut bytes = Zeroizing::new([0u8; 32]);
    loop {
        rng.fill_bytes(bytes.as_mut_slice());
        if let Ok(key) = SecretKey::from_slice(bytes.as_slice()) {
            return key;
        }
    }
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    let mut digest = mac.finalize().into_bytes();
    let mut room = Zeroizing::new([0; 64]);
    room.copy_from_slice(&digest);
    digest.as_mut_slice().zeroize();
    room
}

const HARDENED: u32 = 0x8000_0000;
