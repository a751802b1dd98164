//! What an operator watches: how long cards and disk take, who asks for what, and what is refused.
//!
//! The invariant: the labels are names from closed lists (instructions, operations, faults), so that no client can make the
//! tables grow; and no sample tells of a secret, a path or a purpose.

mod exposition;
mod histogram;
pub(crate) mod instruction;
pub mod outgoing;
pub(crate) mod requests;
pub mod textfile;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use exposition::{Exposition, Kind};
use histogram::Histogram;
use outgoing::{Outgoing, Waiting};
use proto::CardId;
use proto::rpc::api::Health;

use crate::hardening::Hardening;

/// The counters of one manager; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    tables: Arc<Mutex<Tables>>,
    /// Nothing where no heads are sent off.
    outgoing: Option<Arc<Outgoing>>,
}

#[derive(Debug, Default)]
struct Tables {
    commands: BTreeMap<&'static str, Histogram>,
    requests: BTreeMap<(String, &'static str), u64>,
    durations: BTreeMap<String, Histogram>,
    refusals: BTreeMap<&'static str, u64>,
    appends: Histogram,
    lag: Histogram,
    connections: u64,
    turned_away: BTreeMap<&'static str, u64>,
    puk_tries: BTreeMap<CardId, u8>,
}

/// What the manager holds at the moment.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The cards that it knows.
    pub cards: Vec<HeldCard>,
    /// How many readers are in which state of a lease.
    pub leases: BTreeMap<String, u64>,
    /// How many lines the export log has.
    pub log_entries: u64,
}

/// A card that the manager knows.
#[derive(Debug, Clone, Default)]
pub struct HeldCard {
    /// Its id.
    pub card: String,
    /// What its owner calls it.
    pub label: String,
    /// Whether its PIN is validated.
    pub unlocked: bool,
    /// The tries that it said are left.
    pub pin_tries: Option<u8>,
    /// The same of its PUK.
    pub puk_tries: Option<u8>,
}

impl Metrics {
    /// The counters of a manager whose heads wait there to be sent off.
    #[must_use]
    pub fn of(outgoing: Outgoing) -> Self {
        Self { outgoing: Some(Arc::new(outgoing)), ..Self::default() }
    }

    /// Counts a command that a card answered, or did not.
    pub fn command(&self, ins: u8, took: Duration) {
        self.count(|tables| tables.commands.entry(instruction::name(ins)).or_default().observe(took));
    }

    /// Counts a line of the export log that was written and synced.
    pub fn append(&self, took: Duration) {
        self.count(|tables| tables.appends.observe(took));
    }

    /// Counts an operation from its intent to its outcome, both synced.
    pub fn lag(&self, took: Duration) {
        self.count(|tables| tables.lag.observe(took));
    }

    /// Counts a refusal by the name of its fault.
    pub fn refused(&self, fault: &'static str) {
        self.count(|tables| add(tables.refusals.entry(fault).or_default()));
    }

    /// Counts a request that was answered, `result` being the name of a fault, `ok`, or `error`.
    pub(crate) fn request(&self, operation: &str, result: &'static str, took: Duration) {
        self.count(|tables| {
            add(tables.requests.entry((operation.to_owned(), result)).or_default());
            tables.durations.entry(operation.to_owned()).or_default().observe(took);
        });
    }

    /// Tells how many tries a card's PUK has, as the card said.
    pub(crate) fn puk_tries(&self, card: CardId, tries: u8) {
        self.count(|tables| {
            if tables.puk_tries.contains_key(&card) || tables.puk_tries.len() < MOST_CARDS {
                tables.puk_tries.insert(card, tries);
            }
        });
    }

    /// Returns how many tries a card's PUK had when it was last asked.
    pub(crate) fn puk_tries_of(&self, card: &CardId) -> Option<u8> {
        self.count(|tables| tables.puk_tries.get(card).copied())
    }

    /// Tells how many connections there are.
    pub(crate) fn connections(&self, open: usize) {
        self.count(|tables| tables.connections = u64::try_from(open).unwrap_or(u64::MAX));
    }

    /// Counts a connection that was not taken.
    pub(crate) fn turned_away(&self, why: &'static str) {
        self.count(|tables| add(tables.turned_away.entry(why).or_default()));
    }

    /// Returns the most telling figures.
    #[must_use]
    pub fn health(&self) -> Health {
        let Waiting { heads, bytes, oldest } = self.waiting();
        self.count(|tables| {
            let commands = tables.commands.values().map(Histogram::count).sum();
            let slowest = tables.commands.values().map(Histogram::p99).max().unwrap_or_default();
            Health {
                connections: tables.connections,
                turned_away: tables.turned_away.values().sum(),
                requests: tables.requests.values().sum(),
                refusals: tables.refusals.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
                card_commands: commands,
                card_p99_us: micros(slowest),
                append_p99_us: micros(tables.appends.p99()),
                lag_p99_us: micros(tables.lag.p99()),
                resident_bytes: resident_bytes(),
                heads_waiting: heads,
                head_bytes_waiting: bytes,
                oldest_head_seconds: oldest.as_secs(),
            }
        })
    }

