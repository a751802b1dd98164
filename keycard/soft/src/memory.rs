//! The card's persistent memory, and the transactions on it.
//!
//! The invariant: a change is made on a copy, the copy is written whole, and only then takes the place of the old one. So a
//! command that fails, or whose change cannot be written, leaves the memory as it was.

use proto::Secret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::file::{StateError, StateFile, hexadecimal};
use crate::identity::Identity;
use crate::key::{MasterKey, Tree};
use crate::pin::OwnerPin;
use crate::status::StatusWord;

/// All that outlives a power cut. Its secrets are written to the card's file and nowhere else.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    #[serde(with = "hexadecimal")]
    identity: Secret<32>,
    owner: Option<Owner>,
}

impl State {
    fn with(&self, owner: Option<Owner>) -> Self {
        Self { identity: Secret::fill(|room| *room = *self.identity.expose()), owner }
    }
}

/// Which of the two PINs.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PinKind {
    Main,
    Duress,
}

/// What INIT writes and FACTORY RESET clears.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    pub(crate) main: OwnerPin<6>,
    pub(crate) duress: OwnerPin<6>,
    pub(crate) puk: OwnerPin<12>,
    /// The PIN last used. It names the tree too: in applet 4.0 nothing moves one without the other.
    pub(crate) active: PinKind,
    pub(crate) key: Option<MasterKey>,
}

impl Owner {
    pub(crate) fn pin(&self, kind: PinKind) -> &OwnerPin<6> {
        match kind {
            PinKind::Main => &self.main,
            PinKind::Duress => &self.duress,
        }
    }

    pub(crate) fn pin_mut(&mut self, kind: PinKind) -> &mut OwnerPin<6> {
        match kind {
            PinKind::Main => &mut self.main,
            PinKind::Duress => &mut self.duress,
        }
    }

    /// Returns the tries left of the PIN last used, the only ones the card shows.
    pub(crate) fn tries(&self) -> u8 {
        self.pin(self.active).tries()
    }

    /// Returns the tree that the PIN last used opens.
    pub(crate) fn tree(&self) -> Tree {
        match self.active {
            PinKind::Main => Tree::Standard,
            PinKind::Duress => Tree::Duress,
        }
    }

    fn is_sound(&self) -> bool {
        let pins = self.main.is_sound() && self.duress.is_sound() && self.puk.is_sound();
        pins && self.key.as_ref().is_none_or(MasterKey::is_sound)
    }

    fn duplicate(&self) -> Self {
        Self {
            main: self.main.duplicate(),
            duress: self.duress.duplicate(),
            puk: self.puk.duplicate(),
            active: self.active,
            key: self.key.as_ref().map(MasterKey::duplicate),
        }
    }
}

/// The memory, and the file that holds it if there is one.
pub(crate) struct Memory {
    state: State,
    identity: Identity,
    file: Option<StateFile>,
    fault: Option<StateError>,
}

impl Memory {
    /// Returns the memory of a card that was never initialised, with a fresh identity. Nothing is written.
    pub(crate) fn blank(rng: &mut dyn CryptoRng, file: Option<StateFile>) -> Self {
        loop {
            let key = Identity::draw(rng);
            if let Some(identity) = Identity::certify(&key) {
                return Self { state: State { identity: key, owner: None }, identity, file, fault: None };
            }
        }
    }

    /// Returns the memory that `file` holds.
    pub(crate) fn read(file: StateFile) -> Result<Self, StateError> {
        let state = file.read()?;
        if !state.owner.as_ref().is_none_or(Owner::is_sound) {
            return Err(file.damaged("its values are none a card writes"));
        }
        let identity = Identity::certify(&state.identity).ok_or_else(|| file.damaged("its identity key is none"))?;
        Ok(Self { state, identity, file: Some(file), fault: None })
    }

    /// Writes the memory as it is.
    pub(crate) fn write(&self) -> Result<(), StateError> {
        self.file.as_ref().map_or(Ok(()), |file| file.write(&self.state))
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns what INIT wrote, or nothing on a blank card.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.state.owner.as_ref()
    }

    pub(crate) fn fault(&self) -> Option<&StateError> {
        self.fault.as_ref()
    }

    pub(crate) fn forget_fault(&mut self) {
        self.fault = None;
    }

    /// Changes what INIT wrote, in one transaction.
    ///
    /// # Errors
    /// 6985 on a blank card; 6F00 when the change cannot be written.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Owner)) -> Result<(), StatusWord> {
        let mut next = self.owner().ok_or(StatusWord::CONDITIONS)?.duplicate();
        change(&mut next);
        self.commit(Some(next))
    }

    /// Initialises the card, or makes it blank, in one transaction.
    ///
    /// # Errors
    /// 6F00 when the change cannot be written.
    pub(crate) fn commit(&mut self, owner: Option<Owner>) -> Result<(), StatusWord> {
        let next = self.state.with(owner);
        if let Some(file) = &self.file
            && let Err(error) = file.write(&next)
        {
            self.fault = Some(error);
            return Err(StatusWord::INTERNAL);
        }
        self.state = next;
        Ok(())
    }
}
