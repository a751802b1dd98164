//! What follows from what left: the exact closure of past exports under BIP-32.
//!
//! An extended public key lets anyone compute the public keys and chain codes of all its non-hardened descendants. One
//! private key among these gives, step by step upwards, the private key of the extended one itself, and with its chain
//! code everything below it (reference: Keycard, export rules). [`History`] gathers what left, [`facts`] has the rules, and
//! [`Closure`] is what somebody who holds all of it can compute. The manager refuses what [`would_add`] private keys that
//! nobody was to have.

pub mod bonds;
pub mod facts;
mod gathered;
pub mod history;
mod memory;
mod names;
pub mod side;
pub mod written;

use std::collections::{BTreeMap, BTreeSet};

use proto::{KeyPath, KeyUid};

use crate::recorded::Request;
pub use bonds::Bond;
use facts::{Closed, Computable, Extent, Facts, Growing};
pub use facts::{Part, Source};
use gathered::UNNAMED;
pub use history::{Account, History, Node, Wallet};
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
    /// Keys of which one gives the others, because their signatures share nonces, or that follow from these alone. Signatures
    /// count as published: what follows from them is computed by whoever was given a key, and by everybody else.
    pub bonds: Vec<Bond>,
    /// The line from which on this is not all that could be computed ([`History::cut_off`]), or that the host has seen.
    pub cut_off: Option<u64>,
    /// To so many accounts that which was written down without one was not counted: there are too many.
    pub not_counted: u64,
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
        let all = history.wallets();
        // What has no name counts to every account; on its own it stands only where there is none, or too many.
        let named = all.iter().any(|wallet| *wallet != UNNAMED && wallet.account.is_tree());
        let counts_to_all = history.counts_to_all(&all);
        let stands = |wallet: &Wallet| *wallet != UNNAMED || !named || !counts_to_all;
        let wallets: BTreeSet<Wallet> = all.iter().copied().filter(asked).filter(stands).collect();
        let bonds = history.bonds();
        let closed = close(history.trees(&all, filter.holder), &bonds);
        let asked_for = closed.iter().filter(|(wallet, _)| wallets.contains(*wallet));
        let computable = asked_for
            .flat_map(|(wallet, closed)| closed.computable().into_iter().map(|what| Implied { wallet: *wallet, what }));
        let bonds = bonds.into_iter().filter(|bond| bond.keys.iter().any(|(wallet, _)| asked(wallet)));
        let seen = history.seen_by_host().into_iter();
        Self {
            computable: computable.collect(),
            exported: u64::try_from(history.exported(&wallets, filter.holder)).unwrap_or(u64::MAX),
            bonds: bonds.collect(),
            cut_off: history.cut_off().into_iter().chain(history.unseen).min(),
            not_counted: if counts_to_all { 0 } else { u64::try_from(all.len()).unwrap_or(u64::MAX) },
            side_doors: history.side_doors(filter.holder).into_iter().filter(|door| asked(&door.wallet)).collect(),
            seen_by_host: seen
                .filter(|it| filter.account.is_none() || it.key_uid.is_none() || it.key_uid == filter.account)
                .filter(|it| filter.holder.is_none() || it.holder.is_none() || it.holder == filter.holder)
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
    let named = history.naming(request);
    let history = named.as_ref().unwrap_or(history);
    let news = history.news(request);
    if news.is_empty() {
        return Vec::new();
    }
    let bonds = history.bonds();
    let of_bonds = bonds.iter().flat_map(|bond| &bond.keys).map(|(wallet, _)| *wallet);
    let wallets: BTreeSet<Wallet> = news.iter().map(|(wallet, ..)| *wallet).chain(of_bonds).collect();
    let before = history.trees(&wallets, None);
    let mut after = before.clone();
    for (wallet, path, part) in &news {
        after.entry(*wallet).or_default().learn(path, *part, Source::Line(u64::MAX));
    }
    let before = private(&close(before, &bonds));
    let known: BTreeSet<(Wallet, KeyPath, Extent)> =
        before.into_iter().map(|it| (it.wallet, it.what.path, it.what.extent)).collect();
    let mut added = private(&close(after, &bonds));
    added.retain(|it| !known.contains(&(it.wallet, it.what.path.clone(), it.what.extent)));
    added
}

fn private(closed: &BTreeMap<Wallet, Closed>) -> Vec<Implied> {
    let all = closed.iter().flat_map(|(wallet, closed)| closed.computable().into_iter().map(|what| (*wallet, what)));
    all.filter(|(_, what)| what.extent.is_private()).map(|(wallet, what)| Implied { wallet, what }).collect()
}

/// Closes trees together whose keys follow from each other. Each bond is followed once, so that the work grows with the keys.
fn close(mut trees: BTreeMap<Wallet, Facts>, bonds: &[Bond]) -> BTreeMap<Wallet, Closed> {
    for (wallet, path) in bonds.iter().flat_map(|bond| &bond.keys) {
        trees.entry(*wallet).or_default().name(path);
    }
    let mut growing: BTreeMap<Wallet, Growing> =
        trees.into_iter().map(|(wallet, facts)| (wallet, Growing::of(facts))).collect();
    for (number, bond) in bonds.iter().enumerate() {
        for (wallet, path) in &bond.keys {
            growing.get_mut(wallet).into_iter().for_each(|tree| tree.bind(path, number));
        }
    }
    let solved = bonds.iter().enumerate().filter(|(_, bond)| bond.solved).map(|(number, _)| number);
    let mut broken: Vec<usize> = solved.collect();
    broken.extend(growing.values_mut().flat_map(Growing::grow));
    let mut done = BTreeSet::new();
    while let Some(number) = broken.pop() {
        let Some(bond) = bonds.get(number).filter(|_| done.insert(number)) else { continue };
        let known = |(wallet, path): &Node| growing.get(wallet)?.private(path).cloned();
        let mut from = bond.from.clone();
        // Who has all by the signatures needs no key.
        from.extend(bond.keys.iter().find_map(known).filter(|_| !bond.solved).into_iter().flatten());
        for (wallet, path) in &bond.keys {
            if let Some(tree) = growing.get_mut(wallet) {
                tree.conclude(path, &from);
                broken.extend(tree.grow());
            }
        }
    }
    growing.into_iter().map(|(wallet, tree)| (wallet, tree.closed())).collect()
}

#[cfg(test)]
mod tests;
