//! EXPORT BIP85 `80 C4 n 00 Lc path` → n bytes, 1 to 64: the beginning of HMAC-SHA512("bip-entropy-from-k", private key).
//! Applet 4.0. The path begins with 83696968', has two components at least, and all are hardened.

use audit::{Bip85, Operation, Recorded};
use proto::KeyPath;
use zeroize::Zeroizing;

use crate::apdu::Command;
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "EXPORT BIP85";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Returns `count` secret bytes that follow from the key at `path`, and from which nothing follows for any key.
    ///
    /// # Errors
    /// [`CardError::Unsupported`], [`CardError::Misuse`] for a path or a length that the card would refuse,
    /// [`CardError::NotRecorded`]: before anything is sent. [`CardError::Status`], [`CardError::Answer`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn export_bip85(
        &mut self,
        path: &KeyPath,
        count: u8,
        recorded: &mut Recorded,
    ) -> Result<Zeroizing<Vec<u8>>, CardError> {
        self.require(Feature::Bip85, NAME)?;
        if !(1..=64).contains(&count) {
            return Err(CardError::Misuse { what: "BIP-85 gives 1 to 64 bytes" });
        }
        if !is_bip85(path) {
            return Err(CardError::Misuse {
                what: "a path of BIP-85 is m/83696968'/…, with all components hardened"
            });
        }
        recorded.spend(&self.request(Operation::ExportBip85(Bip85 { path: path.clone(), bytes: count })))?;
        let command = Command::with_body([0x80, 0xC4, count, 0x00], &[&path.to_bytes()])?;
        let data = self.call(&command)?.success(NAME)?;
        if data.len() == usize::from(count) {
            Ok(data)
        } else {
            Err(CardError::Answer { what: "BIP-85 entropy of another length" })
        }
    }
}

fn is_bip85(path: &KeyPath) -> bool {
    let components = path.components();
    components.len() >= 2
        && components.first() == Some(&APPLICATION)
        && components.iter().all(|component| component & HARDENED != 0)
}

const HARDENED: u32 = 0x8000_0000;
/// 83696968', "SEED" on a telephone.
const APPLICATION: u32 = HARDENED | 83_696_968;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, recorded, unlocked};
    use crate::version::Version;

    fn operation(path: &KeyPath, bytes: u8) -> Operation {
        Operation::ExportBip85(Bip85 { path: path.clone(), bytes })
    }

    #[test]
    fn as_many_bytes_come_as_were_asked_for() {
        let path: KeyPath = "m/83696968'/39'/0'/12'/0'".parse().unwrap();
        let mut card = unlocked(FakeCard::initialised().answering("0102039000").answering("01029000"));
        let mut receipt = recorded(card.request(operation(&path, 3)));
        assert_eq!(*card.export_bip85(&path, 3, &mut receipt).unwrap(), [1, 2, 3]);
        let mut receipt = recorded(card.request(operation(&path, 3)));
        assert!(matches!(card.export_bip85(&path, 3, &mut receipt), Err(CardError::Answer { .. })));
        let sent = hex::encode(&card.into_transport().inner_commands()[1]);
        assert_eq!(sent, "80c403001484fd1d4880000027800000008000000c80000000");
    }

    #[test]
    fn what_the_card_would_refuse_and_older_cards_are_not_asked() {
        let mut card = unlocked(FakeCard::initialised());
        let good: KeyPath = "m/83696968'/0'".parse().unwrap();
        for (path, bytes) in [("m/83696968'", 8), ("m/83696968'/0", 8), ("m/44'/0'", 8), ("m", 8), ("m/83696968/0'", 8)]
        {
            let path: KeyPath = path.parse().unwrap();
            let mut receipt = recorded(card.request(operation(&path, bytes)));
            assert!(matches!(card.export_bip85(&path, bytes, &mut receipt), Err(CardError::Misuse { .. })), "{path}");
        }
        for bytes in [0, 65] {
            let mut receipt = recorded(card.request(operation(&good, bytes)));
            assert!(matches!(card.export_bip85(&good, bytes, &mut receipt), Err(CardError::Misuse { .. })));
        }
        let mut card = aged(card, Version::V3_2);
        let mut receipt = recorded(card.request(operation(&good, 8)));
        assert!(matches!(card.export_bip85(&good, 8, &mut receipt), Err(CardError::Unsupported { .. })));
        assert!(!receipt.is_spent());
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }
}
