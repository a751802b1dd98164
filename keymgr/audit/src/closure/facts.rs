//! What is known of the nodes of one key tree, and what follows under BIP-32: a fixpoint.
//!
//! ```text
//! k(X)                            gives  K(X)
//! k(X), c(X)                      give   k, c of every child of X
//! K(X), c(X)                      give   K, c of every child of X that is not hardened
//! K(X), c(X), k(X/i), i not hardened     give   k(X)
//! ```
//! k is a private key, K a public one, c a chain code. No rule says anything new of a node that has none of the nodes of
//! which something was learned at or below it, but what its nearest ancestor gives. So the nodes that were learned of and
//! their ancestors are enough, and the result is exact for all of the tree's infinitely many nodes.

use std::collections::{BTreeMap, BTreeSet};

use proto::KeyPath;

/// Where a fact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The line of an intent.
    Line(u64),
    /// A line of what was written down by hand: nobody verified it.
    Written(u64),
}

/// Something of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The private key, k.
    Private,
    /// The public key, K.
    Public,
    /// The chain code, c.
    Chain,
}

/// What can be computed at a node, in the shortest words that say all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Its private key, and every key below.
    PrivateSubtree,
    /// Its private key.
    PrivateKey,
    /// Its public key, and those of all descendants that no hardened step leads to.
    PublicSubtree,
    /// Its public key.
    PublicKey,
    /// Its chain code, of which nothing follows without a key.
    ChainCode,
}

impl Extent {
    /// Returns whether a private key can be computed.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self, Self::PrivateSubtree | Self::PrivateKey)
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PrivateSubtree => "private key and all below",
            Self::PrivateKey => "private key",
            Self::PublicSubtree => "public key and all public keys below",
            Self::PublicKey => "public key",
            Self::ChainCode => "chain code",
        })
    }
}

/// One part of what can be computed, with the lines that are enough for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computable {
    /// The node.
    pub path: KeyPath,
    /// What of it.
    pub extent: Extent,
    /// Whether its key did not leave itself, but follows from what did.
    pub follows: bool,
    /// From what: enough of it, not all that would do.
    pub from: BTreeSet<Source>,
}

/// What is known of one tree.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    nodes: BTreeMap<KeyPath, Node>,
    no_rules: bool,
}

#[derive(Debug, Clone, Default)]
struct Node {
    private: Option<Known>,
    public: Option<Known>,
    chain: Option<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    from: BTreeSet<Source>,
    follows: bool,
}

impl Facts {
    /// Returns nothing known of a tree of a LEE seed, whose children all hang on private keys that never leave a card.
    #[must_use]
    pub fn of_lee() -> Self {
        Self { no_rules: true, ..Self::default() }
    }

    /// Takes what left.
    pub fn learn(&mut self, path: &KeyPath, part: Part, source: Source) {
        let part = self.nodes.entry(path.clone()).or_default().part(part);
        if part.is_none() {
            *part = Some(Known { from: BTreeSet::from([source]), follows: false });
        }
    }

    /// Takes a private key that follows from several sources in another way than by the rules.
    pub fn conclude(&mut self, path: &KeyPath, from: BTreeSet<Source>) {
        let part = self.nodes.entry(path.clone()).or_default().part(Part::Private);
        if part.is_none() {
            *part = Some(Known { from, follows: true });
        }
    }

    /// Returns what follows, itself included.
    #[must_use]
    pub fn close(mut self) -> Closed {
        let learned: Vec<KeyPath> = self.nodes.keys().cloned().collect();
        for path in &learned {
            let mut path = path.clone();
            while let Some((above, _)) = parent(&path) {
                if self.nodes.contains_key(&above) {
                    break;
                }
                self.nodes.entry(above.clone()).or_default();
                path = above;
            }
        }
        // Lexicographic: a node comes before what is below it.
        let order: Vec<KeyPath> = self.nodes.keys().cloned().collect();
        let mut grows = true;
        while grows {
            grows = false;
            for path in &order {
                grows |= self.inherit(path);
            }
            for path in order.iter().rev() {
                grows |= self.betray(path);
            }
        }
        Closed { nodes: self.nodes, no_rules: self.no_rules }
    }

