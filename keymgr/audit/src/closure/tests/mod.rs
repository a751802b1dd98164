//! The closure against somebody who computes: real trees, real numbers, real subtraction.

mod current;
mod hostile;

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit as _, Mac as _};
use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::sec1::ToSec1Point as _;
use k256::{ProjectivePoint, PublicKey, Scalar};
use proto::{CardId, ExportPath, KeyPath};
use sha2::Sha512;

use super::*;
use crate::entry::{Caller, Event, Intent, Outcome};
use crate::line::{Line, LineHash};
use crate::operation::{Operation, Scheme, Signing};

const HARDENED: u32 = 0x8000_0000;
const STEPS: [u32; 3] = [HARDENED, 0, 1];
const DEPTH: usize = 3;

type Number = [u8; 32];
type Point = [u8; 33];

/// What somebody knows of one node, in numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Numbers {
    private: Option<Number>,
    public: Option<Point>,
    chain: Option<Number>,
}

/// A calculator that remembers what it computed before: the same trees are asked for many times.
#[derive(Default)]
struct Algebra {
    points: BTreeMap<Number, Point>,
    sums: BTreeMap<(Number, Point), Point>,
    digests: BTreeMap<(Number, Vec<u8>), (Number, Number)>,
}

fn scalar(number: &Number) -> Scalar {
    Scalar::from_repr((*number).into()).unwrap()
}

fn compressed(point: ProjectivePoint) -> Point {
    PublicKey::try_from(point.to_affine()).unwrap().to_sec1_point(true).as_bytes().try_into().unwrap()
}

impl Algebra {
    fn point(&mut self, private: &Number) -> Point {
        *self.points.entry(*private).or_insert_with(|| compressed(ProjectivePoint::GENERATOR * scalar(private)))
    }

    fn sum(&mut self, left: &Number, public: &Point) -> Point {
        *self.sums.entry((*left, *public)).or_insert_with(|| {
            let public = PublicKey::from_sec1_bytes(public).unwrap().to_projective();
            compressed(ProjectivePoint::GENERATOR * scalar(left) + public)
        })
    }

    /// `HMAC-SHA512(chain, data || step)` in its two halves.
    fn digest(&mut self, chain: &Number, data: &[u8], step: u32) -> (Number, Number) {
        let data = [data, &step.to_be_bytes()].concat();
        *self.digests.entry((*chain, data.clone())).or_insert_with(|| halves(chain, &data))
    }

    /// What a child is, of a parent of which at least the chain code is known.
    fn child(&mut self, parent: &Numbers, step: u32) -> Numbers {
        let Some(chain) = parent.chain else { return Numbers::default() };
        let (left, right) = match (parent.private, parent.public) {
            (Some(private), _) if step & HARDENED != 0 => self.digest(&chain, &[&[0][..], &private].concat(), step),
            (_, Some(public)) if step & HARDENED == 0 => self.digest(&chain, &public, step),
            _ => return Numbers::default(),
        };
        let private = parent.private.map(|private| (scalar(&left) + scalar(&private)).to_repr().into());
        let public = match (private, parent.public) {
            (Some(private), _) => Some(self.point(&private)),
            (None, Some(public)) => Some(self.sum(&left, &public)),
            _ => None,
        };
        Numbers { private, public, chain: Some(right) }
    }

    /// What the private key of a child that is not hardened tells of an extended public key.
    fn subtract(&mut self, parent: &Numbers, step: u32, child: &Number) -> Option<Number> {
        let (left, _) = self.digest(&parent.chain?, &parent.public?, step);
        let private: Number = (scalar(child) - scalar(&left)).to_repr().into();
        (self.point(&private) == parent.public?).then_some(private)
    }
}

fn halves(key: &[u8], data: &[u8]) -> (Number, Number) {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
    mac.update(data);
    let digest = mac.finalize().into_bytes();
    (digest[..32].try_into().unwrap(), digest[32..].try_into().unwrap())
}

