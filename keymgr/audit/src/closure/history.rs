//! What left, gathered line by line: who got what of which tree, and what each card would give away besides.
//!
//! On applets 3.1 and 3.2 the extended public key of `m` carries the chain code of the node that was used last (reference:
//! Keycard, export rules). A node is used by EXPORT KEY in any form and by SIGN, unless its path is empty; DERIVE KEY uses
//! nothing. A power cut clears the memory, but no line tells of it: what was used before counts until something else is
//! used. Outcomes that nobody knows count as done.
//!
//! What is kept grows with the number of different keys, not with that of the lines.

use std::collections::{BTreeMap, BTreeSet};

use proto::{CardId, ExportPath, Fingerprint, KeyPath, KeyPlace, KeyUid};

use super::facts::{Facts, Part, Source};
use super::side::{SeenByHost, SideDoor, Sight, Way};
use crate::entry::{Event, Intent, Outcome};
use crate::line::Line;
use crate::operation::{Bip85, Operation, Signing};
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
    /// By the card on which it is, when the line does not name the master key.
    Card(CardId),
    /// Not at all: it was written down by hand.
    Unnamed,
}

impl std::fmt::Display for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.account {
            Account::KeyUid(uid) => write!(f, "account {uid}")?,
            Account::Card(card) => write!(f, "card {card}")?,
            Account::Unnamed => f.write_str("an account without a name")?,
        }
        f.write_str(if self.decoy { " (decoy)" } else { "" })
    }
}

type Fact = (Wallet, KeyPath, Part);
type Door = (Wallet, KeyPath, Way);
/// Something for each user; for nobody known, what was written down by hand.
type ByHolder<T> = BTreeMap<Option<u32>, T>;

/// All that left, as far as it was told.
#[derive(Debug, Clone, Default)]
pub struct History {
    facts: BTreeMap<Fact, ByHolder<Source>>,
    concluded: BTreeMap<(Wallet, KeyPath), BTreeSet<Source>>,
    lee: BTreeSet<KeyUid>,
    cards: BTreeMap<CardId, CardMemory>,
    open: BTreeMap<u64, Pending>,
    side_doors: BTreeMap<Door, ByHolder<Vec<Source>>>,
    seen: Vec<SeenByHost>,
    /// What a line written by hand used last.
    written_use: Option<(Wallet, KeyPath)>,
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

/// What a card remembers between two commands.
#[derive(Debug, Clone, Default)]
struct CardMemory {
    /// The chat keys of the duress PIN.
    decoys: BTreeSet<Fingerprint>,
    /// Whether the duress PIN was entered.
    decoy: bool,
    /// The nodes of which one was used last.
    used: BTreeSet<(Wallet, KeyPath)>,
    /// Its current path, when it is known.
    current: Option<KeyPath>,
    /// Its path for signing without a PIN, when it is known.
    pinless: Option<KeyPath>,
}

/// What may have left with the answer to one intent.
#[derive(Debug, Clone)]
struct Pending {
    request: Request,
    holder: u32,
    gives: Gives,
}

/// What an operation gives to who asked for it, and what of the card it changes.
#[derive(Debug, Clone, Default)]
struct Gives {
    facts: Vec<Fact>,
    side_door: Option<Door>,
    uses: Option<(Wallet, KeyPath)>,
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

    /// Takes the event of the next line, with the line's number.
    pub fn tell(&mut self, seq: u64, event: &Event) {
        match event {
            Event::Intent(intent) => self.intent(seq, intent),
            Event::Outcome { intent, outcome } => self.outcome(*intent, outcome),
            Event::Decoy(decoy) => {
                let card = self.cards.entry(decoy.card).or_default();
                if card.decoys.len() < MOST_DECOYS {
                    card.decoys.insert(decoy.chat_fingerprint);
                }
                card.decoy = true;
            }
            _ => {}
        }
    }

    /// Returns the tree on which an operation works.
    #[must_use]
    pub fn wallet(&self, request: &Request) -> Wallet {
        let account = request.key_uid.map_or(Account::Card(request.card), Account::KeyUid);
        Wallet { account, decoy: self.cards.get(&request.card).is_some_and(|card| card.decoy) }
    }

    /// Returns the tree and the path of the key with which an operation signs, when it is known.
    #[must_use]
    pub fn signer(&self, request: &Request) -> Option<(Wallet, KeyPath)> {
        let Operation::Sign(Signing { key, .. }) = &request.operation else { return None };
        Some((self.wallet(request), self.resolve(&request.card, key)?))
    }

    /// Takes a private key that follows from two signatures.
    pub fn reveal(&mut self, wallet: Wallet, path: KeyPath, from: BTreeSet<Source>) {
        self.concluded.entry((wallet, path)).or_insert(from);
    }

