//! What left, gathered line by line: who got what of which tree, and what each card would give away besides.
//!
//! Outcomes that nobody knows count as done. What is kept grows with the number of different keys, not with that of the lines,
//! and the work with the lines alone: of what only a log that lies has more of, the first is followed, and the line from which
//! on the closure is no longer the whole one is told ([`History::cut_off`]).

use std::collections::{BTreeMap, BTreeSet};

use proto::{CardId, ExportPath, Fingerprint, KeyPath, KeyPlace, KeyUid};

use super::bonds::Bonds;
use super::facts::{Part, Source};
use super::memory::{CardMemory, can_leak};
use super::side::{Seen, Sight, Sights, Way};
use super::written::WrittenUses;
use crate::entry::{Event, Intent, Outcome};
use crate::line::Line;
use crate::operation::{Given, Operation, Signing};
use crate::owner::Deed;
use crate::recorded::Request;
use crate::text::Text;

/// One tree of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wallet {
    /// Whose.
    pub account: Account,
    /// Whether it is the tree that the card shows under the duress PIN.
    pub decoy: bool,
}

/// How a tree of keys is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// By the master key.
    KeyUid(KeyUid),
    /// By the card on which it is, when no line names the master key, and by how many keys that card had before.
    Card(CardId, u32),
    /// Not at all: it was written down by hand.
    Unnamed,
    /// No tree, but the one key of a card's Cash applet; at `m`, as if it were one.
    Cash(CardId),
    /// No tree, but the identity key of a card, compressed; at `m` likewise.
    Identity([u8; 33]),
}

impl Account {
    /// Returns whether there is a tree of keys, and not one key alone.
    #[must_use]
    pub const fn is_tree(&self) -> bool {
        matches!(self, Self::KeyUid(_) | Self::Card(..) | Self::Unnamed)
    }
}

impl std::fmt::Display for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.account {
            Account::KeyUid(uid) => write!(f, "account {uid}")?,
            Account::Card(card, 0) => write!(f, "card {card}")?,
            Account::Card(card, before) => write!(f, "card {card} after {before} other key(s)")?,
            Account::Unnamed => f.write_str("an account without a name")?,
            Account::Cash(card) => write!(f, "the Cash applet of {card}")?,
            Account::Identity(key) => {
                f.write_str("the identity key ")?;
                key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
        }
        f.write_str(if self.decoy { " (decoy)" } else { "" })
    }
}

/// A key of one tree.
pub type Node = (Wallet, KeyPath);
pub(super) type Fact = (Wallet, KeyPath, Part);
pub(super) type Door = (Wallet, KeyPath, Way);
/// Something for each user; for nobody known, what was written down by hand.
pub(super) type ByHolder<T> = BTreeMap<Option<u32>, T>;

/// There is no room for more of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// All that left, as far as it was told.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub(super) facts: BTreeMap<Fact, ByHolder<Source>>,
    /// The trees of which something left.
    pub(super) wallets: BTreeSet<Wallet>,
    pub(super) bonds: Bonds,
    pub(super) lee: BTreeSet<KeyUid>,
    pub(super) cards: BTreeMap<CardId, CardMemory>,
    /// The accounts of trees that were named by their card before a line told.
    pub(super) names: BTreeMap<(CardId, u32), KeyUid>,
    /// The cards that may remember a path.
    moved: BTreeSet<CardId>,
    pub(super) open: BTreeMap<u64, Pending>,
    pub(super) side_doors: BTreeMap<Door, ByHolder<Vec<Source>>>,
    pub(super) seen: Sights,
    /// The first line of which it is not kept what the host has seen.
    pub(super) unseen: Option<u64>,
    /// What lines written by hand used.
    written: WrittenUses,
    /// The first line of which not all was followed.
    cut_off: Option<u64>,
    /// How many keys and cards are remembered at most; nothing: all.
    room: Option<usize>,
}

/// A key that left before the log, as it was written down.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) wallet: Wallet,
    pub(super) path: KeyPath,
    /// What of it left.
    pub(super) parts: &'static [Part],
    /// What else left.
    pub(super) side_door: Option<Way>,
    /// Whether the card was one whose extended public key of `m` carries another node's chain code.
    pub(super) leaks: bool,
}

/// What may have left with the answer to one intent.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    request: Request,
    pub(super) holder: u32,
    pub(super) gives: Gives,
}

/// What an operation gives to who asked for it, and what of the card it changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Gives {
    pub(super) facts: Vec<Fact>,
    pub(super) side_door: Option<Door>,
    uses: Option<Node>,
}