fn universe() -> Vec<KeyPath> {
    let mut all = vec![KeyPath::master()];
    let mut level = all.clone();
    for _ in 0..DEPTH {
        level = level.iter().flat_map(|path| STEPS.map(|step| below(path, step))).collect();
        all.extend(level.clone());
    }
    all
}

fn below(path: &KeyPath, step: u32) -> KeyPath {
    KeyPath::new(&[path.components(), &[step]].concat()).unwrap()
}

/// The whole tree of a seed, as BIP-32 has it.
fn tree(algebra: &mut Algebra, seed: u8) -> BTreeMap<KeyPath, Numbers> {
    let (private, chain) = halves(b"Bitcoin seed", &[seed; 16]);
    let public = algebra.point(&private);
    let master = Numbers { private: Some(private), public: Some(public), chain: Some(chain) };
    let mut tree = BTreeMap::from([(KeyPath::master(), master)]);
    for path in universe().into_iter().skip(1) {
        let (step, above) = path.components().split_last().unwrap();
        let parent = tree[&KeyPath::new(above).unwrap()];
        tree.insert(path.clone(), algebra.child(&parent, *step));
    }
    tree
}

/// Computes all that follows, number by number, until nothing more comes.
fn brute(algebra: &mut Algebra, mut known: BTreeMap<KeyPath, Numbers>, all: &[KeyPath]) -> BTreeMap<KeyPath, Numbers> {
    loop {
        let before = known.clone();
        for path in all {
            let mut node = known.get(path).copied().unwrap_or_default();
            if let (Some(private), None) = (node.private, node.public) {
                node.public = Some(algebra.point(&private));
            }
            if path.components().len() < DEPTH {
                for step in STEPS {
                    let child = known.entry(below(path, step)).or_default();
                    if let (None, Some(private), 0) = (node.private, child.private, step & HARDENED) {
                        node.private = algebra.subtract(&node, step, &private);
                    }
                    let computed = algebra.child(&node, step);
                    child.private = child.private.or(computed.private);
                    child.public = child.public.or(computed.public);
                    child.chain = child.chain.or(computed.chain);
                }
            }
            known.insert(path.clone(), node);
        }
        if known == before {
            return known;
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

/// Both directions: what the closure says can be computed, is computed; what it does not name, is not.
#[test]
fn ten_thousand_random_histories_give_exactly_what_subtraction_gives() {
    let mut algebra = Algebra::default();
    let all = universe();
    let trees: Vec<_> = (1..5).map(|seed| tree(&mut algebra, seed)).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut betrayed, mut leaked) = (0, 0);
    for round in 0..10_000 {
        let real = &trees[round % trees.len()];
        let mut known: BTreeMap<KeyPath, Numbers> = BTreeMap::new();
        // No line names its card: what one of two cards with this seed leaks is of what it used itself.
        let (mut cards, mut left_over) = ([None::<KeyPath>, None], BTreeSet::new());
        let (mut list, mut leaks) = (String::new(), Vec::new());
        for _ in 0..1 + dice.below(6) {
            // The master key is asked for more often: it is the one that leaks.
            let path = if dice.below(4) == 0 { KeyPath::master() } else { all[dice.below(all.len())].clone() };
            let form = ["private", "public", "signature", "extended-public"][dice.below(4)];
            let version = ["3.0", "3.1", "3.2", "4.0"][dice.below(4)];
            list.push_str(&format!("{path} {form} {version}\n"));
            let (from, to) = (real[&path], known.entry(path.clone()).or_default());
            match form {
                "private" => to.private = from.private,
                "extended-public" if !path.is_master() => (to.public, to.chain) = (from.public, from.chain),
                _ => to.public = from.public,
            }
            if matches!(version, "3.0" | "4.0") {
                continue;
            }
            let card = &mut cards[dice.below(2)];
            if !path.is_master() {
                left_over.insert(path.clone());
                *card = Some(path);
            } else if form == "extended-public" {
                leaks.extend(card.clone());
                for used in &left_over {
                    known.entry(used.clone()).or_default().chain = real[used].chain;
                    leaked += 1;
                }
            }
        }
        assert!(
            leaks.iter().all(|used| known[used].chain.is_some()),
            "what leaked is one of what may have, in\n{list}"
        );
        let handed = known.clone();
        let known = brute(&mut algebra, known, &all);
        let mut history = History::default();
        history.take_written(&list).unwrap();
        let closed = closed(&history, Account::Unnamed);
        for path in &all {
            let computed = known.get(path).copied().unwrap_or_default();
            let truth = real[path];
            assert!(computed.private.is_none_or(|it| Some(it) == truth.private), "{path} of\n{list}");
            assert!(computed.chain.is_none_or(|it| Some(it) == truth.chain), "{path} of\n{list}");
            assert!(computed.public.is_none_or(|it| Some(it) == truth.public), "{path} of\n{list}");
            let said = [Part::Private, Part::Public, Part::Chain].map(|part| closed.knows(path, part));
            let had = [computed.private.is_some(), computed.public.is_some(), computed.chain.is_some()];
            assert_eq!(said, had, "{path} of\n{list}");
            if computed.private.is_some() && handed.get(path).is_none_or(|it| it.private.is_none()) {
                betrayed += 1;
            }
        }
        // The short description says the same: learned anew, it closes to the same set, and nothing in it is idle.
        let short = closed.computable();
        let again = relearned(&short).close();
        for path in &all {
            for part in [Part::Private, Part::Public, Part::Chain] {
                assert_eq!(again.knows(path, part), closed.knows(path, part), "{path} of\n{list}");
            }
        }
        for idle in 0..short.len() {
            let mut fewer = short.clone();
            let gone = fewer.remove(idle);
            let part = if gone.extent.is_private() { Part::Private } else { Part::Public };
            let part = if gone.extent == Extent::ChainCode { Part::Chain } else { part };
            let fewer = Short(&fewer);
            assert!(!fewer.says(&gone.path, part), "{gone:?} is said twice in\n{list}");
        }
    }
    assert!(betrayed > 1_000 && leaked > 500, "{betrayed} keys betrayed, {leaked} chain codes leaked");
}

/// The same for lists that name accounts: what is said of one is what follows from its lines and those before any account.
#[test]
fn random_lists_of_several_accounts_give_exactly_what_subtraction_gives() {
    let mut algebra = Algebra::default();
    let all = universe();
    let trees: Vec<_> = (1..4).map(|seed| tree(&mut algebra, seed)).collect();
    let accounts: Vec<KeyUid> = (1..4).map(|n| KeyUid::from([n; 32])).collect();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (mut from_others, mut leaked) = (0, 0);
    for _ in 0..2_000 {
        let mut known: Vec<BTreeMap<KeyPath, Numbers>> = vec![BTreeMap::new(); trees.len()];
        let mut used: Vec<(Option<usize>, KeyPath)> = Vec::new();
        let (mut list, mut account) = (String::new(), None);
        for _ in 0..2 + dice.below(7) {
            if dice.below(3) == 0 {
                let named = dice.below(accounts.len());
                list.push_str(&format!("account {}\n", accounts[named]));
                account = Some(named);
            }
            let path = if dice.below(4) == 0 { KeyPath::master() } else { all[dice.below(all.len())].clone() };
            let form = ["private", "public", "extended-public"][dice.below(3)];
            let version = ["-", "3.1", "4.0"][dice.below(3)];
            list.push_str(&format!("{path} {form} {version}\n"));
            let leaks = path.is_master() && form == "extended-public" && version != "4.0";
            for (number, known) in known.iter_mut().enumerate() {
                let counts = |to: Option<usize>| to.is_none_or(|to| to == number);
                if !counts(account) {
                    continue;
                }
                let (from, to) = (trees[number][&path], known.entry(path.clone()).or_default());
                match form {
                    "private" => to.private = from.private,
                    "extended-public" if !path.is_master() => (to.public, to.chain) = (from.public, from.chain),
                    _ => to.public = from.public,
                }
                for (by, path) in used.iter().filter(|(by, _)| leaks && counts(*by)) {
                    known.entry(path.clone()).or_default().chain = trees[number][path].chain;
                    (leaked, from_others) = (leaked + 1, from_others + usize::from(*by != account));
                }
            }
            if !path.is_master() && version != "4.0" {
                used.push((account, path));
            }
        }
        let mut history = History::default();
        history.take_written(&list).unwrap();
        for (uid, known) in accounts.iter().zip(known) {
            let known = brute(&mut algebra, known, &all);
            let account = Account::KeyUid(*uid);
            let wallets: BTreeSet<Wallet> =
                history.wallets().into_iter().chain([Wallet { account, decoy: false }]).collect();
            let closed = close(history.trees(&wallets, None), &[]).remove(&Wallet { account, decoy: false }).unwrap();
            for path in &all {
                let computed = known.get(path).copied().unwrap_or_default();
                let said = [Part::Private, Part::Public, Part::Chain].map(|part| closed.knows(path, part));
                let had = [computed.private.is_some(), computed.public.is_some(), computed.chain.is_some()];
                assert_eq!(said, had, "{path} of {uid} in\n{list}");
            }
        }
    }
    assert!(leaked > 500 && from_others > 50, "{leaked} chain codes leaked, {from_others} of nodes without an account");
}

/// What can be computed of one account's tree.
fn closed(history: &History, account: Account) -> Closed {
    let wallet = Wallet { account, decoy: false };
    let trees = history.trees(&BTreeSet::from([wallet]), None);
    close(trees, &history.bonds()).remove(&wallet).unwrap()
}

fn relearned(short: &[Computable]) -> Facts {
    let mut facts = Facts::default();
    for it in short {
        let parts: &[Part] = match it.extent {
            Extent::PrivateSubtree => &[Part::Private, Part::Chain],
            Extent::PrivateKey => &[Part::Private],
            Extent::PublicSubtree => &[Part::Public, Part::Chain],
            Extent::PublicKey => &[Part::Public],
            Extent::ChainCode => &[Part::Chain],
        };
        for part in parts {
            facts.learn(&it.path, *part, Source::Line(1));
        }
    }
    facts
}

/// A description read by its words alone, without any rule.
struct Short<'a>(&'a [Computable]);

impl Short<'_> {
    fn says(&self, path: &KeyPath, part: Part) -> bool {
        self.0.iter().any(|it| {
            let Some(below) = path.components().strip_prefix(it.path.components()) else { return false };
            match it.extent {
                Extent::PrivateSubtree => true,
                Extent::PrivateKey => below.is_empty() && part != Part::Chain,
                Extent::PublicSubtree => part != Part::Private && below.iter().all(|step| step & HARDENED == 0),
                Extent::PublicKey => below.is_empty() && part == Part::Public,
                Extent::ChainCode => below.is_empty() && part == Part::Chain,
            }
        })
    }
}

