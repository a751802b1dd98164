//! What is known of the public keys of one account, and whether a card agrees.
//!
//! A card that shows another key than before is in duress mode, holds another account, or is faulty. The master key is
//! known by the key UID; an extended public key must give the keys below it that are known. What an unlocked card shows is
//! remembered until its session ends, so that it cannot contradict itself either.

use std::collections::BTreeMap;

use proto::{ChatKey, Fingerprint, KeyPath, KeyUid};

use crate::command::export_key::ExtendedPublic;
use crate::derivation;
use crate::error::CardError;

/// The fingerprints of public keys by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownKeys {
    key_uid: Option<KeyUid>,
    keys: BTreeMap<KeyPath, Fingerprint>,
}

impl KnownKeys {
    /// Returns nothing at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { key_uid: None, keys: BTreeMap::new() }
    }

    /// Returns what the key UID alone says.
    #[must_use]
    pub const fn of(key_uid: KeyUid) -> Self {
        Self { key_uid: Some(key_uid), keys: BTreeMap::new() }
    }

    /// Returns the account, if it is known.
    #[must_use]
    pub const fn key_uid(&self) -> Option<KeyUid> {
        self.key_uid
    }

    /// Returns the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyPath, &Fingerprint)> {
        self.keys.iter()
    }

    /// Adds a key, unless there are 1024 already.
    pub fn insert(&mut self, path: KeyPath, key: Fingerprint) {
        if self.keys.len() < MOST || self.keys.contains_key(&path) {
            self.keys.insert(path, key);
        }
    }

    /// Checks that `found` can be the key at `path`.
    ///
    /// # Errors
    /// [`CardError::OtherAccount`] for a master key that does not hash to the key UID, [`CardError::OtherKey`].
    pub fn check(&self, path: &KeyPath, found: &ChatKey) -> Result<(), CardError> {
        if let Some(expected) = self.key_uid
            && path.is_master()
            && KeyUid::of_master(found) != expected
        {
            return Err(CardError::OtherAccount { expected, found: KeyUid::of_master(found) });
        }
        match self.keys.get(path) {
            Some(expected) if *expected != Fingerprint::of(found) => {
                Err(CardError::OtherKey { path: path.clone(), expected: *expected, found: Fingerprint::of(found) })
            }
            _ => Ok(()),
        }
    }

    /// Checks that `found` can be the extended key at `path`, and gives the known keys below.
    ///
    /// # Errors
    /// As [`Self::check`]; the path is that of the key that differs.
    pub fn check_extended(&self, path: &KeyPath, found: &ExtendedPublic) -> Result<(), CardError> {
        self.check(path, &found.key)?;
        for (known, expected) in &self.keys {
            let Some(below) = known.components().strip_prefix(path.components()) else { continue };
            if below.is_empty() || below.iter().any(|component| component & HARDENED != 0) {
                continue;
            }
            let child = derivation::open_child(found, below)
                .ok_or(CardError::Answer { what: "an extended public key without children" })?;
            if Fingerprint::of(&child) != *expected {
                let found = Fingerprint::of(&child);
                return Err(CardError::OtherKey { path: known.clone(), expected: *expected, found });
            }
        }
        Ok(())
    }

    /// Checks `found` and remembers it.
    pub(crate) fn learn(&mut self, path: &KeyPath, found: &ChatKey) -> Result<(), CardError> {
        self.check(path, found)?;
        self.insert(path.clone(), Fingerprint::of(found));
        Ok(())
    }
}

const HARDENED: u32 = 0x8000_0000;
/// More keys than a session has use for; a bound all the same.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use proto::Secret;

    use super::*;
    use crate::fake::public;

    /// Reference section 9.3: `m/44'/60'/0'/0` of "abandon … about", and its first child.
    const WALLET: &str = "04ccf96184b4d342c523936910e0222be7131654842db75bb1a5cbc772fe21b2d6285b9ba76d05471e771e3a3be18a31\
        3a6ce7a1d3b6a2d21f5b60ba8c03097338";
    const WALLET_CHAIN: &str = "c879d136f02003dc804811e42390714ea06448aeaee158c62d65f12a421d988f";
    const ACCOUNT: &str = "0437b0bb7a8288d38ed49a524b5dc98cff3eb5ca824c9f9dc0dfdb3d9cd600f299a6179912b7451c09896c4098eca7ce\
        6b2e58330672795e847c4d6af44e024230";

    fn path(text: &str) -> KeyPath {
        text.parse().unwrap()
    }

    fn key(text: &str) -> ChatKey {
        ChatKey::try_from(hex::decode(text).unwrap().as_slice()).unwrap()
    }

    fn wallet(chain_code: &str) -> ExtendedPublic {
        let chain_code = Secret::copy_from(&hex::decode(chain_code).unwrap()).unwrap();
        ExtendedPublic { key: key(WALLET), chain_code }
    }

    #[test]
    fn the_master_key_must_hash_to_the_key_uid() {
        let known = KnownKeys::of(KeyUid::of_master(&public(5)));
        assert!(known.check(&KeyPath::master(), &public(5)).is_ok());
        assert!(known.check(&path("m/0"), &public(6)).is_ok(), "nothing is known of it");
        let Err(CardError::OtherAccount { expected, found }) = known.check(&KeyPath::master(), &public(6)) else {
            panic!("another account")
        };
        assert_eq!((expected, found), (KeyUid::of_master(&public(5)), KeyUid::of_master(&public(6))));
    }

    #[test]
    fn a_key_that_differs_from_the_one_known_is_an_error_with_both_fingerprints() {
        let mut known = KnownKeys::default();
        known.learn(&path("m/1"), &public(5)).unwrap();
        assert!(known.learn(&path("m/1"), &public(5)).is_ok());
        let Err(CardError::OtherKey { path: at, expected, found }) = known.learn(&path("m/1"), &public(6)) else {
            panic!("another key")
        };
        assert_eq!((at, expected, found), (path("m/1"), Fingerprint::of(&public(5)), Fingerprint::of(&public(6))));
    }

    #[test]
    fn an_extended_key_must_give_its_known_children() {
        let mut known = KnownKeys::default();
        known.insert(path("m/44'/60'/0'/0/0"), Fingerprint::of(&key(ACCOUNT)));
        known.insert(path("m/44'/60'/0'/0/0'"), Fingerprint::of(&public(1)));
        known.insert(path("m/44'/60'/0'/1/0"), Fingerprint::of(&public(1)));
        let at = path("m/44'/60'/0'/0");
        assert!(known.check_extended(&at, &wallet(WALLET_CHAIN)).is_ok());
        let error = known.check_extended(&at, &wallet(&"00".repeat(32)));
        assert!(matches!(error, Err(CardError::OtherKey { path: differs, .. }) if differs == path("m/44'/60'/0'/0/0")));
    }

    #[test]
    fn no_more_keys_are_remembered_than_there_is_room_for() {
        let mut known = KnownKeys::default();
        for index in 0..2000 {
            known.insert(KeyPath::new(&[index]).unwrap(), Fingerprint::of(&public(1)));
        }
        assert_eq!(known.keys.len(), 1024);
        known.insert(path("m/0"), Fingerprint::of(&public(2)));
        assert!(known.check(&path("m/0"), &public(2)).is_ok(), "what is there can be replaced");
    }
}
