//! Nonces of signatures: one key that signs two things with one nonce gives itself away, and two keys that share a nonce give
//! each other away ([`crate::closure::bonds`]).
//!
//! Signatures are compared when all lines were read, because a later line may tell whose key an earlier one names by its card
//! alone. Where no line tells, two names may be of one key, and what is told follows either way.

use std::collections::{BTreeMap, BTreeSet};

use proto::{Digest, KeyPath};

use crate::closure::{Account, Node, Wallet};
use crate::operation::Scheme;

/// A nonce that was used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The first signature.
    pub first: SignedBy,
    /// The second, by the same key of another thing, or by another key.
    pub second: SignedBy,
    /// Whether both are of one hash, in one scheme.
    pub one_hash: bool,
}

/// A signature, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// The line of the intent, or of what the card signed unasked.
    pub line: u64,
    /// The key.
    pub key: Node,
}

impl Repeat {
    /// Returns whether one key made both, which follows from them then.
    #[must_use]
    pub fn is_of_one_key(&self) -> bool {
        self.first.key == self.second.key
    }

    /// Returns whether the two keys may be one: no line tells whose the card's is.
    #[must_use]
    pub fn may_be_of_one_key(&self) -> bool {
        may_be_one(&self.first.key, &self.second.key)
    }
}

/// Returns whether two names may be of one key.
pub(crate) fn may_be_one(one: &Node, other: &Node) -> bool {
    let ((one, at), (other, there)) = (one, other);
    let is_nameless = is_nameless(one) || is_nameless(other);
    let are_trees = one.account.is_tree() && other.account.is_tree();
    is_nameless && are_trees && one != other && (at, one.decoy) == (there, other.decoy)
}

fn is_nameless(wallet: &Wallet) -> bool {
    matches!(wallet.account, Account::Card(..))
}

/// What two signatures with one nonce say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shared {
    /// Two things of the nonce and the keys.
    Tie(Repeat),
    /// Of one key and one hash one thing, unless the tweaks differ.
    Tweaked(Repeat),
}

/// How many signatures, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The lines of the first ones, 16 at most.
    pub lines: Vec<u64>,
    /// How many.
    pub signatures: u64,
}

impl Tally {
    pub(super) fn add(&mut self, line: u64) {
        self.signatures = self.signatures.saturating_add(1);
        if self.lines.len() < MOST_LINES {
            self.lines.push(line);
        }
    }
}

/// The signatures of a log, as its lines name their keys.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    numbers: BTreeMap<Node, u32>,
    keys: Vec<Node>,
    uses: Vec<Use>,
    /// The first that was not compared.
    pub(super) left_out: Option<u64>,
}

/// A nonce, who used it, and for what. Sorted, those that are to be compared stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    /// Its first half: cards draw it, so nobody makes two of them alike.
    nonce: u128,
    key: u32,
    scheme: Scheme,
    /// The whole of it: callers choose it, and could make two that begin alike.
    digest: [u8; 32],
    line: u64,
}

impl Nonces {
    /// Takes a signature.
    pub(super) fn take(&mut self, line: u64, key: Node, nonce: &[u8; 32], digest: &Digest, scheme: Scheme) {
        if self.uses.len() >= MOST_NONCES {
            self.left_out.get_or_insert(line);
            return;
        }
        let (mut wallet, path) = key;
        // The master key is the same under both PINs.
        wallet.decoy &= !path.is_master();
        let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let key = *self.numbers.entry((wallet, path)).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            next
        });
        let nonce = nonce.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        self.uses.push(Use { nonce, key, scheme, digest: *digest.as_bytes(), line });
    }

    /// Returns the signatures of the keys as all lines together name them.
    pub(super) fn named(self, name: impl Fn(&Wallet) -> Wallet) -> Signed {
        let Self { keys, mut uses, .. } = self;
        let named = keys.into_iter().map(|(wallet, path)| {
            let wallet = name(&wallet);
            (is_nameless(&wallet), (wallet, path))
        });
        let named: Vec<(bool, Node)> = named.collect();
        let mut numbers: BTreeMap<&(bool, Node), u32> = named.iter().map(|key| (key, 0)).collect();
        numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
        for it in &mut uses {
            let key = usize::try_from(it.key).ok().and_then(|key| named.get(key));
            it.key = key.and_then(|key| numbers.get(key)).copied().unwrap_or(u32::MAX);
        }
        uses.sort_unstable();
        Signed { keys: numbers.into_keys().map(|(_, key)| key.clone()).collect(), uses }
    }
}