/// Lines as a log has them, without the chain, which the closure does not look at.
#[derive(Default)]
struct Story {
    history: History,
    seq: u64,
}

impl Story {
    fn line(&mut self, event: Event) -> u64 {
        self.seq += 1;
        self.history.see(&Line { seq: self.seq, unix_ms: 0, mono_ms: 0, prev: LineHash::ZERO, event });
        self.seq
    }

    fn intent(&mut self, uid: u32, request: &Request) -> u64 {
        let caller = Caller { uid, pid: None, binary: None, binary_hash: None, one_time_key: None };
        let purpose = "test".parse().unwrap();
        self.line(Event::Intent(Intent { request: request.clone(), purpose, caller, policy: [0; 32] }))
    }

    fn outcome(&mut self, intent: u64, outcome: Outcome) {
        self.line(Event::Outcome { intent, outcome });
    }

    fn done(&mut self, uid: u32, request: &Request) -> u64 {
        let intent = self.intent(uid, request);
        self.outcome(intent, Outcome::done(None, request.key_uid));
        intent
    }

    fn closure(&self) -> Vec<(String, Extent)> {
        said(&Closure::of(&self.history, &Filter::default()).computable)
    }
}

fn said(implied: &[Implied]) -> Vec<(String, Extent)> {
    implied.iter().map(|it| (it.what.path.to_string(), it.what.extent)).collect()
}

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

