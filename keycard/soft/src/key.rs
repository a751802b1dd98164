//! The master key and what is derived from it (BIP-32), in the standard tree and in the one of the duress PIN.
//!
//! The invariant: the master key is the same in both trees; under duress its chain code is SHA-256(chain code), so every
//! derived key differs.

use hmac::{Hmac, KeyInit, Mac};
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{NonZeroScalar, PublicKey, Scalar, SecretKey, U256};
use proto::{ChatKey, KeyPath, Secret};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::file::hexadecimal;
use crate::lee::Lee;
use crate::status::StatusWord;

/// Which of the two trees a path is walked in.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// As it was loaded: the applet does not compare it with the private key, names the wallet after it, and derives the
    /// first non-hardened step from it.
    #[serde(with = "hexadecimal::plain")]
    public: [u8; 65],
    /// Without it nothing can be derived.
    chain: Option<Chain>,
    /// The second master key of a LEE seed (4.0); with it, ordinary keys are derived in another way too.
    lee: Option<Lee>,
}

/// A chain code.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Chain(#[serde(with = "hexadecimal")] pub(crate) Secret<32>);

impl Chain {
    /// Returns the chain code of the tree.
    pub(crate) fn of(&self, tree: Tree) -> Secret<32> {
        Secret::fill(|room| match tree {
            Tree::Standard => *room = *self.0.expose(),
            Tree::Duress => {
                let mut digest = Sha256::digest(self.0.expose());
                room.copy_from_slice(&digest);
                digest.as_mut_slice().zeroize();
            }
        })
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(self.of(Tree::Standard))
    }
}

impl MasterKey {
    /// Returns the key that was loaded with its parts; nothing when the private key is none, or the public one no point.
    pub(crate) fn new(private: Secret<32>, public: Option<[u8; 65]>, chain: Option<Secret<32>>) -> Option<Self> {
        let key = SecretKey::from_slice(private.expose()).ok()?;
        let public = match public {
            Some(public) => PublicKey::from_sec1_bytes(&public).ok().map(|_| public)?,
            None => uncompressed(&key),
        };
        Some(Self { private, public, chain: chain.map(Chain), lee: None })
    }

    /// Returns the master key of a BIP-39 seed (BIP-32, "Master key generation"); nothing when it is no private key.
    pub(crate) fn from_seed(seed: &[u8]) -> Option<Self> {
        Self::from_digest(&hmac_sha512(b"Bitcoin seed", &[seed]))
    }

    /// Returns the two master keys of a LEE seed.
    pub(crate) fn from_lee_seed(seed: &[u8]) -> Option<Self> {
        let key = Self::from_digest(&hmac_sha512(b"LEE_master_pub", &[seed]))?;
        Some(Self { lee: Some(Lee::from_seed(seed)?), ..key })
    }

    fn from_digest(digest: &[u8; 64]) -> Option<Self> {
        let (private, chain) = digest.split_at(32);
        Self::new(Secret::copy_from(private)?, None, Secret::copy_from(chain))
    }

    /// Returns whether the private key is one.
    pub(crate) fn is_sound(&self) -> bool {
        SecretKey::from_slice(self.private.expose()).is_ok() && ChatKey::try_from(self.public.as_slice()).is_ok()
    }

    /// Returns whether keys can be derived.
    pub(crate) fn is_extended(&self) -> bool {
        self.chain.is_some()
    }

    pub(crate) fn lee(&self) -> Option<&Lee> {
        self.lee.as_ref()
    }

    /// Returns the chain code of the tree.
    pub(crate) fn chain(&self, tree: Tree) -> Option<Secret<32>> {
        self.chain.as_ref().map(|chain| chain.of(tree))
    }

    /// Returns SHA-256 of the uncompressed master public key.
    pub(crate) fn uid(&self) -> [u8; 32] {
        Sha256::digest(self.public).into()
    }

