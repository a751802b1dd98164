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

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// From what: enough of it, not all that would do. Where keys share nonces it may be very much: the first lines then.
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

    /// Takes a node of which nothing is known yet.
    pub(super) fn name(&mut self, path: &KeyPath) {
        self.nodes.entry(path.clone()).or_default();
    }

    /// Returns what follows, itself included.
    #[must_use]
    pub fn close(self) -> Closed {
        let mut growing = Growing::of(self);
        growing.grow();
        growing.closed()
    }
}

/// A tree in which what follows is being found. Each part of a node is learned once, and only then are the rules that it
/// can serve looked at again, so that the work grows with the nodes.
#[derive(Debug)]
pub(super) struct Growing {
    nodes: Vec<Sprout>,
    places: BTreeMap<KeyPath, usize>,
    /// The nodes at which a rule may say something new.
    waiting: VecDeque<usize>,
    /// The bonds of which a private key became known.
    broken: Vec<usize>,
    no_rules: bool,
}

#[derive(Debug)]
struct Sprout {
    node: Node,
    /// The parent, and the step from there.
    above: Option<(usize, u32)>,
    below: Vec<usize>,
    waits: bool,
    /// The number of the bond that its private key breaks.
    bond: Option<usize>,
}

impl Growing {
    /// Returns the tree of these nodes and their ancestors.
    pub(super) fn of(Facts { mut nodes, no_rules }: Facts) -> Self {
        for mut path in nodes.keys().cloned().collect::<Vec<_>>() {
            while let Some((above, _)) = parent(&path) {
                if nodes.contains_key(&above) {
                    break;
                }
                nodes.insert(above.clone(), Node::default());
                path = above;
            }
        }
        let (places, waiting, broken) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        let mut growing = Self { nodes: Vec::new(), places, waiting, broken, no_rules };
        // Lexicographic: a node comes before what is below it.
        for (place, (path, node)) in nodes.into_iter().enumerate() {
            let above = parent(&path).and_then(|(above, step)| Some((*growing.places.get(&above)?, step)));
            if let Some(above) = above.and_then(|(above, _)| growing.nodes.get_mut(above)) {
                above.below.push(place);
            }
            growing.nodes.push(Sprout { node, above, below: Vec::new(), waits: true, bond: None });
            growing.places.insert(path, place);
            growing.waiting.push_back(place);
        }
        growing
    }

    /// Takes that the private key of a node is one of a bond.
    pub(super) fn bind(&mut self, path: &KeyPath, bond: usize) {
        let sprout = self.places.get(path).and_then(|place| self.nodes.get_mut(*place));
        if let Some(sprout) = sprout {
            sprout.bond = Some(bond);
            self.broken.extend(sprout.node.private.as_ref().map(|_| bond));
        }
    }

    /// Applies the rules until they say nothing new, and returns the bonds of which a private key became known.
    pub(super) fn grow(&mut self) -> Vec<usize> {
        while let Some(place) = self.waiting.pop_front() {
            if let Some(sprout) = self.nodes.get_mut(place) {
                sprout.waits = false;
            }
            self.inherit(place);
            self.betray(place);
        }
        std::mem::take(&mut self.broken)
    }

    /// Returns from what the private key of a node is known.
    pub(super) fn private(&self, path: &KeyPath) -> Option<&BTreeSet<Source>> {
        let sprout = self.nodes.get(*self.places.get(path)?)?;
        sprout.node.private.as_ref().map(|known| &known.from)
    }

    /// Takes a private key that follows in another way than by the rules of one tree.
    pub(super) fn conclude(&mut self, path: &KeyPath, from: &BTreeSet<Source>) {
        if let Some(place) = self.places.get(path).copied() {
            let from = from.iter().copied().take(MOST_SOURCES).collect();
            self.set(place, Part::Private, Known { from, follows: true });
        }
    }

    /// Returns what was found.
    pub(super) fn closed(self) -> Closed {
        let Self { nodes, places, no_rules, .. } = self;
        // Both are in the order of the paths.
        let nodes = places.into_keys().zip(nodes).map(|(path, sprout)| (path, sprout.node)).collect();
        Closed { nodes, no_rules }
    }

    fn set(&mut self, place: usize, part: Part, known: Known) {
        let Some(sprout) = self.nodes.get_mut(place) else { return };
        let room = sprout.node.part(part);
        if room.is_some() {
            return;
        }
        *room = Some(known);
        if part == Part::Private {
            self.broken.extend(sprout.bond);
        }
        for place in sprout.below.iter().copied().chain([place]).collect::<Vec<_>>() {
            if let Some(sprout) = self.nodes.get_mut(place).filter(|sprout| !sprout.waits) {
                sprout.waits = true;
                self.waiting.push_back(place);
            }
        }
    }

    /// Applies the rules that lead to a node from itself and from its parent.
    fn inherit(&mut self, place: usize) {
        let Some(sprout) = self.nodes.get(place) else { return };
        let node = &sprout.node;
        let mut learned = Vec::new();
        if let (None, Some(private)) = (&node.public, &node.private) {
            learned.push((Part::Public, follows(&[private])));
        }
        let above = sprout.above.filter(|_| !self.no_rules);
        if let Some((above, step)) = above.and_then(|(above, step)| Some((&self.nodes.get(above)?.node, step))) {
            match (&above.private, &above.public, &above.chain) {
                (Some(k), _, Some(c)) => {
                    let parts = [Part::Private, Part::Public, Part::Chain];
                    learned.extend(parts.into_iter().filter(|part| !node.has(*part)).map(|it| (it, follows(&[k, c]))));
                }
                (None, Some(k), Some(c)) if is_open(step) => {
                    let parts = [Part::Public, Part::Chain];
                    learned.extend(parts.into_iter().filter(|part| !node.has(*part)).map(|it| (it, follows(&[k, c]))));
                }
                _ => {}
            }
        }
        learned.into_iter().for_each(|(part, known)| self.set(place, part, known));
    }

    /// Applies the rule that leads from a node to its parent: subtraction.
    fn betray(&mut self, place: usize) {
        let Some(Sprout { node: child, above, .. }) = self.nodes.get(place) else { return };
        let Some((above, _)) = above.filter(|(_, step)| is_open(*step) && !self.no_rules) else { return };
        let (Some(child), Some(node)) = (&child.private, self.nodes.get(above).map(|above| &above.node)) else {
            return;
        };
        let (None, Some(public), Some(chain)) = (&node.private, &node.public, &node.chain) else { return };
        let known = follows(&[child, public, chain]);
        self.set(above, Part::Private, known);
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

#[cfg(test)]
impl Closed {
    /// Returns how many nodes it holds: the work of closing it.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }
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

/// Of what follows by shared nonces: what follows from it by the rules needs few more.
pub(super) const MOST_SOURCES: usize = 64;

/// Returns the parent, and the step from there.
fn parent(path: &KeyPath) -> Option<(KeyPath, u32)> {
    let (step, above) = path.components().split_last()?;
    Some((KeyPath::new(above).ok()?, *step))
}

/// Returns whether a step is not hardened.
const fn is_open(step: u32) -> bool {
    step & 0x8000_0000 == 0
}
