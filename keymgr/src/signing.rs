//! Heads signed by cards: after each outcome, once whoever asked has been answered, a card signs how far the log goes.
//!
//! A 4.0 signs it in an opening of the channel, whose salt the head is, and keeps its validated PIN; a 3.1 or 3.2 takes it as a
//! challenge inside the channel. Outcomes that come thick and fast share one signature. A session does not end before
//! what came of it is signed, unless the card cannot be asked any more: then the tail of the log is unsigned until the
//! next opening, and the log does not say otherwise.

use audit::{HeadSigned, LogStore, Text};
use keycard::{CardTransport, Feature, Kind, Selection, SignedAgain};
use rand_core::CryptoRng;

use crate::broker::Broker;
use crate::error::BrokerError;
use crate::guard::GuardedCard;
use crate::journal::Journal;
use crate::opening::{applet, signed_evidence, signed_head};

impl<T: CardTransport, S: LogStore> Broker<T, S> {
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
    /// reader.
    pub fn settle(&mut self) {
        if self.owes_signature() {
            let name = self.seats().find(|seat| seat.is_unlocked()).unwrap_or(&self.seat).name.clone();
            self.at_seat(&name, None, Self::settle_here);
        }
    }

    /// Has the unlocked card of the current seat sign the log's head, or opens a channel to the one that lies idle, if a
    /// signature is owed. A session in which that fails is over.
    pub(crate) fn settle_here(&mut self) {
        if !self.owes_signature() {
            return;
        }
        let signed = match self.unlocked_with_dice() {
            Some((card, journal, dice)) => sign(card, journal, dice).map_err(|error| (error, true)),
            None => self.sign_idle().map_err(|error| (error, false)),
        };
        if let Err((error, in_session)) = signed {
            tracing::warn!("the end of the export log is not signed: {error}");
            self.journal.give_up();
            if in_session {
                self.end_session();
            }
        }
    }

    /// Has a card sign the log's head at the end of its session, if a signature is owed.
    pub(crate) fn take_leave(&mut self, card: &mut GuardedCard<T>) {
        if !self.owes_signature() {
            return;
        }
        if let Err(error) = sign(card, &mut self.journal, &mut *self.dice) {
            tracing::warn!("the end of the export log is not signed: {error}");
            self.journal.give_up();
        }
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

/// Has a card sign the log's head in its session, and writes that down. A card that cannot sign is not asked.
fn sign<T: CardTransport, S: LogStore>(
    card: &mut GuardedCard<T>,
    journal: &mut Journal<S>,
    dice: &mut dyn CryptoRng,
) -> Result<(), BrokerError> {
    if !card.can_sign_again() {
        journal.give_up();
        return Ok(());
    }
    let mut random = [0; 32];
    dice.fill_bytes(&mut random);
    let signed = card.reopen(journal.head().salt(&random), dice)?;
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
