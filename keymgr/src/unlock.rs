//! The owner enters the PIN: it goes to the card and is wiped, and the card then proves that it is the same as last time.

use audit::{Asked, LogStore, Operation, Outcome, SeedOrigin};
use keycard::{ApplicationInfo, Card, CardError, CardTransport, Secured, Selected, Selection, Unlocked, VerifyError};
use proto::{CardId, ChatKey, ExportPath, Fingerprint, KeyPath, KeyUid, Pin};

use crate::broker::{About, Broker};
use crate::cards::seat::{Target, TargetError};
use crate::cards::tries::Which;
use crate::cards::vouch::Contact;
use crate::error::{BrokerError, Mismatch, PinRefused};
use crate::guard::Guarded;
use crate::journal::Why;
use crate::manifest::Named;
use crate::pins::Pins;
use crate::seats::Validity;

/// A PIN and how it may be used. The PIN is sent to the card once and then wiped.
pub struct Unlocking {
    /// Which card; nothing: the enrolled one.
    pub target: Target,
    /// What its owner says of it.
    pub contact: Contact,
    /// The PIN.
    pub pin: Pin,
    /// Whether it may be the card's last try.
    pub last_try: bool,
    /// How long it stays valid.
    pub validity: Validity,
}

impl Unlocking {
    /// Returns that of the enrolled card with this PIN, until it is drawn.
    #[must_use]
    pub fn with(pin: Pin) -> Self {
        let (target, contact, validity) = Default::default();
        Self { target, contact, pin, last_try: false, validity }
    }
}

