//! A reader that is given to other programs for a while, and taken back.
//!
//! The invariant: a reader is let go only after its card was reset and the log tells of it; while it is lent nothing is
//! sent to it from here; and when it comes back its card is looked at afresh.

use std::time::Duration;

use audit::{Caller, Deed, LogStore, Purpose};
use keycard::{ApplicationInfo, CardError, CardTransport, TransportError};
use proto::CardId;

use crate::broker::Broker;
use crate::caller::ourselves;
use crate::cards::seat::{Target, TargetError, info_of, transport_of};
use crate::error::BrokerError;
use crate::guard::Guarded;
use crate::journal::Why;
use crate::reader::state::{Input, Phase};
use crate::seats::{Lease, Seat, Slot};

/// A reader that is lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lent {
    /// Which.
    pub reader: String,
    /// The card in it, if there was one.
    pub card: Option<CardId>,
    /// For how long at most.
    pub seconds: u32,
}

/// A reader that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Which.
    pub reader: String,
    /// The card in it, if there is one.
    pub card: Option<CardId>,
    /// What differs from before, a sentence each.
    pub changes: Vec<String>,
}

/// Who has a reader that is lent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the reader {reader} is lent to {holder} for \"{purpose}\", for {seconds} s more; `cardinal keymgr take-back` ends that"
)]
pub struct Loan {
    reader: String,
    holder: String,
    purpose: String,
    seconds: u64,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Lends a reader: its session ends, its card is reset, and it is let go.
    ///
    /// # Errors
    /// [`BrokerError::Lent`] when it is lent already; [`BrokerError::Target`], also when `auto` could be any reader; [`BrokerError::Card`] when the card cannot be
    /// reset, and [`BrokerError::Log`]: then it is not.
    pub fn lend(&mut self, target: &Target, seconds: u32, why: &Why) -> Result<Lent, BrokerError> {
        let seconds = if seconds == 0 { USUAL } else { seconds.min(LONGEST) };
        let (name, transport) = self.find_to_lend(target)?;
        self.at_seat(&name, transport, |broker| {
            broker.unless_lent()?;
            let card = broker.card_to_lend()?;
            let (name, others) = (broker.seat.name.clone(), broker.other_seats());
            // While its card is held it is certain which reader that is.
            broker.cards.readers.lend(&name, &others)?;
            let lent = broker.let_go(card, seconds, why);
            if lent.is_err() {
                broker.cards.readers.take_back(&name);
            }
            lent
        })
    }

    /// Resets the card of the current seat, writes the loan down, and lets the reader go.
    fn let_go(&mut self, card: Option<ApplicationInfo>, seconds: u32, why: &Why) -> Result<Lent, BrokerError> {
        self.lock();
        self.reset_before_loan()?;
        let id = card.as_ref().map(ApplicationInfo::card_id);
        self.journal.owner(id, Deed::Lends { seconds }, why)?;
        // Its end lets the reader go; the card was reset.
        self.seat.slot = Slot::Away;
        self.seat.described = None;
        self.seat.lease = Some(Lease::of(why, card));
        let until = self.journal.monotonic().after(Duration::from_secs(seconds.into()));
        self.hear(Input::Lends(until));
        tracing::info!(reader = self.seat.name, seconds, "the reader is lent");
        Ok(Lent { reader: self.seat.name.clone(), card: id, seconds })
    }

    /// Makes sure that the card of the current seat has no validated PIN: whoever has the reader next would have it too.
    fn reset_before_loan(&mut self) -> Result<(), BrokerError> {
        match &mut self.seat.slot {
            Slot::Idle(transport) => Ok(transport.settle().map_err(CardError::from)?),
            _ => Ok(()),
        }
    }

    /// Takes a reader back, and says what became of its card.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] when none is lent; [`BrokerError::Log`]; those of the reader when the other program still
    /// has it: it stays lent then.
    pub fn take_back(&mut self, target: &Target, why: &Why) -> Result<Returned, BrokerError> {
        let name = self.lent_reader(target)?;
        self.at_seat(&name, None, |broker| {
            // Whoever still has the reader keeps it, and is told of as if it were asked for.
            let transport = broker.cards.readers.connect(&broker.seat.name)?;
            let mut transport = broker.guarded(transport);
            is_free(&mut transport)?;
            let before = broker.seat.lease.as_ref().and_then(|lease| lease.card.clone());
            broker.journal.owner(before.as_ref().map(|info| info.card_id()), Deed::TakesBack, why)?;
            broker.hear(Input::TakenBack);
            broker.put_back(transport);
            // From here on it is had by its own name again.
            broker.seat.slot = Slot::Away;
            broker.cards.readers.take_back(&name);
            Ok(broker.returned(before.as_deref()))
        })
    }

