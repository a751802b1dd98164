//! Offline verification: names the first bad line and what is wrong with it, and says what left which card.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::BufRead;

use proto::{CardId, Fingerprint, KeyPath, KeyUid};

use crate::closure::{Closure, Filter, History};
use crate::entry::{Event, Intent, Outcome};
use crate::line::{Head, Line};
use crate::operation::Operation;
use crate::replay::Replay;

/// The first bad line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: What,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum What {
    /// Its own checksum does not fit.
    #[error("altered (its checksum does not fit)")]
    Altered,
    /// It is whole, but the line after it names another one in its place.
    #[error("replaced (the line after it carries the hash of another line)")]
    Replaced,
    /// It is no entry in its one form.
    #[error("malformed")]
    Malformed,
    /// Longer than a line may be.
    #[error("longer than a line may be")]
    TooLong,
    /// The last line has no newline.
    #[error("cut off: its writing was not finished, so nothing followed from it")]
    CutOff,
    /// It is not there, though it was written: the log lost its end.
    #[error("missing: {written} lines were written, the log was cut")]
    Missing {
        /// How many lines there should be at least.
        written: u64,
    },
    /// It is whole, but another line was written in its place.
    #[error("not the line that was written")]
    NotAsWritten,
    /// It is not the next one: lines were removed, inserted or swapped.
    #[error("out of sequence: it says that it is line {found}; lines were removed, inserted or swapped")]
    OutOfSequence {
        /// The number it carries.
        found: u64,
    },
    /// A log begins with the line that names it, and has only one such line.
    #[error("not what a log begins with, or a second beginning")]
    NotTheFirstLine,
    /// A form of lines that is not known here.
    #[error("a log of another format")]
    UnknownFormat,
    /// It ends an intent that is not open.
    #[error("an outcome without an intent (line {intent})")]
    OutcomeWithoutIntent {
        /// The line it refers to.
        intent: u64,
    },
    /// The channel was opened with a salt that speaks of another history.
    #[error("the card's opening speaks of another history than the lines before")]
    OtherHead,
}

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
    /// How often it left for certain.
    pub times: u64,
    /// How often nobody knows: a failure, or a crash between intent and outcome. Treat it as exported.
    pub unknown: u64,
    /// The line of the last intent.
    pub last: u64,
}

/// What a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How far the good lines go; nothing when there is none.
    pub head: Option<Head>,
    /// The first bad line.
    pub bad: Option<Bad>,
    /// What left, by key.
    pub left: BTreeMap<Key, Left>,
    /// What follows from what left.
    pub closure: Closure,
    /// The lines of intents without an outcome: outcome unknown, treat as exported.
    pub unknown: Vec<u64>,
    /// How many requests the manager refused.
    pub refusals: u64,
    /// How many cards were enrolled.
    pub provisionings: u64,
    /// The cards that were enrolled and not reset to their factory state since.
    pub enrolled: BTreeSet<CardId>,
    /// The cards that were enrolled, and reset since.
    pub erased: BTreeSet<CardId>,
    /// The cards to which a channel was opened.
    pub met: BTreeSet<CardId>,
}

impl Report {
    /// Returns whether every line is good. That the log *ends* there is not proven by the log itself.
    #[must_use]
    pub const fn is_consistent(&self) -> bool {
        self.bad.is_none() && self.head.is_some()
    }

    /// Returns how many good lines there are.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.head.map_or(0, |head| head.entries)
    }
}

/// The verdict in one line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.bad, &self.head) {
            (Some(bad), _) => write!(f, "{bad}"),
            (None, Some(head)) => write!(f, "consistent up to entry {}, end not proven", head.entries),
            (None, None) => f.write_str("no line at all: every line is missing"),
        }
    }
}

/// Shows every good line, in order, and returns the first bad one.
///
/// # Errors
/// Only when `log` cannot be read.
pub fn read(log: impl BufRead, mut see: impl FnMut(&Line)) -> std::io::Result<Option<Bad>> {
    Replay::default().read(log, |line, _| see(line))
}

