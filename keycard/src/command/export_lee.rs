//! EXPORT LEE `80 C3 00 00 Lc path` → `A1 64 { 83 20 NSK, 84 40 VSK }`. Applet 4.0, with a LEE key loaded.

use audit::{Operation, Recorded};
use proto::{KeyPath, Secret};

use crate::apdu::{Answer, Command};
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::tlv::Reader;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "EXPORT LEE";

/// The two secrets of a LEE account. Those of other paths do not follow from them.
pub struct LeeKeys {
    /// The nullifier secret key, NSK.
    pub nullifier: Secret<32>,
    /// The viewing secret key, VSK.
    pub viewing: Secret<64>,
}

impl<T: CardTransport> Card<Unlocked, T> {
    /// Returns the nullifier and viewing keys at `path`.
    ///
    /// # Errors
    /// [`CardError::Unsupported`], [`CardError::NotRecorded`]: before anything is sent. [`CardError::Status`] (6985: no
    /// LEE key on the card); [`CardError::Answer`], [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn export_lee(&mut self, path: &KeyPath, recorded: &mut Recorded) -> Result<LeeKeys, CardError> {
        self.require(Feature::Lee, NAME)?;
        recorded.spend(&self.request(Operation::ExportLee(path.clone())))?;
        parse(self.call(&Command::with_body([0x80, 0xC3, 0x00, 0x00], &[&path.to_bytes()])?)?)
    }
}

fn parse(answer: Answer) -> Result<LeeKeys, CardError> {
    let data = answer.success(NAME)?;
    let mut inside = Reader::new(&data, "malformed LEE keys").only(0xA1)?;
    let nullifier = inside.array::<32>(0x83)?;
    let viewing = inside.array::<64>(0x84)?;
    inside.end()?;
    Ok(LeeKeys { nullifier: Secret::fill(|room| *room = *nullifier), viewing: Secret::fill(|room| *room = *viewing) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, recorded, unlocked};
    use crate::version::Version;

    fn exported(answer: &str) -> Result<LeeKeys, CardError> {
        let path: KeyPath = "m/1".parse().unwrap();
        let mut card = unlocked(FakeCard::initialised().answering(answer));
        let mut receipt = recorded(card.request(Operation::ExportLee(path.clone())));
        let result = card.export_lee(&path, &mut receipt);
        assert_eq!(hex::encode(&card.into_transport().inner_commands()[1]), "80c300000400000001");
        result
    }

    #[test]
    fn both_keys_are_read() {
        let (nullifier, viewing) = ("07".repeat(32), "08".repeat(64));
        let keys = exported(&format!("a1648320{nullifier}8440{viewing}9000")).unwrap();
        assert_eq!((*keys.nullifier.expose(), *keys.viewing.expose()), ([7; 32], [8; 64]));
        for answer in [
            format!("a1428440{viewing}9000"),
            format!("a1638320{nullifier}843f{}9000", "08".repeat(63)),
            format!("a1648320{nullifier}8440{viewing}009000"),
            "6985".to_owned(),
        ] {
            assert!(exported(&answer).is_err());
        }
    }

    #[test]
    fn an_older_card_is_not_asked() {
        let mut card = aged(unlocked(FakeCard::initialised()), Version::V3_2);
        let mut receipt = recorded(card.request(Operation::ExportLee(KeyPath::master())));
        assert!(matches!(card.export_lee(&KeyPath::master(), &mut receipt), Err(CardError::Unsupported { .. })));
        assert!(!receipt.is_spent());
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }
}
