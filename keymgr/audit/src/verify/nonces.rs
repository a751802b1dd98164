//! Nonces of signatures: one key that signs two things with one nonce gives itself away.

use std::collections::BTreeMap;

use proto::{Digest, KeyPath};

use crate::closure::Wallet;
use crate::operation::Scheme;

/// A nonce that was used twice by one key, for different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The account.
    pub wallet: Wallet,
    /// The key, which follows from the two signatures.
    pub path: KeyPath,
    /// The line of the first intent.
    pub first: u64,
    /// The line of the second.
    pub second: u64,
}

#[derive(Debug, Default)]
pub(super) struct Nonces {
    keys: BTreeMap<(Wallet, KeyPath), u32>,
    used: BTreeMap<(u32, u128), Use>,
    /// The first that was not compared.
    pub(super) left_out: Option<u64>,
}

#[derive(Debug)]
struct Use {
    line: u64,
    /// The beginning of the hash, which is enough to tell two apart.
    digest: u64,
    scheme: Scheme,
}

impl Nonces {
    pub(super) fn take(
        &mut self,
        line: u64,
        key: (Wallet, KeyPath),
        nonce: &[u8; 32],
        digest: &Digest,
        scheme: Scheme,
    ) -> Option<Repeat> {
        let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let (wallet, path) = key.clone();
        let number = *self.keys.entry(key).or_insert(next);
        let digest = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let nonce = nonce.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        if let Some(before) = self.used.get(&(number, nonce)) {
            // The tweak is not recorded: with another one even the same hash gives another equation.
            let differ = before.digest != digest || before.scheme != scheme || scheme == Scheme::TweakedSchnorr;
            return differ.then_some(Repeat { wallet, path, first: before.line, second: line });
        }
        if self.used.len() < MOST_NONCES {
            self.used.insert((number, nonce), Use { line, digest, scheme });
        } else {
            self.left_out.get_or_insert(line);
        }
        None
    }
}

/// About 80 MiB.
const MOST_NONCES: usize = 1 << 20;
