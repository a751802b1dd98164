//! The owner of the cards: what they may be asked, and what is written down about it.
//!
//! One broker, on one thread, owns them all, because a line of the log, the salt that speaks of it and the opening that signs
//! it are one order. The invariant: a card's validated PIN ends, by a reset of the card, at the end of its lifetime, on lock,
//! on stop, and on every error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use audit::{Asked, LogOpened, LogStore, Text};
use keycard::{CardTransport, Trust};
use proto::rpc::api::KeymgrStatus;
use proto::{CardId, KeyUid};
use rand_core::CryptoRng;

use crate::cards::Cards;
use crate::cards::known::Known;
use crate::cards::seat::Target;
use crate::clock::Clock;
use crate::error::{BrokerError, PinRefused, PukRefused};
use crate::files;
use crate::guard::{Guarded, GuardedCard};
use crate::journal::{Journal, Why};
use crate::manifest::Manifest;
use crate::metrics::{Held, HeldCard, Metrics};
use crate::mirror::Mirrors;
use crate::pause::Pauses;
use crate::pins::{PinnedCards, Pins};
use crate::policy::{self, History, Policy};
use crate::refusals::{Refusals, TOO_MANY_TEXT, Written};
use crate::roles::InForce;
use crate::rules;
use crate::seats::{Seat, Slot};

/// Some cards, the rules for them, and their log.
pub struct Broker<T: CardTransport, S: LogStore> {
    /// The current one.
    pub(crate) seat: Seat<T>,
    /// By their names.
    pub(crate) others: BTreeMap<String, Seat<T>>,
    /// How much was heard of the readers.
    pub(crate) heard: u64,
    pub(crate) journal: Journal<S>,
    pub(crate) rules: Rules,
    pub(crate) enrolment: Enrolment,
    pub(crate) cards: Cards<T>,
    pub(crate) mirrors: Mirrors,
    pub(crate) pauses: Pauses<CardId>,
    refusals: Refusals,
    /// The ends of loans that the log does not tell yet: of which cards, or readers without one, and why they ended.
    pub(crate) untold_ends: Vec<(Option<CardId>, &'static str)>,
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
    /// Which keys may leave, and be used.
    pub policy: InForce,
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

/// A card with a validated PIN, and what is written down about it.
pub(crate) struct Session<'a, T: CardTransport, S: LogStore> {
    pub(crate) card: &'a mut GuardedCard<T>,
    pub(crate) journal: &'a mut Journal<S>,
    pub(crate) mirrors: &'a mut Mirrors,
    pub(crate) dice: &'a mut (dyn CryptoRng + Send),
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
        let mut pauses = Pauses::of_cards();
        for known in cards.known.all() {
            if let Some(wrong) = known.wrong {
                pauses.recall(known.card, wrong, clock.now());
            }
        }
        let journal = Journal::new(log, clock, rules.policy.policy().hash(), metrics.clone());
        Self {
            seat: Seat::new(cards.own.clone(), Slot::Idle(Guarded::new(transport, metrics.clone()))),
            others: BTreeMap::new(),
            heard: 0,
            journal,
            rules,
            enrolment,
            cards,
            mirrors: Mirrors::default(),
            pauses,
            refusals: Refusals::default(),
            untold_ends: Vec::new(),
            dice,
            metrics,
        }
    }

    /// Takes what the log told before: how often keys were used, and what left.
    pub fn recall(&mut self, history: History) {
        self.journal.recall(history);
    }

