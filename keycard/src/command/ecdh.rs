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
