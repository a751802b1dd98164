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
