//! DERIVE KEY `80 D1 P1 00 Lc path`: makes another key the current one, up to 3.2.
//!
//! ```text
//! P1 = 00 from m, 40 from the current key's parent, 80 from the current key, C0 the PIN-less key (3.1 and 3.2, no path)
//! ```

use audit::{Operation, Recorded};
use proto::KeyPlace;

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "DERIVE KEY";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Makes the key at `place` the card's current one, for everybody who uses the card after us too.
    ///
    /// # Errors
    /// [`CardError::Unsupported`], [`CardError::NotRecorded`]: before anything is sent. [`CardError::Status`] (6B00: the
    /// current key is `m`, which has no parent); [`CardError::Answer`], [`CardError::ChannelLost`],
    /// [`CardError::Transport`].
    pub fn derive_key(&mut self, place: &KeyPlace, recorded: &mut Recorded) -> Result<(), CardError> {
        self.require(Feature::CurrentPath, NAME)?;
        if *place == KeyPlace::Pinless {
            self.require(Feature::LazyDerivation, "DERIVE KEY from the PIN-less path")?;
        }
        let (source, path) = match place {
            KeyPlace::Absolute(path) => (0x00, path.to_bytes()),
            KeyPlace::BelowParent(path) => (0x40, path.to_bytes()),
            KeyPlace::BelowCurrent(path) => (0x80, path.to_bytes()),
            KeyPlace::Pinless => (0xC0, Vec::new()),
        };
        recorded.spend(&self.request(Operation::DeriveKey(place.clone())))?;
        let command = Command::with_body([0x80, 0xD1, source, 0x00], &[&path])?;
        self.call(&command)?.bare_success(NAME, "an answer to DERIVE KEY with data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, recorded, unlocked};
    use crate::version::Version;

    #[test]
    fn each_source_has_its_number() {
        for (place, sent) in [
            ("m/44'/1", "80d10000088000002c00000001"),
            ("m", "80d1000000"),
            ("parent/2", "80d140000400000002"),
            ("current/3", "80d180000400000003"),
            ("pinless", "80d1c00000"),
        ] {
            let place: KeyPlace = place.parse().unwrap();
            let mut card = aged(unlocked(FakeCard::initialised().answering("9000")), Version::V3_2);
            card.derive_key(&place, &mut recorded(card.request(Operation::DeriveKey(place.clone())))).unwrap();
            assert_eq!(hex::encode(&card.into_transport().inner_commands()[1]), sent);
        }
    }

    #[test]
    fn a_card_without_a_current_key_is_not_asked() {
        let mut card = unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(Operation::DeriveKey(KeyPlace::current())));
        let error = card.derive_key(&KeyPlace::current(), &mut receipt).unwrap_err();
        assert!(matches!(error, CardError::Unsupported { .. }));
        assert!(!receipt.is_spent());
        assert!(matches!(card.current_path(), Err(CardError::Unsupported { .. })));
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    #[test]
    fn a_card_before_3_1_is_not_asked_to_start_at_its_pinless_path() {
        for version in [Version::V2_2, Version::V3_0] {
            let mut card = aged(unlocked(FakeCard::initialised()), version);
            let mut receipt = recorded(card.request(Operation::DeriveKey(KeyPlace::Pinless)));
            let error = card.derive_key(&KeyPlace::Pinless, &mut receipt).unwrap_err();
            assert!(matches!(error, CardError::Unsupported { .. }));
            assert!(!receipt.is_spent());
            assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
        }
    }

    #[test]
    fn the_current_path_is_read_and_a_malformed_one_refused() {
        let fake = FakeCard::initialised().answering("8000002c000000019000").answering("0000009000").answering("9000");
        let mut card = aged(unlocked(fake), Version::V3_0);
        assert_eq!(card.current_path().unwrap().to_string(), "m/44'/1");
        assert!(matches!(card.current_path(), Err(CardError::Answer { .. })));
        assert!(card.current_path().unwrap().is_master());
        assert_eq!(card.into_transport().inner_commands()[1], [0x80, 0xF2, 1, 0, 0]);
    }
}
