//! REMOVE KEY `80 D3 00 00`: the card forgets its key. PIN, PUK, pairings and data slots stay.

use audit::{Operation, Recorded};

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::known_keys::KnownKeys;
use crate::transport::CardTransport;

impl<T: CardTransport> Card<Unlocked, T> {
    /// Removes the card's key. Whoever has no other copy of it has lost it.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`CardError::Status`], [`CardError::Answer`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn remove_key(&mut self, recorded: &mut Recorded) -> Result<(), CardError> {
        recorded.spend(&self.request(Operation::RemoveKey))?;
        let answer = self.call(&Command::new([0x80, 0xD3, 0x00, 0x00]))?;
        answer.bare_success("REMOVE KEY", "an answer to REMOVE KEY with data")?;
        self.info.key_uid = None;
        self.state.known = KnownKeys::default();
        Ok(())
    }
}