    /// Returns everything in the text format of Prometheus.
    #[must_use]
    pub fn text(&self, held: &Held, hardening: &Hardening) -> String {
        let mut text = Exposition::default();
        self.count(|tables| tables.write(&mut text));
        held.write(&mut text);
        self.waiting().write(&mut text);
        text.family("hardening_in_force", Kind::Gauge, "Whether a measure of hardening is in force.");
        for measure in hardening.measures() {
            let in_force = u8::from(measure.missing.is_none());
            text.sample("hardening_in_force", &[("measure", measure.name)], in_force);
        }
        text.family("resident_bytes", Kind::Gauge, "Memory of the manager that is not on disk.");
        text.sample("resident_bytes", &[], resident_bytes());
        text.finish()
    }

    fn waiting(&self) -> Waiting {
        self.outgoing.as_deref().map(Outgoing::waiting).unwrap_or_default()
    }

    /// The tables are whole between two counts, so a panic elsewhere does not spoil them.
    fn count<R>(&self, count: impl FnOnce(&mut Tables) -> R) -> R {
        count(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tables {
    fn write(&self, text: &mut Exposition) {
        text.family("card_command_seconds", Kind::Histogram, "How long a card took to answer, by instruction.");
        for (ins, histogram) in &self.commands {
            text.histogram("card_command_seconds", &[("ins", ins)], histogram);
        }
        text.family("requests_total", Kind::Counter, "Requests by operation and result.");
        for ((operation, result), count) in &self.requests {
            text.sample("requests_total", &[("operation", operation), ("result", result)], count);
        }
        text.family("request_seconds", Kind::Histogram, "How long a request took until its answer began.");
        for (operation, histogram) in &self.durations {
            text.histogram("request_seconds", &[("operation", operation)], histogram);
        }
        text.family("refusals_total", Kind::Counter, "What was refused, by reason.");
        for (reason, count) in &self.refusals {
            text.sample("refusals_total", &[("reason", reason)], count);
        }
        text.family("log_append_seconds", Kind::Histogram, "How long a line of the export log took to be on disk.");
        text.histogram("log_append_seconds", &[], &self.appends);
        text.family("log_lag_seconds", Kind::Histogram, "How long an outcome was on disk after its intent.");
        text.histogram("log_lag_seconds", &[], &self.lag);
        text.family("connections", Kind::Gauge, "Connections that are open.");
        text.sample("connections", &[], self.connections);
        text.family("connections_turned_away_total", Kind::Counter, "Connections that were not taken, by reason.");
        for (reason, count) in &self.turned_away {
            text.sample("connections_turned_away_total", &[("reason", reason)], count);
        }
    }
}

impl Held {
    fn write(&self, text: &mut Exposition) {
        text.family("log_entries", Kind::Gauge, "Lines of the export log.");
        text.sample("log_entries", &[], self.log_entries);
        text.family("leases", Kind::Gauge, "Readers by what they are held for.");
        for (state, count) in &self.leases {
            text.sample("leases", &[("state", state)], count);
        }
        text.family("card_unlocked", Kind::Gauge, "Whether a card's PIN is validated.");
        for card in &self.cards {
            text.sample("card_unlocked", &card.labels(), u8::from(card.unlocked));
        }
        text.family("pin_tries_left", Kind::Gauge, "Tries of a card's PIN, as it last said.");
        for (card, tries) in self.cards.iter().filter_map(|card| Some((card, card.pin_tries?))) {
            text.sample("pin_tries_left", &card.labels(), tries);
        }
        text.family("puk_tries_left", Kind::Gauge, "Tries of a card's PUK, as it last said.");
        for (card, tries) in self.cards.iter().filter_map(|card| Some((card, card.puk_tries?))) {
            text.sample("puk_tries_left", &card.labels(), tries);
        }
    }
}

impl Waiting {
    fn write(&self, text: &mut Exposition) {
        let Self { heads, bytes, oldest } = self;
        text.family("spool_heads", Kind::Gauge, "Signed heads that were not sent to any place.");
        text.sample("spool_heads", &[], heads);
        text.family("spool_bytes", Kind::Gauge, "Bytes of the signed heads that were not sent to any place.");
        text.sample("spool_bytes", &[], bytes);
        text.family("spool_oldest_seconds", Kind::Gauge, "For how long the oldest of them has waited.");
        text.sample("spool_oldest_seconds", &[], oldest.as_secs());
    }
}

impl HeldCard {
    fn labels(&self) -> [(&str, &str); 2] {
        [("card", &self.card), ("label", &self.label)]
    }
}

fn add(count: &mut u64) {
    *count = count.saturating_add(1);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the memory of this process as the kernel counts it (`VmRSS`), 0 where it does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes.saturating_mul(1024))
}

/// More cards than anybody has on one desk.
const MOST_CARDS: usize = 256;

#[cfg(test)]
mod tests;