/// A card that was unlocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlockedCard {
    /// Where it is.
    pub reader: String,
    /// The card.
    pub card: CardId,
    /// Its account, proven inside the channel.
    pub key_uid: KeyUid,
    /// Whether it shows other keys than before, and its owner wants that told.
    pub decoy: bool,
    /// How long its PIN stays valid, in seconds; the largest number: until it is drawn.
    pub seconds: u64,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Unlocks a card. Those that are unlocked in other readers stay so. Soon after a wrong PIN none is sent.
    ///
    /// # Errors
    /// [`BrokerError`]; the card is reset then. What was refused is in the log.
    pub fn unlock(&mut self, unlocking: Unlocking, why: &Why) -> Result<UnlockedCard, BrokerError> {
        let target = self.enrolled_target(&unlocking.target)?;
        self.at(&target, |broker| broker.unlock_here(unlocking, why))
    }

    /// Returns where the only enrolled card is, when no other is named and it is not in the manager's own reader.
    pub(crate) fn enrolled_target(&mut self, target: &Target) -> Result<Target, BrokerError> {
        let Some(pins) = self.enrolment.pinned.only().filter(|_| *target == Target::default()) else {
            return Ok(target.clone());
        };
        let enrolled = pins.card;
        if self.cards.readers.names()?.is_empty() && self.others.is_empty() {
            return Ok(Target::default());
        }
        let own = self.cards.own.clone();
        match self.at_seat(&own, None, Self::look_here) {
            Ok(Some(found)) if found.card == enrolled => return Ok(Target::default()),
            Err(error @ BrokerError::Lent(_)) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let named = Target { reader: None, card: Some(enrolled.to_string()) };
        match self.find(&named) {
            // It is let go again, and had by its reader's name.
            Ok((reader, _)) => Ok(Target { reader: Some(reader), card: None }),
            Err(error @ BrokerError::Target(TargetError::Ambiguous { .. })) => Err(error),
            // What is in the own reader says best what is wrong.
            Err(_) => Ok(Target::default()),
        }
    }

    pub(crate) fn unlock_here(&mut self, unlocking: Unlocking, why: &Why) -> Result<UnlockedCard, BrokerError> {
        if self.seat.is_unlocked() {
            self.lock();
        }
        let mut about = self.about();
        let unlocked = self.try_unlock(unlocking, why, &mut about);
        let key_uid = unlocked.map_err(|error| {
            if error.refuses() { self.refused_about(about, Asked::Unlock, why, error) } else { error }
        })?;
        let card = self.seat.info().map(ApplicationInfo::card_id).ok_or(BrokerError::Locked)?;
        let (decoy, seconds) = (self.is_decoy(), self.pin_seconds_left(&self.seat));
        Ok(UnlockedCard { reader: self.seat.name.clone(), card, key_uid, decoy, seconds })
    }

    fn try_unlock(&mut self, unlocking: Unlocking, why: &Why, about: &mut About) -> Result<KeyUid, BrokerError> {
        let Unlocking { target, contact, pin, last_try, validity } = unlocking;
        let (card, named) = match self.take_open() {
            // Its channel is open since it was put in.
            Some(card) => {
                *about = (Some(card.id()), card.info().key_uid);
                match self.taken(card.info(), &target, &contact) {
                    Ok(named) => (card, named),
                    Err(error) => {
                        self.put_back(card.into_transport());
                        return Err(error);
                    }
                }
            }
            None => {
                let card = match self.connect()? {
                    Selection::Blank(card) => {
                        self.put_back(card.into_transport());
                        return Err(Mismatch::Blank.into());
                    }
                    Selection::Initialised(card) => card,
                };
                *about = (Some(card.id()), card.info().key_uid);
                match self.taken(card.info(), &target, &contact) {
                    Ok(named) => (self.open(card)?, named),
                    Err(error) => {
                        self.put_back(card.into_transport());
                        return Err(error);
                    }
                }
            }
        };
        let mut card = self.verify(card, &pin, last_try)?;
        drop(pin);
        match self.prove(&mut card, &named, why) {
            Ok((key_uid, chat)) => {
                self.keep(card, validity, chat, why);
                tracing::info!(reader = self.seat.name, "the card is unlocked");
                Ok(key_uid)
            }
            Err(error) => {
                self.put_back(card.into_transport());
                Err(error)
            }
        }
    }

    /// Returns what a card is called that may be given its PIN: vouched for, the one that is meant, with a key, and with no
    /// wrong PIN a moment ago.
    fn taken(&mut self, info: &ApplicationInfo, target: &Target, contact: &Contact) -> Result<Named, BrokerError> {
        let card = info.card_id();
        let named = match self.recognise(info) {
            Err(BrokerError::Mismatch(Mismatch::NotInManifest { .. })) if contact.confirm.is_some() => {
                self.welcome(info, contact)?;
                self.recognise(info)?
            }
            other => other?,
        };
        let pinned = &self.enrolment.pinned;
        if *target == Target::default() && !pinned.is_empty() && pinned.find(&card).is_none() {
            return Err(Mismatch::OtherCard { card }.into());
        }
        if info.key_uid.is_none() {
            return Err(Mismatch::NoKey.into());
        }
        if let Some(seconds) = self.pauses.left(&card, self.journal.monotonic()) {
            return Err(PinRefused::TooSoon { seconds }.into());
        }
        if contact.first_pairing {
            self.cards.pairings.vouch(&card)?;
        }
        Ok(named)
    }

    /// Puts a card back on which a PIN was wrong a moment ago. Nothing was asked of it yet but who it is.
    pub(crate) fn unless_paused(
        &mut self,
        card: Card<Selected, Guarded<T>>,
    ) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        match self.pauses.left(&card.id(), self.journal.monotonic()) {
            Some(seconds) => {
                self.put_back(card.into_transport());
                Err(PinRefused::TooSoon { seconds }.into())
            }
            None => Ok(card),
        }
    }

    /// Sends the PIN to a card that speaks of no other history than this log's.
    pub(crate) fn verify(
        &mut self,
        mut card: Card<Secured, Guarded<T>>,
        pin: &Pin,
        last_try: bool,
    ) -> Result<Card<Unlocked, Guarded<T>>, BrokerError> {
        if let Err(error) = self.compare_mirror(&mut card) {
            self.put_back(card.into_transport());
            return Err(error);
        }
        let info = card.info().clone();
        let shown = match card.status() {
            Ok(status) => status.pin_tries,
            Err(error) => {
                self.put_back(card.into_transport());
                return Err(error.into());
            }
        };
        let mut tries = self.tries_of(&info, shown);
        if shown > 0 && tries.fewest() <= 1 && !last_try {
            self.put_back(card.into_transport());
            return Err(PinRefused::LastTry.into());
        }
        if let Err(error) = self.hush(&info) {
            self.put_back(card.into_transport());
            return Err(error);
        }
        let (transport, error) = match card.verify_pin(pin, last_try) {
            Ok(card) => {
                self.pauses.right(&info.card_id());
                return match self.remember_tries(&info, tries) {
                    Ok(()) => Ok(card),
                    Err(error) => {
                        self.put_back(card.into_transport());
                        Err(error)
                    }
                };
            }
            Err(VerifyError::Wrong { card, tries: left }) => {
                tries.wrong(left);
                (card.into_transport(), PinRefused::Wrong { tries: left.min(tries.fewest().max(1)) }.into())
            }
            Err(VerifyError::LastTry { card }) => (card.into_transport(), PinRefused::LastTry.into()),
            Err(VerifyError::Blocked { card }) => {
                if shown > 0 {
                    tries.wrong(0);
                }
                (card.into_transport(), PinRefused::Blocked.into())
            }
            Err(VerifyError::Exposed { card }) => {
                (card.into_transport(), CardError::from(keycard::Unpaired::WellKnown).into())
            }
            Err(VerifyError::Lost { transport, error }) => (transport, error.into()),
            Err(other) => {
                // A kind that this manager does not know.
                let error = BrokerError::bad_input(other.to_string());
                (other.into_transport(), error)
            }
        };
        self.put_back(transport);
        if matches!(error, BrokerError::Pin(PinRefused::Wrong { .. } | PinRefused::Blocked)) {
            self.pauses.wrong(info.card_id(), self.journal.monotonic());
            // Of the two errors the owner needs the PIN's, and so does the log; the card itself bounds the tries.
            if let Err(unwritten) = self.remember_tries(&info, tries) {
                tracing::error!("the tries of the card are not remembered: {unwritten}");
            }
        }
        Err(error)
    }

    /// Compares the card's keys with the pinned ones, or pins them at the first meeting.
    fn prove(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        named: &Named,
        why: &Why,
    ) -> Result<(KeyUid, Fingerprint), BrokerError> {
        let (key_uid, chat) = self.identify(card, why)?;
        let mut which = None;
        match self.enrolment.pinned.find(&named.card).cloned() {
            Some(pins) if pins.key_uid != key_uid => return Err(Mismatch::OtherKey.into()),
            Some(pins) if pins.chat != chat => {
                self.under_duress(card.info(), chat, pins.chat)?;
                which = Some(Which::Duress);
            }
            Some(_) => {
                which = Some(Which::Main);
                self.tell_of_enrolment(&named.card)?;
            }
            None => {
                let pins = Pins {
                    label: named.label.clone(),
                    card: named.card,
                    generation: named.generation,
                    key_uid,
                    chat,
                    seed: SeedOrigin::BeforeEnrolment,
                };
                self.enrol(pins)?;
            }
        }
        self.remember_right(card.info(), which)?;
        if which == Some(Which::Main) {
            self.hold_to_keys(card, key_uid, chat);
        }
        Ok((key_uid, chat))
    }

    /// Fetches the public keys that say whose card this is: of `m`, which is the account, and of the chat path.
    ///
    /// SELECT's key UID is signed by nobody; these come through the channel.
    pub(crate) fn identify(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        why: &Why,
    ) -> Result<(KeyUid, Fingerprint), BrokerError> {
        let key_uid = KeyUid::of_master(&self.public(card, KeyPath::master(), why)?);
        if card.info().key_uid != Some(key_uid) {
            return Err(Mismatch::FalseKeyUid.into());
        }
        let chat = self.public(card, ExportPath::chat().as_path().clone(), why)?;
        Ok((key_uid, Fingerprint::of(&chat)))
    }

    fn public(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        path: KeyPath,
        why: &Why,
    ) -> Result<ChatKey, BrokerError> {
        let request = card.request(Operation::ExportPublic(path.clone()));
        let key_uid = request.key_uid;
        let done = |key: &ChatKey| Outcome::done(Some(Fingerprint::of(key)), key_uid);
        let ask = |recorded: &mut audit::Recorded| card.export_public(&path, recorded);
        self.journal.carry_out(request, why, ask, done).map(|(key, _)| key)
    }
}