fn on(card: CardId, operation: Operation) -> Request {
    Request { card, key_uid: Some(KeyUid::from([7; 32])), operation }
}

const OLD: CardId = CardId::Instance([3; 16]);
const NEW: CardId = CardId::Identity([2; 33]);

fn extended(card: CardId, at: &str) -> Request {
    on(card, Operation::ExportExtendedPublic(path(at)))
}

fn chat(card: CardId) -> Request {
    on(card, Operation::ExportPrivate(ExportPath::chat()))
}

fn sign(card: CardId, at: &str) -> Request {
    let key = at.parse().unwrap();
    on(card, Operation::Sign(Signing { key, makes_current: false, scheme: Scheme::Ecdsa, digest: [1; 32].into() }))
}

/// The hole of the applet's own rule: two extended public keys and one private child give the whole subtree.
#[test]
fn attack_three_commands_give_the_whole_subtree_and_the_policy_is_told_before_the_last() {
    let mut story = Story::default();
    story.done(1, &extended(NEW, "m/43'/60'/1581'/0'"));
    let last = chat(NEW);
    let added = would_add(&story.history, &last);
    assert_eq!(said(&added), [("m/43'/60'/1581'/0'".to_owned(), Extent::PrivateSubtree)]);
    let line = story.done(1, &last);
    assert_eq!(story.closure(), [("m/43'/60'/1581'/0'".to_owned(), Extent::PrivateSubtree)]);
    let closure = Closure::of(&story.history, &Filter::default());
    assert_eq!(closure.computable[0].what.from, BTreeSet::from([Source::Line(1), Source::Line(line)]));
    assert!(closure.computable[0].what.follows);
    assert_eq!((closure.count().exported, closure.count().private_subtrees), (2, 1));
    assert!(would_add(&story.history, &last).is_empty(), "it left already");
}