    /// The time is over for which the current seat was lent: whether the other program has the reader or not, it is no
    /// longer its own.
    pub(crate) fn loan_is_over(&mut self) {
        let card = self.end_loan(OVER);
        let returned = self.returned(card.as_deref());
        for change in returned.changes {
            tracing::warn!(reader = returned.reader, "the reader came back from a loan: {change}");
        }
    }

    /// Ends every loan: they end with this manager, which watches over none of them any more. Nothing is said to the readers,
    /// at which others may be.
    pub(crate) fn end_loans(&mut self) {
        let lent = self.seats().filter(|seat| matches!(seat.state.phase(), Phase::Lent(_)));
        for name in lent.map(|seat| seat.name.clone()).collect::<Vec<_>>() {
            self.at_seat(&name, None, |broker| drop(broker.end_loan(STOPS)));
        }
    }

    /// Says of which cards, or readers without one, the log tells that they are lent.
    #[must_use]
    pub fn after_loans(mut self, of: Vec<Option<CardId>>) -> Self {
        self.untold_ends = of.into_iter().map(|card| (card, STOPPED)).collect();
        self
    }

    /// Writes down the ends of loans of which the log could not tell: those that ended with the manager before this one, and
    /// those at whose end the log could not be written.
    pub(crate) fn tell_of_loans(&mut self) -> Result<(), BrokerError> {
        while let Some((card, why)) = self.untold_ends.first().copied() {
            self.tell_of_end(card, why)?;
            self.untold_ends.remove(0);
        }
        Ok(())
    }

    /// Ends the loan of the current seat, and returns the card that it had when it was lent.
    fn end_loan(&mut self, why: &'static str) -> Option<Box<ApplicationInfo>> {
        let card = self.seat.lease.take().and_then(|lease| lease.card);
        self.untold_ends.push((card.as_ref().map(|info| info.card_id()), why));
        if let Err(error) = self.tell_of_loans() {
            tracing::error!("the log does not tell yet that the reader came back: {error}");
        }
        self.hear(Input::TakenBack);
        let name = self.seat.name.clone();
        self.cards.readers.take_back(&name);
        card
    }

    fn tell_of_end(&mut self, card: Option<CardId>, why: &str) -> Result<(), BrokerError> {
        let caller: Caller = ourselves();
        let purpose = Purpose::try_from(why.to_owned()).map_err(|_| BrokerError::bad_input("no purpose"))?;
        self.journal.owner(card, Deed::TakesBack, &Why::new(caller, purpose)).map(drop)
    }

    /// Says no while the current seat is lent.
    pub(crate) fn unless_lent(&self) -> Result<(), BrokerError> {
        self.loan_of(&self.seat).map_or(Ok(()), |loan| Err(loan.into()))
    }

    /// Returns who has the reader of a seat, if it is lent.
    pub(crate) fn loan_of(&self, seat: &Seat<T>) -> Option<Loan> {
        let Phase::Lent(until) = seat.state.phase() else { return None };
        let (holder, purpose) = match &seat.lease {
            Some(Lease { holder, purpose, .. }) => (holder.clone(), purpose.clone()),
            None => Default::default(),
        };
        let seconds = until.since(self.journal.monotonic()).as_secs().saturating_add(1);
        Some(Loan { reader: seat.name.clone(), holder, purpose, seconds })
    }

    /// Returns the seat that is meant: a session that fits is not looked for in every reader.
    fn find_to_lend(&mut self, target: &Target) -> Result<(String, Option<Guarded<T>>), BrokerError> {
        match self.session(target) {
            Ok(name) if *target != Target::default() => Ok((name, None)),
            _ => self.find(target),
        }
    }

