//! CHANGE PIN `80 21 P1 00 Lc value`: the PIN, the PUK or the pairing secret.
//!
//! ```text
//! P1 = 00 PIN(6)        of the PIN in use: whoever came in with the duress PIN changes that one
//! P1 = 01 PUK(12)
//! P1 = 02 secret(32)    for later pairings; those there are go on (up to 3.2)
//! ```
//! The types hold nothing but digits, so a malformed one is never sent. PIN and PUK have all their tries again afterwards.

use audit::{Operation, Recorded};
use proto::{Pin, Puk};

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::pairing::PairingSecret;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "CHANGE PIN";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Replaces the PIN.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`CardError::Status`], [`CardError::Answer`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`]: which PIN the card has is unknown after the last two.
    pub fn change_pin(&mut self, pin: &Pin, recorded: &mut Recorded) -> Result<(), CardError> {
        self.change(Operation::ChangePin, 0x00, pin.expose(), recorded)
    }

    /// Replaces the PUK.
    ///
    /// # Errors
    /// As [`Card::change_pin`].
    pub fn change_puk(&mut self, puk: &Puk, recorded: &mut Recorded) -> Result<(), CardError> {
        self.change(Operation::ChangePuk, 0x01, puk.expose(), recorded)
    }

    /// Replaces the secret with which hosts are paired.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] on 4.0, which has none, [`CardError::Misuse`] for one that everybody knows; else as
    /// [`Card::change_pin`].
    pub fn change_pairing_secret(&mut self, secret: &PairingSecret, recorded: &mut Recorded) -> Result<(), CardError> {
        self.require(Feature::Pairing, "CHANGE PIN of the pairing secret")?;
        if secret.is_well_known() {
            return Err(CardError::Misuse { what: "everybody knows this pairing password; take another one" });
        }
        self.change(Operation::ChangePairingSecret, 0x02, secret.expose(), recorded)
    }

    fn change(
        &mut self,
        operation: Operation,
        what: u8,
        value: &[u8],
        recorded: &mut Recorded,
    ) -> Result<(), CardError> {
        recorded.spend(&self.request(operation))?;
        let command = Command::with_body([0x80, 0x21, what, 0x00], &[value])?;
        self.call(&command)?.bare_success(NAME, "an answer to CHANGE PIN with data")
    }
}
