//! The owner of one card: what it may be asked, how long its PIN stays valid, and what is written down about it.
//!
//! The invariant: the card's validated PIN ends, by a reset of the card, at the end of its lifetime, on lock, on stop, and
//! on every error. While no PIN is validated the card lies idle, without a channel.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use audit::{Asked, LogOpened, LogStore, Text};
use keycard::{CardTransport, Trust};
use proto::rpc::api::KeymgrStatus;
use proto::{CardId, Fingerprint, Instant, KeyUid, Secret};
use rand_core::CryptoRng;

use crate::cards::Cards;
use crate::cards::known::Known;
use crate::clock::Clock;
use crate::error::{BrokerError, PinRefused, PukRefused};
use crate::files;
use crate::guard::{Guarded, GuardedCard};
use crate::journal::{Journal, Why};
use crate::manifest::Manifest;
use crate::metrics::{Held, HeldCard, Metrics};
use crate::opening::Described;
use crate::pause::Pauses;
use crate::pins::{PinnedCards, Pins};
use crate::policy::Policy;
use crate::refusals::{Refusals, TOO_MANY_TEXT, Written};

/// One card, its rules and its log.
pub struct Broker<T: CardTransport, S: LogStore> {
    slot: Slot<T>,
    pub(crate) journal: Journal<S>,
    pub(crate) rules: Rules,
    pub(crate) enrolment: Enrolment,
    pub(crate) cards: Cards<T>,
    pub(crate) pauses: Pauses,
    refusals: Refusals,
    pub(crate) described: Option<Described>,
    pub(crate) dice: Box<dyn CryptoRng + Send>,
    pub(crate) metrics: Metrics,
}

/// What decides whether a card is taken and what may leave it.
pub struct Rules {
    /// Which authorities vouch for cards.
    pub trust: Trust,
    /// Whether the public test authority is among them.
    pub test_authority: bool,
    /// Which cards may be met.
    pub manifest: Manifest,
    /// Which keys may leave.
    pub policy: Policy,
    /// How long a PIN stays valid at most, whatever was asked for; without it until the manager stops.
    pub pin_lifetime: Option<Duration>,
}

/// Which cards were enrolled, and where that is written.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// What was pinned.
    pub pinned: PinnedCards,
    /// Of which of them the log tells.
    pub logged: BTreeSet<CardId>,
    /// Where the pins are.
    pub pins_path: PathBuf,
    /// Where the policy is, or will be after the first enrolment.
    pub policy_path: PathBuf,
}

/// What the broker cannot know by itself.
pub struct Outside {
    /// Tells the time.
    pub clock: Box<dyn Clock + Send>,
    /// Draws what must be fresh.
    pub dice: Box<dyn CryptoRng + Send>,
    /// Counts what is done.
    pub metrics: Metrics,
}

/// The card and the account that a refusal is about, as far as they are known.
pub(crate) type About = (Option<CardId>, Option<KeyUid>);

/// Where the transport is.
enum Slot<T: CardTransport> {
    /// With a step that is under way, or lost by one that panicked; whoever loses it resets the card.
    Empty,
    /// Here; the card has no channel and no validated PIN.
    Idle(Guarded<T>),
    /// Held by an unlocked card, until then if there is an end.
    Unlocked {
        card: GuardedCard<T>,
        until: Option<Instant>,
        /// Of the chat key that it showed when it was unlocked, and must show again.
        chat: Fingerprint,
    },
}

/// The own card while another reader's is under work.
pub(crate) struct Visited<T: CardTransport> {
    slot: Slot<T>,
    quiet: Option<Secret<32>>,
    described: Option<Described>,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Takes a card and its log.
    #[must_use]
    pub fn new(
        transport: T,
        log: audit::Log<S>,
        rules: Rules,
        enrolment: Enrolment,
        cards: Cards<T>,
        outside: Outside,
    ) -> Self {
        let Outside { clock, dice, metrics } = outside;
        let journal = Journal::new(log, clock, rules.policy.hash(), metrics.clone());
        Self {
            slot: Slot::Idle(Guarded::new(transport, metrics.clone())),
            journal,
            rules,
            enrolment,
            cards,
            pauses: Pauses::default(),
            refusals: Refusals::default(),
            described: None,
            dice,
            metrics,
        }
    }

    /// Writes down which manager works from here on, `binary` being the hash of its program.
    ///
    /// # Errors
    /// [`BrokerError::Log`].
    pub fn announce(&mut self, binary: Option<[u8; 32]>) -> Result<(), BrokerError> {
        let opened = LogOpened {
            version: Text::lossy(env!("CARGO_PKG_VERSION")),
            binary,
            policy: self.rules.policy.hash(),
            test_authority: self.rules.test_authority,
        };
        self.journal.opened(opened).map(drop)
    }