/// Reads a whole log and reports. With the head that its writer remembered apart from it, a log that lost its last lines
/// is bad at the first of them.
///
/// # Errors
/// Only when `log` cannot be read; whatever is wrong with what was read is in the [`Report`].
pub fn verify(log: impl BufRead, remembered: Option<Head>) -> std::io::Result<Report> {
    let mut replay = Replay::against(remembered);
    let mut left: BTreeMap<Key, Left> = BTreeMap::new();
    let (mut refusals, mut provisionings) = (0u64, 0u64);
    let (mut enrolled, mut erased, mut met) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut history = History::default();
    let bad = replay.read(log, |line, ended| {
        history.see(line);
        match (&line.event, ended) {
            (Event::Outcome { intent, outcome }, Some(asked)) => {
                count(&mut left, *intent, asked, outcome);
                if is_reset(asked, outcome) && enrolled.remove(&asked.request.card) {
                    erased.insert(asked.request.card);
                }
            }
            (Event::Refusal(_), _) => refusals = refusals.saturating_add(1),
            (Event::Provisioning(provisioning), _) => {
                provisionings = provisionings.saturating_add(1);
                enrolled.insert(provisioning.card);
                erased.remove(&provisioning.card);
            }
            (Event::ChannelOpened(opened), _) => drop(met.insert(opened.card)),
            (Event::PairedChannelOpened(opened), _) => drop(met.insert(opened.card)),
            _ => {}
        }
    })?;
    let head = replay.head();
    let open = replay.into_open();
    for (line, intent) in &open {
        if let Some(key) = key_of(intent) {
            let entry = left.entry(key).or_default();
            entry.unknown = entry.unknown.saturating_add(1);
            remember(entry, *line, intent);
        }
    }
    let closure = Closure::of(&history, &Filter::default());
    let unknown = open.into_keys().collect();
    Ok(Report { head, bad, left, closure, unknown, refusals, provisionings, enrolled, erased, met })
}

fn is_reset(asked: &Intent, outcome: &Outcome) -> bool {
    asked.request.operation == Operation::FactoryReset && matches!(outcome, Outcome::Done { .. })
}

fn count(left: &mut BTreeMap<Key, Left>, line: u64, intent: &Intent, outcome: &Outcome) {
    let Some(key) = key_of(intent) else { return };
    let fingerprint = match outcome {
        Outcome::Done { fingerprint, .. } => Some(*fingerprint),
        Outcome::Failed { .. } => None,
        Outcome::RefusedByCard { .. } | Outcome::NotSent { .. } => return,
    };
    let entry = left.entry(key).or_default();
    remember(entry, line, intent);
    match fingerprint {
        Some(fingerprint) => {
            entry.times = entry.times.saturating_add(1);
            // Keyed fingerprints are different in every line.
            let fresh =
                |f: &Fingerprint| entry.fingerprints.len() < MOST_FINGERPRINTS && !entry.fingerprints.contains(f);
            if let Some(fingerprint) = fingerprint.filter(fresh) {
                entry.fingerprints.push(fingerprint);
            }
        }
        None => entry.unknown = entry.unknown.saturating_add(1),
    }
}

const MOST_FINGERPRINTS: usize = 16;

fn remember(entry: &mut Left, line: u64, intent: &Intent) {
    if !entry.cards.contains(&intent.request.card) {
        entry.cards.push(intent.request.card);
    }
    entry.last = entry.last.max(line);
}

fn key_of(intent: &Intent) -> Option<Key> {
    let (path, form) = match &intent.request.operation {
        Operation::ExportPrivate(path) => (path.as_path().clone(), Form::Private),
        Operation::ExportPublic(path) => (path.clone(), Form::Public),
        Operation::ExportExtendedPublic(path) => (path.clone(), Form::ExtendedPublic),
        Operation::ExportLee(path) => (path.clone(), Form::Lee),
        Operation::ExportBip85(entropy) => (entropy.path.clone(), Form::Entropy),
        // A signature gives no key away, and ECDH only what two keys share. The words of a mnemonic are no card's key yet.
        _ => return None,
    };
    Some(Key { key_uid: intent.request.key_uid, path, form })
}
