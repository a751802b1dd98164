//! The public keys that a seed, a key or an extended public key gives, computed on the host to check a card.
//!
//! The keys of the `bip32` crate print, clone and compare: they live in this file and nowhere else in the package.

use hmac::{Hmac, KeyInit as _, Mac as _};
use k256::Scalar;
use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::ops::Reduce;
use proto::{ChatKey, KeyPath, Secret};
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroize as _;

use crate::command::export_key::ExtendedPublic;
use crate::error::CardError;

/// HMAC's key for the master key of a seed (BIP-32).
const BITCOIN: &[u8] = b"Bitcoin seed";
/// The same for the public tree of a LEE seed (applet 4.0).
const LEE: &[u8] = b"LEE_master_pub";

/// A private key and its chain code.
pub struct ExtendedSecret {
    /// The key.
    pub key: Secret<32>,
    /// The chain code.
    pub chain_code: Secret<32>,
}

/// The tree of a seed on the host.
pub(crate) struct Tree {
    master: ExtendedSecret,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bip32,
    Lee,
}

impl Tree {
    /// Returns the tree that BIP-32 gives for `seed`.
    pub(crate) fn of_seed(seed: &[u8]) -> Self {
        Self { master: split(BITCOIN, &[seed]), kind: Kind::Bip32 }
    }

    /// Returns the tree that applet 4.0 gives for a LEE seed: each step is hardened, whatever its number says, and to
    /// each derived key the hash of its own public key is added.
    pub(crate) fn of_lee_seed(seed: &[u8]) -> Self {
        Self { master: split(LEE, &[seed]), kind: Kind::Lee }
    }

    /// Returns the tree of BIP-32 under this key.
    pub(crate) fn of_key(key: &ExtendedSecret) -> Self {
        let copy = |secret: &Secret<32>| Secret::fill(|room| room.copy_from_slice(secret.expose()));
        Self { master: ExtendedSecret { key: copy(&key.key), chain_code: copy(&key.chain_code) }, kind: Kind::Bip32 }
    }

    /// Returns the public keys at `paths`.
    ///
    /// # Errors
    /// [`CardError::Misuse`] when there is none at one of them.
    pub(crate) fn public_keys<const N: usize>(&self, paths: [&KeyPath; N]) -> Result<[ChatKey; N], CardError> {
        let keys: Option<Vec<ChatKey>> = paths.into_iter().map(|path| self.public_key(path)).collect();
        keys.and_then(|keys| keys.try_into().ok())
            .ok_or(CardError::Misuse { what: "the seed gives no key; take another one" })
    }

    fn public_key(&self, path: &KeyPath) -> Option<ChatKey> {
        match self.kind {
            Kind::Bip32 => {
                let mut key = xprv(&self.master)?;
                for component in path.components() {
                    key = key.derive_child(bip32::ChildNumber(*component)).ok()?;
                }
                Some(ChatKey::from(k256::PublicKey::from(key.private_key().verifying_key())))
            }
            Kind::Lee => lee_public_key(&self.master, path),
        }
    }
}

/// Returns the public key of this private key.
pub(crate) fn public_key(key: &Secret<32>) -> Option<ChatKey> {
    Some(ChatKey::from(k256::SecretKey::from_slice(key.expose()).ok()?.public_key()))
}

/// Returns the public key that lies below an extended one by these steps, none of them hardened.
pub(crate) fn open_child(extended: &ExtendedPublic, steps: &[u32]) -> Option<ChatKey> {
    let attrs = attributes(extended.chain_code.expose());
    let mut key = bip32::XPub::new(k256::ecdsa::VerifyingKey::from(extended.key.as_point()), attrs);
    for step in steps {
        key = key.derive_child(bip32::ChildNumber(*step)).ok()?;
    }
    Some(ChatKey::from(k256::PublicKey::from(key.public_key())))
}

fn xprv(master: &ExtendedSecret) -> Option<bip32::XPrv> {
    let mut key_bytes = [0; 33];
    key_bytes.split_at_mut(1).1.copy_from_slice(master.key.expose());
    let attrs = attributes(master.chain_code.expose());
    // The serialised form wipes itself.
    let xprv = bip32::XPrv::try_from(bip32::ExtendedKey { prefix: bip32::Prefix::XPRV, attrs, key_bytes }).ok();
    key_bytes.zeroize();
    xprv
}

fn attributes(chain_code: &[u8; 32]) -> bip32::ExtendedKeyAttrs {
    bip32::ExtendedKeyAttrs {
        depth: 0,
        parent_fingerprint: [0; 4],
        child_number: bip32::ChildNumber::default(),
        chain_code: *chain_code,
    }
}