/// The signatures of a log, sorted. Keys that are named by a card alone have the highest numbers.
#[derive(Debug)]
pub(super) struct Signed {
    keys: Vec<Node>,
    uses: Vec<Use>,
}

/// Two uses of one nonce.
#[derive(Debug, Clone, Copy)]
struct Pair {
    later: Use,
    earlier: Use,
    is_tie: bool,
}

/// The first use for each thing that was signed, by the place of its key in a tree of whatever name.
type Things<'a> = BTreeMap<(&'a KeyPath, bool, Scheme, [u8; 32]), &'a Use>;

impl Signed {
    /// Returns what was signed with one nonce, in the order of the lines.
    pub(super) fn shared(self) -> impl Iterator<Item = Shared> {
        let (mut found, mut twins) = (Vec::new(), BTreeSet::new());
        for group in self.uses.chunk_by(|one, other| one.nonce == other.nonce).filter(|group| group.len() > 1) {
            self.compare(group, &mut twins, &mut found);
        }
        found.sort_by_key(|pair| pair.later.line);
        found.into_iter().filter_map(move |pair| self.tell(pair))
    }

    /// Compares all uses of one nonce: each thing that is said of it and the keys is tied once to another one.
    ///
    /// Two names that may be of one key and signed one hash say one thing of it, or two. Either way their keys hang together:
    /// as one key, or by the nonce. That is a tie for the first pair, and nothing more for every other pair of these names.
    fn compare(&self, group: &[Use], twins: &mut BTreeSet<(u32, u32)>, found: &mut Vec<Pair>) {
        let has_nameless = group.last().and_then(|last| self.key(last)).is_some_and(|(wallet, _)| is_nameless(wallet));
        let mut things = Things::new();
        let (mut root, mut before) = (None, None::<&Use>);
        for same in
            group.chunk_by(|one, other| (one.key, one.scheme, one.digest) == (other.key, other.scheme, other.digest))
        {
            let Some((this, again)) = same.split_first() else { continue };
            let tweaked = again.first().filter(|_| this.scheme == Scheme::TweakedSchnorr);
            found.extend(tweaked.map(|again| Pair::of(this, again, false)));
            let twin = if has_nameless { self.twin(this, &mut things) } else { None };
            let tied = match twin {
                Some(twin) => Some(twin).filter(|twin| twins.insert((twin.key, this.key))),
                None => before.filter(|before| before.key == this.key).or(root),
            };
            found.extend(tied.map(|other| Pair::of(other, this, true)));
            root = root.or(Some(this));
            before = Some(this);
        }
    }

    /// Returns the use of a key that may be the same one, for the same thing.
    fn twin<'a>(&'a self, this: &'a Use, things: &mut Things<'a>) -> Option<&'a Use> {
        let key @ (wallet, path) = self.key(this)?;
        if !wallet.account.is_tree() {
            return None;
        }
        let first = *things.entry((path, wallet.decoy, this.scheme, this.digest)).or_insert(this);
        self.key(first).filter(|other| may_be_one(key, other)).map(|_| first)
    }

    fn tell(&self, Pair { earlier, later, is_tie }: Pair) -> Option<Shared> {
        let by = |it: &Use| Some(SignedBy { line: it.line, key: self.key(it)?.clone() });
        let one_hash = (earlier.scheme, earlier.digest) == (later.scheme, later.digest);
        let repeat = Repeat { first: by(&earlier)?, second: by(&later)?, one_hash };
        Some(if is_tie { Shared::Tie(repeat) } else { Shared::Tweaked(repeat) })
    }

    fn key(&self, of: &Use) -> Option<&Node> {
        self.keys.get(usize::try_from(of.key).ok()?)
    }
}

impl Pair {
    const fn of(one: &Use, other: &Use, is_tie: bool) -> Self {
        let (earlier, later) = if one.line <= other.line { (*one, *other) } else { (*other, *one) };
        Self { earlier, later, is_tie }
    }
}

