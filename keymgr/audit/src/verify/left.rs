//! What left which card: who asked for which key, when, how often and what for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::{CardId, Fingerprint, KeyPath, KeyUid};

use crate::entry::{Intent, Outcome};
use crate::operation::{Given, Operation};

/// The form in which a key left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// The private key.
    Private,
    /// The public key.
    Public,
    /// The public key with its chain code: every non-hardened child's public key follows from it.
    ExtendedPublic,
    /// The nullifier and the viewing key that follow from the LEE key: both are secret, and neither gives another key.
    Lee,
    /// Secret bytes that follow from the private key (BIP-85). The key does not follow from them.
    Entropy,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private key",
            Self::Public => "public key",
            Self::ExtendedPublic => "extended public key",
            Self::Lee => "LEE nullifier and viewing keys",
            Self::Entropy => "BIP-85 entropy",
        })
    }
}

/// One key of one account, in one form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The account, none when the card did not name it.
    pub key_uid: Option<KeyUid>,
    /// Its path.
    pub path: KeyPath,
    /// The form.
    pub form: Form,
}

/// How a key left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// The cards it left.
    pub cards: Vec<CardId>,
    /// The fingerprints of its public half, 16 at most; more than one means a card in duress mode, another card's key, or
    /// fingerprints that were keyed so that they do not tell.
    pub fingerprints: Vec<Fingerprint>,
    /// The users who asked, 16 at most.
    pub users: BTreeSet<u32>,
    /// The programs that asked, 16 at most.
    pub programs: BTreeSet<String>,
    /// What for, 16 purposes at most.
    pub purposes: BTreeSet<String>,
    /// How often it left for certain.
    pub times: u64,
    /// How often nobody knows: a failure, or a crash between intent and outcome. Treat it as exported.
    pub unknown: u64,
    /// The line of the first intent.
    pub first: u64,
    /// The line of the last intent.
    pub last: u64,
}

/// What left, by key.
#[derive(Debug, Default)]
pub(super) struct Leavings {
    pub(super) left: BTreeMap<Key, Left>,
}

impl Leavings {
    /// Takes what came of an intent.
    pub(super) fn count(&mut self, line: u64, intent: &Intent, outcome: &Outcome) {
        let Some(key) = key_of(intent) else { return };
        let fingerprint = match outcome {
            Outcome::Done { fingerprint, .. } => Some(*fingerprint),
            Outcome::Failed { .. } => None,
            Outcome::RefusedByCard { .. } | Outcome::NotSent { .. } => return,
        };
        let entry = self.left.entry(key).or_default();
        remember(entry, line, intent);
        match fingerprint {
            Some(fingerprint) => {
                entry.times = entry.times.saturating_add(1);
                // Keyed fingerprints are different in every line.
                let fresh = |f: &Fingerprint| entry.fingerprints.len() < MOST && !entry.fingerprints.contains(f);
                if let Some(fingerprint) = fingerprint.filter(fresh) {
                    entry.fingerprints.push(fingerprint);
                }
            }
            None => entry.unknown = entry.unknown.saturating_add(1),
        }
    }

    /// Takes an intent of which nothing came.
    pub(super) fn lost(&mut self, line: u64, intent: &Intent) {
        if let Some(key) = key_of(intent) {
            let entry = self.left.entry(key).or_default();
            entry.unknown = entry.unknown.saturating_add(1);
            remember(entry, line, intent);
        }
    }
}

fn remember(entry: &mut Left, line: u64, intent: &Intent) {
    if entry.cards.len() < MOST && !entry.cards.contains(&intent.request.card) {
        entry.cards.push(intent.request.card);
    }
    if entry.users.len() < MOST {
        entry.users.insert(intent.caller.uid);
    }
    let add = |to: &mut BTreeSet<String>, text: &str| {
        if to.len() < MOST && !to.contains(text) {
            to.insert(text.to_owned());
        }
    };
    add(&mut entry.purposes, intent.purpose.as_str());
    if let Some(binary) = &intent.caller.binary {
        add(&mut entry.programs, binary.as_str());
    }
    entry.first = if entry.first == 0 { line } else { entry.first.min(line) };
    entry.last = entry.last.max(line);
}

/// Of each kind of thing that is kept of a key.
const MOST: usize = 16;

fn key_of(intent: &Intent) -> Option<Key> {
    let (path, form) = match intent.request.operation.gives() {
        Given::Private(path) => (path, Form::Private),
        Given::Public(path) => (path, Form::Public),
        Given::ExtendedPublic(path) => (path, Form::ExtendedPublic),
        Given::Lee(path) => (path, Form::Lee),
        Given::Bip85(path) => (path, Form::Entropy),
        // A signature gives no private key away, and ECDH only what two keys share.
        Given::Signature(_) | Given::Agreement(_) | Given::Nothing => return None,
    };
    Some(Key { key_uid: intent.request.key_uid, path: path.clone(), form })
}

/// Returns the path whose public half an outcome's fingerprint is of, where the path is from the master key.
pub(super) fn shown_key(operation: &Operation) -> Option<&KeyPath> {
    match operation.gives() {
        Given::Private(path) | Given::Public(path) | Given::ExtendedPublic(path) => Some(path),
        Given::Signature(place) => place.absolute(),
        Given::Lee(_) | Given::Bip85(_) | Given::Agreement(_) | Given::Nothing => None,
    }
}
