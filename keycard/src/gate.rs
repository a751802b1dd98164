//! A command that the card's applet does not know is refused before anything is sent.
//!
//! The version word decides, as SELECT said it. Whoever changes it on the way can make us refuse a command or send one
//! that the card refuses, but not take one kind of answer for another: each has a form of its own.

use crate::card::Card;
use crate::error::CardError;
use crate::version::Feature;

impl<S, T> Card<S, T> {
    /// Returns whether the card has `feature`. A blank card of 2.x or 3.x does not say, so it has none.
    pub(crate) fn supports(&self, feature: Feature) -> bool {
        self.info.version.is_some_and(|version| version.supports(feature))
    }

    /// Checks that the card has `feature`, which `command` needs.
    ///
    /// # Errors
    /// [`CardError::Unsupported`]; [`CardError::Misuse`] for a blank card of 2.x or 3.x, which takes INIT only.
    pub(crate) fn require(&self, feature: Feature, command: &'static str) -> Result<(), CardError> {
        match self.info.version {
            Some(version) if version.supports(feature) => Ok(()),
            Some(version) => Err(CardError::Unsupported { command, version }),
            None => Err(CardError::Misuse { what: "a blank card is initialised before anything else" }),
        }
    }
}
