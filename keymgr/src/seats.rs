//! The places of the cards that are looked after: the manager's own reader, every other in which a card has a session, and
//! those that are lent. One of them is the current one, on which everything with a card works.
//!
//! The invariant: what a [`Slot`] holds and what its [`State`] says agree, and a session that is left for another seat
//! stays as it is: unlocked, with its lifetime, its chat key, and its key for quiet fingerprints.

use std::time::Duration;

use audit::LogStore;
use keycard::{ApplicationInfo, Card, CardError, CardTransport, Secured, TransportError};
use proto::{CardId, Fingerprint, Secret};
use readers::ReaderState;

use crate::broker::{Broker, Session};
use crate::cards::seat::Target;
use crate::error::BrokerError;
use crate::guard::{Guarded, GuardedCard};
use crate::journal::{Journal, Why};
use crate::opening::Described;
use crate::reader::ReaderName;
use crate::reader::state::{Act, Input, Lifetime, Phase, Sight, State};
use crate::reader::view::{self, Seen};

/// A reader, what is held of it, and what it is at.
pub(crate) struct Seat<T: CardTransport> {
    /// As `--reader` takes it.
    pub(crate) name: String,
    pub(crate) slot: Slot<T>,
    pub(crate) state: State,
    /// The key of the log's fingerprints, while another seat is the current one.
    quiet: Option<Secret<32>>,
    pub(crate) described: Option<Described>,
    pub(crate) lease: Option<Lease>,
}

/// Where the transport is.
pub(crate) enum Slot<T: CardTransport> {
    /// With a step that is under way, or lost by one that panicked; whoever loses it resets the card.
    Empty,
    /// Given up, so that others can use the reader. It is had again when the card is asked for.
    Away,
    /// Here; the card has no channel and no validated PIN.
    Idle(Guarded<T>),
    /// Held by a card whose channel is open, and whose PIN is all that is missing.
    Open(Box<Card<Secured, Guarded<T>>>),
    /// Held by an unlocked card.
    Unlocked {
        card: Box<GuardedCard<T>>,
        /// Of the chat key that it showed when it was unlocked, and must show again.
        chat: Fingerprint,
    },
}

/// Who has a card, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who asked for it.
    pub holder: String,
    /// What for.
    pub purpose: String,
    /// The card, when it was begun, if there was one.
    pub card: Option<Box<ApplicationInfo>>,
}

impl Lease {
    /// Returns that of whoever asks, for this card.
    pub(crate) fn of(why: &Why, card: Option<ApplicationInfo>) -> Self {
        Self { holder: why.caller.to_string(), purpose: why.purpose.to_string(), card: card.map(Box::new) }
    }
}

impl<T: CardTransport> Seat<T> {
    pub(crate) fn new(name: String, slot: Slot<T>) -> Self {
        Self { name, slot, state: State::default(), quiet: None, described: None, lease: None }
    }

    /// Returns what the held card says of itself.
    pub(crate) fn info(&self) -> Option<&ApplicationInfo> {
        match &self.slot {
            Slot::Open(card) => Some(card.info()),
            Slot::Unlocked { card, .. } => Some(card.info()),
            Slot::Empty | Slot::Away | Slot::Idle(_) => None,
        }
    }

    /// Returns what the card said of itself that is held, or lent.
    pub(crate) fn known(&self) -> Option<&ApplicationInfo> {
        self.info().or_else(|| self.lease.as_ref().and_then(|lease| lease.card.as_deref()))
    }

    pub(crate) const fn is_unlocked(&self) -> bool {
        matches!(self.slot, Slot::Unlocked { .. })
    }

    /// Returns the fingerprint of the chat key that the unlocked card showed.
    pub(crate) const fn chat(&self) -> Option<Fingerprint> {
        match &self.slot {
            Slot::Unlocked { chat, .. } => Some(*chat),
            Slot::Empty | Slot::Away | Slot::Idle(_) | Slot::Open(_) => None,
        }
    }

    /// Whether the card that is held is the one that was taken, as far as that can be told without asking it.
    fn is_there(&mut self) -> bool {
        match &mut self.slot {
            Slot::Open(card) => card.is_there(),
            Slot::Unlocked { card, .. } => card.is_there(),
            Slot::Empty | Slot::Away | Slot::Idle(_) => true,
        }
    }