#[test]
fn an_export_of_one_key_adds_that_key_alone() {
    let story = Story::default();
    assert_eq!(said(&would_add(&story.history, &chat(NEW))), [("m/43'/60'/1581'/0'/0".to_owned(), Extent::PrivateKey)]);
    assert!(would_add(&story.history, &extended(NEW, "m/44'/60'/0'/0")).is_empty());
}

/// On 3.x whatever was used at X, then the extended public key of `m`, gives the chain code of X.
#[test]
fn attack_the_extended_public_key_of_the_master_leaks_the_chain_code_of_the_node_used_last() {
    let parent = "m/43'/60'/1581'/0'";
    for used in [sign(OLD, parent), on(OLD, Operation::ExportPublic(path(parent)))] {
        let mut story = Story::default();
        story.done(1, &chat(OLD));
        story.done(1, &used);
        let leak = extended(OLD, "m");
        let subtree = [(parent.to_owned(), Extent::PrivateSubtree)];
        assert_eq!(said(&would_add(&story.history, &leak)), subtree);
        story.done(1, &leak);
        assert!(story.closure().contains(&subtree[0]));
    }
    let mut story = Story::default();
    story.done(1, &chat(NEW));
    story.done(1, &sign(NEW, parent));
    story.done(1, &extended(NEW, "m"));
    assert!(story.closure().iter().all(|(_, extent)| *extent != Extent::PrivateSubtree), "4.0 does not leak");
}

