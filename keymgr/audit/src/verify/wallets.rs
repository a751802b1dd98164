//! Which keys cards showed: two fingerprints of one key mean a decoy, unless the owner has them keyed.
//!
//! A keyed fingerprint is another one in every line, so one that was seen twice is not keyed. The owner may change that
//! with the settings of a card, which are told without saying which: from there on a card's keys are seen anew.

use std::collections::BTreeMap;

use proto::{CardId, Fingerprint, KeyPath, KeyUid};

use super::question::Question;
use super::verdict::{Finding, Lines, Verdict, Why};
use crate::closure::{Account, Wallet};

#[derive(Debug, Default)]
pub(super) struct Wallets {
    shown: BTreeMap<(CardId, Wallet, KeyPath), Shown>,
}

/// How one key was shown: in two ways at most, more say nothing new.
#[derive(Debug)]
struct Shown {
    first: Sight,
    second: Option<Sight>,
    told: bool,
}

#[derive(Debug)]
struct Sight {
    fingerprint: Fingerprint,
    line: u64,
    repeated: bool,
}

impl Wallets {
    /// Takes the fingerprint of a key.
    pub(super) fn show(
        &mut self,
        line: u64,
        card: CardId,
        mut wallet: Wallet,
        path: &KeyPath,
        fingerprint: Fingerprint,
    ) -> Option<Finding> {
        wallet.decoy = false;
        let sight = Sight { fingerprint, line, repeated: false };
        let key = (card, wallet, path.clone());
        let Some(shown) = self.shown.get_mut(&key) else {
            self.shown.insert(key, Shown { first: sight, second: None, told: false });
            return None;
        };
        if shown.first.fingerprint == fingerprint {
            shown.first.repeated = true;
        } else {
            let second = shown.second.get_or_insert(sight);
            second.repeated |= second.fingerprint == fingerprint && second.line != line;
        }
        let second = shown.second.as_ref()?;
        if shown.told || !(shown.first.repeated || second.repeated) {
            return None;
        }
        let lines = Lines::from_to(shown.first.line, second.line);
        let why = Why::OtherKey { wallet: Box::new(wallet), path: path.clone(), before: shown.first.line };
        shown.told = true;
        Some(Finding { lines: Lines::one(lines.last), verdict: Verdict::DecoyWallet, why })
    }

    /// Forgets what a card showed, or all cards did.
    pub(super) fn settings_changed(&mut self, of: Option<CardId>) -> Vec<Question> {
        let forgotten = match of {
            None => std::mem::take(&mut self.shown),
            Some(of) => {
                let first = Wallet { account: Account::KeyUid(KeyUid::from([0; 32])), decoy: false };
                let shown = self.shown.range((of, first, KeyPath::master())..);
                let keys: Vec<_> =
                    shown.take_while(|((card, ..), _)| *card == of).map(|(key, _)| key.clone()).collect();
                keys.into_iter().filter_map(|key| self.shown.remove_entry(&key)).collect()
            }
        };
        forgotten.iter().filter_map(|((_, wallet, path), shown)| shown.question(wallet, path)).collect()
    }

    /// Returns what remains open, when all lines were read.
    pub(super) fn questions(&self) -> impl Iterator<Item = Question> {
        self.shown.iter().filter_map(|((_, wallet, path), shown)| shown.question(wallet, path))
    }
}

impl Shown {
    fn question(&self, wallet: &Wallet, path: &KeyPath) -> Option<Question> {
        let second = self.second.as_ref().filter(|_| !self.told)?;
        let (before, line) = (self.first.line, second.line);
        Some(Question::Fingerprints { wallet: Box::new(*wallet), path: path.clone(), before, line })
    }
}
