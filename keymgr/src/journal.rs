//! The order that every key operation keeps: intent synced, card asked, outcome synced, and only then the value is seen.

use std::collections::BTreeMap;

use audit::{
    Asked, Caller, ChannelOpened, Decoy, Deed, Event, Head, HeadSigned, Intent, Log, LogOpened, LogStore, Outcome,
    Owner, PairedChannelOpened, Provisioning, Purpose, Recorded, Refusal, Request, SecondWriter, Statement, Text, When,
};
use keycard::CardError;
use proto::{CardId, Instant, KeyUid, Secret, UnixMillis};

use crate::approval::Granted;
use crate::archive::{Alone, Anchor, Archive};
use crate::caller::Doubt;
use crate::clock::Clock;
use crate::error::BrokerError;
use crate::metrics::Metrics;
use crate::policy::History;
use crate::tail::Tail;

/// The log, the clocks that stamp it, and the policy that every intent names.
pub(crate) struct Journal<S> {
    log: Log<S>,
    clock: Box<dyn Clock + Send>,
    policy: [u8; 32],
    /// What the log tells of the past, as far as the policy asks.
    history: History,
    /// The one of which the log tells last.
    last_policy: Option<[u8; 32]>,
    /// The key of the fingerprints, when they must not tell one key from another.
    quiet: Option<Secret<32>>,
    /// The outcomes that no card has signed.
    tail: Tail,
    metrics: Metrics,
    /// What stands beside the log.
    archive: Box<dyn Archive<S>>,
    /// What this manager said of itself, and says again in each file of the log.
    opened: Option<LogOpened>,
    /// Heads that this log had, as cards speak of them.
    stood: BTreeMap<u64, Head>,
}

/// Who asks, and what for.
#[derive(Debug, Clone)]
pub struct Why {
    /// Who.
    pub caller: Caller,
    /// What is wrong with the evidence about its program, if anything.
    pub doubt: Option<Doubt>,
    /// What for.
    pub purpose: Purpose,
    /// That the owner approved it, where that was asked.
    pub granted: Option<Granted>,
}

impl Why {
    /// Returns who asks for what, with evidence that is not in doubt and without the owner's approval.
    #[must_use]
    pub const fn new(caller: Caller, purpose: Purpose) -> Self {
        Self { caller, doubt: None, purpose, granted: None }
    }
}

impl<S: LogStore> Journal<S> {
    pub(crate) fn new(log: Log<S>, clock: Box<dyn Clock + Send>, policy: [u8; 32], metrics: Metrics) -> Self {
        Self {
            log,
            clock,
            policy,
            history: History::default(),
            last_policy: None,
            quiet: None,
            tail: Tail::default(),
            metrics,
            archive: Box::new(Alone),
            opened: None,
            stood: BTreeMap::new(),
        }
    }

    /// Carries out one operation between its intent and its outcome, and returns what it gave with the intent's number.
    ///
    /// When the outcome cannot be synced, what the card gave is dropped, which wipes it.
    ///
    /// # Errors
    /// [`BrokerError::Log`]: before `ask` when the intent is not on disk; [`BrokerError::Card`].
    pub(crate) fn carry_out<V>(
        &mut self,
        request: Request,
        why: &Why,
        ask: impl FnOnce(&mut Recorded) -> Result<V, CardError>,
        done: impl FnOnce(&V) -> Outcome,
    ) -> Result<(V, u64), BrokerError> {
        let only_reads = request.operation.only_reads();
        let mut recorded = self.intent(request, why)?;
        let entry = recorded.seq();
        let began = self.monotonic();
        match ask(&mut recorded) {
            Ok(value) => {
                let outcome = self.hushed(entry, done(&value));
                self.outcome(recorded, outcome)?;
                self.metrics.lag(self.monotonic().since(began));
                Ok((value, entry))
            }
            Err(error) => {
                let reason = match (&self.quiet, &error) {
                    (Some(_), CardError::OtherKey { .. }) => Text::lossy("the card's key is not the expected one"),
                    _ => Text::lossy(&error.to_string()),
                };
                let outcome = match &error {
                    _ if !recorded.is_spent() => Outcome::NotSent { reason },
                    CardError::Status { status, .. } if only_reads => {
                        Outcome::RefusedByCard { status: u16::from_be_bytes(status.to_bytes()) }
                    }
                    _ => Outcome::Failed { reason },
                };
                if let Err(unwritten) = self.outcome(recorded, outcome) {
                    // The intent stands alone then, which reads as "exported".
                    tracing::error!(entry, "the outcome of a failed operation is not in the log: {unwritten}");
                }
                Err(error.into())
            }
        }
    }

