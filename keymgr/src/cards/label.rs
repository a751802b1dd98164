//! What an owner says of a card: its name, and what happens under duress.

use audit::{Deed, LogStore};
use keycard::CardTransport;

use crate::broker::Broker;
use crate::cards::known::{Duress, Known};
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::error::BrokerError;
use crate::journal::Why;

/// What is to be remembered of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remember {
    /// Nothing new: it is only shown.
    Nothing,
    /// Its name; nothing: it has none.
    Label(Option<String>),
    /// What happens under duress.
    Duress(Duress),
    /// Nothing at all: it is met for the first time again.
    Forget,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Remembers something of a card that its owner vouches for, and returns what is known of it.
    ///
    /// # Errors
    /// [`BrokerError::Unvouched`], [`BrokerError::BadInput`] for a label that is no line of text or is taken; [`BrokerError::Log`].
    pub fn remember(
        &mut self,
        target: &Target,
        contact: &Contact,
        what: Remember,
        why: &Why,
    ) -> Result<Known, BrokerError> {
        let info = self.at(target, |broker| broker.card_says())?;
        if what == Remember::Nothing {
            return Ok(self.known(&info));
        }
        if what == Remember::Forget {
            self.journal.owner(Some(info.card_id()), Deed::Forgets, why)?;
            // Also a card that is not what it was: to forget what it was is the way out.
            self.cards.known.forget(&info.card_id())?;
            return Ok(self.known(&info));
        }
        let mut known = self.welcome(&info, contact)?;
        match what {
            Remember::Label(label) => {
                if let Some(label) = &label {
                    self.check_label(&known, label)?;
                }
                known.label = label;
            }
            Remember::Duress(mode) => known.duress = mode,
            Remember::Nothing | Remember::Forget => {}
        }
        self.journal.owner(Some(known.card), Deed::ChangesSettings, why)?;
        self.cards.known.keep(known.clone())?;
        Ok(known)
    }

    fn check_label(&self, known: &Known, label: &str) -> Result<(), BrokerError> {
        if !(1..=64).contains(&label.len()) || label.chars().any(char::is_control) || label.trim() != label {
            return Err(BrokerError::bad_input("a label is 1 to 64 printable characters without spaces around them"));
        }
        let taken =
            self.cards.known.all().any(|other| other.card != known.card && other.label.as_deref() == Some(label));
        if taken {
            return Err(BrokerError::bad_input(format!("another card is called {label:?}; choose another label")));
        }
        Ok(())
    }
}