    /// Returns the key at `path`.
    ///
    /// # Errors
    /// 6984 when a key on the way is none: the applet does not go on to the next index, as BIP-32 would have it.
    /// 6985 when there is a path and no chain code.
    pub(crate) fn derive(&self, path: &KeyPath, tree: Tree) -> Result<Node, StatusWord> {
        let private = SecretKey::from_slice(self.private.expose()).map_err(|_| StatusWord::INTERNAL)?;
        if path.is_master() {
            return Ok(Node { private, chain: None });
        }
        let chain = self.chain(tree).ok_or(StatusWord::CONDITIONS)?;
        let mut node = Extended { private, chain };
        for (depth, index) in path.components().iter().enumerate() {
            let public = (depth == 0).then_some(&self.public);
            node = node.child(*index, public, self.lee.is_some()).ok_or(StatusWord::INVALID_CHILD)?;
        }
        if self.lee.is_some() {
            node.private = shift_by_own_hash(&node.private).ok_or(StatusWord::INVALID_CHILD)?;
        }
        Ok(Node { private: node.private, chain: Some(node.chain) })
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            private: Secret::fill(|room| *room = *self.private.expose()),
            public: self.public,
            chain: self.chain.as_ref().map(Chain::duplicate),
            lee: self.lee.as_ref().map(Lee::duplicate),
        }
    }
}

/// The key at a path, with its chain code unless it is the master key.
pub(crate) struct Node {
    private: SecretKey,
    chain: Option<Secret<32>>,
}

impl Node {
    /// Returns a key that an earlier derivation left behind.
    pub(crate) fn left_over(private: SecretKey) -> Self {
        Self { private, chain: None }
    }

    pub(crate) fn key(&self) -> &SecretKey {
        &self.private
    }

    /// Returns the private key, 32 bytes.
    pub(crate) fn private(&self) -> Zeroizing<[u8; 32]> {
        bytes(&self.private)
    }

    /// Returns the public key, uncompressed.
    pub(crate) fn public(&self) -> [u8; 65] {
        uncompressed(&self.private)
    }

    pub(crate) fn chain(&self) -> Option<&Secret<32>> {
        self.chain.as_ref()
    }
}

struct Extended {
    private: SecretKey,
    chain: Secret<32>,
}

impl Extended {
    /// CKDpriv of BIP-32; nothing when I_L is zero or not below n, or the sum is zero. A LEE key takes the hardened form at
    /// every step.
    fn child(&self, index: u32, public: Option<&[u8; 65]>, is_lee: bool) -> Option<Self> {
        let index_bytes = index.to_be_bytes();
        let digest = if index & HARDENED == 0 && !is_lee {
            let own;
            let public = match public {
                Some(public) => public,
                None => {
                    own = uncompressed(&self.private);
                    &own
                }
            };
            hmac_sha512(self.chain.expose(), &[&compressed(public), &index_bytes])
        } else {
            hmac_sha512(self.chain.expose(), &[&[0], bytes(&self.private).as_slice(), &index_bytes])
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

/// Adds SHA-256 of the compressed public key: the last step of an ordinary key under a LEE seed.
fn shift_by_own_hash(key: &SecretKey) -> Option<SecretKey> {
    let hash: [u8; 32] = Sha256::digest(compressed(&uncompressed(key))).into();
    let shift = <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(&hash));
    let own = Zeroizing::new(key.to_nonzero_scalar());
    let mut sum = **own + shift;
    let shifted = Option::<NonZeroScalar>::from(NonZeroScalar::new(sum)).map(SecretKey::from);
    sum.zeroize();
    shifted
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

/// Returns the 32 bytes of a private key.
pub(crate) fn bytes(key: &SecretKey) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(key.to_bytes().into())
}

/// Returns a private key to be kept.
pub(crate) fn keep(key: &SecretKey) -> Secret<32> {
    Secret::fill(|room| *room = *bytes(key))
}

/// Returns the public key, 04 || X || Y.
pub(crate) fn uncompressed(key: &SecretKey) -> [u8; 65] {
    let mut room = [0; 65];
    room.copy_from_slice(key.public_key().to_sec1_point(false).as_bytes());
    room
}

fn compressed(public: &[u8; 65]) -> [u8; 33] {
    let [_, point @ .., last] = public;
    let mut room = [0; 33];
    let (prefix, x) = room.split_at_mut(1);
    prefix.fill(0x02 | (last & 1));
    x.copy_from_slice(point.split_at(32).0);
    room
}

pub(crate) fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
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
