//! From a card that a verb means to an open channel, and to a validated PIN.
//!
//! The invariant: whatever fails, the card is put back, and that resets it.

use audit::{Asked, DataSlot, LogStore, Operation, Recorded, Request};
use keycard::{ApplicationInfo, Card, CardError, CardTransport, Mnemonic, Secured, Selected, Selection};
use proto::Pin;
use zeroize::Zeroizing;

use crate::broker::{About, Broker};
use crate::cards::seat::{Target, TargetError};
use crate::cards::tries::{Tries, Which};
use crate::cards::vouch::Contact;
use crate::error::{BrokerError, Mismatch};
use crate::guard::{Guarded, GuardedCard};
use crate::journal::{Journal, Why};
use crate::manifest::Generation;
use crate::seats::Seat;

/// A card and what opens it.
pub struct Access {
    /// Which card.
    pub target: Target,
    /// What its owner says of it.
    pub contact: Contact,
    /// Its PIN; without one the session of the unlocked card is used.
    pub pin: Option<Pin>,
    /// Whether the PIN may be the last try.
    pub last_try: bool,
}

/// A card with an open channel, whether its PIN is validated or not.
pub(crate) enum OpenCard<'a, T: CardTransport> {
    /// It is not.
    Secured(&'a mut Card<Secured, Guarded<T>>),
    /// It is.
    Unlocked(&'a mut GuardedCard<T>),
}

impl<T: CardTransport> OpenCard<'_, T> {
    pub(crate) fn request(&self, operation: Operation) -> Request {
        match self {
            Self::Secured(card) => card.request(operation),
            Self::Unlocked(card) => card.request(operation),
        }
    }

    pub(crate) fn generate_mnemonic(&mut self, words: u8, recorded: &mut Recorded) -> Result<Mnemonic, CardError> {
        match self {
            Self::Secured(card) => card.generate_mnemonic(words, recorded),
            Self::Unlocked(card) => card.generate_mnemonic(words, recorded),
        }
    }

    pub(crate) fn challenge(&mut self, bytes: u8) -> Result<Zeroizing<Vec<u8>>, CardError> {
        match self {
            Self::Secured(card) => card.challenge(bytes),
            Self::Unlocked(card) => card.challenge(bytes),
        }
    }

    pub(crate) fn data(&mut self, slot: DataSlot) -> Result<Vec<u8>, CardError> {
        match self {
            Self::Secured(card) => card.data(slot),
            Self::Unlocked(card) => card.data(slot),
        }
    }
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Does something with the keys of a card whose PIN is validated: in the session of the unlocked card when no PIN is given,
    /// otherwise in one of its own, after which the card is reset.
    pub(crate) fn with_card<R>(
        &mut self,
        access: Access,
        why: &Why,
        work: impl FnOnce(&mut GuardedCard<T>, &mut Journal<S>) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        let Access { target, contact, pin, last_try } = access;
        let Some(pin) = pin else {
            return self.in_session(&target, |broker| {
                let (card, journal) = broker.unlocked()?;
                has_key(card)?;
                work(card, journal).inspect_err(|error| broker.after(error))
            });
        };
        self.at(&target, |broker| {
            let (mut card, _) = broker.enter(&target, &contact, &pin, last_try, why)?;
            drop(pin);
            let result = has_key(&card).and_then(|()| work(&mut card, &mut broker.journal));
            broker.finish(card);
            result
        })
    }

    /// Does something with a card whose PIN is given, in a session of its own, after which the card is reset.
    pub(crate) fn with_fresh_card<R>(
        &mut self,
        access: Access,
        why: &Why,
        work: impl FnOnce(&mut Self, &mut GuardedCard<T>) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        self.with_met_card(access, why, |broker, card, _| work(broker, card))
    }

    /// The same, where it matters which of the card's PINs was given, as far as that is known.
    pub(crate) fn with_met_card<R>(
        &mut self,
        access: Access,
        why: &Why,
        work: impl FnOnce(&mut Self, &mut GuardedCard<T>, Option<Which>) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        let Access { target, contact, pin, last_try } = access;
        let pin = pin.ok_or_else(|| BrokerError::bad_input("this needs the card's PIN"))?;
        self.at(&target, |broker| {
            let (mut card, which) = broker.enter(&target, &contact, &pin, last_try, why)?;
            drop(pin);
            let result = work(broker, &mut card, which);
            broker.finish(card);
            result
        })
    }

    /// Does something that needs no PIN with a card whose channel is open: that of the unlocked card, if it is meant,
    /// otherwise one of its own.
    pub(crate) fn with_channel<R>(
        &mut self,
        target: &Target,
        contact: &Contact,
        work: impl FnOnce(OpenCard<'_, T>, &mut Journal<S>) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        self.at(target, |broker| {
            if let Ok((card, journal)) = broker.unlocked() {
                return work(OpenCard::Unlocked(card), journal).inspect_err(|error| broker.after(error));
            }
            let card = broker.selected(contact)?;
            let mut card = broker.open(card)?;
            let result = work(OpenCard::Secured(&mut card), &mut broker.journal);
            broker.put_back(card.into_transport());
            result
        })
    }

    /// Selects an initialised card for which somebody vouches, and remembers it.
    pub(crate) fn selected(&mut self, contact: &Contact) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        let card = self.initialised()?;
        self.welcomed(card, contact)
    }

    /// The same, to be given a PIN or a PUK: where none was named, no other card than the enrolled one.
    pub(crate) fn trusted_with_secrets(
        &mut self,
        target: &Target,
        contact: &Contact,
    ) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        let card = self.initialised()?;
        let card = self.enrolled_unless_named(card, target)?;
        self.welcomed(card, contact)
    }

    fn initialised(&mut self) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        match self.connect()? {
            Selection::Blank(card) => {
                self.put_back(card.into_transport());
                Err(Mismatch::Blank.into())
            }
            Selection::Initialised(card) => Ok(card),
        }
    }

    /// Whoever names no card means an enrolled one: its PIN is not tried on another that lies in the reader.
    fn enrolled_unless_named(
        &mut self,
        card: Card<Selected, Guarded<T>>,
        target: &Target,
    ) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        let found = card.id();
        let pinned = &self.enrolment.pinned;
        if *target == Target::default() && !pinned.is_empty() && pinned.find(&found).is_none() {
            self.put_back(card.into_transport());
            return Err(Mismatch::OtherCard { card: found }.into());
        }
        Ok(card)
    }

    fn welcomed(
        &mut self,
        card: Card<Selected, Guarded<T>>,
        contact: &Contact,
    ) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        let welcome = self.welcome(card.info(), contact).and_then(|known| match contact.first_pairing {
            true => Ok(self.cards.pairings.vouch(&known.card)?),
            false => Ok(()),
        });
        match welcome {
            Ok(()) => Ok(card),
            Err(error) => {
                self.put_back(card.into_transport());
                Err(error)
            }
        }
    }

    /// Opens the card in the current seat with its PIN, and returns with which, as far as that is known. What was refused is
    /// in the log, about the card that was selected, or about none.
    pub(crate) fn enter(
        &mut self,
        target: &Target,
        contact: &Contact,
        pin: &Pin,
        last_try: bool,
        why: &Why,
    ) -> Result<(GuardedCard<T>, Option<Which>), BrokerError> {
        let mut about = (None, None);
        self.try_enter((target, contact), pin, last_try, why, &mut about)
            .map_err(|error| if error.refuses() { self.refused_about(about, Asked::Unlock, why, error) } else { error })
    }

    fn try_enter(
        &mut self,
        (target, contact): (&Target, &Contact),
        pin: &Pin,
        last_try: bool,
        why: &Why,
        about: &mut About,
    ) -> Result<(GuardedCard<T>, Option<Which>), BrokerError> {
        let card = self.initialised()?;
        *about = (Some(card.id()), card.info().key_uid);
        let card = self.enrolled_unless_named(card, target)?;
        let card = self.unless_paused(card)?;
        let card = self.welcomed(card, contact)?;
        let card = self.open(card)?;
        let mut card = self.verify(card, pin, last_try)?;
        match self.meet(&mut card, why) {
            Ok(which) => Ok((card, which)),
            Err(error) => {
                self.put_back(card.into_transport());
                Err(error)
            }
        }
    }

    /// Returns the card that is meant: that of the session, if there is one; and of one whose PIN comes along, only where
    /// some rule is for certain cards, for it has to be asked.
    pub(crate) fn meant(&mut self, target: &Target, with_pin: bool) -> Result<About, BrokerError> {
        if with_pin {
            if !self.rules.policy.policy().names_cards() {
                return Ok((None, None));
            }
            let found = self.at(target, Self::look_here)?;
            let found = found.ok_or_else(|| CardError::from(keycard::TransportError::NoCard))?;
            return Ok((Some(found.card), found.key_uid));
        }
        let session = match self.session(target) {
            Ok(name) => Some(name),
            // Which of several is meant decides there: no card is asked meanwhile.
            Err(BrokerError::Target(error @ (TargetError::Several { .. } | TargetError::Ambiguous { .. })))
                if self.rules.policy.policy().names_cards() =>
            {
                return Err(error.into());
            }
            Err(_) => None,
        };
        let info = session.and_then(|name| self.seat_named(&name)).and_then(Seat::info);
        Ok(info.map_or((None, None), |info| (Some(info.card_id()), info.key_uid)))
    }

    /// Compares the keys of a card whose PIN was right with those that are remembered, or remembers them. They tell which PIN
    /// it was.
    fn meet(&mut self, card: &mut GuardedCard<T>, why: &Why) -> Result<Option<Which>, BrokerError> {
        let mut known = self.known(card.info());
        let mut which = None;
        if card.info().key_uid.is_some() {
            match self.identify(card, why) {
                Ok((key_uid, _)) if known.key_uid.is_some_and(|pinned| pinned != key_uid) => {
                    return Err(Mismatch::OtherKey.into());
                }
                Ok((key_uid, chat)) => match known.chat {
                    Some(pinned) if pinned != chat => {
                        self.under_duress(card.info(), chat, pinned)?;
                        which = Some(Which::Duress);
                    }
                    pinned => {
                        which = pinned.map(|_| Which::Main);
                        (known.key_uid, known.chat) = (Some(key_uid), Some(chat));
                    }
                },
                // A key without chain code has no other keys below it.
                Err(BrokerError::Card(CardError::Status { .. })) => known.key_uid = card.info().key_uid,
                Err(error) => return Err(error),
            }
        }
        if let Some(tries) = &mut known.tries {
            tries.right(which);
        }
        let account = known.key_uid.zip(known.chat).filter(|_| which == Some(Which::Main));
        self.cards.known.keep(known)?;
        if let Some((key_uid, chat)) = account {
            self.hold_to_keys(card, key_uid, chat);
        }
        Ok(which)
    }

    /// Remembers that a PIN was right.
    pub(crate) fn remember_right(&mut self, info: &ApplicationInfo, which: Option<Which>) -> Result<(), BrokerError> {
        let mut known = self.known(info);
        if let Some(tries) = &mut known.tries {
            tries.right(which);
        }
        Ok(self.cards.known.keep(known)?)
    }

    /// Returns the tries of a card that shows so many.
    pub(crate) fn tries_of(&self, info: &ApplicationInfo, shown: u8) -> Tries {
        let known = self.cards.known.find(&info.card_id()).and_then(|known| known.tries);
        let mut tries = known.unwrap_or_else(|| Tries::met(Generation::from(info.generation()), shown));
        tries.selected();
        tries.shown(shown);
        tries
    }

    /// Remembers the tries of a card, and how many were wrong in a row until now.
    pub(crate) fn remember_tries(&mut self, info: &ApplicationInfo, tries: Tries) -> Result<(), BrokerError> {
        let mut known = self.known(info);
        known.tries = Some(tries);
        known.wrong = self.pauses.wrong_now(&known.card, self.journal.unix());
        Ok(self.cards.known.keep(known)?)
    }
}

/// Says no to a card that says that it has no key: it would only refuse.
fn has_key<T: CardTransport>(card: &GuardedCard<T>) -> Result<(), BrokerError> {
    card.info().key_uid.map(drop).ok_or_else(|| Mismatch::NoKey.into())
}

/// Checks that a card which was opened is the one about which it was decided.
pub(crate) fn is_meant<T: CardTransport>(card: &GuardedCard<T>, about: About) -> Result<(), BrokerError> {
    let found = (Some(card.id()), card.info().key_uid);
    if about == (None, None) || about == found { Ok(()) } else { Err(Mismatch::OtherCard { card: card.id() }.into()) }
}
