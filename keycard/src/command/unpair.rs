//! UNPAIR `80 13 slot 00` → nothing: applets 2.x and 3.x, with a PIN.
//!
//! 9000 also for a slot that is free. The session goes on when its own slot is freed, and is the last of that pairing.

use audit::{Operation, Recorded};

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::pairing::Pairing;
use crate::status_word::StatusWord;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "UNPAIR";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Frees a pairing slot, and returns whether the card has that slot: to free all others, go up from 0, leave out the
    /// session's own, and stop at the first that is not there (5, 10 or 100 of them, by applet).
    ///
    /// # Errors
    /// [`CardError::Unsupported`], [`CardError::Misuse`] for a number that is no slot, [`CardError::NotRecorded`]: nothing
    /// was sent. [`CardError::Status`], [`CardError::Answer`], [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn unpair(&mut self, slot: u8, recorded: &mut Recorded) -> Result<bool, CardError> {
        self.require(Feature::Pairing, NAME)?;
        match slot {
            0..=MAX_SLOT => {}
            Pairing::EPHEMERAL => self.require(Feature::EphemeralPairing, "UNPAIR of an ephemeral pairing")?,
            _ => return Err(CardError::Misuse { what: "a pairing slot is a number from 0 to 127" }),
        }
        recorded.spend(&self.request(Operation::Unpair(slot)))?;
        let answer = self.call(&Command::new([0x80, 0x13, slot, 0x00]))?;
        if answer.status == StatusWord::WRONG_PARAMETERS {
            return Ok(false);
        }
        answer.bare_success(NAME, "an answer to UNPAIR with data").map(|()| true)
    }
}

/// Above it the applet takes the number for a negative one.
const MAX_SLOT: u8 = 0x7f;