#[test]
fn the_master_key_uses_nothing_and_removal_forgets_what_was_used() {
    let mut story = Story::default();
    story.done(1, &sign(OLD, "m/44'"));
    story.done(1, &on(OLD, Operation::ExportPublic(KeyPath::master())));
    assert_eq!(story.history.clone().leaks_for_test(&OLD), ["m/44'"]);
    story.done(1, &on(OLD, Operation::RemoveKey));
    assert!(story.history.leaks_for_test(&OLD).is_empty());
}

#[test]
fn a_relative_place_is_followed_and_an_unknown_one_is_not_guessed() {
    let mut story = Story::default();
    story.done(1, &sign(OLD, "current/1"));
    assert!(story.closure().is_empty(), "nobody knows where the card stood");
    story.done(1, &on(OLD, Operation::DeriveKey("m/44'/60'".parse().unwrap())));
    story.done(1, &sign(OLD, "current/1"));
    story.done(1, &sign(OLD, "parent/2"));
    let keys: Vec<String> = story.closure().into_iter().map(|(path, _)| path).collect();
    assert_eq!(keys, ["m/44'/2", "m/44'/60'/1"]);
    let lost = story.intent(1, &on(OLD, Operation::DeriveKey("m/1".parse().unwrap())));
    story.outcome(lost, Outcome::Failed { reason: crate::Text::lossy("pulled") });
    story.done(1, &sign(OLD, "current"));
    assert_eq!(story.closure().len(), 2);
}

#[test]
fn an_unknown_outcome_counts_as_exported_and_a_refusal_does_not() {
    let mut story = Story::default();
    let refused = story.intent(1, &chat(NEW));
    story.outcome(refused, Outcome::RefusedByCard { status: 0x6985 });
    let unsent = story.intent(1, &chat(NEW));
    story.outcome(unsent, Outcome::NotSent { reason: crate::Text::lossy("") });
    assert!(story.closure().is_empty());
    let open = story.intent(1, &chat(NEW));
    assert_eq!(story.closure().len(), 1);
    story.outcome(open, Outcome::Failed { reason: crate::Text::lossy("") });
    assert_eq!(story.closure().len(), 1);
}

#[test]
fn what_one_user_holds_is_not_what_all_hold_together() {
    let mut story = Story::default();
    story.done(1, &extended(NEW, "m/43'/60'/1581'/0'"));
    story.done(2, &chat(NEW));
    let of = |holder| said(&Closure::of(&story.history, &Filter { holder: Some(holder), account: None }).computable);
    assert_eq!(of(1), [("m/43'/60'/1581'/0'".to_owned(), Extent::PublicSubtree)]);
    assert_eq!(of(2), [("m/43'/60'/1581'/0'/0".to_owned(), Extent::PrivateKey)]);
    assert!(of(3).is_empty());
    assert_eq!(story.closure(), [("m/43'/60'/1581'/0'".to_owned(), Extent::PrivateSubtree)]);
    let other = Filter { holder: None, account: Some(KeyUid::from([8; 32])) };
    assert!(Closure::of(&story.history, &other).computable.is_empty());
}

#[test]
fn another_account_and_the_decoy_tree_complete_nothing() {
    let parent = extended(NEW, "m/43'/60'/1581'/0'");
    let mut story = Story::default();
    story.done(1, &parent);
    story.done(1, &Request { key_uid: Some(KeyUid::from([8; 32])), ..chat(NEW) });
    let decoy = crate::Decoy {
        card: NEW,
        key_uid: Some(KeyUid::from([7; 32])),
        chat_fingerprint: "0001-0203-0405-06ff".parse().unwrap(),
    };
    story.line(Event::Decoy(decoy));
    story.done(1, &chat(NEW));
    assert!(story.closure().iter().all(|(_, extent)| *extent != Extent::PrivateSubtree));
}

