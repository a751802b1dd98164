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
        let command = Command::new([0x80, 0xD3, 0x00, 0x00]);
        self.carry_out(&command, "REMOVE KEY", "an answer to REMOVE KEY with data")?;
        self.info.key_uid = None;
        self.info.lee = false;
        self.state.known = KnownKeys::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proto::KeyUid;

    use super::*;
    use crate::fake::{FakeCard, recorded, unlocked};

    #[test]
    fn the_account_is_gone_with_the_key() {
        let mut card = unlocked(FakeCard::initialised().answering(&("07".repeat(32) + "9000")).answering("9000"));
        card.generate_key(&mut recorded(card.request(Operation::GenerateKey))).unwrap();
        let request = card.request(Operation::RemoveKey);
        assert_eq!(request.key_uid, Some(KeyUid::from([7; 32])));
        card.remove_key(&mut recorded(request)).unwrap();
        assert_eq!(card.info().key_uid, None);
        assert_eq!(card.into_transport().inner_commands()[2], [0x80, 0xD3, 0, 0, 0]);
    }

    #[test]
    fn a_refused_removal_leaves_the_account() {
        let mut card = unlocked(FakeCard::initialised().answering(&("07".repeat(32) + "9000")).answering("6985"));
        card.generate_key(&mut recorded(card.request(Operation::GenerateKey))).unwrap();
        assert!(card.remove_key(&mut recorded(card.request(Operation::RemoveKey))).is_err());
        assert!(card.info().key_uid.is_some());
    }
}
