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
