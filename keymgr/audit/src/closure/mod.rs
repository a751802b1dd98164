//! What follows from what left: the exact closure of past exports under BIP-32.
//!
//! An extended public key lets anyone compute the public keys and chain codes of all its non-hardened descendants. One
//! private key among these gives, step by step upwards, the private key of the extended one itself, and with its chain
//! code everything below it (reference: Keycard, export rules). [`History`] gathers what left, [`facts`] has the rules, and
//! [`Closure`] is what somebody who holds all of it can compute. The manager refuses what [`would_add`] private keys that
//! nobody was to have.

pub mod facts;
pub mod history;
pub mod side;
pub mod written;

use std::collections::{BTreeMap, BTreeSet};

use proto::{KeyPath, KeyUid};

use crate::recorded::Request;
use facts::{Computable, Extent, Facts};
pub use facts::{Part, Source};
pub use history::{Account, History, Wallet};
pub use side::{SeenByHost, SideDoor, Sight, Way};
pub use written::NotAHistory;

/// What can be computed, of which tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implied {
    /// The tree.
    pub wallet: Wallet,
    /// The node, what of it, and from what.
    pub what: Computable,
}

/// Whose closure, and of which account: of all, by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// What this user was given.
    pub holder: Option<u32>,
    /// The trees of this account.
    pub account: Option<KeyUid>,
}

/// What who holds everything that left can compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// The keys, each once, in the shortest description that says all of it; what left itself included.
    pub computable: Vec<Implied>,
    /// How many different keys left.
    pub exported: u64,
    /// Secrets that give no key.
    pub side_doors: Vec<SideDoor>,
    /// What the host itself has seen; not counted in [`Self::computable`].
    pub seen_by_host: Vec<SeenByHost>,
}

/// How much can be computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many different keys left.
    pub exported: u64,
    /// Single private keys.
    pub private_keys: u64,
    /// Nodes whose private key and all below are known.
    pub private_subtrees: u64,
    /// Single public keys.
    pub public_keys: u64,
    /// Nodes of which all open descendants' public keys are known.
    pub public_subtrees: u64,
    /// Private keys and subtrees among these that did not leave but follow.
    pub implied_private: u64,
}

impl Closure {
    /// Returns the closure of a history.
    #[must_use]
    pub fn of(history: &History, filter: &Filter) -> Self {
        let asked = |wallet: &Wallet| {
            filter.account.is_none_or(|uid| matches!(wallet.account, Account::KeyUid(it) if it == uid))
        };
        let wallets = history.wallets();
        // What has no name counts to every account; on its own it stands only where there is none.
        let named = wallets.iter().any(|wallet| wallet.account != Account::Unnamed);
        let wallets: Vec<Wallet> =
            wallets.into_iter().filter(asked).filter(|it| !named || it.account != Account::Unnamed).collect();
        let exported = wallets.iter().map(|wallet| history.exported(wallet, filter.holder)).sum::<usize>();
        let computable = wallets.iter().flat_map(|wallet| {
            let computable = history.facts_of(wallet, filter.holder).close().computable();
            computable.into_iter().map(|what| Implied { wallet: *wallet, what })
        });
        let seen = history.seen_by_host().iter();
        Self {
            computable: computable.collect(),
            exported: u64::try_from(exported).unwrap_or(u64::MAX),
            side_doors: history.side_doors(filter.holder).into_iter().filter(|door| asked(&door.wallet)).collect(),
            seen_by_host: seen
                .filter(|it| filter.account.is_none() || it.key_uid.is_none() || it.key_uid == filter.account)
                .filter(|it| filter.holder.is_none() || it.holder.is_none() || it.holder == filter.holder)
                .cloned()
                .collect(),
        }
    }

    /// Returns how much that is.
    #[must_use]
    pub fn count(&self) -> Count {
        let mut count = Count { exported: self.exported, ..Count::default() };
        for Implied { what, .. } in &self.computable {
            let one = match what.extent {
                Extent::PrivateSubtree => &mut count.private_subtrees,
                Extent::PrivateKey => &mut count.private_keys,
                Extent::PublicSubtree => &mut count.public_subtrees,
                Extent::PublicKey => &mut count.public_keys,
                Extent::ChainCode => continue,
            };
            *one = one.saturating_add(1);
            if what.follows && what.extent.is_private() {
                count.implied_private = count.implied_private.saturating_add(1);
            }
        }
        count
    }
}

/// `exported 3, implies 2^32 private keys below each of 1 node`, and so on.
impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exported {}, implies {} private key(s)", self.exported, self.private_keys)?;
        if self.private_subtrees > 0 {
            write!(f, ", {} whole private subtree(s) with 2^32 keys a level and node", self.private_subtrees)?;
        }
        write!(f, ", {} public key(s)", self.public_keys)?;
        if self.public_subtrees > 0 {
            write!(f, ", {} public subtree(s) with 2^31 keys a level and node", self.public_subtrees)?;
        }
        Ok(())
    }
}

/// Returns the private keys that who holds everything that left could compute after this operation and not before: its own
/// included. Nothing is added when that key left before.
#[must_use]
pub fn would_add(history: &History, request: &Request) -> Vec<Implied> {
    let mut news: BTreeMap<Wallet, Vec<(KeyPath, Part)>> = BTreeMap::new();
    for (wallet, path, part) in history.news(request) {
        news.entry(wallet).or_default().push((path, part));
    }
    let private = |facts: Facts| facts.close().computable().into_iter().filter(|it| it.extent.is_private());
    let mut added = Vec::new();
    for (wallet, news) in news {
        let before = history.facts_of(&wallet, None);
        let mut after = before.clone();
        for (path, part) in news {
            after.learn(&path, part, Source::Line(u64::MAX));
        }
        let before: BTreeSet<(KeyPath, Extent)> = private(before).map(|it| (it.path, it.extent)).collect();
        let new = private(after).filter(|it| !before.contains(&(it.path.clone(), it.extent)));
        added.extend(new.map(|what| Implied { wallet, what }));
    }
    added
}

#[cfg(test)]
mod tests;