    /// Ends the PIN's lifetime: what came of it is signed, and the card is reset.
    pub fn lock(&mut self) {
        if matches!(self.slot, Slot::Unlocked { .. }) {
            self.settle();
        }
        self.end_session();
    }

    /// Ends the PIN's lifetime without asking the card for anything more: it is reset.
    pub(crate) fn end_session(&mut self) {
        match std::mem::replace(&mut self.slot, Slot::Empty) {
            Slot::Unlocked { card, .. } => {
                self.dismiss(card);
                tracing::info!("the card is locked");
            }
            other => self.slot = other,
        }
    }

    /// Locks the card if its PIN's lifetime has ended.
    pub fn expire(&mut self) {
        if self.time_left() == Some(Duration::ZERO) {
            self.lock();
        }
    }

    /// Locks the card if it has gone, or its reader has.
    pub fn look_for_card(&mut self) {
        if let Slot::Unlocked { card, .. } = &mut self.slot
            && !card.is_there()
        {
            tracing::warn!("the card has gone");
            self.end_session();
        }
    }

    /// Returns how long the PIN stays valid; nothing while the card is locked, or until the manager stops.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        match &self.slot {
            Slot::Unlocked { until: Some(until), .. } => Some(until.since(self.journal.monotonic())),
            _ => None,
        }
    }

    /// Returns what the manager holds. The card is not asked.
    #[must_use]
    pub fn status(&self) -> KeymgrStatus {
        let pins = self.pins_here().or_else(|| self.enrolment.pinned.all().next());
        let head = self.journal.head();
        let unlocked = matches!(self.slot, Slot::Unlocked { .. });
        let left = self.time_left().map_or(u64::MAX, |left| left.as_secs());
        KeymgrStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            card: pins.map(|pins| pins.card.to_string()).unwrap_or_default(),
            label: pins.map(|pins| pins.label.clone()).unwrap_or_default(),
            enrolled: pins.is_some(),
            key_uid: pins.map(|pins| pins.key_uid.to_string()).unwrap_or_default(),
            unlocked,
            pin_seconds_left: if unlocked { left } else { 0 },
            log_entries: head.entries,
            log_head: head.hash.to_string(),
            test_ca_allowed: self.rules.test_authority,
            decoy: self.is_decoy(),
            ..KeymgrStatus::default()
        }
    }

    /// Returns what is worth a gauge. No card is asked.
    #[must_use]
    pub fn held(&self) -> Held {
        let here = self.pins_here().map(|pins| pins.card).filter(|_| matches!(self.slot, Slot::Unlocked { .. }));
        let held = |pins: &Pins| {
            let known = self.cards.known.find(&pins.card);
            HeldCard {
                card: pins.card.to_string(),
                label: pins.label.clone(),
                unlocked: here == Some(pins.card),
                pin_tries: known.and_then(Known::told_tries).map(|tries| tries.fewest()),
                puk_tries: self.metrics.puk_tries_of(&pins.card),
            }
        };
        Held { cards: self.enrolment.pinned.all().map(held).collect(), log_entries: self.journal.head().entries }
    }

    /// Returns the transport of the locked card.
    pub(crate) fn take(&mut self) -> Result<Guarded<T>, BrokerError> {
        self.lock();
        self.described = None;
        match std::mem::replace(&mut self.slot, Slot::Empty) {
            Slot::Idle(transport) => Ok(transport),
            other => {
                self.slot = other;
                Err(keycard::CardError::from(keycard::TransportError::NoCard).into())
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
        self.slot = Slot::Idle(transport);
    }

    /// Keeps the unlocked card for so many seconds, 0 being no end, and no longer than the rules allow.
    pub(crate) fn keep(&mut self, card: GuardedCard<T>, seconds: u64, chat: Fingerprint) {
        let asked = (seconds > 0).then(|| Duration::from_secs(seconds));
        let lifetime = [asked, self.rules.pin_lifetime].into_iter().flatten().min();
        let until = lifetime.map(|lifetime| self.journal.monotonic().after(lifetime));
        self.slot = Slot::Unlocked { card, until, chat };
    }

    /// Puts a card of another reader in the place of the own one, which is returned as it is.
    pub(crate) fn visit(&mut self, transport: Guarded<T>) -> Visited<T> {
        let slot = std::mem::replace(&mut self.slot, Slot::Idle(transport));
        Visited { slot, quiet: self.journal.hush(None), described: self.described.take() }
    }

    /// Resets the card of the other reader, and puts the own one back.
    pub(crate) fn leave(&mut self, own: Visited<T>) {
        self.lock();
        self.settle();
        let Visited { slot, quiet, described } = own;
        (self.slot, self.described) = (slot, described);
        drop(self.journal.hush(quiet));
    }

    /// Returns the unlocked card and the journal.
    pub(crate) fn unlocked(&mut self) -> Result<(&mut GuardedCard<T>, &mut Journal<S>), BrokerError> {
        match &mut self.slot {
            Slot::Unlocked { card, .. } => Ok((card, &mut self.journal)),
            Slot::Empty | Slot::Idle(_) => Err(BrokerError::Locked),
        }
    }

    /// Returns the unlocked card, the journal, and what draws.
    pub(crate) fn unlocked_with_dice(
        &mut self,
    ) -> Option<(&mut GuardedCard<T>, &mut Journal<S>, &mut (dyn CryptoRng + Send))> {
        match &mut self.slot {
            Slot::Unlocked { card, .. } => Some((card, &mut self.journal, &mut *self.dice)),
            Slot::Empty | Slot::Idle(_) => None,
        }
    }

    /// Returns the fingerprint of the chat key that the unlocked card showed.
    pub(crate) const fn chat(&self) -> Option<Fingerprint> {
        match &self.slot {
            Slot::Unlocked { chat, .. } => Some(*chat),
            Slot::Empty | Slot::Idle(_) => None,
        }
    }

    /// Returns what was pinned of the unlocked card.
    pub(crate) fn pins_here(&self) -> Option<&Pins> {
        match &self.slot {
            Slot::Unlocked { card, .. } => self.enrolment.pinned.find(&card.id()),
            Slot::Empty | Slot::Idle(_) => None,
        }
    }

    /// Returns the card that is meant where nothing says which, and its account.
    pub(crate) fn about(&self) -> About {
        let pins = self.pins_here().or_else(|| self.enrolment.pinned.only());
        pins.map_or((None, None), |pins| (Some(pins.card), Some(pins.key_uid)))
    }

    /// Writes down that something was refused about the enrolled card, and returns why.
    pub(crate) fn refused(&mut self, asked: Asked, why: &Why, error: BrokerError) -> BrokerError {
        self.refused_about(self.about(), asked, why, error)
    }

    /// Writes down that something was refused about a card, and returns why. A PIN try that was spent is always written: the card
    /// bounds how many there are.
    pub(crate) fn refused_about(&mut self, about: About, asked: Asked, why: &Why, error: BrokerError) -> BrokerError {
        self.metrics.refused(error.fault().name());
        let spent = matches!(
            error,
            BrokerError::Pin(PinRefused::Wrong { .. } | PinRefused::Blocked)
                | BrokerError::Puk(PukRefused::Wrong { .. })
        );
        let written =
            if spent { Written::Itself } else { self.refusals.count(why.caller.uid, self.journal.monotonic()) };
        let reason = match written {
            Written::Itself => error.to_string(),
            Written::TooMany => TOO_MANY_TEXT.to_owned(),
            Written::Not => return error,
        };
        match self.journal.refuse(about, asked, why, &reason) {
            Ok(_) => error,
            Err(unwritten) => unwritten,
        }
    }

    /// Pins the card, writes the first policy, and tells the log.
    pub(crate) fn enrol(&mut self, pins: Pins) -> Result<(), BrokerError> {
        if !self.enrolment.policy_path.exists() {
            let text = Policy::initial(rustix::process::geteuid().as_raw());
            files::write_whole(&self.enrolment.policy_path, text.as_bytes())?;
        }
        let card = pins.card;
        let mut pinned = self.enrolment.pinned.clone();
        pinned.pin(pins);
        pinned.write(&self.enrolment.pins_path)?;
        self.enrolment.pinned = pinned;
        self.enrolment.logged.remove(&card);
        self.tell_of_enrolment(&card)
    }

    /// Forgets what was pinned of a card, when its owner cannot keep that key.
    pub(crate) fn unpin(&mut self, card: &CardId) {
        self.enrolment.logged.remove(card);
        if self.enrolment.pinned.unpin(card).is_some()
            && let Err(error) = self.enrolment.pinned.write(&self.enrolment.pins_path)
        {
            tracing::error!("{card} is still pinned in {}: {error}", self.enrolment.pins_path.display());
        }
    }

    /// Tells the log of a card's enrolment, unless it knows. The pins come first: a crash between the two is made good
    /// here, at the next unlocking.
    pub(crate) fn tell_of_enrolment(&mut self, card: &CardId) -> Result<(), BrokerError> {
        if self.enrolment.logged.contains(card) {
            return Ok(());
        }
        let Some(pins) = self.enrolment.pinned.find(card) else { return Ok(()) };
        self.journal.provisioned(audit::Provisioning {
            card: pins.card,
            label: Text::lossy(&pins.label),
            generation: Text::lossy(pins.generation.name()),
            key_uid: pins.key_uid,
            chat_fingerprint: pins.chat,
            seed: pins.seed,
        })?;
        self.enrolment.logged.insert(*card);
        Ok(())
    }
}

impl<T: CardTransport, S: LogStore> Drop for Broker<T, S> {
    fn drop(&mut self) {
        // A step that panicked left who knows what behind.
        if std::thread::panicking() { self.end_session() } else { self.lock() }
    }
}