    /// Returns the policy in force, for those who ask before the card is.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        self.rules.policy.clone()
    }

    /// Returns where the policy is, the hash of the one in force, and whether that is what the file has.
    ///
    /// # Errors
    /// [`BrokerError::State`] when the file cannot be read.
    pub fn policy_file(&self) -> Result<(PathBuf, [u8; 32], bool), BrokerError> {
        let path = self.enrolment.policy_path.clone();
        let hash = self.rules.policy.policy().hash();
        let written = files::read_text(&path, Policy::MAX_BYTES)?.is_some_and(|text| Policy::hash_of(&text) == hash);
        Ok((path, hash, written))
    }

    /// Reads the policy file again and puts it in force, which is written down first. Returns the hashes of both.
    ///
    /// # Errors
    /// [`BrokerError::State`] when it is missing or no policy, [`BrokerError::Log`]: the old one stays in force.
    pub fn reload_policy(&mut self) -> Result<([u8; 32], [u8; 32]), BrokerError> {
        let path = &self.enrolment.policy_path;
        let Some(policy) = Policy::read(path)? else {
            let todo = "write it anew; the rules that were read before stay in force";
            return Err(files::StateError::Missing { path: path.clone(), todo }.into());
        };
        let (from, to) = (self.rules.policy.policy().hash(), policy.hash());
        if from != to {
            rules::keep(&to, path)?;
            self.journal.policy_changed(to)?;
            for rule in policy.dead_rules() {
                tracing::warn!("{}: {rule}", path.display());
            }
            self.rules.policy.replace(policy);
            tracing::info!(hash = hex::encode(to), "another policy is in force");
        }
        Ok((from, to))
    }

    /// Writes down which manager works from here on, `binary` being the hash of its program, and under which rules.
    ///
    /// # Errors
    /// [`BrokerError::Log`].
    pub fn announce(&mut self, binary: Option<[u8; 32]>) -> Result<(), BrokerError> {
        let opened = LogOpened {
            version: Text::lossy(env!("CARGO_PKG_VERSION")),
            binary,
            policy: self.rules.policy.policy().hash(),
            test_authority: self.rules.test_authority,
        };
        self.journal.opened(opened)?;
        self.tell_of_rules()?;
        self.tell_of_loans()
    }

    /// Returns what the manager holds. No card is asked.
    #[must_use]
    pub fn status(&self) -> KeymgrStatus {
        self.status_of(|_, _| true)
    }

    /// The same for a client: of cards with which no rule lets it do anything it hears nothing.
    pub(crate) fn status_for(&self, uid: u32) -> KeymgrStatus {
        let policy = self.rules.policy.policy();
        self.status_of(|card, key_uid| policy.concerns(uid, &self.called(card, key_uid)))
    }

    fn status_of(&self, shows: impl Fn(CardId, Option<KeyUid>) -> bool) -> KeymgrStatus {
        let shows_at = |seat: &Seat<T>| seat.known().is_none_or(|info| shows(info.card_id(), info.key_uid));
        let session = self.session(&Target::default()).ok().and_then(|name| self.seat_named(&name));
        // Of several unlocked cards none is the one that is meant without a name, and yet they are unlocked.
        let session = session.filter(|seat| shows_at(seat));
        let session = session.or_else(|| self.seats().find(|seat| seat.is_unlocked() && shows_at(seat)));
        let mut enrolled = self.enrolment.pinned.all().filter(|pins| shows(pins.card, Some(pins.key_uid)));
        let pins = session.and_then(|seat| self.pins_at(seat)).or_else(|| enrolled.next());
        let head = self.journal.head();
        KeymgrStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            card: pins.map(|pins| pins.card.to_string()).unwrap_or_default(),
            label: pins.map(|pins| pins.label.clone()).unwrap_or_default(),
            enrolled: pins.is_some(),
            key_uid: pins.map(|pins| pins.key_uid.to_string()).unwrap_or_default(),
            unlocked: session.is_some(),
            pin_seconds_left: session.map_or(0, |seat| self.pin_seconds_left(seat)),
            log_entries: head.entries,
            log_head: head.hash.to_string(),
            test_ca_allowed: self.rules.test_authority,
            decoy: session.is_some_and(|seat| self.is_decoy_at(seat)),
            seats: self.seats().filter(|seat| shows_at(seat)).filter_map(|seat| self.told(seat)).collect(),
            ..KeymgrStatus::default()
        }
    }

    /// Returns what is worth a gauge. No card is asked.
    #[must_use]
    pub fn held(&self) -> Held {
        let unlocked = self.unlocked_cards();
        let held = |pins: &Pins| {
            let known = self.cards.known.find(&pins.card);
            HeldCard {
                card: pins.card.to_string(),
                label: pins.label.clone(),
                unlocked: unlocked.iter().any(|candidate| candidate.card == pins.card),
                pin_tries: known.and_then(Known::told_tries).map(|tries| tries.fewest()),
                puk_tries: self.metrics.puk_tries_of(&pins.card),
            }
        };
        let mut leases = BTreeMap::new();
        for seat in self.status().seats {
            *leases.entry(seat.state).or_insert(0) += 1;
        }
        let cards = self.enrolment.pinned.all().map(held).collect();
        Held { cards, leases, log_entries: self.journal.head().entries }
    }

    /// Returns a card as rules name it.
    pub(crate) fn called(&self, card: CardId, key_uid: Option<KeyUid>) -> policy::About {
        policy::About { card: Some(card), key_uid, label: self.label_of(&card) }
    }

    /// Returns what was pinned of the unlocked card.
    pub(crate) fn pins_here(&self) -> Option<&Pins> {
        self.pins_at(&self.seat)
    }

    pub(crate) fn pins_at(&self, seat: &Seat<T>) -> Option<&Pins> {
        seat.info().and_then(|info| self.enrolment.pinned.find(&info.card_id()))
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
            Written::Itself => error.in_log(),
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
        if std::thread::panicking() {
            return self.end_sessions();
        }
        self.end_loans();
        drop(self.lock_all());
    }
}
