//! Heads signed by cards: after each outcome, once whoever asked has been answered, a card signs how far the log goes.
//!
//! A 4.0 signs it in an opening of the channel, whose salt the head is, and keeps its validated PIN; a 3.1 or 3.2 takes it as a
//! challenge inside the channel. Outcomes that come thick and fast share one signature. A session does not end before
//! what came of it is signed, unless the card cannot be asked any more: then the tail of the log is unsigned until the
//! next opening, and the log does not say otherwise.

use audit::{HeadSigned, LogStore, Text};
use keycard::{CardTransport, Feature, Kind, Selection, SignedAgain};

use crate::archive::Archive;
use crate::broker::{Broker, Session};
use crate::error::BrokerError;
use crate::guard::GuardedCard;
use crate::opening::{applet, signed_evidence, signed_head};

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

    /// Has a card sign the log's head, if a signature is owed: one that is unlocked, or else the one in the manager's own
    /// reader. Then the log's file is put away, if it is long enough.
    pub fn settle(&mut self) {
        if self.owes_signature() {
            let name = self.seats().find(|seat| seat.is_unlocked()).unwrap_or(&self.seat).name.clone();
            self.at_seat(&name, None, Self::settle_here);
        }
        self.journal.rotate();
    }

    /// Has the unlocked card of the current seat sign the log's head, or opens a channel to the one that lies idle, if a
    /// signature is owed. A session in which that fails is over.
    pub(crate) fn settle_here(&mut self) {
        if !self.owes_signature() {
            return;
        }
        match self.unlocked_session().map(|mut session| session.sign()) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.is_unsigned(&error);
                self.after(&error);
            }
            None => {
                if let Err(error) = self.sign_idle() {
                    self.is_unsigned(&error);
                }
            }
        }
    }

    /// Lets the unlocked card keep the log's head and sign it, where that is owed: its session is about to end.
    pub(crate) fn take_leave(&mut self) {
        if let Some(Err(error)) = self.unlocked_session().map(|mut session| session.take_leave()) {
            self.is_unsigned(&error);
        }
    }

    /// The same with a card that is not kept.
    pub(crate) fn part_from(&mut self, card: &mut GuardedCard<T>) {
        if let Err(error) = self.session_with(card).take_leave() {
            self.is_unsigned(&error);
        }
    }

    fn is_unsigned(&mut self, error: &BrokerError) {
        tracing::warn!("the end of the export log is not signed: {error}");
        self.journal.give_up();
    }

    /// Opens a channel to the card that lies idle: its opening is the signature.
    fn sign_idle(&mut self) -> Result<(), BrokerError> {
        let card = match self.connect()? {
            Selection::Initialised(card) => card,
            Selection::Blank(card) => {
                self.put_back(card.into_transport());
                self.journal.give_up();
                return Ok(());
            }
        };
        let can_sign = match card.info().kind {
            Kind::V2 { .. } => true,
            _ => card.info().version.is_some_and(|version| version.supports(Feature::Identify)),
        };
        let transport = if can_sign { self.open(card)?.into_transport() } else { card.into_transport() };
        self.put_back(transport);
        self.journal.give_up();
        Ok(())
    }
}

impl<T: CardTransport, S: LogStore> Session<'_, T, S> {
    fn take_leave(&mut self) -> Result<(), BrokerError> {
        self.mirror()?;
        if self.journal.tail().is_owed() { self.sign() } else { Ok(()) }
    }

    /// Has the card sign the log's head, and writes that down. A card that cannot sign is not asked.
    fn sign(&mut self) -> Result<(), BrokerError> {
        let Self { card, journal, dice, .. } = self;
        if !card.can_sign_again() {
            journal.give_up();
            return Ok(());
        }
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