    /// Takes a key that was written down by hand.
    pub(super) fn write_down(&mut self, number: u64, note: &Written) {
        let Written { wallet, path, parts, side_door, leaks } = note;
        let mut gives = Gives::at(*wallet, path, parts);
        gives.side_door = side_door.map(|way| (*wallet, path.clone(), way));
        if path.is_master() && parts.contains(&Part::Chain) {
            gives.facts.retain(|(.., part)| *part != Part::Chain);
            let leaked = self.written_use.iter().filter(|_| *leaks).cloned();
            gives.facts.extend(leaked.map(|(wallet, path)| (wallet, path, Part::Chain)));
        }
        self.learn(Source::Written(number), None, &gives);
        if gives.uses.is_some() && *leaks {
            self.written_use = gives.uses;
        }
    }

    /// Takes a seed or a key that was known outside of the card.
    pub(super) fn write_down_sight(&mut self, seen: SeenByHost) {
        if self.seen.len() < MOST_SEEN {
            self.seen.push(seen);
        }
    }

    fn intent(&mut self, seq: u64, intent: &Intent) {
        let gives = self.gives(&intent.request);
        self.open.insert(seq, Pending { request: intent.request.clone(), holder: intent.caller.uid, gives });
        if self.open.len() > MOST_OPEN
            && let Some(oldest) = self.open.keys().next().copied()
        {
            self.outcome(oldest, &Outcome::Failed { reason: Text::lossy("nobody knows") });
        }
    }

