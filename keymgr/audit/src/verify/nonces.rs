//! Nonces of signatures: one key that signs two things with one nonce gives itself away, and two keys that share a nonce give
//! each other away ([`crate::closure::bonds`]).

use std::collections::BTreeMap;

use proto::Digest;

use crate::closure::Node;
use crate::operation::Scheme;

/// A nonce that was used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The first signature.
    pub first: SignedBy,
    /// The second, by the same key of another thing, or by another key.
    pub second: SignedBy,
}

/// A signature, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// The line of the intent.
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
}

#[derive(Debug, Default)]
pub(super) struct Nonces {
    numbers: BTreeMap<Node, u32>,
    keys: Vec<Node>,
    used: BTreeMap<Use, u64>,
    /// The first that was not compared.
    pub(super) left_out: Option<u64>,
}

/// A nonce, who used it, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    nonce: u128,
    key: u32,
    /// The beginning of the hash, which is enough to tell two apart.
    digest: u64,
    scheme: Scheme,
}

impl Nonces {
    pub(super) fn take(
        &mut self,
        line: u64,
        (mut wallet, path): Node,
        nonce: &[u8; 32],
        digest: &Digest,
        scheme: Scheme,
    ) -> Option<Repeat> {
        // The master key is the same under both PINs.
        wallet.decoy &= !path.is_master();
        let key = (wallet, path);
        let digest = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let nonce = nonce.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        let number = self.numbers.get(&key).copied();
        let this = number.map(|key| Use { nonce, key, digest, scheme });
        // The tweak is not recorded: with another one even the same hash gives another equation.
        if scheme != Scheme::TweakedSchnorr && this.is_some_and(|this| self.used.contains_key(&this)) {
            return None;
        }
        let before = number.and_then(|key| self.first(nonce, key..=key)).or_else(|| self.first(nonce, 0..=u32::MAX));
        let repeat = before.map(|first| Repeat { first, second: SignedBy { line, key: key.clone() } });
        if self.used.len() < MOST_NONCES {
            let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
            let number = *self.numbers.entry(key).or_insert_with_key(|key| {
                self.keys.push(key.clone());
                next
            });
            self.used.entry(Use { nonce, key: number, digest, scheme }).or_insert(line);
        } else {
            self.left_out.get_or_insert(line);
        }
        repeat
    }

    /// Returns the first use of a nonce by one of these keys.
    fn first(&self, nonce: u128, keys: std::ops::RangeInclusive<u32>) -> Option<SignedBy> {
        let from = Use { nonce, key: *keys.start(), digest: 0, scheme: Scheme::Ecdsa };
        let to = Use { nonce, key: *keys.end(), digest: u64::MAX, scheme: Scheme::TweakedSchnorr };
        let (found, line) = self.used.range(from..=to).next()?;
        Some(SignedBy { line: *line, key: self.keys.get(usize::try_from(found.key).ok()?)?.clone() })
    }
}

/// About 80 MiB.
const MOST_NONCES: usize = 1 << 20;

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
                if let Some(repeat) = seen.take(line, node(key), &r, &digest.into(), Scheme::Ecdsa) {
                    shared += usize::from(!repeat.is_of_one_key());
                    let from = [Source::Line(repeat.first.line), Source::Line(repeat.second.line)];
                    history.tie(repeat.first.key, repeat.second.key, from);
                }
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

    #[test]
    fn the_master_key_is_one_key_under_both_pins() {
        let mut nonces = Nonces::default();
        let master = |decoy| (Wallet { decoy, ..node(0).0 }, KeyPath::master());
        let mut take = |line, key| nonces.take(line, key, &[5; 32], &[1; 32].into(), Scheme::Ecdsa);
        assert_eq!(take(1, master(false)), None);
        assert_eq!(take(2, master(true)), None, "the same signature again");
        assert!(take(3, node(1)).is_some_and(|repeat| !repeat.is_of_one_key()));
    }
}