/// What a card is asked before a line tells its account is of that account, unless another key was put on it in between.
#[test]
fn what_is_named_by_its_card_counts_to_the_account_that_was_on_it() {
    let parent = || Request { key_uid: None, ..extended(OLD, "m/43'/60'/1581'/0'") };
    let subtree = ("m/43'/60'/1581'/0'".to_owned(), Extent::PrivateSubtree);
    for loads in [false, true] {
        for nameless_first in [false, true] {
            let mut story = Story::default();
            let mut steps = [parent(), chat(OLD)];
            if !nameless_first {
                steps.reverse();
            }
            let [first, second] = steps;
            story.done(1, &first);
            if loads {
                let load = Request { key_uid: None, ..on(OLD, Operation::LoadKey) };
                let line = story.intent(1, &load);
                story.outcome(line, Outcome::done(None, None));
            }
            assert_eq!(said(&would_add(&story.history, &second)).contains(&subtree), !loads);
            story.done(1, &second);
            assert_eq!(story.closure().contains(&subtree), !loads, "{loads} {nameless_first}");
            let closure = Closure::of(&story.history, &Filter::default());
            let named = Filter { account: Some(KeyUid::from([7; 32])), ..Filter::default() };
            assert_eq!((closure.count().exported, Closure::of(&story.history, &named).computable.len()), (2, 1));
        }
    }
}

/// Another account on the card than before: somebody put another key there.
#[test]
fn another_account_on_a_card_begins_another_tree() {
    let mut story = Story::default();
    story.done(1, &extended(NEW, "m/43'/60'/1581'/0'"));
    story.done(1, &Request { key_uid: Some(KeyUid::from([8; 32])), ..extended(NEW, "m/1") });
    story.done(1, &Request { key_uid: None, ..chat(NEW) });
    assert!(story.closure().iter().all(|(_, extent)| *extent != Extent::PrivateSubtree));
    let other = Filter { account: Some(KeyUid::from([8; 32])), ..Filter::default() };
    assert_eq!(Closure::of(&story.history, &other).computable.len(), 2);
}

/// A LEE seed's children hang on private keys only, and the key that leaves is shifted by its own hash.
#[test]
fn nothing_follows_in_the_tree_of_a_lee_seed() {
    let mut story = Story::default();
    story.done(1, &on(NEW, Operation::LoadLeeSeed));
    story.done(1, &extended(NEW, "m/43'/60'/1581'/0'"));
    story.done(1, &chat(NEW));
    assert!(story.closure().iter().all(|(_, extent)| matches!(extent, Extent::PrivateKey | Extent::PublicKey)));
    let closure = Closure::of(&story.history, &Filter::default());
    assert_eq!(closure.seen_by_host.len(), 1);
    assert_eq!((closure.seen_by_host[0].sight, closure.seen_by_host[0].lines[0]), (Sight::LeeSeed, Source::Line(1)));
}

/// BIP-85 and LEE exports are told, and give no key.
#[test]
fn attack_side_doors_are_told_with_their_lines() {
    let mut story = Story::default();
    let bip85 = path("m/83696968'/39'");
    story.done(1, &on(NEW, Operation::ExportBip85(crate::Bip85 { path: bip85, bytes: 32 })));
    story.done(1, &on(NEW, Operation::ExportLee(path("m/1"))));
    assert!(story.closure().is_empty());
    let doors = Closure::of(&story.history, &Filter::default()).side_doors;
    assert_eq!(doors.iter().map(|door| door.way).collect::<Vec<_>>(), [Way::Lee, Way::Bip85]);
    assert_eq!(doors[0].lines, [Source::Line(3)]);
}

#[test]
fn a_list_by_hand_counts_to_every_account_unless_it_names_one() {
    let mut story = Story::default();
    story.done(1, &chat(NEW));
    let uid = KeyUid::from([7; 32]);
    let list = format!("# before\n\nm/43'/60'/1581'/0' extended-public - laptop\naccount {uid}\nm seed - on paper\n");
    story.history.take_written(&list).unwrap();
    assert_eq!(story.closure(), [("m/43'/60'/1581'/0'".to_owned(), Extent::PrivateSubtree)]);
    let closure = Closure::of(&story.history, &Filter::default());
    assert!(closure.computable[0].what.from.contains(&Source::Written(3)));
    assert_eq!((closure.seen_by_host[0].key_uid, closure.seen_by_host[0].lines[0]), (Some(uid), Source::Written(5)));
}

