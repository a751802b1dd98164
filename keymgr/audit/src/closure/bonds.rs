//! Keys whose private keys follow from each other, because their signatures share nonces.
//!
//! ```text
//! ECDSA      s k = h + r d          a line in the unknowns k (the nonce) and d (the private key): r, s and h are public
//! BIP-340    s   = k + e d          likewise
//! ```
//! Take keys and nonces as points and each signature as a line between two of them. What hangs together without a circle
//! has one unknown more than equations: who knows one of its private keys has them all. With a circle, of which one key that
//! signs two things with one nonce is the smallest, there are as many equations as unknowns, and everybody has them all.
//! (That the equations of a circle depend on each other has the likelihood of a guessed key.)

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{MOST_SOURCES, Source};
use super::history::Node;
use crate::verify::may_be_one;

/// Keys of which one gives all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bond {
    /// The keys.
    pub keys: BTreeSet<Node>,
    /// The signatures: the first ones, if there are many.
    pub from: BTreeSet<Source>,
    /// Whether all follow from the signatures alone.
    pub solved: bool,
}

impl Bond {
    /// Returns whether all may follow after all: two of these may be names of one key, and no line tells.
    #[must_use]
    pub fn may_be_solved(&self) -> bool {
        let mut of_place: BTreeMap<_, Vec<&Node>> = BTreeMap::new();
        for key @ (wallet, path) in &self.keys {
            of_place.entry((path, wallet.decoy)).or_default().push(key);
        }
        // A name by a card comes after one by an account, and may be one with any other name of its place.
        let may_be = |names: &Vec<&Node>| names.iter().any(|one| names.first().is_some_and(|it| may_be_one(it, one)));
        !self.solved && of_place.values().any(may_be)
    }
}

/// All that hang together.
#[derive(Debug, Clone, Default)]
pub(super) struct Bonds {
    places: BTreeMap<Node, usize>,
    keys: Vec<Tied>,
}

/// A key, which stands for all that point to it.
#[derive(Debug, Clone)]
struct Tied {
    /// Another key of the same bond, or itself.
    to: usize,
    size: usize,
    from: BTreeSet<Source>,
    solved: bool,
}

impl Bonds {
    /// Takes that two signatures share a nonce, and say different things of it.
    pub(super) fn tie(&mut self, one: Node, other: Node, from: [Source; 2]) {
        let (one, other) = (self.place(one), self.place(other));
        let (mut root, mut joins) = (self.root(one), self.root(other));
        let is_circle = root == joins;
        if self.size(root) < self.size(joins) {
            (root, joins) = (joins, root);
        }
        let joined = self.keys.get_mut(joins).map(|tied| {
            tied.to = root;
            (tied.size, std::mem::take(&mut tied.from), tied.solved)
        });
        let (Some((size, sources, solved)), Some(tied)) = (joined, self.keys.get_mut(root)) else { return };
        tied.solved |= solved || is_circle;
        tied.size = if is_circle { size } else { tied.size.saturating_add(size) };
        tied.from.extend(sources.into_iter().chain(from));
        while tied.from.len() > MOST_SOURCES {
            tied.from.pop_last();
        }
    }

    /// Returns the keys of all bonds.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Node> {
        self.places.keys()
    }

    /// Returns each bond.
    pub(super) fn all(&self) -> Vec<Bond> {
        let mut bonds: BTreeMap<usize, Bond> = BTreeMap::new();
        for (node, place) in &self.places {
            let root = self.root_of(*place);
            let Some(tied) = self.keys.get(root) else { continue };
            let bond = bonds.entry(root).or_insert_with(|| Bond {
                keys: BTreeSet::new(),
                from: tied.from.clone(),
                solved: tied.solved,
            });
            bond.keys.insert(node.clone());
        }
        bonds.into_values().collect()
    }

    fn place(&mut self, node: Node) -> usize {
        let next = self.keys.len();
        let place = *self.places.entry(node).or_insert(next);
        if place == next {
            self.keys.push(Tied { to: next, size: 1, from: BTreeSet::new(), solved: false });
        }
        place
    }

    fn size(&self, root: usize) -> usize {
        self.keys.get(root).map_or(0, |tied| tied.size)
    }

    /// Returns the key that stands for all, and makes the way to it shorter.
    fn root(&mut self, place: usize) -> usize {
        let root = self.root_of(place);
        let mut at = place;
        while let Some(tied) = self.keys.get_mut(at).filter(|tied| tied.to != root) {
            at = std::mem::replace(&mut tied.to, root);
        }
        root
    }

    fn root_of(&self, mut place: usize) -> usize {
        while let Some(tied) = self.keys.get(place).filter(|tied| tied.to != place) {
            place = tied.to;
        }
        place
    }
}