    /// Carries out several operations that are one to their owner: all intents first, then the card, then all outcomes.
    /// Returns what it gave with the number of the first intent.
    ///
    /// # Errors
    /// [`BrokerError::Log`]: before `ask` when an intent is not on disk.
    pub(crate) fn carry_out_all<V, E>(
        &mut self,
        requests: Vec<Request>,
        why: &Why,
        ask: impl FnOnce(&mut [Recorded]) -> Result<V, E>,
    ) -> Result<(V, u64), BrokerError>
    where
        E: std::fmt::Display + Into<BrokerError>,
    {
        let mut recorded = Vec::with_capacity(requests.len());
        for request in requests {
            recorded.push(self.intent(request, why)?);
        }
        let entry = recorded.first().map_or(0, Recorded::seq);
        let answer = ask(&mut recorded);
        let reason = answer.as_ref().err().map(|error| Text::lossy(&error.to_string()));
        for recorded in recorded {
            let outcome = match &reason {
                None => Outcome::done(None, None),
                Some(reason) if recorded.is_spent() => Outcome::Failed { reason: reason.clone() },
                Some(reason) => Outcome::NotSent { reason: reason.clone() },
            };
            let written = self.outcome(recorded, outcome);
            if answer.is_ok() {
                written?;
            }
        }
        Ok((answer.map_err(Into::into)?, entry))
    }

    fn intent(&mut self, request: Request, why: &Why) -> Result<Recorded, BrokerError> {
        let now = self.now();
        let (caller, purpose, policy) = (why.caller.clone(), why.purpose.clone(), self.policy);
        let recorded = self.log.intent(now, request.clone(), purpose.clone(), caller.clone(), policy)?;
        let intent = Event::Intent(Intent { request, purpose, caller, policy });
        self.history.tell(recorded.seq(), now.unix, &intent);
        Ok(recorded)
    }

    fn outcome(&mut self, recorded: Recorded, outcome: Outcome) -> Result<(), BrokerError> {
        let now = self.now();
        let (intent, card) = (recorded.seq(), recorded.request().card);
        let line = self.log.outcome(now, recorded, outcome.clone())?;
        self.history.tell(line, now.unix, &Event::Outcome { intent, outcome: outcome.clone() });
        if !matches!(outcome, Outcome::NotSent { .. }) {
            self.tail.grow(card, now.monotonic);
        }
        Ok(())
    }

    /// Writes down that another policy is in force from here on.
    pub(crate) fn policy_changed(&mut self, to: [u8; 32]) -> Result<(), BrokerError> {
        let now = self.now();
        self.log.policy_changed(now, self.policy, to)?;
        self.policy = to;
        Ok(())
    }

