//! SET PINLESS PATH `80 C1 00 00 Lc path`: whoever has the card signs with that key, with no PIN and no channel. Without a
//! path nobody does. Up to 3.2.

use audit::{Operation, Recorded};
use proto::KeyPath;

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "SET PINLESS PATH";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Lets the key at `path` sign without a PIN.
    ///
    /// # Errors
    /// [`CardError::Unsupported`], [`CardError::Misuse`] for `m`, which the card takes for no path at all,
    /// [`CardError::NotRecorded`]: before anything is sent. [`CardError::Status`], [`CardError::Answer`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn set_pinless_path(&mut self, path: &KeyPath, recorded: &mut Recorded) -> Result<(), CardError> {
        if path.is_master() {
            return Err(CardError::Misuse { what: "the master key never signs without a PIN" });
        }
        self.set_pinless(Operation::SetPinlessPath(path.clone()), &path.to_bytes(), recorded)
    }

    /// Lets no key sign without a PIN.
    ///
    /// # Errors
    /// As [`Card::set_pinless_path`].
    pub fn clear_pinless_path(&mut self, recorded: &mut Recorded) -> Result<(), CardError> {
        self.set_pinless(Operation::ClearPinlessPath, &[], recorded)
    }

    fn set_pinless(&mut self, operation: Operation, path: &[u8], recorded: &mut Recorded) -> Result<(), CardError> {
        self.require(Feature::PinlessPath, NAME)?;
        recorded.spend(&self.request(operation))?;
        let command = Command::with_body([0x80, 0xC1, 0x00, 0x00], &[path])?;
        self.call(&command)?.bare_success(NAME, "an answer to SET PINLESS PATH with data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, recorded, unlocked};
    use crate::version::Version;

    #[test]
    fn a_path_is_set_and_cleared() {
        let path: KeyPath = "m/44'/0".parse().unwrap();
        let fake = FakeCard::initialised().answering("9000").answering("9000");
        let mut card = aged(unlocked(fake), Version::V3_1);
        card.set_pinless_path(&path, &mut recorded(card.request(Operation::SetPinlessPath(path.clone())))).unwrap();
        card.clear_pinless_path(&mut recorded(card.request(Operation::ClearPinlessPath))).unwrap();
        let sent: Vec<_> = card.into_transport().inner_commands()[1..].iter().map(hex::encode).collect();
        assert_eq!(sent, ["80c10000088000002c00000000", "80c1000000"]);
    }

    #[test]
    fn the_master_key_and_4_0_are_refused_before_anything_is_sent() {
        let mut card = unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(Operation::ClearPinlessPath));
        assert!(matches!(card.clear_pinless_path(&mut receipt), Err(CardError::Unsupported { .. })));
        let mut card = aged(card, Version::V3_2);
        let master = KeyPath::master();
        assert!(matches!(card.set_pinless_path(&master, &mut receipt), Err(CardError::Misuse { .. })));
        assert!(!receipt.is_spent());
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }
}
