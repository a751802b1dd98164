//! What the log tells, a row for each thing that was asked: the intent together with what came of it.

use std::collections::BTreeMap;

use audit::{Asked, Caller, Event, Intent, Line, Operation, Outcome, Purpose};
use proto::{CardId, KeyPath, KeyUid};

use super::select::Ending;

/// One thing that was asked, refused or told.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The line of the intent, or the only one.
    pub(crate) seq: u64,
    /// The line that ends it.
    pub(crate) ended: Option<u64>,
    /// Milliseconds since 1970.
    pub(crate) unix_ms: u64,
    /// The card.
    pub(crate) card: Option<CardId>,
    /// The account on it.
    pub(crate) key_uid: Option<KeyUid>,
    /// The key.
    pub(crate) path: Option<KeyPath>,
    /// Who asked.
    pub(crate) caller: Option<Caller>,
    /// What for.
    pub(crate) purpose: Option<Purpose>,
    /// What.
    pub(crate) what: What,
    /// The line in words.
    pub(crate) told: String,
    /// Whether it is more than a card that showed who it is.
    pub(crate) is_event: bool,
}

/// What was asked, refused or told.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A card was asked.
    Asked {
        /// For what.
        operation: Operation,
        /// What came of it; nothing when nobody knows.
        outcome: Option<Outcome>,
    },
    /// The manager refused.
    Refused {
        /// What.
        asked: Asked,
        /// Why.
        reason: String,
    },
    /// Anything else.
    Told,
}

/// The intents whose outcome has not come yet.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    open: BTreeMap<u64, (u64, Box<Intent>, String)>,
}

impl Rows {
    /// Takes a line, and returns the row that it completes.
    pub(crate) fn take(&mut self, line: &Line) -> Option<Row> {
        match &line.event {
            Event::Intent(intent) => {
                self.open.insert(line.seq, (line.unix_ms, Box::new(intent.clone()), line.event.to_string()));
                None
            }
            Event::Outcome { intent, outcome } => {
                let (unix_ms, asked, told) = self.open.remove(intent)?;
                Some(asked_row(*intent, unix_ms, *asked, told, Some((line.seq, outcome.clone()))))
            }
            event => Some(told_row(line, event)),
        }
    }

    /// Returns what was asked and has no outcome: treat it as exported.
    pub(crate) fn left(self) -> impl Iterator<Item = Row> {
        self.open.into_iter().map(|(seq, (unix_ms, intent, told))| asked_row(seq, unix_ms, *intent, told, None))
    }
}

impl Row {
    /// Returns the user who asked.
    pub(crate) fn uid(&self) -> Option<u32> {
        self.caller.as_ref().map(|caller| caller.uid)
    }

    /// Returns how it ended, if a card was asked.
    pub(crate) const fn ending(&self) -> Option<Ending> {
        match &self.what {
            What::Asked { outcome, .. } => Some(Ending::of(outcome.as_ref())),
            What::Refused { .. } | What::Told => None,
        }
    }

    /// Returns what came of it, in words.
    pub(crate) fn came(&self) -> String {
        match &self.what {
            What::Asked { outcome: Some(outcome), .. } => outcome.to_string(),
            What::Asked { outcome: None, .. } => "outcome unknown, treat as exported".to_owned(),
            What::Refused { reason, .. } => format!("refused: {reason}"),
            What::Told => String::new(),
        }
    }
}

fn asked_row(seq: u64, unix_ms: u64, intent: Intent, told: String, ended: Option<(u64, Outcome)>) -> Row {
    let Intent { request, purpose, caller, .. } = intent;
    let (ended, outcome) = ended.map_or((None, None), |(line, outcome)| (Some(line), Some(outcome)));
    Row {
        seq,
        ended,
        unix_ms,
        card: Some(request.card),
        key_uid: request.key_uid,
        path: path_of(&request.operation),
        caller: Some(caller),
        purpose: Some(purpose),
        what: What::Asked { operation: request.operation, outcome },
        told,
        is_event: true,
    }
}

fn told_row(line: &Line, event: &Event) -> Row {
    let mut row = Row {
        seq: line.seq,
        ended: None,
        unix_ms: line.unix_ms,
        card: None,
        key_uid: None,
        path: None,
        caller: None,
        purpose: None,
        what: What::Told,
        told: event.to_string(),
        is_event: !matches!(event, Event::ChannelOpened(_) | Event::PairedChannelOpened(_) | Event::HeadSigned(_)),
    };
    match event {
        Event::Refusal(refusal) => {
            row.card = refusal.card;
            row.key_uid = refusal.key_uid;
            row.path = match &refusal.asked {
                Asked::Private(path) | Asked::Public(path) | Asked::ExtendedPublic(path) => Some(path.clone()),
                Asked::Operation(operation) => path_of(operation),
                Asked::Unlock | Asked::Provision => None,
            };
            row.caller = Some(refusal.caller.clone());
            row.purpose.clone_from(&refusal.purpose);
            row.what = What::Refused { asked: refusal.asked.clone(), reason: refusal.reason.to_string() };
        }
        Event::Owner(owner) => {
            row.card = owner.card;
            row.caller = Some(owner.caller.clone());
            row.purpose = Some(owner.purpose.clone());
        }
        Event::ChannelOpened(opened) => (row.card, row.key_uid) = (Some(opened.card), opened.key_uid),
        Event::PairedChannelOpened(opened) => (row.card, row.key_uid) = (Some(opened.card), opened.key_uid),
        Event::HeadSigned(signed) => row.card = Some(signed.card),
        Event::Statement(statement) => (row.card, row.key_uid) = (Some(statement.card), statement.key_uid),
        Event::SecondWriter(other) => row.card = Some(other.card),
        Event::Provisioning(done) => (row.card, row.key_uid) = (Some(done.card), Some(done.key_uid)),
        Event::Decoy(decoy) => (row.card, row.key_uid) = (Some(decoy.card), decoy.key_uid),
        Event::LogCreated { .. }
        | Event::LogContinued { .. }
        | Event::LogOpened(_)
        | Event::PolicyChanged { .. }
        | Event::Intent(_)
        | Event::Outcome { .. } => {}
    }
    row
}

/// Returns the path of the key that an operation concerns, where it is from the master key.
fn path_of(operation: &Operation) -> Option<KeyPath> {
    operation.place()?.absolute().cloned()
}