    /// Returns what the service of all readers says of this one; nothing of a software card, which is always there.
    /// `taken` are the names of the other seats.
    fn sight(&mut self, states: Option<&[ReaderState]>, taken: &[String]) -> Option<Sight> {
        let choice = self.name.parse::<ReaderName>().ok()?.choice()?;
        let held = self.state.is_held();
        // What was heard may be older than the session: the card that is held knows better.
        if held && self.is_there() {
            return Some(Sight::Card);
        }
        let Some(states) = states else { return Some(Sight::NoReader) };
        let free: Vec<ReaderState> =
            states.iter().filter(|state| !taken.contains(&view::full_name(state))).cloned().collect();
        Some(match choice.among(&free) {
            Some(state) if !state.has_card() => Sight::NoCard,
            Some(_) if held => Sight::OtherCard,
            Some(_) => Sight::Card,
            None if choice == readers::Choice::OnlyWithCard && !free.is_empty() => Sight::NoCard,
            None => Sight::NoReader,
        })
    }
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Does something at another seat, if it is another, and comes back. A seat at which there is nothing to remember is
    /// given up then, unless it is the manager's own.
    ///
    /// Should `work` panic, all transports are dropped, and their ends reset the cards.
    pub(crate) fn at_seat<R>(
        &mut self,
        name: &str,
        transport: Option<Guarded<T>>,
        work: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let before = self.seat.name.clone();
        self.sit(name);
        if let Some(transport) = transport {
            self.seat.slot = Slot::Idle(transport);
        }
        let result = work(self);
        self.sit(&before);
        let left = self.others.get(name);
        if name != self.cards.own && left.is_some_and(|seat| seat.state.is_idle()) {
            self.others.remove(name);
        }
        result
    }

    fn sit(&mut self, name: &str) {
        if self.seat.name == name {
            return;
        }
        let next = self.others.remove(name);
        let next = next.unwrap_or_else(|| Seat::new(name.to_owned(), Slot::Away));
        let mut left = std::mem::replace(&mut self.seat, next);
        left.quiet = self.journal.hush(self.seat.quiet.take());
        self.others.insert(left.name.clone(), left);
    }

    pub(crate) fn guarded(&self, transport: T) -> Guarded<T> {
        Guarded::new(transport, self.metrics.clone())
    }

    /// Returns every seat, the current one first.
    pub(crate) fn seats(&self) -> impl Iterator<Item = &Seat<T>> {
        std::iter::once(&self.seat).chain(self.others.values())
    }

    /// Returns the seat of this name.
    pub(crate) fn seat_named(&self, name: &str) -> Option<&Seat<T>> {
        self.seats().find(|seat| seat.name == name)
    }

    pub(crate) fn seat_names(&self) -> Vec<String> {
        self.seats().map(|seat| seat.name.clone()).collect()
    }

    /// Ends the session at the current seat: what came of it is signed, and the card is reset.
    pub fn lock(&mut self) {
        let is_over = self.take_leave();
        self.end_session();
        if is_over {
            self.settle_here();
        }
    }

    /// Ends every session, and returns which cards were unlocked.
    pub fn lock_all(&mut self) -> Vec<CardId> {
        let unlocked = self.unlocked_cards().iter().map(|candidate| candidate.card).collect();
        for name in self.seat_names() {
            self.at_seat(&name, None, Self::lock);
        }
        unlocked
    }

    /// Ends every session without asking any card for anything more.
    pub(crate) fn end_sessions(&mut self) {
        for name in self.seat_names() {
            self.at_seat(&name, None, Self::end_session);
        }
    }

    /// Ends the session at the current seat without asking the card for anything more: it is reset.
    pub(crate) fn end_session(&mut self) {
        self.hear(Input::Locked);
        match std::mem::replace(&mut self.seat.slot, Slot::Empty) {
            Slot::Unlocked { card, .. } => {
                self.dismiss(*card);
                tracing::info!(reader = self.seat.name, "the card is locked");
            }
            Slot::Open(card) => self.put_back(card.into_transport()),
            other => self.seat.slot = other,
        }
    }

    /// Tells the current seat what happened. What is to be done about it the caller does.
    pub(crate) fn hear(&mut self, input: Input) -> Option<Act> {
        let now = self.journal.monotonic();
        self.seat.state.handle(now, input)
    }

