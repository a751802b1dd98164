//! What was gathered, as the closure reads it: the facts of each tree, by who was given them.

use std::collections::{BTreeMap, BTreeSet};

use proto::KeyPath;

use super::bonds::Bond;
use super::facts::{Facts, Part, Source};
use super::history::{Account, ByHolder, Door, Fact, History, Wallet};
use super::side::{SeenByHost, SideDoor};
use crate::recorded::Request;

impl History {
    /// Returns what an operation would give that did not leave already.
    pub(super) fn news(&self, request: &Request) -> Vec<Fact> {
        let news = self.gives(request).facts.into_iter().filter(|fact| !self.facts.contains_key(fact));
        news.map(|(wallet, path, part)| (self.named(&wallet), path, part)).collect()
    }

    /// Returns the trees of which something left, may have left, or follows.
    pub(super) fn wallets(&self) -> BTreeSet<Wallet> {
        let open = self.open.values().flat_map(|open| &open.gives.facts).map(|(wallet, ..)| *wallet);
        let tied = self.bonds.keys().map(|(wallet, _)| *wallet);
        self.wallets.iter().copied().chain(open).chain(tied).map(|wallet| self.named(&wallet)).collect()
    }

    /// Returns the keys that follow from each other.
    pub(super) fn bonds(&self) -> Vec<Bond> {
        self.bonds.all()
    }

    /// Returns what left of these trees to `holder`, or to anybody; what has no name is counted to every tree.
    pub(super) fn trees(&self, wallets: &BTreeSet<Wallet>, holder: Option<u32>) -> BTreeMap<Wallet, Facts> {
        let told = |to: &Option<u32>| holder.is_none() || to.is_none() || *to == holder;
        let mut trees: BTreeMap<Wallet, Facts> = wallets.iter().map(|wallet| (*wallet, self.empty(wallet))).collect();
        let counts = self.counts_to_all(wallets);
        let mut before: BTreeMap<Wallet, Vec<Wallet>> = BTreeMap::new();
        for ((card, number), uid) in &self.names {
            for decoy in [false, true] {
                let was = Wallet { account: Account::Card(*card, *number), decoy };
                before.entry(Wallet { account: Account::KeyUid(*uid), decoy }).or_default().push(was);
            }
        }
        for (wallet, facts) in &mut trees {
            let unnamed = (counts && !wallet.decoy && wallet.account.is_tree()).then_some(&UNNAMED);
            let nameless = before.get(wallet).into_iter().flatten();
            for of in [wallet].into_iter().chain(nameless).chain(unnamed) {
                for ((_, path, part), sources) in self.facts_of(of) {
                    if let Some(source) = sources.iter().filter(|(to, _)| told(to)).map(|(_, source)| *source).min() {
                        facts.learn(path, *part, source);
                    }
                }
            }
        }
        for (seq, open) in self.open.iter().filter(|(_, open)| told(&Some(open.holder))) {
            for (wallet, path, part) in &open.gives.facts {
                if let Some(facts) = trees.get_mut(&self.named(wallet)) {
                    facts.learn(path, *part, Source::Line(*seq));
                }
            }
        }
        trees
    }

    /// Returns whether what was written down without an account counts to each of these: only where that is not too much.
    pub(super) fn counts_to_all(&self, wallets: &BTreeSet<Wallet>) -> bool {
        self.unnamed_nodes().saturating_mul(wallets.len()) <= MOST_COUNTED
    }

    /// Returns how many nodes, ancestors included, were written down without an account.
    fn unnamed_nodes(&self) -> usize {
        let mut before: &[u32] = &[];
        let mut nodes = 1_usize;
        for ((_, path, _), _) in self.facts_of(&UNNAMED) {
            let steps = path.components();
            let shared = steps.iter().zip(before).take_while(|(one, other)| one == other).count();
            nodes = nodes.saturating_add(steps.len().saturating_sub(shared));
            before = steps;
        }
        nodes
    }

    fn facts_of<'a>(&'a self, wallet: &'a Wallet) -> impl Iterator<Item = (&'a Fact, &'a ByHolder<Source>)> {
        let start = (*wallet, KeyPath::master(), Part::Private);
        self.facts.range(start..).take_while(move |((of, ..), _)| of == wallet)
    }

    fn empty(&self, wallet: &Wallet) -> Facts {
        let is_lee = matches!(wallet.account, Account::KeyUid(uid) if self.lee.contains(&uid));
        if is_lee { Facts::of_lee() } else { Facts::default() }
    }

    /// Returns how many different keys left these trees to `holder`, or to anybody.
    pub(super) fn exported(&self, wallets: &BTreeSet<Wallet>, holder: Option<u32>) -> usize {
        let told = |sources: &ByHolder<Source>| holder.is_none() || sources.keys().any(|to| *to == holder);
        let left = self.facts.iter().filter(|(_, to)| told(to)).map(|(fact, _)| fact);
        let open = self.open.values().filter(|open| holder.is_none_or(|holder| open.holder == holder));
        let perhaps = open.flat_map(|open| &open.gives.facts);
        let keys = left.chain(perhaps).map(|(wallet, path, part)| (self.named(wallet), path, *part == Part::Private));
        keys.filter(|(wallet, ..)| wallets.contains(wallet)).collect::<BTreeSet<_>>().len()
    }

    /// Returns the uses of the side doors.
    pub(super) fn side_doors(&self, holder: Option<u32>) -> Vec<SideDoor> {
        let mut doors: BTreeMap<Door, Vec<Source>> = BTreeMap::new();
        for (door, lines) in &self.side_doors {
            for (_, lines) in lines.iter().filter(|(to, _)| holder.is_none() || to.is_none() || **to == holder) {
                doors.entry(self.named_door(door)).or_default().extend(lines);
            }
        }
        for (seq, open) in self.open.iter().filter(|(_, open)| holder.is_none_or(|holder| open.holder == holder)) {
            if let Some(door) = &open.gives.side_door {
                doors.entry(self.named_door(door)).or_default().push(Source::Line(*seq));
            }
        }
        doors.into_iter().map(|((wallet, path, way), lines)| SideDoor { wallet, path, way, lines }).collect()
    }

    fn named_door(&self, (wallet, path, way): &Door) -> Door {
        (self.named(wallet), path.clone(), *way)
    }

    /// Returns the seeds and keys that this host has seen.
    pub(super) fn seen_by_host(&self) -> Vec<SeenByHost> {
        self.seen.all()
    }
}

/// The tree of what was written down without an account.
pub(super) const UNNAMED: Wallet = Wallet { account: Account::Unnamed, decoy: false };
/// Nodes that count to accounts that they do not name: about 100 MiB.
const MOST_COUNTED: usize = 1 << 18;
