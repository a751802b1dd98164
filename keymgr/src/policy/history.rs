//! What was allowed before, for rates, and what left before, for the closure: both as the log tells them.
//!
//! The invariant: it is bounded. What is remembered for rates is what a day's largest rate needs; when there is no more room,
//! blocks with a rate refuse. What left is never forgotten; when there was more than is remembered, no private key leaves that
//! did not leave before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use audit::{Caller, Event, Intent, Line, Operation, Purpose, Text, closure};
use proto::{CardId, KeyPath, KeyUid, UnixMillis};

use super::question::{Question, Use};
use super::rule::{Client, Key, Period, Rate};

/// What happened before.
#[derive(Debug, Clone)]
pub struct History {
    uses: BTreeMap<Past, VecDeque<UnixMillis>>,
    /// How many times stand in `uses`.
    count: usize,
    /// When those of other days were forgotten last.
    forgot: UnixMillis,
    left: closure::History,
    accounts: BTreeSet<(CardId, Option<KeyUid>)>,
    /// Whether there were more of them.
    more_accounts: bool,
}

impl Default for History {
    fn default() -> Self {
        Self {
            uses: BTreeMap::new(),
            count: 0,
            forgot: UnixMillis::default(),
            left: closure::History::bounded(MOST_LEFT),
            accounts: BTreeSet::new(),
            more_accounts: false,
        }
    }
}

/// Who did what, what for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Past {
    uid: u32,
    binary: Option<Text<512>>,
    hash: Option<[u8; 32]>,
    operation: Use,
    path: KeyPath,
    purpose: Purpose,
}

impl History {
    /// Hears of one more line.
    pub fn hear(&mut self, line: &Line) {
        self.tell(line.seq, UnixMillis::new(line.unix_ms), &line.event);
    }

    /// Hears of the event of one more line, with its number and its time.
    pub fn tell(&mut self, seq: u64, at: UnixMillis, event: &Event) {
        if let Event::Intent(Intent { request, purpose, caller, .. }) = event {
            self.use_of(at, &request.operation, purpose, caller);
            let account = (request.card, request.key_uid);
            self.more_accounts |= self.accounts.len() >= MOST_ACCOUNTS && !self.accounts.contains(&account);
            if !self.more_accounts {
                self.accounts.insert(account);
            }
        }
        self.left.tell(seq, event);
    }

    /// Returns what left.
    pub(super) const fn left(&self) -> &closure::History {
        &self.left
    }

    /// Returns the cards that were asked for something, with the accounts on them; nothing when there were too many.
    pub(super) fn accounts(&self) -> Option<impl Iterator<Item = (CardId, Option<KeyUid>)>> {
        (!self.more_accounts).then(|| self.accounts.iter().copied())
    }

    fn use_of(&mut self, at: UnixMillis, operation: &Operation, purpose: &Purpose, caller: &Caller) {
        let Ok(Question { operation, path }) = Question::of_operation(operation) else { return };
        if self.count >= MOST_TIMES && age(self.forgot, at) >= Period::Minute.millis() {
            self.forget(at);
        }
        let Caller { uid, binary, binary_hash, .. } = caller;
        let (binary, hash) = (binary.clone(), *binary_hash);
        let past = Past { uid: *uid, binary, hash, operation, path, purpose: purpose.clone() };
        if self.count >= MOST_TIMES && !self.uses.contains_key(&past) {
            return;
        }
        let times = self.uses.entry(past).or_default();
        times.push_back(at);
        if times.len() > Rate::MOST {
            times.pop_front();
        } else {
            self.count += 1;
        }
    }

    /// Forgets what is older than the longest period.
    fn forget(&mut self, now: UnixMillis) {
        for times in self.uses.values_mut() {
            times.retain(|at| age(*at, now) < Period::Day.millis());
        }
        self.uses.retain(|_, times| !times.is_empty());
        self.count = self.uses.values().map(VecDeque::len).sum();
        self.forgot = now;
    }

    /// Returns in how many seconds the client may do this again, if its rate is used up.
    pub(super) fn wait(&self, key: &Key, client: &Client, operation: Use, now: UnixMillis) -> Option<u64> {
        let Rate { most, period } = key.rate?;
        if self.count >= MOST_TIMES {
            return Some(period.millis() / 1000);
        }
        let counts = |past: &Past| {
            past.uid == client.uid
                && client.binary.as_ref().is_none_or(|wanted| {
                    past.binary.as_ref().is_some_and(|binary| wanted.as_os_str() == binary.as_str())
                })
                && client.sha256.is_none_or(|wanted| past.hash == Some(wanted))
                && past.operation == operation.on_card()
                && key.covers(&past.path)
                && key.purposes.contains(&past.purpose)
        };
        let mut ages: Vec<u64> = self
            .uses
            .iter()
            .filter(|(past, _)| counts(past))
            .flat_map(|(_, times)| times.iter().map(|at| age(*at, now)))
            .filter(|age| *age < period.millis())
            .collect();
        ages.sort_unstable();
        // The oldest of the newest `most` must be out of the period before there is room again.
        let oldest = ages.get(most - 1)?;
        Some((period.millis() - oldest).div_ceil(1000))
    }
}

/// Returns how long ago something was. What lies ahead, because a clock went back, counts as just done.
const fn age(at: UnixMillis, now: UnixMillis) -> u64 {
    now.get().saturating_sub(at.get())
}

/// Keys and cards, of some 300 bytes each: five megabytes.
const MOST_LEFT: usize = 16_384;
/// As many as are remembered (`cards::known`).
const MOST_ACCOUNTS: usize = 1000;
/// Of eight bytes each: half a megabyte.
const MOST_TIMES: usize = 65_536;