fn lee_public_key(master: &ExtendedSecret, path: &KeyPath) -> Option<ChatKey> {
    let mut key = scalar(&master.key)?;
    if path.is_master() {
        return public(&key);
    }
    let mut chain_code = Secret::fill(|room| room.copy_from_slice(master.chain_code.expose()));
    for step in path.components() {
        let mut bytes = key.to_bytes();
        let child = split(chain_code.expose(), &[&[0], &bytes, &step.to_be_bytes()]);
        bytes.as_mut_slice().zeroize();
        key += scalar(&child.key)?;
        chain_code = child.chain_code;
    }
    let hash = Sha256::digest(public(&key)?.to_compressed());
    key += <Scalar as Reduce<k256::FieldBytes>>::reduce(&hash);
    let public = public(&key);
    key.zeroize();
    public
}

fn scalar(bytes: &Secret<32>) -> Option<Scalar> {
    Scalar::from_repr((*bytes.expose()).into()).into_option()
}

fn public(key: &Scalar) -> Option<ChatKey> {
    let point = k256::ProjectivePoint::GENERATOR * key;
    k256::PublicKey::from_affine(point.to_affine()).ok().map(ChatKey::from)
}

/// Returns the two halves of HMAC-SHA512: a key and its chain code.
fn split(key: &[u8], parts: &[&[u8]]) -> ExtendedSecret {
    let mut halves = ExtendedSecret { key: Secret::fill(|_| {}), chain_code: Secret::fill(|_| {}) };
    // A key of any length is a key of HMAC.
    if let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(key) {
        for part in parts {
            mac.update(part);
        }
        let mut output = mac.finalize().into_bytes();
        if let Some((left, right)) = output.split_first_chunk::<32>() {
            halves.key = Secret::fill(|room| *room = *left);
            halves.chain_code = Secret::fill(|room| room.copy_from_slice(right));
        }
        output.as_mut_slice().zeroize();
    }
    halves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::public as public_key;

    fn path(text: &str) -> KeyPath {
        text.parse().unwrap()
    }

    /// BIP-32, test vector 1: a seed of 16 bytes, and what its master key gives.
    #[test]
    fn the_first_vector_of_bip_32_is_derived_from_the_seed_and_from_the_key() {
        let seed = hex::decode("000102030405060708090a0b0c0d0e0f").unwrap();
        let secret = |text: &str| Secret::copy_from(&hex::decode(text).unwrap()).unwrap();
        let master = ExtendedSecret {
            key: secret("e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35"),
            chain_code: secret("873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227ffed37d508"),
        };
        let paths = [&KeyPath::master(), &path("m/0'/1/2'/2/1000000000")];
        let expected = [
            "0339a36013301597daef41fbe593a02cc513d0b55527ec2df1050e2e8ff49c85c2",
            "022a471424da5e657499d1ff51cb43c47481a03b1e77f951fe64cec9f5a48f7011",
        ];
        for tree in [Tree::of_seed(&seed), Tree::of_key(&master)] {
            let keys = tree.public_keys(paths).unwrap();
            assert_eq!(keys.map(|key| hex::encode(key.to_compressed())), expected);
        }
    }

    #[test]
    fn a_key_of_zero_has_no_tree() {
        let zero = ExtendedSecret { key: Secret::fill(|_| {}), chain_code: Secret::fill(|_| {}) };
        assert!(matches!(Tree::of_key(&zero).public_keys([&KeyPath::master()]), Err(CardError::Misuse { .. })));
        assert!(super::public_key(&zero.key).is_none());
    }

    /// The applet's own tests (reference section 9.3).
    #[test]
    fn the_lee_vector_of_the_applet_is_derived() {
        let words = "fan empower output between game genius forest bulk party small arm shuffle";
        let seed = crate::Seed::from_mnemonic(words, "").unwrap();
        let [key] = Tree::of_lee_seed(seed.expose()).public_keys([&path("m/43'/60'")]).unwrap();
        assert_eq!(
            hex::encode(key.to_bytes()),
            "045bdbe46824409ae66c960f4a204ac66adc1646dcfa56a5b455629f99b95a643012390c799fb8a1f5e9140dfe9f6088ab1ded90f496c9\
             d8832df501e3c8e9c45f"
        );
    }

    /// Every step of a LEE tree is hardened, so that no path is another with hardened numbers, and none is BIP-32's.
    #[test]
    fn a_lee_tree_is_another_tree() {
        let (lee, bip32) = (Tree::of_lee_seed(&[7; 32]), Tree::of_seed(&[7; 32]));
        let paths = [&KeyPath::master(), &path("m/1"), &path("m/1'")];
        let [master, open, hardened] = lee.public_keys(paths).unwrap();
        assert_ne!(open, hardened);
        assert!(bip32.public_keys(paths).unwrap().iter().all(|key| ![master, open, hardened].contains(key)));
        assert_eq!(lee.public_keys([&path("m/1")]).unwrap(), [open]);
    }

    #[test]
    fn a_secret_key_gives_its_public_one() {
        assert_eq!(super::public_key(&Secret::fill(|room| *room = [5; 32])), Some(public_key(5)));
    }
}
