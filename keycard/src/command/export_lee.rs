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