    /// Returns what the card of the current seat says of itself, if there is one that answers.
    fn card_to_lend(&mut self) -> Result<Option<ApplicationInfo>, BrokerError> {
        if let Some(info) = self.seat.info() {
            return Ok(Some(info.clone()));
        }
        match self.connect() {
            Ok(selection) => {
                let info = info_of(&selection).clone();
                self.put_back(transport_of(selection));
                Ok(Some(info))
            }
            Err(error @ BrokerError::Log(_)) => Err(error),
            // An empty reader can be lent too, and so can a card of any other kind.
            Err(_) => Ok(None),
        }
    }

    fn returned(&mut self, before: Option<&ApplicationInfo>) -> Returned {
        let reader = self.seat.name.clone();
        let mut changes = Vec::new();
        let found = match self.connect() {
            Ok(selection) => {
                let info = info_of(&selection).clone();
                self.put_back(transport_of(selection));
                Some(info)
            }
            Err(error) => {
                if before.is_some() {
                    changes.push(format!("the card does not answer: {error}"));
                }
                None
            }
        };
        match (before, &found) {
            (Some(before), Some(found)) => changes.extend(differences(before, found)),
            (None, Some(found)) => changes.push(format!("there is a card, {}", found.card_id())),
            (_, None) => {}
        }
        Returned { reader, card: found.map(|info| info.card_id()), changes }
    }

    fn lent_reader(&mut self, target: &Target) -> Result<String, BrokerError> {
        let wanted = target.reader.as_ref().map(|reader| self.whole_name(reader));
        let lent = self.seats().filter(|seat| matches!(seat.state.phase(), Phase::Lent(_)));
        let fits = |seat: &&Seat<T>| {
            let card = seat.lease.as_ref().and_then(|lease| lease.card.as_deref());
            let called = |wanted: &String| card.is_some_and(|card| self.candidate(card, &seat.name).fits(wanted));
            wanted.as_ref().is_none_or(|wanted| *wanted == seat.name) && target.card.as_ref().is_none_or(called)
        };
        let names: Vec<String> = lent.filter(fits).map(|seat| seat.name.clone()).collect();
        match names.as_slice() {
            [name] => Ok(name.clone()),
            [] => Err(BrokerError::bad_input("no such reader is lent; `cardinal keymgr leases` lists those that are")),
            several => Err(TargetError::SeveralReaders { readers: several.to_vec() }.into()),
        }
    }
}

/// Returns what somebody changed of a card, as far as SELECT tells it.
fn differences(before: &ApplicationInfo, after: &ApplicationInfo) -> Vec<String> {
    if before.card_id() != after.card_id() {
        return vec![format!("another card is in the reader: it was {}, it is {}", before.card_id(), after.card_id())];
    }
    let mut changes = Vec::new();
    match (before.is_initialised(), after.is_initialised()) {
        (true, false) => return vec!["the card is blank: it was reset to its factory state".to_owned()],
        (false, true) => changes.push("the card was initialised".to_owned()),
        _ => {}
    }
    if before.key_uid != after.key_uid {
        let account = |info: &ApplicationInfo| info.key_uid.map_or("none".to_owned(), |uid| uid.to_string());
        changes.push(format!("the card's account is another: it was {}, it is {}", account(before), account(after)));
    }
    if before.kind != after.kind {
        changes.push("the card's keys or its pairing slots are not as they were".to_owned());
    }
    if before.version != after.version {
        changes.push("the card's applet is of another version".to_owned());
    }
    if let (Some(before), Some(after)) = (before.pin_tries, after.pin_tries)
        && before != after
    {
        changes.push(format!("the card shows {after} PIN tries, it showed {before}"));
    }
    changes
}

/// Fails when another program has the reader. A card that is not there, or is none of ours, is no reason to.
fn is_free(transport: &mut impl CardTransport) -> Result<(), CardError> {
    const SELECT: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];
    match transport.transmit(&SELECT) {
        Err(error @ TransportError::Held) => Err(error.into()),
        _ => Ok(()),
    }
}

/// When no time is given: an hour.
const USUAL: u32 = 3600;
/// Nobody forgets a reader for longer: a week.
const LONGEST: u32 = 7 * 24 * 3600;
/// The purposes of what the manager does by itself.
const OVER: &str = "the time is over";
const STOPS: &str = "the key manager stops";
const STOPPED: &str = "the key manager was stopped";