/// The chain code that leaks is of a node of that account, and any that it used on some card: one seed may be on two cards.
#[test]
fn what_one_account_used_is_not_leaked_by_another() {
    let (one, other) = (KeyUid::from([0xa; 32]), KeyUid::from([0xb; 32]));
    let list = format!(
        "account {one}\nm/44'/60'/0'/0/5 private 3.1\nm/44'/60'/0'/0 public 3.1\n\
         account {other}\nm/1' public 3.1\naccount {one}\nm extended-public 3.1\n"
    );
    let mut history = History::default();
    history.take_written(&list).unwrap();
    let one = closed(&history, Account::KeyUid(one));
    let knows = |at: &str, part| one.knows(&path(at), part);
    assert!(
        knows("m/44'/60'/0'/0", Part::Private) && knows("m/44'/60'/0'/0/7", Part::Private),
        "{:?}",
        one.computable()
    );
    let other = closed(&history, Account::KeyUid(other));
    assert!(other.knows(&path("m/1'"), Part::Public) && !other.knows(&path("m/1'"), Part::Chain));
}

/// What was used without an account counts to every account, and so does what leaks.
#[test]
fn what_was_used_by_nobody_known_leaks_with_any_account() {
    let uid = KeyUid::from([0xa; 32]);
    for list in [
        format!("m/1 public 3.1\naccount {uid}\nm/1/5 private -\nm extended-public 3.1\n"),
        format!("account {uid}\nm/1/5 private -\nm/1 public 3.2\nm/3 public 3.1\nm extended-public 3.1\n"),
    ] {
        let mut history = History::default();
        history.take_written(&list).unwrap();
        assert!(closed(&history, Account::KeyUid(uid)).knows(&path("m/1/9"), Part::Private), "{list}");
    }
}

/// Words that nobody loads do not hide the seed that somebody does.
#[test]
fn a_seed_that_a_host_has_seen_is_told_after_a_thousand_words() {
    let mut story = Story::default();
    for _ in 0..1_001 {
        story.done(1, &on(NEW, Operation::GenerateMnemonic(12)));
    }
    let line = story.intent(1, &on(NEW, Operation::LoadKey));
    story.outcome(line, Outcome::done(None, Some(KeyUid::from([7; 32]))));
    let closure = Closure::of(&story.history, &Filter::default());
    let seeds: Vec<_> = closure.seen_by_host.iter().filter(|it| it.sight == Sight::Seed).collect();
    assert_eq!(seeds.len(), 1);
    assert_eq!(seeds[0].key_uid, Some(KeyUid::from([7; 32])));
    assert_eq!(closure.cut_off, None);
}

/// Past the room for them seeds are not told one by one, and that is told.
#[test]
fn more_seeds_than_there_is_room_for_cut_the_closure_off() {
    let mut story = Story::default();
    let mut load = |n: u64| {
        let line = story.intent(1, &on(NEW, Operation::LoadKey));
        let mut uid = [7; 32];
        uid[..8].copy_from_slice(&n.to_be_bytes());
        story.outcome(line, Outcome::done(None, Some(KeyUid::from(uid))));
        Closure::of(&story.history, &Filter::default()).cut_off
    };
    let cut_off: Vec<_> = (0..1_001).map(&mut load).collect();
    assert!(cut_off[..1_000].iter().all(Option::is_none));
    assert!(cut_off[1_000].is_some());
}

#[test]
fn a_list_by_hand_that_cannot_be_read_names_the_line() {
    for bad in ["x", "m", "m private", "m private four", "m/1 seed -", "account 12", "m all 4.0", "m/1 private 4"] {
        let refused = History::default().take_written(&format!("m public 4.0\n{bad}\n")).unwrap_err();
        assert_eq!(refused.line, 2, "{bad}");
    }
}