    /// Applies the rules that lead to a node from itself and from its parent.
    fn inherit(&mut self, path: &KeyPath) -> bool {
        let Some(mut node) = self.nodes.get(path).cloned() else { return false };
        let mut grows = false;
        if let (None, Some(private)) = (&node.public, &node.private) {
            node.public = Some(follows(&[private]));
            grows = true;
        }
        let above =
            parent(path).filter(|_| !self.no_rules).and_then(|(above, step)| Some((self.nodes.get(&above)?, step)));
        if let Some((above, step)) = above {
            let (private, public) = match (&above.private, &above.public, &above.chain) {
                (Some(k), _, Some(c)) => (Some(follows(&[k, c])), Some(follows(&[k, c]))),
                (None, Some(k), Some(c)) if is_open(step) => (None, Some(follows(&[k, c]))),
                _ => (None, None),
            };
            if let (None, Some(private)) = (&node.private, private) {
                node.private = Some(private);
                grows = true;
            }
            if let Some(public) = public {
                for part in [&mut node.public, &mut node.chain].into_iter().filter(|part| part.is_none()) {
                    *part = Some(public.clone());
                    grows = true;
                }
            }
        }
        if grows {
            self.nodes.insert(path.clone(), node);
        }
        grows
    }

    /// Applies the rule that leads from a node to its parent: subtraction.
    fn betray(&mut self, path: &KeyPath) -> bool {
        let Some((above, _)) = parent(path).filter(|(_, step)| is_open(*step) && !self.no_rules) else {
            return false;
        };
        let Some(child) = self.nodes.get(path).and_then(|node| node.private.clone()) else { return false };
        let Some(node) = self.nodes.get_mut(&above) else { return false };
        let (None, Some(public), Some(chain)) = (&node.private, &node.public, &node.chain) else { return false };
        node.private = Some(follows(&[&child, public, chain]));
        true
    }
}

impl Node {
    fn part(&mut self, part: Part) -> &mut Option<Known> {
        match part {
            Part::Private => &mut self.private,
            Part::Public => &mut self.public,
            Part::Chain => &mut self.chain,
        }
    }

    fn has(&self, part: Part) -> bool {
        match part {
            Part::Private => self.private.is_some(),
            Part::Public => self.public.is_some(),
            Part::Chain => self.chain.is_some(),
        }
    }
}

/// What can be computed of one tree.
#[derive(Debug, Clone, Default)]
pub struct Closed {
    nodes: BTreeMap<KeyPath, Node>,
    no_rules: bool,
}

impl Closed {
    /// Returns whether this can be computed, of any node of the tree.
    #[must_use]
    pub fn knows(&self, path: &KeyPath, part: Part) -> bool {
        let steps = path.components();
        for kept in (0..=steps.len()).rev() {
            let (above, below) = steps.split_at(kept);
            let Some(node) = KeyPath::new(above).ok().and_then(|above| self.nodes.get(&above)) else { continue };
            if below.is_empty() {
                return node.has(part);
            }
            let extended = node.has(Part::Chain) && !self.no_rules;
            let is_public = part != Part::Private && node.has(Part::Public) && below.iter().all(|step| is_open(*step));
            return extended && (node.has(Part::Private) || is_public);
        }
        false
    }

    /// Returns all that can be computed, each thing once, parents before children.
    #[must_use]
    pub fn computable(&self) -> Vec<Computable> {
        self.nodes.iter().filter_map(|(path, node)| self.say(path, node)).collect()
    }

    fn say(&self, path: &KeyPath, node: &Node) -> Option<Computable> {
        let above =
            parent(path).filter(|_| !self.no_rules).and_then(|(above, step)| Some((self.nodes.get(&above)?, step)));
        let (all, public) = above.map_or((false, false), |(above, step)| {
            let extended = above.chain.is_some();
            (extended && above.private.is_some(), extended && above.public.is_some() && is_open(step))
        });
        if all {
            return None;
        }
        let (extent, known) = match (&node.private, &node.public, &node.chain) {
            (Some(private), _, Some(chain)) if !self.no_rules => {
                let known = Known { from: union(&[private, chain]), follows: private.follows };
                (Extent::PrivateSubtree, known)
            }
            (Some(private), ..) => (Extent::PrivateKey, private.clone()),
            (None, Some(_), Some(_)) if public => return None,
            (None, Some(key), Some(chain)) if !self.no_rules => {
                (Extent::PublicSubtree, Known { from: union(&[key, chain]), follows: key.follows })
            }
            (None, Some(key), _) => (Extent::PublicKey, key.clone()),
            (None, None, Some(chain)) => (Extent::ChainCode, chain.clone()),
            (None, None, None) => return None,
        };
        Some(Computable { path: path.clone(), extent, follows: known.follows, from: known.from })
    }
}

fn follows(from: &[&Known]) -> Known {
    Known { from: union(from), follows: true }
}

fn union(of: &[&Known]) -> BTreeSet<Source> {
    of.iter().flat_map(|known| known.from.iter().copied()).collect()
}

/// Returns the parent, and the step from there.
fn parent(path: &KeyPath) -> Option<(KeyPath, u32)> {
    let (step, above) = path.components().split_last()?;
    Some((KeyPath::new(above).ok()?, *step))
}

/// Returns whether a step is not hardened.
const fn is_open(step: u32) -> bool {
    step & 0x8000_0000 == 0
}
