//! The card in its reader: what belongs to the card's operating system and not to the applet.
//!
//! The invariant: a power cycle, and every SELECT by name, end the channel and the PIN's validation, whatever they answer.

use std::path::Path;

use rand_core::CryptoRng;

use crate::apdu::{Command, done};
use crate::applet::{Applet, plain};
use crate::cash;
use crate::file::{StateError, StateFile};
use crate::ident;
use crate::identity::Identity;
use crate::memory::Memory;
use crate::model::Model;
use crate::ndef::NdefApplet;
use crate::status::StatusWord;

/// A software card with one Keycard instance, and the applets that come with it: NDEF, Cash (from 3.0 on), Ident (from 3.1 on).
///
/// Every answer is data and status word. When the card's memory cannot be written, the command answers 6F00, nothing has
/// changed, and [`SoftCard::fault`] says why.
pub struct SoftCard {
    applet: Applet,
    selected: Option<Selected>,
}

/// Which applet hears the commands.
enum Selected {
    Keycard,
    Ndef(NdefApplet),
    Cash,
    Ident,
}

impl SoftCard {
    /// Makes a blank card with a fresh identity, kept in a new file at `path`.
    ///
    /// # Errors
    /// [`StateError::Exists`] when there is a card already, [`StateError::InUse`], [`StateError::Io`].
    pub fn create(path: &Path, model: Model, mut rng: Box<dyn CryptoRng + Send>) -> Result<Self, StateError> {
        let file = StateFile::create(path)?;
        let memory = Memory::blank(model, &mut *rng, Some(file));
        memory.write()?;
        Ok(Self::powered(memory, rng))
    }

    /// Takes the card that is kept at `path`.
    ///
    /// # Errors
    /// [`StateError::Missing`] (never a silent fresh start), [`StateError::Damaged`], [`StateError::Older`],
    /// [`StateError::InUse`], [`StateError::Io`].
    pub fn load(path: &Path, rng: Box<dyn CryptoRng + Send>) -> Result<Self, StateError> {
        let file = StateFile::open(path)?;
        let memory = Memory::read(file)?;
        Ok(Self::powered(memory, rng))
    }

    /// Makes a blank card that is forgotten when dropped, for tests.
    ///
    #[must_use]
    pub fn in_memory(model: Model, mut rng: Box<dyn CryptoRng + Send>) -> Self {
        let memory = Memory::blank(model, &mut *rng, None);
        Self::powered(memory, rng)
    }

    /// Makes a blank card whose factory has stored no certificate, and that is forgotten when dropped.
    pub(crate) fn without_identity(model: Model, mut rng: Box<dyn CryptoRng + Send>) -> Self {
        let memory = Memory::blank(model, &mut *rng, None).without_identity();
        Self::powered(memory, rng)
    }

    fn powered(memory: Memory, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self { applet: Applet::new(memory, rng), selected: None }
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
        let answer = match &mut self.selected {
            Some(Selected::Keycard) => return self.applet.process(&command),
            Some(Selected::Ndef(applet)) => applet.handle(&self.applet.memory, &command),
            Some(Selected::Cash) => {
                let answer = cash::handle(&self.applet.memory, &command, &mut *self.applet.rng);
                self.applet.signed(command.ins, answer)
            }
            Some(Selected::Ident) => ident::handle(&mut self.applet.memory, &command),
            None => Err(StatusWord::UNKNOWN_INS),
        };
        plain(&answer)
    }

    /// Takes the power away and gives it back: nothing is selected, no channel is open, no PIN is validated.
    pub fn power_cycle(&mut self) {
        self.applet.power_cut();
        self.selected = None;
    }

    /// Returns which release of the applet the card has.
    #[must_use]
    pub fn model(&self) -> Model {
        self.applet.memory.model()
    }

    /// Returns the identity public key that the card's certificate names, compressed; nothing where there is none (2.2, 3.0).
    #[must_use]
    pub fn identity(&self) -> Option<[u8; 33]> {
        self.applet.memory.identity().map(Identity::public)
    }

    /// Returns what the card answers to a reset (ISO 7816-3): protocol T=1 and nothing else to say.
    #[must_use]
    pub fn atr(&self) -> &'static [u8] {
        &[0x3b, 0x80, 0x80, 0x01, 0x01]
    }

    /// Returns why the memory could not be written, if that is why the last command answered 6F00.
    #[must_use]
    pub fn fault(&self) -> Option<&StateError> {
        self.applet.memory.fault()
    }

    /// Answers one command as [`Self::transmit`] does, but with a wrong signature, if there is one in the answer.
    pub(crate) fn transmit_wrongly_signed(&mut self, command: &[u8]) -> Vec<u8> {
        self.applet.signs_wrongly = true;
        let answer = self.transmit(command);
        self.applet.signs_wrongly = false;
        answer
    }

    fn select(&mut self, aid: &[u8]) -> Vec<u8> {
        self.applet.deselect();
        let model = self.model();
        // The beginning of a name selects the first instance whose name it is the beginning of.
        let is_name = aid.len() >= SHORTEST_AID;
        let instance = INSTANCES.into_iter().find(|instance| is_name && instance.starts_with(aid));
        let (selected, answer) = match instance.unwrap_or_default() {
            KEYCARD_INSTANCE => (Selected::Keycard, self.applet.select()),
            NDEF_INSTANCE => (Selected::Ndef(NdefApplet::default()), done()),
            CASH_INSTANCE if model.has_data() => (Selected::Cash, cash::select(&self.applet.memory)),
            IDENT_INSTANCE if model.has_identity() => (Selected::Ident, ident::select(&self.applet.memory)),
            _ => {
                self.selected = None;
                return plain(&Err(StatusWord::NOT_FOUND));
            }
        };
        self.selected = Some(selected);
        plain(&answer)
    }
}

/// `00 A4 04 00`; any other form is a command to the selected applet (Java Card runtime environment, section 4.5).
fn is_select_by_name(command: &Command<'_>) -> bool {
    matches!((command.cla, command.ins, command.p1, command.p2), (0x00, 0xa4, 0x04, 0x00))
}

/// A registered provider, without more (ISO/IEC 7816-4, section 8.2.1.2).
const SHORTEST_AID: usize = 5;
/// In the order of their installation.
const INSTANCES: [&[u8]; 4] = [KEYCARD_INSTANCE, NDEF_INSTANCE, CASH_INSTANCE, IDENT_INSTANCE];
/// The default instance of the Keycard applet: package, applet 01, index 01.
const KEYCARD_INSTANCE: &[u8] = &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];
/// The type 4 tag that the NFC Forum names.
const NDEF_INSTANCE: &[u8] = &[0xd2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01];
const CASH_INSTANCE: &[u8] = &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x03, 0x01];
const IDENT_INSTANCE: &[u8] = &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x04, 0x01];
