//! FACTORY RESET: everything on the card is erased, by its owner who typed its id, and the card is looked at afterwards.
//!
//! Nothing but possession of the card is needed for it, so the id is asked against accidents, not against thieves.

use audit::{Deed, LogStore, Operation, Outcome, Recorded};
use keycard::{CardError, CardTransport, Failed, Selection};
use proto::{CardId, KeyUid};

use crate::broker::Broker;
use crate::cards::known::Known;
use crate::cards::seat::Target;
use crate::error::{BrokerError, Mismatch};
use crate::journal::Why;

/// A card that was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Its name before.
    pub before: CardId,
    /// The account that it held, as it said itself.
    pub key_uid_before: Option<KeyUid>,
    /// Its name as a blank card.
    pub after: CardId,
    /// The number of the intent.
    pub entry: u64,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Erases a card whose whole id was typed. What is remembered of it, and its enrolment, go with it; so they do when the
    /// card is blank already and is remembered by that id.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] when the id is another one, [`Mismatch::Blank`]: nothing was erased. Those of the card:
    /// whether it is erased is then unknown, and `cardinal card info` says.
    pub fn card_reset(&mut self, target: &Target, typed: &str, why: &Why) -> Result<Erased, BrokerError> {
        self.at(target, |broker| {
            let card = match broker.connect()? {
                Selection::Initialised(card) => card,
                Selection::Blank(card) => {
                    let after = card.id();
                    broker.put_back(card.into_transport());
                    return broker.forget_erased(after, typed, why);
                }
            };
            let (before, key_uid_before) = (card.id(), card.info().key_uid);
            if typed.trim() != before.to_string() {
                broker.put_back(card.into_transport());
                return Err(BrokerError::bad_input(format!(
                    "nothing was erased: the card in the reader is {before}, and that id was not typed"
                )));
            }
            let request = card.request(Operation::FactoryReset);
            let (mut card, mut left) = (Some(card), None);
            let ask = |recorded: &mut Recorded| {
                let once = card.take().ok_or(CardError::Misuse { what: "a card is erased once" })?;
                match once.factory_reset(recorded) {
                    Ok(card) => {
                        let after = card.id();
                        left = Some(card.into_transport());
                        Ok(after)
                    }
                    Err(Failed { transport, error, .. }) => {
                        left = Some(transport);
                        Err(error)
                    }
                }
            };
            let done = |_: &CardId| Outcome::done(None, None);
            let result = broker.journal.carry_out(request, why, ask, done);
            if let Some(card) = card {
                broker.put_back(card.into_transport());
            }
            let blank = match left {
                Some(transport) => broker.is_blank(transport),
                None => Ok(()),
            };
            let (after, entry) = result?;
            broker.forget(&before)?;
            blank?;
            tracing::warn!(card = %before, "the card was reset to its factory state");
            Ok(Erased { before, key_uid_before, after, entry })
        })
    }

    /// Forgets a card that is erased already, of which something is remembered: an earlier reset was cut off.
    fn forget_erased(&mut self, after: CardId, typed: &str, why: &Why) -> Result<Erased, BrokerError> {
        let before: CardId = typed.trim().parse().map_err(|_| Mismatch::Blank)?;
        // A card of 2.x or 3.x gets its next name from INIT, so what is blank cannot be told to be it; 4.0 keeps its name.
        let may_be = matches!(before, CardId::Instance(_)) || before == after;
        let key_uid_before = self.remembered(&before).filter(|_| may_be).ok_or(Mismatch::Blank)?;
        let entry = self.journal.owner(Some(before), Deed::Forgets, why)?;
        self.forget(&before)?;
        Ok(Erased { before, key_uid_before, after, entry })
    }

    /// Returns the account of a card of which there is more to forget than its name.
    fn remembered(&self, card: &CardId) -> Option<Option<KeyUid>> {
        let pins = self.enrolment.pinned.find(card);
        let known = self.cards.known.find(card);
        let named_only = |known: &Known| known.key_uid.is_none() && known.chat.is_none() && known.tries.is_none();
        let more = pins.is_some()
            || self.cards.pairings.find(card).is_some()
            || known.is_some_and(|known| matches!(card, CardId::Instance(_)) || !named_only(known));
        more.then(|| pins.map(|pins| pins.key_uid).or(known.and_then(|known| known.key_uid)))
    }

    /// Resets the card, selects it anew and checks that nothing is on it.
    fn is_blank(&mut self, transport: crate::guard::Guarded<T>) -> Result<(), BrokerError> {
        self.put_back(transport);
        match self.connect()? {
            Selection::Blank(card) => {
                self.put_back(card.into_transport());
                Ok(())
            }
            Selection::Initialised(card) => {
                self.put_back(card.into_transport());
                Err(CardError::Answer { what: "a success of FACTORY RESET that erased nothing" }.into())
            }
        }
    }

    /// Forgets all that was remembered of a card that is not there any more.
    pub(crate) fn forget(&mut self, card: &CardId) -> Result<(), BrokerError> {
        self.unpin(card);
        self.cards.pairings.forget(card)?;
        // A 4.0 card keeps its name, and what its owner called it.
        match (card, self.cards.known.find(card).cloned()) {
            (CardId::Identity(_), Some(mut known)) => {
                (known.key_uid, known.chat, known.tries) = (None, None, None);
                Ok(self.cards.known.keep(known)?)
            }
            _ => Ok(self.cards.known.forget(card)?),
        }
    }
}