/// About 64 MiB.
const MOST_NONCES: usize = 1 << 20;
const MOST_LINES: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k256::elliptic_curve::PrimeField as _;
    use k256::{ProjectivePoint, Scalar};
    use proto::{KeyPath, KeyUid};

    use super::*;
    use crate::closure::{Account, Closure, Filter, History, Source, Wallet};
    use crate::tests::writer::Dice;

    const KEYS: usize = 4;
    const NONCES: usize = 3;

    fn node(key: usize) -> Node {
        let wallet = Wallet { account: Account::KeyUid(KeyUid::from([key as u8 % 2; 32])), decoy: false };
        (wallet, KeyPath::new(&[0x8000_0000 | key as u32]).unwrap())
    }

    fn number(dice: &mut Dice) -> Scalar {
        loop {
            if let Some(number) = Scalar::from_repr(dice.bytes().into()).into_option() {
                return number;
            }
        }
    }

    /// An equation in the private keys and the nonces.
    type Row = [Scalar; KEYS + NONCES];

    /// Solves for what can be solved, and returns the private keys that have one value.
    fn solved(mut rows: Vec<Row>) -> BTreeSet<usize> {
        let mut rank = 0;
        for column in 0..KEYS + NONCES {
            let Some(pivot) = (rank..rows.len()).find(|row| rows[*row][column] != Scalar::ZERO) else { continue };
            rows.swap(rank, pivot);
            let inverse = rows[rank][column].invert().unwrap();
            rows[rank] = rows[rank].map(|it| it * inverse);
            for row in 0..rows.len() {
                let factor = rows[row][column];
                if row != rank && factor != Scalar::ZERO {
                    rows[row] = std::array::from_fn(|at| rows[row][at] - factor * rows[rank][at]);
                }
            }
            rank += 1;
        }
        let alone = |row: &Row| {
            let there: Vec<usize> = (0..KEYS + NONCES).filter(|at| row[*at] != Scalar::ZERO).collect();
            if let [one] = there.as_slice() { Some(*one) } else { None }
        };
        rows.iter().filter_map(alone).filter(|at| *at < KEYS).collect()
    }

    /// The closure against Gauss, with real keys, nonces and signatures.
    #[test]
    fn what_shared_nonces_give_away_is_what_the_equations_give() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let (mut given, mut shared) = (0, 0);
        for _ in 0..3_000 {
            let keys: [Scalar; KEYS] = std::array::from_fn(|_| number(&mut dice));
            let nonces: [Scalar; NONCES] = std::array::from_fn(|_| number(&mut dice));
            let (mut rows, mut history, mut seen) = (Vec::new(), History::default(), Nonces::default());
            for line in 1..=2 + dice.below(6) {
                let (key, nonce) = (dice.below(KEYS as u64) as usize, dice.below(NONCES as u64) as usize);
                let mut digest = [0; 32];
                digest[0] = 1 + dice.below(2) as u8;
                let point = (ProjectivePoint::GENERATOR * nonces[nonce]).to_affine();
                let r: [u8; 32] = k256::elliptic_curve::point::AffineCoordinates::x(&point).into();
                let (r_number, h) = (Scalar::from_repr(r.into()).unwrap(), Scalar::from_repr(digest.into()).unwrap());
                let s = nonces[nonce].invert().unwrap() * (h + r_number * keys[key]);
                let mut row = [Scalar::ZERO; KEYS + NONCES];
                (row[KEYS + nonce], row[key]) = (s, -r_number);
                rows.push(row);
                seen.take(line, node(key), &r, &digest.into(), Scheme::Ecdsa);
            }
            for repeat in ties(seen) {
                shared += usize::from(!repeat.is_of_one_key());
                let from = [Source::Line(repeat.first.line), Source::Line(repeat.second.line)];
                history.tie(repeat.first.key, repeat.second.key, from);
            }
            if dice.below(2) == 0 {
                let mut row = [Scalar::ZERO; KEYS + NONCES];
                row[0] = Scalar::ONE;
                rows.push(row);
                let (Wallet { account, .. }, path) = node(0);
                let Account::KeyUid(uid) = account else { panic!("an account") };
                history.take_written(&format!("account {uid}\n{path} private 4.0\n")).unwrap();
            }
            let closure = Closure::of(&history, &Filter::default());
            let said: BTreeSet<usize> = (0..KEYS)
                .filter(|key| {
                    let (wallet, path) = node(*key);
                    let is_it = |it: &&crate::Implied| it.wallet == wallet && it.what.path == path;
                    closure.computable.iter().find(is_it).is_some_and(|it| it.what.extent.is_private())
                })
                .collect();
            given += said.len();
            assert_eq!(said, solved(rows));
        }
        assert!(given > 1_000 && shared > 1_000, "{given} keys given away, {shared} nonces shared");
    }

    fn ties(nonces: Nonces) -> Vec<Repeat> {
        let shared = nonces.named(|wallet| *wallet).shared();
        shared.filter_map(|shared| if let Shared::Tie(repeat) = shared { Some(repeat) } else { None }).collect()
    }

    #[test]
    fn the_master_key_is_one_key_under_both_pins() {
        let mut nonces = Nonces::default();
        let master = |decoy| (Wallet { decoy, ..node(0).0 }, KeyPath::master());
        let mut take = |line, key| nonces.take(line, key, &[5; 32], &[1; 32].into(), Scheme::Ecdsa);
        take(1, master(false));
        take(2, master(true));
        take(3, node(1));
        let ties = ties(nonces);
        assert_eq!(ties.len(), 1, "the same signature again says nothing: {ties:?}");
        assert!(!ties[0].is_of_one_key());
    }

    /// Whoever chooses what is signed finds hashes that begin alike.
    #[test]
    fn hashes_that_differ_in_one_byte_are_two_hashes() {
        for differs in [0, 8, 15, 16, 31] {
            let (mut nonces, mut digest) = (Nonces::default(), [1; 32]);
            nonces.take(1, node(0), &[5; 32], &digest.into(), Scheme::Ecdsa);
            digest[differs] = 2;
            nonces.take(2, node(0), &[5; 32], &digest.into(), Scheme::Ecdsa);
            assert!(ties(nonces).iter().any(Repeat::is_of_one_key), "byte {differs}");
        }
    }

    /// Two names of which no line tells whether they are of one key: what is claimed is what follows if they are, and if not.
    #[test]
    fn what_is_claimed_of_two_names_follows_if_they_are_of_one_key_and_if_not() {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        let nameless = Wallet { account: Account::Card(proto::CardId::Instance([7; 16]), 0), decoy: false };
        let name = |key: usize| if key == 1 { (nameless, node(0).1) } else { node(key) };
        let (mut only_one, mut only_two, mut both) = (0, 0, 0);
        for _ in 0..3_000 {
            let secrets: [Scalar; KEYS] = std::array::from_fn(|_| number(&mut dice));
            let nonces: [Scalar; NONCES] = std::array::from_fn(|_| number(&mut dice));
            let (mut as_two, mut as_one) = (Vec::new(), Vec::new());
            let (mut history, mut seen) = (History::default(), Nonces::default());
            for line in 1..=2 + dice.below(6) {
                let (key, nonce) = (dice.below(3) as usize, dice.below(2) as usize);
                let h = Scalar::from(1 + dice.below(2));
                let digest: [u8; 32] = h.to_repr().into();
                let point = (ProjectivePoint::GENERATOR * nonces[nonce]).to_affine();
                let r: [u8; 32] = k256::elliptic_curve::point::AffineCoordinates::x(&point).into();
                let r_number = Scalar::from_repr(r.into()).unwrap();
                for (rows, key) in [(&mut as_two, key), (&mut as_one, if key == 1 { 0 } else { key })] {
                    let s = nonces[nonce].invert().unwrap() * (h + r_number * secrets[key]);
                    let mut row = [Scalar::ZERO; KEYS + NONCES];
                    (row[KEYS + nonce], row[key]) = (s, -r_number);
                    rows.push(row);
                }
                seen.take(line, name(key), &r, &digest.into(), Scheme::Ecdsa);
            }
            for repeat in ties(seen) {
                let from = [Source::Line(repeat.first.line), Source::Line(repeat.second.line)];
                history.tie(repeat.first.key, repeat.second.key, from);
            }
            let bonds = Closure::of(&history, &Filter::default()).bonds;
            let said = |key| bonds.iter().any(|bond| bond.solved && bond.keys.contains(&name(key)));
            let (as_two, as_one) = (solved(as_two), solved(as_one));
            for key in 0..3 {
                let (two, one) = (as_two.contains(&key), as_one.contains(&if key == 1 { 0 } else { key }));
                let signed = bonds.iter().any(|bond| bond.keys.contains(&name(key)));
                assert_eq!(said(key), two && one && signed, "key {key}: {bonds:?}");
                (both, only_one) = (both + usize::from(two && one), only_one + usize::from(one && !two));
                only_two += usize::from(two && !one);
            }
        }
        assert!(both > 500 && only_one > 100 && only_two > 50, "{both} {only_one} {only_two}");
    }
}
