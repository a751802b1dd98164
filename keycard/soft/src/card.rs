//! The card in its reader: what belongs to the card's operating system and not to the applet.
//!
//! The invariant: a power cycle, and every SELECT by name, end the channel and the PIN's validation, whatever they answer.

use std::path::Path;

use rand_core::CryptoRng;

use crate::apdu::Command;
use crate::applet::Applet;
use crate::command::select;
use crate::file::{StateError, StateFile};
use crate::memory::Memory;
use crate::status::StatusWord;

/// A software card with one Keycard instance of applet 4.0.
///
/// Every answer is data and status word. When the card's memory cannot be written, the command answers 6F00, nothing has
/// changed, and [`SoftCard::fault`] says why.
pub struct SoftCard {
    applet: Applet,
    selected: bool,
}

impl SoftCard {
    /// Makes a blank card with a fresh identity, kept in a new file at `path`.
    ///
    /// # Errors
    /// [`StateError::Exists`] when there is a card already, [`StateError::InUse`], [`StateError::Io`].
    pub fn create(path: &Path, mut rng: Box<dyn CryptoRng + Send>) -> Result<Self, StateError> {
        let file = StateFile::create(path)?;
        let memory = Memory::blank(&mut *rng, Some(file));
        memory.write()?;
        Ok(Self::powered(memory, rng))
    }

    /// Takes the card that is kept at `path`.
    ///
    /// # Errors
    /// [`StateError::Missing`] (never a silent fresh start), [`StateError::Damaged`], [`StateError::InUse`],
    /// [`StateError::Io`].
    pub fn load(path: &Path, rng: Box<dyn CryptoRng + Send>) -> Result<Self, StateError> {
        let file = StateFile::open(path)?;
        let memory = Memory::read(file)?;
        Ok(Self::powered(memory, rng))
    }

    /// Makes a blank card that is forgotten when dropped, for tests.
    ///
    /// Of `rng` it takes 32 bytes for its identity key.
    #[must_use]
    pub fn in_memory(mut rng: Box<dyn CryptoRng + Send>) -> Self {
        let memory = Memory::blank(&mut *rng, None);
        Self::powered(memory, rng)
    }

    fn powered(memory: Memory, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self { applet: Applet::new(memory, rng), selected: false }
    }

    /// Answers one command. Any bytes may come.
    #[must_use]
    pub fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        self.applet.memory.forget_fault();
        let command = match Command::parse(command) {
            Ok(command) => command,
            Err(status) => return status.to_bytes().to_vec(),
        };
        if is_select_by_name(&command) {
            return self.select(command.data);
        }
        if !self.selected {
            return StatusWord::UNKNOWN_INS.to_bytes().to_vec();
        }
        self.applet.process(&command)
    }

    /// Takes the power away and gives it back: nothing is selected, no channel is open, no PIN is validated.
    pub fn power_cycle(&mut self) {
        self.applet.deselect();
        self.selected = false;
    }

    /// Returns the identity public key that the card's certificate names, compressed.
    #[must_use]
    pub fn identity(&self) -> [u8; 33] {
        self.applet.memory.identity().public()
    }

    /// Returns why the memory could not be written, if that is why the last command answered 6F00.
    #[must_use]
    pub fn fault(&self) -> Option<&StateError> {
        self.applet.memory.fault()
    }

    fn select(&mut self, aid: &[u8]) -> Vec<u8> {
        self.applet.deselect();
        self.selected = aid == KEYCARD_INSTANCE;
        if !self.selected {
            return StatusWord::NOT_FOUND.to_bytes().to_vec();
        }
        let mut answer = select::template(&self.applet.memory);
        answer.extend_from_slice(&StatusWord::OK.to_bytes());
        answer
    }
}

/// `00 A4 04 00`; any other form is a command to the selected applet (Java Card runtime environment, section 4.5).
fn is_select_by_name(command: &Command<'_>) -> bool {
    matches!((command.cla, command.ins, command.p1, command.p2), (0x00, 0xa4, 0x04, 0x00))
}

/// The default instance of the Keycard applet: package, applet 01, index 01.
const KEYCARD_INSTANCE: &[u8] = &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];