impl Gives {
    /// Returns these parts of one node, which is used for it.
    fn at(wallet: Wallet, path: &KeyPath, parts: &[Part]) -> Self {
        Self {
            facts: parts.iter().map(|part| (wallet, path.clone(), *part)).collect(),
            uses: (!path.is_master()).then(|| (wallet, path.clone())),
            side_door: None,
        }
    }
}

impl History {
    /// Takes the next line of a log.
    pub fn see(&mut self, line: &Line) {
        self.tell(line.seq, &line.event);
    }

    /// Returns one that remembers so many keys and cards at most.
    #[must_use]
    pub fn bounded(room: usize) -> Self {
        Self { room: Some(room), ..Self::default() }
    }

    /// Takes the event of the next line, with the line's number.
    pub fn tell(&mut self, seq: u64, event: &Event) {
        let told = match event {
            Event::ChannelOpened(opened) if !self.follows(&opened.card) => Err(Full),
            Event::PairedChannelOpened(opened) if !self.follows(&opened.card) => Err(Full),
            Event::Intent(intent) if !self.follows(&intent.request.card) => Err(Full),
            Event::Decoy(decoy) if !self.follows(&decoy.card) => Err(Full),
            Event::ChannelOpened(opened) => {
                self.holds(&opened.card, opened.key_uid);
                Ok(())
            }
            Event::PairedChannelOpened(opened) => {
                self.cards.entry(opened.card).or_default().is_applet(opened.applet.as_str());
                self.holds(&opened.card, opened.key_uid);
                Ok(())
            }
            Event::Intent(intent) => self.intent(seq, intent),
            Event::Outcome { intent, outcome } => self.outcome(*intent, outcome),
            Event::Decoy(decoy) => self.cards.entry(decoy.card).or_default().shows_decoy(decoy.chat_fingerprint),
            // Another program may set the paths that a card remembers.
            Event::Owner(owner) if matches!(owner.deed, Deed::Lends { .. }) => {
                self.forget_paths(owner.card);
                Ok(())
            }
            _ => Ok(()),
        };
        if told == Err(Full) {
            self.cut_off.get_or_insert(seq);
        }
    }

    /// Returns the first line of which not all was followed, because the log has more commands without an end than one that
    /// does not lie, or more of everything than there is room for.
    #[must_use]
    pub const fn cut_off(&self) -> Option<u64> {
        self.cut_off
    }

    /// Returns whether all that this would be of the tree on a card left before, of a card that was followed.
    #[must_use]
    pub fn knows(&self, card: &CardId, key_uid: Option<KeyUid>, given: Given<'_>) -> bool {
        let Gives { facts, side_door, .. } = self.given(card, self.tree(card, key_uid), given);
        let left = facts.iter().all(|fact| self.facts.contains_key(fact));
        left && side_door.is_none_or(|door| self.side_doors.contains_key(&door)) && self.cards.contains_key(card)
    }