    /// Locks the card that is meant, or every card, and returns which were unlocked. What is locked already stays so.
    ///
    /// # Errors
    /// [`BrokerError::Target`] when it is not clear which is meant.
    pub fn lock_cards(&mut self, target: Option<&Target>) -> Result<Vec<CardId>, BrokerError> {
        let Some(target) = target else { return Ok(self.lock_all()) };
        let unlocked = self.unlocked_cards();
        let name = match (self.session(target), unlocked.as_slice()) {
            (Err(BrokerError::Locked), [one]) if *target == Target::default() => one.reader.clone(),
            (Err(BrokerError::Locked | BrokerError::Lent(_)), _) => return Ok(Vec::new()),
            (name, _) => name?,
        };
        let card = unlocked.into_iter().find(|candidate| candidate.reader == name).map(|candidate| candidate.card);
        self.at_seat(&name, None, Self::lock);
        Ok(card.into_iter().collect())
    }

    /// Hears of readers from here on.
    pub fn listen(&mut self, seen: Seen) {
        self.cards.seen = seen;
        self.heard = 0;
    }

    /// Takes in what was heard of the readers, and does what is due.
    pub fn heed(&mut self) {
        // Whoever cannot write the log still hears so at its next use.
        drop(self.tell_of_loans());
        if let Some(states) = self.cards.seen.news(&mut self.heard) {
            for name in self.seat_names() {
                let taken: Vec<String> = self.seat_names().into_iter().filter(|other| *other != name).collect();
                self.at_seat(&name, None, |broker| {
                    let sight = broker.seat.sight(states.as_deref(), &taken);
                    if sight.is_some_and(|sight| sight != Sight::Card) {
                        broker.seat.described = None;
                    }
                    if let Some(sight) = sight
                        && broker.hear(Input::Sight(sight)) == Some(Act::End)
                    {
                        tracing::warn!(reader = broker.seat.name, "the card has gone");
                        broker.end_session();
                    }
                });
            }
        }
        let now = self.journal.monotonic();
        let due = |seat: &Seat<T>| seat.state.wake_at().is_some_and(|wake| wake <= now);
        let due: Vec<String> = self.seats().filter(|seat| due(seat)).map(|seat| seat.name.clone()).collect();
        for name in due {
            self.at_seat(&name, None, |broker| match broker.hear(Input::Tick) {
                Some(Act::End) => broker.lock(),
                Some(Act::Look) => broker.look_at_card(),
                Some(Act::TakeBack) => broker.loan_is_over(),
                None => {}
            });
        }
    }

    /// Looks at a card that was put in: an enrolled one is recognised, and its channel opened, so that its PIN is all that
    /// is missing.
    fn look_at_card(&mut self) {
        let input = match self.recognise_here() {
            Ok(true) => {
                tracing::info!(reader = self.seat.name, "an enrolled card is back; its PIN is all that is missing");
                Input::Opened
            }
            Ok(false) => Input::Strange,
            Err(error) => {
                tracing::info!(reader = self.seat.name, "the card could not be looked at: {error}");
                if matches!(error, BrokerError::Card(CardError::Transport(_))) { Input::Busy } else { Input::Strange }
            }
        };
        self.hear(input);
    }

    /// Returns when something is due, from here on.
    #[must_use]
    pub fn wake_in(&self) -> Option<Duration> {
        let wake = self.seats().filter_map(|seat| seat.state.wake_at()).min()?;
        Some(wake.since(self.journal.monotonic()))
    }

    /// Returns how long the PIN at a seat stays valid; nothing while the card is locked, or until it is drawn.
    pub(crate) fn pin_left(&self, seat: &Seat<T>) -> Option<Duration> {
        match seat.state.phase() {
            Phase::Unlocked(Lifetime { until, .. }) => until.map(|until| until.since(self.journal.monotonic())),
            _ => None,
        }
    }

    /// Returns the transport of the current seat, whose session ends.
    pub(crate) fn take(&mut self) -> Result<Guarded<T>, BrokerError> {
        self.unless_lent()?;
        self.lock();
        self.seat.described = None;
        match std::mem::replace(&mut self.seat.slot, Slot::Empty) {
            Slot::Idle(transport) => Ok(transport),
            Slot::Away => {
                self.seat.slot = Slot::Away;
                let transport = self.cards.readers.connect(&self.seat.name)?;
                Ok(self.guarded(transport))
            }
            other => {
                self.seat.slot = other;
                Err(CardError::from(TransportError::NoCard).into())
            }
        }
    }

    /// Returns the card of the current seat whose channel is open, if that is so.
    pub(crate) fn take_open(&mut self) -> Option<Card<Secured, Guarded<T>>> {
        match std::mem::replace(&mut self.seat.slot, Slot::Empty) {
            Slot::Open(card) => Some(*card),
            other => {
                self.seat.slot = other;
                None
            }
        }
    }