    fn outcome(&mut self, seq: u64, outcome: &Outcome) {
        let Some(Pending { request, holder, mut gives }) = self.open.remove(&seq) else { return };
        let card = request.card;
        match outcome {
            Outcome::Done { fingerprint, key_uid, .. } => {
                if let Some(decoy) = self.shows_decoy(&request, *fingerprint) {
                    self.cards.entry(card).or_default().decoy = decoy;
                    gives = self.gives(&request);
                }
                self.learn(Source::Line(seq), Some(holder), &gives);
                self.use_for_certain(&card, gives.uses);
                self.change(&request, *key_uid);
                self.sighted(seq, holder, &request, *key_uid);
            }
            Outcome::Failed { .. } => {
                self.learn(Source::Line(seq), Some(holder), &gives);
                self.use_perhaps(&card, gives.uses);
                self.forget_paths(&request);
                self.sighted(seq, holder, &request, None);
            }
            // SIGN finds fault after it has derived the key.
            Outcome::RefusedByCard { .. } => {
                if matches!(request.operation, Operation::Sign(_)) {
                    self.use_perhaps(&card, gives.uses);
                }
            }
            Outcome::NotSent { .. } => {}
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
        (path == ExportPath::chat().as_path()).then(|| card.decoys.contains(&shown))
    }

    fn gives(&self, request: &Request) -> Gives {
        let wallet = self.wallet(request);
        let at = |path: &KeyPath, parts: &[Part]| Gives::at(wallet, path, parts);
        match &request.operation {
            Operation::ExportPrivate(path) => at(path.as_path(), &[Part::Private]),
            Operation::ExportPublic(path) => at(path, &[Part::Public]),
            Operation::ExportExtendedPublic(path) if path.is_master() => {
                let leaked = self.leaks(&request.card).into_iter().map(|(wallet, path)| (wallet, path, Part::Chain));
                let mut gives = at(path, &[Part::Public]);
                gives.facts.extend(leaked);
                gives
            }
            Operation::ExportExtendedPublic(path) => at(path, &[Part::Public, Part::Chain]),
            // The answer carries the signer's public key.
            Operation::Sign(Signing { key, .. }) => {
                self.resolve(&request.card, key).map_or_else(Gives::default, |path| at(&path, &[Part::Public]))
            }
            // Who agrees with a multiple of the generator learns the public key, up to its sign.
            Operation::Ecdh(agreement) => {
                let mut gives = at(&agreement.path, &[Part::Public]);
                gives.side_door = Some((wallet, agreement.path.clone(), Way::Ecdh));
                gives
            }
            Operation::ExportLee(path) => {
                Gives { side_door: Some((wallet, path.clone(), Way::Lee)), ..Gives::default() }
            }
            Operation::ExportBip85(Bip85 { path, .. }) => {
                Gives { side_door: Some((wallet, path.clone(), Way::Bip85)), ..Gives::default() }
            }
            Operation::Init
            | Operation::LoadKey
            | Operation::LoadKeyPair
            | Operation::LoadExtendedKey
            | Operation::LoadLeeSeed
            | Operation::GenerateKey
            | Operation::GenerateMnemonic(_)
            | Operation::RemoveKey
            | Operation::DeriveKey(_)
            | Operation::SetPinlessPath(_)
            | Operation::ClearPinlessPath
            | Operation::CashSign(_)
            | Operation::ChangePin
            | Operation::ChangePuk
            | Operation::ChangePairingSecret
            | Operation::UnblockPin
            | Operation::Pair
            | Operation::Unpair(_)
            | Operation::StoreData(_)
            | Operation::FactoryReset
            | Operation::InstallApplet(_)
            | Operation::Personalise(_) => Gives::default(),
        }
    }

    /// Returns the nodes of which the extended public key of `m` would carry the chain code of one. 4.0 gives none.
    fn leaks(&self, card: &CardId) -> BTreeSet<(Wallet, KeyPath)> {
        if matches!(card, CardId::Identity(_)) {
            return BTreeSet::new();
        }
        let mut used = self.cards.get(card).map(|memory| memory.used.clone()).unwrap_or_default();
        used.extend(self.open.values().filter(|open| open.request.card == *card).filter_map(|o| o.gives.uses.clone()));
        used
    }

    fn resolve(&self, card: &CardId, place: &KeyPlace) -> Option<KeyPath> {
        let memory = self.cards.get(card);
        let (start, below) = match place {
            KeyPlace::Absolute(path) => return Some(path.clone()),
            KeyPlace::Pinless => return memory?.pinless.clone(),
            KeyPlace::BelowCurrent(below) => (memory?.current.as_ref()?.components(), below),
            KeyPlace::BelowParent(below) => (memory?.current.as_ref()?.components().split_last()?.1, below),
        };
        KeyPath::new(&[start, below.components()].concat()).ok()
    }

    fn learn(&mut self, source: Source, holder: Option<u32>, gives: &Gives) {
        for fact in &gives.facts {
            self.facts.entry(fact.clone()).or_default().entry(holder).or_insert(source);
        }
        if let Some(door) = &gives.side_door {
            let lines = self.side_doors.entry(door.clone()).or_default().entry(holder).or_default();
            if lines.len() < MOST_LINES {
                lines.push(source);
            }
        }
    }

    fn use_for_certain(&mut self, card: &CardId, node: Option<(Wallet, KeyPath)>) {
        if let Some(node) = node.filter(|_| !matches!(card, CardId::Identity(_))) {
            self.cards.entry(*card).or_default().used = BTreeSet::from([node]);
        }
    }

    fn use_perhaps(&mut self, card: &CardId, node: Option<(Wallet, KeyPath)>) {
        if let Some(node) = node.filter(|_| !matches!(card, CardId::Identity(_))) {
            self.cards.entry(*card).or_default().used.insert(node);
        }
    }

    /// Follows what an operation that was done changes on the card.
    fn change(&mut self, request: &Request, key_uid: Option<KeyUid>) {
        let place = match &request.operation {
            Operation::DeriveKey(place) => Some(place),
            Operation::Sign(Signing { key, makes_current: true, .. }) => Some(key),
            _ => None,
        };
        let current = place.and_then(|place| self.resolve(&request.card, place));
        if let (Operation::LoadLeeSeed, Some(uid)) = (&request.operation, key_uid) {
            self.lee.insert(uid);
        }
        let memory = self.cards.entry(request.card).or_default();
        match &request.operation {
            Operation::LoadKey
            | Operation::LoadKeyPair
            | Operation::LoadExtendedKey
            | Operation::LoadLeeSeed
            | Operation::GenerateKey => {
                memory.current = Some(KeyPath::master());
                memory.pinless = None;
            }
            Operation::SetPinlessPath(path) => memory.pinless = Some(path.clone()),
            Operation::ClearPinlessPath => memory.pinless = None,
            Operation::RemoveKey | Operation::FactoryReset | Operation::InstallApplet(_) => {
                *memory = CardMemory::default();
            }
            _ if place.is_some() => memory.current = current,
            _ => {}
        }
    }

    /// Follows what an operation of unknown outcome may have changed.
    fn forget_paths(&mut self, request: &Request) {
        if !request.operation.only_reads()
            && let Some(memory) = self.cards.get_mut(&request.card)
        {
            memory.current = None;
            memory.pinless = None;
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
        if self.seen.len() < MOST_SEEN {
            self.seen.push(SeenByHost {
                card: Some(request.card),
                key_uid,
                sight,
                holder: Some(holder),
                source: Source::Line(seq),
            });
        }
    }
}

/// How the closure reads what was gathered.
impl History {
    /// Returns what an operation would give that did not leave already.
    pub(super) fn news(&self, request: &Request) -> Vec<Fact> {
        let facts = self.gives(request).facts.into_iter();
        facts.filter(|fact| !self.facts.contains_key(fact)).collect()
    }

    /// Returns the trees of which something left.
    pub(super) fn wallets(&self) -> BTreeSet<Wallet> {
        let open = self.open.values().flat_map(|open| &open.gives.facts).map(|(wallet, ..)| *wallet);
        self.facts.keys().map(|(wallet, ..)| *wallet).chain(open).chain(self.concluded.keys().map(|it| it.0)).collect()
    }

    /// Returns what left of one tree to `holder`, or to anybody; what has no name is counted to every tree.
    pub(super) fn facts_of(&self, wallet: &Wallet, holder: Option<u32>) -> Facts {
        let is_lee = matches!(wallet.account, Account::KeyUid(uid) if self.lee.contains(&uid));
        let mut facts = if is_lee { Facts::of_lee() } else { Facts::default() };
        let unnamed = Wallet { account: Account::Unnamed, decoy: wallet.decoy };
        let told = |to: &Option<u32>| holder.is_none() || to.is_none() || *to == holder;
        for of in BTreeSet::from([wallet, &unnamed]) {
            for ((_, path, part), sources) in self.facts.range(start(of)..).take_while(|((it, ..), _)| it == of) {
                if let Some(source) = sources.iter().filter(|(to, _)| told(to)).map(|(_, source)| *source).min() {
                    facts.learn(path, *part, source);
                }
            }
        }
        for (seq, open) in self.open.iter().filter(|(_, open)| told(&Some(open.holder))) {
            for (_, path, part) in open.gives.facts.iter().filter(|(of, ..)| of == wallet) {
                facts.learn(path, *part, Source::Line(*seq));
            }
        }
        for ((_, path), from) in self.concluded.iter().filter(|((of, _), _)| of == wallet) {
            facts.conclude(path, from.clone());
        }
        facts
    }

    /// Returns how many different keys left one tree to `holder`, or to anybody.
    pub(super) fn exported(&self, wallet: &Wallet, holder: Option<u32>) -> usize {
        let told = |sources: &ByHolder<Source>| holder.is_none() || sources.keys().any(|to| *to == holder);
        let facts = self.facts.range(start(wallet)..).take_while(|((of, ..), _)| of == wallet);
        let mut keys: BTreeSet<(&KeyPath, bool)> =
            facts.filter(|(_, to)| told(to)).map(|((_, path, part), _)| (path, *part == Part::Private)).collect();
        let open = self.open.values().filter(|open| holder.is_none_or(|holder| open.holder == holder));
        let perhaps = open.flat_map(|open| &open.gives.facts).filter(|(of, ..)| of == wallet);
        keys.extend(perhaps.map(|(_, path, part)| (path, *part == Part::Private)));
        keys.len()
    }

    /// Returns the uses of the side doors.
    pub(super) fn side_doors(&self, holder: Option<u32>) -> Vec<SideDoor> {
        let mut doors: BTreeMap<Door, Vec<Source>> = BTreeMap::new();
        for (door, lines) in &self.side_doors {
            for (_, lines) in lines.iter().filter(|(to, _)| holder.is_none() || to.is_none() || **to == holder) {
                doors.entry(door.clone()).or_default().extend(lines);
            }
        }
        for (seq, open) in self.open.iter().filter(|(_, open)| holder.is_none_or(|holder| open.holder == holder)) {
            if let Some(door) = &open.gives.side_door {
                doors.entry(door.clone()).or_default().push(Source::Line(*seq));
            }
        }
        doors.into_iter().map(|((wallet, path, way), lines)| SideDoor { wallet, path, way, lines }).collect()
    }

    /// Returns the seeds and keys that this host has seen.
    pub(super) fn seen_by_host(&self) -> &[SeenByHost] {
        &self.seen
    }
}

/// Returns where the facts of one tree begin.
const fn start(wallet: &Wallet) -> Fact {
    (*wallet, KeyPath::master(), Part::Private)
}

/// Intents whose outcome may still come; what is older counts as exported.
const MOST_OPEN: usize = 1 << 16;
/// Seeds and keys that the host has seen; the first ones say enough.
const MOST_SEEN: usize = 1000;
/// More would be a log that lies.
const MOST_DECOYS: usize = 16;
/// Of one side door to one holder.
const MOST_LINES: usize = 64;

#[cfg(test)]
impl History {
    /// Returns the paths of the nodes that the next extended public key of `m` would leak.
    pub(super) fn leaks_for_test(&self, card: &CardId) -> Vec<String> {
        self.leaks(card).into_iter().map(|(_, path)| path.to_string()).collect()
    }
}