    /// Takes what the log told before this manager wrote to it.
    pub(crate) fn recall(&mut self, history: History) {
        self.history = history;
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn unix(&self) -> UnixMillis {
        self.now().unix
    }

    /// Keys the fingerprints from here on, or no longer, and returns what keyed them before.
    pub(crate) fn hush(&mut self, key: Option<Secret<32>>) -> Option<Secret<32>> {
        std::mem::replace(&mut self.quiet, key)
    }

    fn hushed(&self, entry: u64, outcome: Outcome) -> Outcome {
        match (&self.quiet, outcome) {
            (Some(key), Outcome::Done { fingerprint: Some(fingerprint), key_uid, nonce }) => {
                Outcome::Done { fingerprint: Some(fingerprint.keyed(key, entry)), key_uid, nonce }
            }
            (_, outcome) => outcome,
        }
    }

    /// Writes down what an owner is about to do, and returns the number of the line.
    pub(crate) fn owner(&mut self, card: Option<CardId>, deed: Deed, why: &Why) -> Result<u64, BrokerError> {
        let now = self.now();
        let owner = Owner { card, deed, purpose: why.purpose.clone(), caller: why.caller.clone() };
        Ok(self.log.owner(now, owner)?)
    }

    pub(crate) fn decoy(&mut self, decoy: Decoy) -> Result<u64, BrokerError> {
        let now = self.now();
        let line = self.log.decoy(now, decoy.clone())?;
        self.history.tell(line, now.unix, &Event::Decoy(decoy));
        Ok(line)
    }

    pub(crate) fn refuse(
        &mut self,
        about: (Option<CardId>, Option<KeyUid>),
        asked: Asked,
        why: &Why,
        reason: &str,
    ) -> Result<u64, BrokerError> {
        let (card, key_uid) = about;
        let refusal = Refusal {
            card,
            key_uid,
            asked,
            purpose: Some(why.purpose.clone()),
            caller: why.caller.clone(),
            reason: Text::lossy(reason),
            policy: self.policy,
        };
        let now = self.now();
        Ok(self.log.refusal(now, refusal)?)
    }

    pub(crate) fn channel_opened(&mut self, opened: ChannelOpened) -> Result<u64, BrokerError> {
        let (now, card, head) = (self.now(), opened.card, self.head());
        let line = self.log.channel_opened(now, opened)?;
        self.signed(card, Anchor { head, at: now.unix, card: Some(card), line });
        Ok(line)
    }

    pub(crate) fn paired_channel_opened(&mut self, opened: PairedChannelOpened) -> Result<u64, BrokerError> {
        let (now, card, is_signed, head) = (self.now(), opened.card, opened.signed.is_some(), self.head());
        let line = self.log.paired_channel_opened(now, opened)?;
        if is_signed {
            self.signed(card, Anchor { head, at: now.unix, card: Some(card), line });
        } else {
            self.tail.is_mute(card);
        }
        Ok(line)
    }

    pub(crate) fn head_signed(&mut self, signed: HeadSigned) -> Result<u64, BrokerError> {
        let (now, card, head) = (self.now(), signed.card, self.head());
        let line = self.log.head_signed(now, signed)?;
        self.signed(card, Anchor { head, at: now.unix, card: Some(card), line });
        Ok(line)
    }

    pub(crate) fn statement(&mut self, statement: Statement) -> Result<u64, BrokerError> {
        let now = self.now();
        Ok(self.log.statement(now, statement)?)
    }

    pub(crate) fn second_writer(&mut self, found: SecondWriter) -> Result<u64, BrokerError> {
        let now = self.now();
        Ok(self.log.second_writer(now, found)?)
    }

    /// Says which rules the log tells of last.
    pub(crate) const fn after_policy(&mut self, last: Option<[u8; 32]>) {
        self.last_policy = last;
    }

    /// From here on these rules are in force, which the log tells if they are others.
    pub(crate) fn policy_is(&mut self, policy: [u8; 32]) -> Result<(), BrokerError> {
        if let Some(last) = self.last_policy.filter(|last| *last != policy) {
            let now = self.now();
            self.log.policy_changed(now, last, policy)?;
        }
        self.last_policy = Some(policy);
        self.policy = policy;
        Ok(())
    }

    fn signed(&mut self, card: CardId, anchor: Anchor) {
        self.tail.signed(card);
        self.archive.keep(&anchor);
    }

    /// This card keeps this head from here on; without one it is not to keep any.
    pub(crate) fn mirrored(&mut self, card: &CardId, head: Option<Head>) {
        self.tail.mirrored(card);
        if let Some(head) = head {
            self.remember(head);
        }
    }

    /// Returns whether this log ever stood so.
    ///
    /// # Errors
    /// [`BrokerError::State`] when its files cannot be read.
    pub(crate) fn stood_at(&mut self, found: &Head) -> Result<bool, BrokerError> {
        let head = self.head();
        if found.log != head.log || found.entries > head.entries {
            return Ok(false);
        }
        if *found == head || self.stood.get(&found.entries) == Some(found) {
            return Ok(true);
        }
        let stood = self.archive.head_at(found.entries)?;
        if stood == Some(*found) {
            self.remember(*found);
        }
        Ok(stood == Some(*found))
    }

    fn remember(&mut self, head: Head) {
        if self.stood.len() >= MOST_STOOD {
            self.stood.pop_first();
        }
        self.stood.insert(head.entries, head);
    }

    /// Puts the log's file away when it is long enough, and goes on in another. When that fails it goes on where it is.
    pub(crate) fn rotate(&mut self) {
        if !self.archive.is_full() {
            return;
        }
        let now = self.now();
        match self.archive.rotate(&self.log, now) {
            Ok(log) => {
                let line = log.head().entries;
                self.archive.keep(&Anchor { head: self.log.head(), at: now.unix, card: None, line });
                self.log = log;
                let again = self.opened.clone().map(|opened| self.opened(opened));
                if let Some(Err(error)) = again {
                    tracing::error!("the new file of the export log does not say which manager writes: {error}");
                }
            }
            Err(error) => tracing::error!("the export log was not put away and goes on where it is: {error}"),
        }
    }

    /// Puts what stands beside the log into these hands.
    pub(crate) fn archive(&mut self, archive: Box<dyn Archive<S>>) {
        self.archive = archive;
    }

    /// Returns whether nothing in the log may tell one PIN of a card from another.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet.is_some()
    }

    /// Returns the outcomes that no card has signed.
    pub(crate) const fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Gives up on having this card sign its outcomes that are there: the next opening of its channel signs them.
    pub(crate) fn give_up(&mut self, card: &CardId) {
        self.tail.give_up(card);
    }

    /// The same for every card but these.
    pub(crate) fn give_up_but(&mut self, askable: &[CardId]) {
        self.tail.give_up_but(askable);
    }

    pub(crate) fn provisioned(&mut self, provisioning: Provisioning) -> Result<u64, BrokerError> {
        let now = self.now();
        Ok(self.log.provisioning(now, provisioning)?)
    }

    pub(crate) fn opened(&mut self, opened: LogOpened) -> Result<u64, BrokerError> {
        let now = self.now();
        self.opened = Some(opened.clone());
        Ok(self.log.opened(now, opened)?)
    }

    pub(crate) const fn head(&self) -> Head {
        self.log.head()
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.now().monotonic
    }

    fn now(&self) -> When {
        self.clock.now()
    }
}

/// As many cards as a computer meets.
const MOST_STOOD: usize = 1024;