    /// Resets the card and lets it lie idle.
    pub(crate) fn put_back(&mut self, mut transport: Guarded<T>) {
        if let Err(error) = transport.reset() {
            // The next opening resets it again before anything else, and fails if that fails.
            tracing::error!("the card could not be reset: {error}");
        }
        // What the next card's owner wants of the log is asked when its PIN is.
        drop(self.journal.hush(None));
        self.seat.slot = Slot::Idle(transport);
        self.seat.lease = None;
        self.hear(Input::Locked);
    }

    /// Keeps the unlocked card as its owner wants, and no longer than the rules allow.
    pub(crate) fn keep(&mut self, card: GuardedCard<T>, asked: Validity, chat: Fingerprint, why: &Why) {
        let Validity { seconds, each_use } = asked;
        let asked = (seconds > 0).then(|| Duration::from_secs(seconds));
        let lifetime = [asked, self.rules.pin_lifetime].into_iter().flatten().min();
        let until = lifetime.map(|lifetime| self.journal.monotonic().after(lifetime));
        self.seat.lease = Some(Lease::of(why, Some(card.info().clone())));
        self.seat.slot = Slot::Unlocked { card: Box::new(card), chat };
        self.goes_on(Lifetime { until, each_use });
    }

    /// The session of the current seat has this lifetime: the broker keeps it, and so does the reader's own clock, however
    /// long other readers hold the broker up.
    pub(crate) fn goes_on(&mut self, lifetime: Lifetime) {
        let now = self.journal.monotonic();
        let left = lifetime.until.map(|until| until.since(now).saturating_add(LEAVE));
        if let Slot::Unlocked { card, .. } = &mut self.seat.slot {
            card.reset_within(left);
        }
        self.hear(Input::Validated(lifetime));
    }

    /// The validated PIN of the current seat was used.
    pub(crate) fn used(&mut self) {
        if self.hear(Input::Used) == Some(Act::End) {
            self.lock();
        }
    }

    /// Returns the unlocked card of the current seat and the journal.
    pub(crate) fn unlocked(&mut self) -> Result<(&mut GuardedCard<T>, &mut Journal<S>), BrokerError> {
        self.unless_lent()?;
        match &mut self.seat.slot {
            Slot::Unlocked { card, .. } => Ok((card, &mut self.journal)),
            Slot::Empty | Slot::Away | Slot::Idle(_) | Slot::Open(_) => Err(BrokerError::Locked),
        }
    }

    /// Returns the session with the unlocked card of the current seat.
    pub(crate) fn unlocked_session(&mut self) -> Option<Session<'_, T, S>> {
        match &mut self.seat.slot {
            Slot::Unlocked { card, .. } => {
                Some(Session { card, journal: &mut self.journal, mirrors: &mut self.mirrors, dice: &mut *self.dice })
            }
            Slot::Empty | Slot::Away | Slot::Idle(_) | Slot::Open(_) => None,
        }
    }

    /// Returns the session with a card that is unlocked and not kept.
    pub(crate) fn session_with<'a>(&'a mut self, card: &'a mut GuardedCard<T>) -> Session<'a, T, S> {
        Session { card, journal: &mut self.journal, mirrors: &mut self.mirrors, dice: &mut *self.dice }
    }

    /// Ends the session of the current seat after an error with the card or the log. When the log cannot be written, or the
    /// reader failed, the card is asked for nothing more. What was found wrong before anything was sent to the card ends
    /// nothing, so that no client ends its owner's session at will.
    pub(crate) fn after(&mut self, error: &BrokerError) {
        match error {
            BrokerError::Locked
            | BrokerError::Lent(_)
            | BrokerError::Card(CardError::Misuse { .. } | CardError::Unsupported { .. }) => {}
            BrokerError::Log(_) => self.end_session(),
            error if error.is_expiry() => self.end_session(),
            BrokerError::Card(CardError::Transport(_)) => {
                self.hear(Input::Failed);
                self.seat.described = None;
                self.end_session();
            }
            _ => self.lock(),
        }
    }
}

/// How long a PIN stays valid, as its owner wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// So many seconds; 0: until the card is drawn or the manager stops.
    pub seconds: u64,
    /// Whether the first use ends it.
    pub each_use: bool,
}

/// What a card has after its PIN's lifetime to keep the log's head and sign it. Nothing else is asked of it by then.
const LEAVE: Duration = Duration::from_secs(2);
