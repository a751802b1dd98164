//! Heads signed by cards: after each outcome, once whoever asked has been answered, a card signs how far the log goes.
//!
//! A 4.0 signs it in an opening of the channel, whose salt the head is, and keeps its validated PIN; a 3.1 or 3.2 takes it as a
//! challenge inside the channel. Outcomes that come thick and fast share one signature. A session does not end before
//! what came of it is signed, unless the card cannot be asked any more: then the tail of the log is unsigned until the
//! next opening, and the log does not say otherwise.

use audit::{HeadSigned, LogStore, Text};
use keycard::{CardError, CardTransport, Feature, Kind, Selection, SignedAgain};
use proto::CardId;

use crate::archive::Archive;
use crate::broker::{Broker, Session};
use crate::error::BrokerError;
use crate::guard::GuardedCard;
use crate::opening::{applet, signed_evidence, signed_head};
use crate::seats::{Seat, Slot};

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Puts what stands beside the log into these hands.
    #[must_use]
    pub fn with_archive(mut self, archive: Box<dyn Archive<S>>) -> Self {
        self.journal.archive(archive);
        self
    }

    /// Returns whether outcomes wait for a card's signature.
    #[must_use]
    pub fn owes_signature(&self) -> bool {
        self.journal.tail().is_owed()
    }

    /// Returns whether they have waited long enough to come before other work.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.journal.tail().is_overdue(self.journal.monotonic())
    }

    /// Has each unlocked card sign the log's head that owes a signature, and then the card that lies idle in the manager's
    /// own reader, if others owe one. Then the log's file is put away, if it is long enough.
    pub fn settle(&mut self) {
        let owing = self.seats().filter(|seat| self.can_pay(seat)).map(|seat| seat.name.clone());
        for name in owing.collect::<Vec<_>>() {
            self.at_seat(&name, None, Self::settle_here);
        }
        if self.owes_signature() {
            self.settle_here();
            // The opening that was tried is all that a card without a session is asked for.
            let unlocked = self.unlocked_ids();
            self.journal.give_up_but(&unlocked);
        }
        self.journal.rotate();
    }

    fn can_pay(&self, seat: &Seat<T>) -> bool {
        match &seat.slot {
            Slot::Unlocked { card, .. } => card.can_sign_again() && self.journal.tail().is_owed_by(&card.id()),
            Slot::Empty | Slot::Away | Slot::Idle(_) | Slot::Open(_) => false,
        }
    }

    /// Has the unlocked card of the current seat sign the log's head, if it owes that, or opens a channel to the one that
    /// lies idle, if a card that is not unlocked does. A session in which that fails is over; if that is because its time was,
    /// the card's next opening is the signature, for which it needs no PIN.
    pub(crate) fn settle_here(&mut self) {
        match self.unlocked_session().map(|mut session| session.sign_if_owed()) {
            Some(Ok(())) => return,
            Some(Err(error)) => {
                tracing::warn!("{UNSIGNED}: {error}");
                self.after(&error);
                if !error.is_expiry() {
                    return;
                }
            }
            None => {}
        }
        if self.owes_of_locked()
            && let Err(error) = self.sign_idle()
        {
            tracing::warn!("{UNSIGNED}: {error}");
        }
    }

    /// The same at a seat that is about to be left, whose card is not asked again: what others owe already, they still do.
    pub(crate) fn settle_leaving(&mut self, owing: Vec<CardId>) {
        self.settle_here();
        let askable = [owing, self.unlocked_ids()].concat();
        self.journal.give_up_but(&askable);
    }

    fn unlocked_ids(&self) -> Vec<CardId> {
        let unlocked = self.seats().filter_map(|seat| match &seat.slot {
            Slot::Unlocked { card, .. } => Some(card.id()),
            Slot::Empty | Slot::Away | Slot::Idle(_) | Slot::Open(_) => None,
        });
        unlocked.collect()
    }

    fn owes_of_locked(&self) -> bool {
        self.journal.tail().is_owed_but(&self.unlocked_ids())
    }

    /// Lets the unlocked card keep the log's head and sign it, where that is owed: its session is about to end. Returns
    /// whether it was reset before it could, because its time is over: then it still owes a signature, which needs no PIN.
    pub(crate) fn take_leave(&mut self) -> bool {
        match self.unlocked_session().map(|mut session| session.take_leave()) {
            Some(Err(error)) if error.is_expiry() => true,
            Some(Err(error)) => {
                tracing::warn!("{UNSIGNED}: {error}");
                false
            }
            Some(Ok(())) | None => false,
        }
    }

    /// The same with a card that is not kept.
    pub(crate) fn part_from(&mut self, card: &mut GuardedCard<T>) {
        if let Err(error) = self.session_with(card).take_leave() {
            tracing::warn!("{UNSIGNED}: {error}");
        }
    }

    /// Opens a channel to the card that lies idle: its opening is the signature.
    fn sign_idle(&mut self) -> Result<(), BrokerError> {
        let card = match self.connect()? {
            Selection::Initialised(card) => card,
            Selection::Blank(card) => {
                self.put_back(card.into_transport());
                return Ok(());
            }
        };
        let can_sign = match card.info().kind {
            Kind::V2 { .. } => true,
            _ => card.info().version.is_some_and(|version| version.supports(Feature::Identify)),
        };
        let transport = if can_sign { self.open(card)?.into_transport() } else { card.into_transport() };
        self.put_back(transport);
        Ok(())
    }
}

impl<T: CardTransport, S: LogStore> Session<'_, T, S> {
    /// A card that refuses to keep the head still signs it.
    fn take_leave(&mut self) -> Result<(), BrokerError> {
        let kept = self.mirror();
        match &kept {
            Ok(()) | Err(BrokerError::Card(CardError::Status { .. })) => self.sign_if_owed().and(kept),
            Err(error) if error.is_expiry() => kept,
            Err(_) => {
                self.journal.give_up(&self.card.id());
                kept
            }
        }
    }

    /// Has the card sign the log's head if it owes that. A card that cannot sign is not asked, and one that failed to is not
    /// asked again.
    fn sign_if_owed(&mut self) -> Result<(), BrokerError> {
        let card = self.card.id();
        let signed =
            if self.card.can_sign_again() && self.journal.tail().is_owed_by(&card) { self.sign() } else { Ok(()) };
        if !signed.as_ref().is_err_and(BrokerError::is_expiry) {
            self.journal.give_up(&card);
        }
        signed
    }

    /// Has the card sign the log's head, and writes that down.
    fn sign(&mut self) -> Result<(), BrokerError> {
        let Self { card, journal, dice, .. } = self;
        let mut random = [0; 32];
        dice.fill_bytes(&mut random);
        let signed = card.reopen(journal.head().salt(&random), *dice)?;
        match signed {
            SignedAgain::Opening(opening) => journal.channel_opened(signed_evidence(card.info(), &opening, random)?),
            SignedAgain::Challenge(proof) => journal.head_signed(HeadSigned {
                card: card.id(),
                applet: Text::lossy(&applet(card.info())),
                signed: signed_head(&proof, random)?,
            }),
        }
        .map(drop)
    }
}

const UNSIGNED: &str = "the end of the export log is not signed";
