//! What left, and what would follow from one key more: the one place where the policy asks for the closure.

use std::collections::{BTreeMap, BTreeSet};

use audit::{Operation, Outcome};
use proto::{KeyPath, KeyUid};

use super::question::{Question, Use};

/// What left, by account: an intent without an outcome counts as left.
#[derive(Debug, Clone, Default)]
pub(super) struct Left {
    known: BTreeMap<Option<KeyUid>, BTreeSet<(KeyPath, Form)>>,
    /// By the lines of intents without an outcome.
    open: BTreeMap<u64, (Option<KeyUid>, KeyPath, Form)>,
}

/// In which form a key left from which others may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Private,
    Extended,
}

impl Left {
    /// Takes what an operation lets out, unless its outcome tells otherwise.
    pub(super) fn may_leave(&mut self, seq: u64, account: Option<KeyUid>, operation: &Operation) {
        let Ok(question) = Question::of_operation(operation) else { return };
        if let Some(form) = form(question.operation) {
            self.open.insert(seq, (account, question.path, form));
        }
    }

    /// Takes how an operation ended.
    pub(super) fn ended(&mut self, intent: u64, outcome: &Outcome) {
        let Some((account, path, form)) = self.open.remove(&intent) else { return };
        if !matches!(outcome, Outcome::NotSent { .. } | Outcome::RefusedByCard { .. }) {
            self.known.entry(account).or_default().insert((path, form));
        }
    }

    /// Returns the first private key that nobody could compute before and anybody could afterwards, beside the one that is
    /// asked for.
    pub(super) fn would_follow(&self, account: Option<KeyUid>, question: &Question) -> Option<KeyPath> {
        let asked = (question.path.clone(), form(question.operation)?);
        let known = self.known.get(&account).into_iter().flatten().cloned();
        let open = self.open.values().filter(|(uid, ..)| *uid == account).map(|(_, path, form)| (path.clone(), *form));
        let before: BTreeSet<_> = known.chain(open).collect();
        let follows = |keys: &BTreeSet<(KeyPath, Form)>| -> BTreeSet<KeyPath> {
            let extended = keys.iter().filter(|(_, form)| *form == Form::Extended);
            let betrayed = extended.filter(|(path, _)| {
                keys.iter().any(|(other, form)| *form == Form::Private && descends_openly(path, other))
            });
            betrayed.map(|(path, _)| path.clone()).collect()
        };
        let already = follows(&before);
        let after = before.into_iter().chain([asked]).collect();
        follows(&after).into_iter().find(|path| !already.contains(path))
    }
}

const fn form(operation: Use) -> Option<Form> {
    match operation {
        Use::ExportPrivate => Some(Form::Private),
        Use::Extended => Some(Form::Extended),
        _ => None,
    }
}

/// Returns whether `path` is `ancestor` or lies below it with no hardened step between.
fn descends_openly(ancestor: &KeyPath, path: &KeyPath) -> bool {
    path.components().strip_prefix(ancestor.components()).is_some_and(|below| below.iter().all(|c| c & HARDENED == 0))
}

const HARDENED: u32 = 0x8000_0000;
