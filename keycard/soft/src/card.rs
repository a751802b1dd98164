//! The card in its reader: what belongs to the card's operating system and not to the applet.
//!
//! The invariant: a power cycle, and every SELECT by name, end the channel and the PIN's validation, whatever they answer.

use std::path::Path;

use rand_core::CryptoRng;

use crate::apdu::{Command, done};
use crate::applet::{Applet, plain};
use crate::cash;
use crate::file::{StateError, StateFile};
use crate::globalplatform::{self, AppletName};
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
    pub(crate) applet: Applet,
    selected: Option<Selected>,
}

/// Which applet hears the commands.
enum Selected {
    Keycard,
    Ndef(NdefApplet),
    Cash,
    Ident,
    Domain(Box<globalplatform::Session>),
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

    /// Makes a Java Card without applets and with the keys that everybody knows, kept in a new file at `path`. It is of this
    /// model once the applets are loaded and installed, over GlobalPlatform.
    ///
    /// # Errors
    /// As [`SoftCard::create`].
    pub fn create_bare(path: &Path, model: Model, mut rng: Box<dyn CryptoRng + Send>) -> Result<Self, StateError> {
        let file = StateFile::create(path)?;
        let memory = Memory::bare(model, &mut *rng, Some(file));
        memory.write()?;
        Ok(Self::powered(memory, rng))
    }

    /// Makes a card as [`SoftCard::create_bare`] does, that is forgotten when dropped, for tests.
    #[must_use]
    pub fn bare_in_memory(model: Model, mut rng: Box<dyn CryptoRng + Send>) -> Self {
        let memory = Memory::bare(model, &mut *rng, None);
        Self::powered(memory, rng)
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
            Some(Selected::Domain(session)) => {
                let was_installed = self.applet.is_installed();
                let answer = session.handle(&mut self.applet.memory, &command, &mut *self.applet.rng);
                if self.applet.is_installed() != was_installed {
                    // The RAM of an instance goes with it.
                    self.applet.power_cut();
                }
                answer
            }
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
        // The beginning of a name selects the first instance whose name it is the beginning of.
        let is_name = aid.len() >= SHORTEST_AID;
        let mut instances = self.applet.memory.domain().instances();
        let instance = instances.find(|instance| is_name && instance.instance().starts_with(aid));
        let is_domain = aid.is_empty() || (is_name && globalplatform::INSTANCE.starts_with(aid));
        drop(instances);
        let (selected, answer) = match instance {
            Some(AppletName::Keycard) => (Selected::Keycard, self.applet.select()),
            Some(AppletName::Ndef) => (Selected::Ndef(NdefApplet::default()), done()),
            Some(AppletName::Cash) => (Selected::Cash, cash::select(&self.applet.memory)),
            Some(AppletName::Ident) => (Selected::Ident, ident::select(&self.applet.memory)),
            None if is_domain => (Selected::Domain(Box::default()), globalplatform::select()),
            None => {
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
