//! GENERATE KEY `80 D4 00 00` → key UID(32). The key never leaves the card whole, so there is no backup of it.

use audit::{Operation, Recorded};
use proto::KeyUid;

use crate::apdu::{Answer, Command};
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::known_keys::KnownKeys;
use crate::transport::CardTransport;

impl<T: CardTransport> Card<Unlocked, T> {
    /// Lets the card draw a key of its own, which replaces any other without asking, and returns its account.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`CardError::Status`], [`CardError::Answer`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn generate_key(&mut self, recorded: &mut Recorded) -> Result<KeyUid, CardError> {
        recorded.spend(&self.request(Operation::GenerateKey))?;
        let uid = parse(self.call(&Command::new([0x80, 0xD4, 0x00, 0x00]))?)?;
        self.info.key_uid = Some(uid);
        self.info.lee = false;
        self.state.known = KnownKeys::of(uid);
        Ok(uid)
    }
}

fn parse(answer: Answer) -> Result<KeyUid, CardError> {
    let data = answer.success("GENERATE KEY")?;
    KeyUid::try_from(data.as_slice()).map_err(|_| CardError::Answer { what: "a malformed answer to GENERATE KEY" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, recorded, unlocked};

    #[test]
    fn the_new_account_is_that_of_the_card_from_then_on() {
        let mut card = unlocked(FakeCard::initialised().answering(&("07".repeat(32) + "9000")));
        let mut receipt = recorded(card.request(Operation::GenerateKey));
        let uid = card.generate_key(&mut receipt).unwrap();
        assert_eq!(uid, KeyUid::from([7; 32]));
        assert_eq!(card.request(Operation::LoadKey).key_uid, Some(uid));
        assert!(matches!(card.generate_key(&mut receipt), Err(CardError::NotRecorded(_))), "one receipt, one key");
        assert_eq!(&card.into_transport().inner_commands()[1..], [[0x80, 0xD4, 0, 0, 0]]);
    }

    #[test]
    fn an_answer_of_another_length_is_refused() {
        for bytes in [0, 31, 33] {
            let mut card = unlocked(FakeCard::initialised().answering(&("07".repeat(bytes) + "9000")));
            let mut receipt = recorded(card.request(Operation::GenerateKey));
            assert!(matches!(card.generate_key(&mut receipt), Err(CardError::Answer { .. })));
        }
    }
}
