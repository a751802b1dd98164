//! ECDH `80 C5 01 00 Lc key(65) || path` → x(32): what the card's key at `path` shares with another one. Applet 4.0.
//!
//! The card does it under `m/44'/1237'` (NIP-44) and `m/43'/60'/1581'` (EIP-1581) only, five components deep at least. The
//! other key is a [`ChatKey`], which is a point of the curve: what is none is refused before it comes here.

use audit::{Agreement, Operation, Recorded};
use proto::{ChatKey, Fingerprint, KeyPath, Secret};

use crate::apdu::{Answer, Command};
use crate::card::{Card, Unlocked};
use crate::error::CardError;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "ECDH";

impl<T: CardTransport> Card<Unlocked, T> {
    /// Returns the X coordinate of the card's key at `path` times `peer`. It is no key yet: protocols hash it.
    ///
    /// # Errors
    /// [`CardError::Unsupported`], [`CardError::Misuse`] for a path that the card would refuse,
    /// [`CardError::NotRecorded`]: before anything is sent. [`CardError::Answer`] also for what is no X coordinate of the
    /// curve; [`CardError::Status`], [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn ecdh(&mut self, path: &KeyPath, peer: &ChatKey, recorded: &mut Recorded) -> Result<Secret<32>, CardError> {
        self.require(Feature::Ecdh, NAME)?;
        if !is_allowed(path) {
            return Err(CardError::Misuse {
                what: "a card agrees on secrets under m/44'/1237' and m/43'/60'/1581' only, five components deep at least",
            });
        }
        let agreement = Agreement { path: path.clone(), peer: Fingerprint::of(peer) };
        recorded.spend(&self.request(Operation::Ecdh(agreement)))?;
        let command = Command::with_body([0x80, 0xC5, 0x01, 0x00], &[&peer.to_bytes(), &path.to_bytes()])?;
        parse(self.call(&command)?)
    }
}

fn is_allowed(path: &KeyPath) -> bool {
    path.components().len() >= 5 && (path.is_in_eip_1581() || path.components().starts_with(&NIP_44))
}

fn parse(answer: Answer) -> Result<Secret<32>, CardError> {
    const MALFORMED: CardError = CardError::Answer { what: "a malformed answer to ECDH" };
    let data = answer.success(NAME)?;
    let x: &[u8; 32] = data.as_slice().try_into().map_err(|_| MALFORMED)?;
    let mut point = zeroize::Zeroizing::new([2; 33]);
    point.split_at_mut(1).1.copy_from_slice(x);
    ChatKey::try_from(point.as_slice()).map_err(|_| MALFORMED)?;
    Ok(Secret::fill(|room| *room = *x))
}

/// `m/44'/1237'`.
const NIP_44: [u32; 2] = [0x8000_0000 | 44, 0x8000_0000 | 1237];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, aged, public, recorded, unlocked};
    use crate::version::Version;

    fn operation(path: &KeyPath) -> Operation {
        Operation::Ecdh(Agreement { path: path.clone(), peer: Fingerprint::of(&public(5)) })
    }

    fn agreed(path: &str, answer: &str) -> Result<(Secret<32>, Vec<u8>), CardError> {
        let path: KeyPath = path.parse().unwrap();
        let mut card = unlocked(FakeCard::initialised().answering(answer));
        let mut receipt = recorded(card.request(operation(&path)));
        let secret = card.ecdh(&path, &public(5), &mut receipt)?;
        Ok((secret, card.into_transport().inner_commands()[1].clone()))
    }

    #[test]
    fn the_shared_x_is_what_the_other_side_computes() {
        let ours = k256::SecretKey::from_slice(&[4; 32]).unwrap();
        let shared = proto::curve::agree(&ours, &public(5));
        let answer = hex::encode(shared.expose()) + "9000";
        for path in ["m/43'/60'/1581'/0'/0", "m/44'/1237'/0'/0/0"] {
            let (secret, sent) = agreed(path, &answer).unwrap();
            assert!(secret.is_same(&shared));
            assert_eq!(sent[..5], [0x80, 0xC5, 1, 0, 65 + 20]);
            assert_eq!(sent[5..70], public(5).to_bytes());
        }
    }

    #[test]
    fn paths_that_the_card_would_refuse_and_older_cards_are_not_asked() {
        for path in ["m", "m/43'/60'/1581'/0'", "m/44'/60'/0'/0/0", "m/44'/1237'/0'/0", "m/44/1237'/0'/0/0"] {
            assert!(matches!(agreed(path, "9000"), Err(CardError::Misuse { .. })), "{path}");
        }
        let path: KeyPath = "m/43'/60'/1581'/0'/0".parse().unwrap();
        let mut card = aged(unlocked(FakeCard::initialised()), Version::V3_2);
        let mut receipt = recorded(card.request(operation(&path)));
        assert!(matches!(card.ecdh(&path, &public(5), &mut receipt), Err(CardError::Unsupported { .. })));
        assert!(!receipt.is_spent());
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    #[test]
    fn a_record_of_another_peer_sends_nothing() {
        let path: KeyPath = "m/43'/60'/1581'/0'/0".parse().unwrap();
        let mut card = unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(operation(&path)));
        assert!(matches!(card.ecdh(&path, &public(6), &mut receipt), Err(CardError::NotRecorded(_))));
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    #[test]
    fn what_is_no_x_coordinate_is_refused() {
        // 5 is the X of no point; 0 neither.
        let five = format!("{}05", "00".repeat(31));
        for data in [five, "00".repeat(32), "ff".repeat(32), "07".repeat(31), "07".repeat(33), String::new()] {
            assert!(matches!(agreed("m/43'/60'/1581'/0'/0", &(data + "9000")), Err(CardError::Answer { .. })));
        }
    }
}
