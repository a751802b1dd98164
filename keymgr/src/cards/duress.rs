//! What the manager does when a card shows other keys under the same account: its duress PIN was entered.
//!
//! The owner chose one of three modes before. In quiet mode neither screen nor log tells: the session goes on as any other,
//! with the keys that the card shows, and fingerprints in the log are keyed, with another key for each line, so that two
//! lines about one key do not look alike either. Who has the key file can still check a line against a public key.

use audit::LogStore;
use keycard::{ApplicationInfo, CardTransport};
use proto::{Fingerprint, Secret};

use crate::broker::Broker;
use crate::cards::known::Duress;
use crate::error::{BrokerError, Mismatch};
use crate::files::StateError;
use crate::seats::Seat;

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Goes on with a card that shows another chat key than the pinned one, if its owner wants that.
    ///
    /// # Errors
    /// [`Mismatch::OtherChatKey`] when the owner does not; [`BrokerError::Log`].
    pub(crate) fn under_duress(
        &mut self,
        info: &ApplicationInfo,
        found: Fingerprint,
        pinned: Fingerprint,
    ) -> Result<(), BrokerError> {
        match self.known(info).duress {
            Duress::Refuse => Err(Mismatch::OtherChatKey { found, pinned }.into()),
            Duress::DecoyQuiet => Ok(()),
            Duress::DecoyMarked => {
                tracing::warn!("the card shows other keys than before: its duress PIN was entered");
                self.journal.decoy(audit::Decoy {
                    card: info.card_id(),
                    key_uid: info.key_uid,
                    chat_fingerprint: found,
                })?;
                Ok(())
            }
        }
    }

    /// Returns whether the unlocked card shows other keys than the pinned ones, and its owner wants that told.
    #[must_use]
    pub fn is_decoy(&self) -> bool {
        self.is_decoy_at(&self.seat)
    }

    pub(crate) fn is_decoy_at(&self, seat: &Seat<T>) -> bool {
        let Some(pins) = self.pins_at(seat) else { return false };
        let marked = self.cards.known.find(&pins.card).is_some_and(|known| known.duress == Duress::DecoyMarked);
        marked && seat.chat().is_some_and(|shown| shown != pins.chat)
    }

    /// Returns what the chat key of the unlocked card must be: the pinned one, or the one that it showed when it was
    /// unlocked, if its owner wants that used.
    pub(crate) fn chat_to_show(&self) -> Option<Fingerprint> {
        let pins = self.pins_here()?;
        let mode = self.cards.known.find(&pins.card).map_or(Duress::Refuse, |known| known.duress);
        if mode == Duress::Refuse { Some(pins.chat) } else { self.seat.chat() }
    }

    /// From here on the log's fingerprints are keyed, or not, as the card's owner wants.
    pub(crate) fn hush(&mut self, info: &ApplicationInfo) -> Result<(), BrokerError> {
        let quiet = self.known(info).duress == Duress::DecoyQuiet;
        let key = if quiet { Some(self.log_key()?) } else { None };
        drop(self.journal.hush(key));
        Ok(())
    }

    /// Returns the key of the log's fingerprints, made when it is needed for the first time.
    fn log_key(&mut self) -> Result<Secret<32>, BrokerError> {
        let path = self.enrolment.pins_path.with_file_name("log.key");
        match proto::shell::file::read_bounded(&path, 32) {
            Ok(bytes) => Ok(Secret::copy_from(&bytes).ok_or_else(|| StateError::damaged(&path, "not 32 bytes"))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = Secret::fill(|room| self.dice.fill_bytes(room));
                crate::files::write_whole(&path, key.expose())?;
                Ok(key)
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(StateError::damaged(&path, "not 32 bytes").into())
            }
            Err(source) => Err(StateError::io(&path, source).into()),
        }
    }
}