    /// Returns whether three quarters of the room are taken.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.room.is_some_and(|room| self.taken() >= room / 4 * 3)
    }

    /// Whether this card is followed, or can be.
    fn follows(&self, card: &CardId) -> bool {
        self.cards.contains_key(card) || self.has_room()
    }

    fn has_room(&self) -> bool {
        self.room.is_none_or(|room| self.taken() < room)
    }

    fn taken(&self) -> usize {
        [self.facts.len(), self.side_doors.len(), self.cards.len(), self.names.len(), self.lee.len()].into_iter().sum()
    }

    /// Returns the tree on which an operation works.
    #[must_use]
    pub fn wallet(&self, request: &Request) -> Wallet {
        self.tree(&request.card, request.key_uid)
    }

    fn tree(&self, card: &CardId, key_uid: Option<KeyUid>) -> Wallet {
        let memory = self.cards.get(card);
        let held = memory.map(|memory| memory.held).unwrap_or_default();
        let account = key_uid.or(held.key_uid).map_or(Account::Card(*card, held.before), Account::KeyUid);
        Wallet { account, decoy: memory.is_some_and(|memory| memory.decoy) }
    }

    /// Returns the tree and the path of the key with which an operation signs, when it is known.
    #[must_use]
    pub fn signer(&self, request: &Request) -> Option<Node> {
        match &request.operation {
            Operation::Sign(Signing { key, .. }) => Some((self.wallet(request), self.resolve(&request.card, key)?)),
            Operation::CashSign(_) => {
                Some((Wallet { account: Account::Cash(request.card), decoy: false }, KeyPath::master()))
            }
            _ => None,
        }
    }

    /// Takes that two signatures of these keys share a nonce, and say different things of it.
    pub fn tie(&mut self, one: Node, other: Node, from: [Source; 2]) {
        self.bonds.tie(one, other, from);
    }

    /// Takes a key that was written down by hand.
    pub(super) fn write_down(&mut self, number: u64, note: &Written) {
        let Written { wallet, path, parts, side_door, leaks } = note;
        let mut gives = Gives::at(*wallet, path, parts);
        gives.side_door = side_door.map(|way| (*wallet, path.clone(), way));
        if path.is_master() && parts.contains(&Part::Chain) {
            gives.facts.retain(|(.., part)| *part != Part::Chain);
            match self.written.leak(wallet, *leaks) {
                Ok(leaked) => gives.facts.extend(leaked.into_iter().map(|(wallet, path)| (wallet, path, Part::Chain))),
                Err(Full) => drop(self.cut_off.get_or_insert(number)),
            }
        }
        if self.learn(Source::Written(number), None, &gives).is_err() {
            self.cut_off.get_or_insert(number);
        }
        gives.uses.into_iter().filter(|_| *leaks).for_each(|node| self.written.add(node));
    }

    /// Takes a seed or a key that was known outside of the card.
    pub(super) fn write_down_sight(&mut self, number: u64, seen: Seen, source: Source) {
        // It says nothing of which keys follow: what does is followed all the same.
        if self.seen.add(seen, source) == Err(Full) {
            self.unseen.get_or_insert(number);
        }
    }

    fn intent(&mut self, seq: u64, intent: &Intent) -> Result<(), Full> {
        let request = &intent.request;
        self.asked_of(request);
        let gives = self.gives(request);
        let mut told = Ok(());
        if let Some(node) = gives.uses.as_ref().filter(|_| can_leak(&request.card)) {
            told = self.cards.entry(request.card).or_default().will_use(node);
        }
        self.open.insert(seq, Pending { request: request.clone(), holder: intent.caller.uid, gives });
        if self.open.len() > MOST_OPEN
            && let Some(oldest) = self.open.keys().next().copied()
        {
            told =
                told.and(self.outcome(oldest, &Outcome::Failed { reason: Text::lossy("nobody knows") })).and(Err(Full));
        }
        told
    }

    fn outcome(&mut self, seq: u64, outcome: &Outcome) -> Result<(), Full> {
        let Some(Pending { request, holder, mut gives }) = self.open.remove(&seq) else { return Ok(()) };
        let can_leak = can_leak(&request.card);
        if let (Some(memory), Some(node)) = (self.cards.get_mut(&request.card), &gives.uses) {
            memory.has_ended(node);
        }
        match outcome {
            Outcome::Done { fingerprint, key_uid, .. } => {
                if let Some(decoy) = self.shows_decoy(&request, *fingerprint) {
                    self.cards.entry(request.card).or_default().decoy = decoy;
                    gives = self.gives(&request);
                }
                let mut learned = self.learn(Source::Line(seq), Some(holder), &gives);
                self.sighted(seq, holder, &request, *key_uid);
                if let (Operation::LoadLeeSeed, Some(uid)) = (&request.operation, key_uid) {
                    if self.lee.contains(uid) || self.has_room() {
                        self.lee.insert(*uid);
                    } else {
                        learned = Err(Full);
                    }
                }
                let memory = self.cards.entry(request.card).or_default();
                gives.uses.into_iter().filter(|_| can_leak).for_each(|node| memory.used(node));
                memory.changes(&request.operation);
                if memory.has_paths() {
                    self.moved.insert(request.card);
                }
                self.holds(&request.card, *key_uid);
                learned
            }
            Outcome::Failed { .. } => {
                let learned = self.learn(Source::Line(seq), Some(holder), &gives);
                self.sighted(seq, holder, &request, None);
                let memory = self.cards.entry(request.card).or_default();
                memory.may_change(&request.operation);
                let used = gives.uses.filter(|_| can_leak);
                learned.and(used.map_or(Ok(()), |node| memory.may_have_used(node)))
            }
            // SIGN finds fault after it has derived the key.
            Outcome::RefusedByCard { .. } if matches!(request.operation, Operation::Sign(_)) && can_leak => {
                let memory = self.cards.entry(request.card).or_default();
                gives.uses.map_or(Ok(()), |node| memory.may_have_used(node))
            }
            Outcome::RefusedByCard { .. } | Outcome::NotSent { .. } => Ok(()),
        }
    }

    /// Returns which tree a card shows, where the operation fetched the key that tells.
    fn shows_decoy(&self, request: &Request, fingerprint: Option<Fingerprint>) -> Option<bool> {
        let path = match &request.operation {
            Operation::ExportPublic(path) => path,
            Operation::ExportPrivate(path) => path.as_path(),
            _ => return None,
        };
        let (card, shown) = (self.cards.get(&request.card)?, fingerprint?);
        (path == ExportPath::chat().as_path()).then(|| card.is_decoy(&shown))
    }

    pub(super) fn gives(&self, request: &Request) -> Gives {
        self.given(&request.card, self.wallet(request), request.operation.gives())
    }

    fn given(&self, card: &CardId, wallet: Wallet, given: Given<'_>) -> Gives {
        let at = |path: &KeyPath, parts: &[Part]| Gives::at(wallet, path, parts);
        let door = |path: &KeyPath, way| Some((wallet, path.clone(), way));
        match given {
            Given::Nothing => Gives::default(),
            Given::Private(path) => at(path, &[Part::Private]),
            Given::Public(path) => at(path, &[Part::Public]),
            Given::ExtendedPublic(path) if path.is_master() => {
                let leaked = self.leaks(card).into_iter().map(|(wallet, path)| (wallet, path, Part::Chain));
                let mut gives = at(path, &[Part::Public]);
                gives.facts.extend(leaked);
                gives
            }
            Given::ExtendedPublic(path) => at(path, &[Part::Public, Part::Chain]),
            Given::Signature(key) => {
                self.resolve(card, key).map_or_else(Gives::default, |path| at(&path, &[Part::Public]))
            }
            // Who agrees with a multiple of the generator learns the public key, up to its sign.
            Given::Agreement(path) => Gives { side_door: door(path, Way::Ecdh), ..at(path, &[Part::Public]) },
            Given::Lee(path) => Gives { side_door: door(path, Way::Lee), ..Gives::default() },
            Given::Bip85(path) => Gives { side_door: door(path, Way::Bip85), ..Gives::default() },
        }
    }

    /// Returns the nodes of which the extended public key of `m` would carry the chain code of one.
    fn leaks(&self, card: &CardId) -> BTreeSet<Node> {
        let memory = self.cards.get(card).filter(|_| can_leak(card));
        memory.map(CardMemory::leaks).unwrap_or_default()
    }

    fn resolve(&self, card: &CardId, place: &KeyPlace) -> Option<KeyPath> {
        match (place, self.cards.get(card)) {
            (_, Some(memory)) => memory.resolve(place),
            (place, None) => place.absolute().cloned(),
        }
    }

    fn learn(&mut self, source: Source, holder: Option<u32>, gives: &Gives) -> Result<(), Full> {
        for fact in &gives.facts {
            if !self.facts.contains_key(fact) && !self.has_room() {
                return Err(Full);
            }
            self.wallets.insert(fact.0);
            self.facts.entry(fact.clone()).or_default().entry(holder).or_insert(source);
        }
        if let Some(door) = &gives.side_door {
            if !self.side_doors.contains_key(door) && !self.has_room() {
                return Err(Full);
            }
            let lines = self.side_doors.entry(door.clone()).or_default().entry(holder).or_default();
            if lines.len() < MOST_LINES {
                lines.push(source);
            }
        }
        Ok(())
    }

    /// Forgets the paths that a card, or every card, remembers.
    fn forget_paths(&mut self, of: Option<CardId>) {
        let cards = match of {
            Some(card) => BTreeSet::from([card]),
            None => std::mem::take(&mut self.moved),
        };
        for card in cards {
            self.cards.get_mut(&card).into_iter().for_each(CardMemory::forget_paths);
        }
    }

    fn sighted(&mut self, seq: u64, holder: u32, request: &Request, key_uid: Option<KeyUid>) {
        let sight = match request.operation {
            Operation::LoadKey => Sight::Seed,
            Operation::LoadLeeSeed => Sight::LeeSeed,
            Operation::LoadKeyPair => Sight::MasterKey,
            Operation::LoadExtendedKey => Sight::ExtendedMasterKey,
            Operation::GenerateMnemonic(_) => Sight::Words,
            _ => return,
        };
        self.write_down_sight(seq, (key_uid, sight, Some(request.card), Some(holder)), Source::Line(seq));
    }
}

/// Intents whose outcome may still come; what is older counts as exported.
const MOST_OPEN: usize = 1 << 12;
/// Of one side door, or one thing that the host has seen, to one holder.
pub(super) const MOST_LINES: usize = 64;

#[cfg(test)]
impl History {
    /// Returns the paths of the nodes that the next extended public key of `m` would leak.
    pub(super) fn leaks_for_test(&self, card: &CardId) -> Vec<String> {
        self.leaks(card).into_iter().map(|(_, path)| path.to_string()).collect()
    }
}
