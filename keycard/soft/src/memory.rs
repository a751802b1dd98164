//! The card's persistent memory, and the transactions on it.
//!
//! The invariant: a change is made on a copy, the copy is written whole, and only then takes the place of the old one. So a
//! command that fails, or whose change cannot be written, leaves the memory as it was.

use k256::SecretKey;
use proto::Secret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::file::{StateError, StateFile, hexadecimal};
use crate::identity::Identity;
use crate::key::{MasterKey, Tree, draw};
use crate::model::Model;
use crate::pin::OwnerPin;
use crate::status::StatusWord;

/// All that outlives a power cut. Its secrets are written to the card's file and nowhere else.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    model: Model,
    /// The key that the factory's certificate vouches for, on cards that have one.
    identity: Option<Identity>,
    /// What the first kind of channel keeps, on cards that speak it.
    pairing: Option<Static>,
    owner: Option<Owner>,
}

impl State {
    fn with(&self, owner: Option<Owner>) -> Self {
        Self {
            model: self.model,
            identity: self.identity.as_ref().map(Identity::duplicate),
            pairing: self.pairing.as_ref().map(Static::duplicate),
            owner,
        }
    }
}

/// The static key of secure channel v1, in the SELECT answer of every card before 4.0.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Static {
    #[serde(with = "hexadecimal")]
    key: Secret<32>,
}

impl Static {
    fn draw(rng: &mut dyn CryptoRng) -> Self {
        let key = draw(rng);
        Self { key: Secret::fill(|room| room.copy_from_slice(key.to_bytes().as_slice())) }
    }

    /// Returns the key; nothing when a damaged file has none.
    pub(crate) fn key(&self) -> Option<SecretKey> {
        SecretKey::from_slice(self.key.expose()).ok()
    }

    fn duplicate(&self) -> Self {
        Self { key: Secret::fill(|room| *room = *self.key.expose()) }
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
    file: Option<StateFile>,
    fault: Option<StateError>,
}

impl Memory {
    /// Returns the memory of a card that was never initialised, with a fresh identity where it has one. Nothing is written.
    pub(crate) fn blank(model: Model, rng: &mut dyn CryptoRng, file: Option<StateFile>) -> Self {
        let identity = model.has_identity().then(|| Identity::draw(rng));
        let pairing = model.has_pairings().then(|| Static::draw(rng));
        Self { state: State { model, identity, pairing, owner: None }, file, fault: None }
    }

    /// Returns the memory that `file` holds.
    pub(crate) fn read(file: StateFile) -> Result<Self, StateError> {
        let state = file.read()?;
        let has_key = state.pairing.as_ref().map(|channel| channel.key().is_some());
        let sound =
            state.owner.as_ref().is_none_or(Owner::is_sound) && has_key == state.model.has_pairings().then_some(true);
        if !sound {
            return Err(file.damaged("its values are none a card writes"));
        }
        Ok(Self { state, file: Some(file), fault: None })
    }

    /// Writes the memory as it is.
    pub(crate) fn write(&self) -> Result<(), StateError> {
        self.file.as_ref().map_or(Ok(()), |file| file.write(&self.state))
    }

    pub(crate) fn model(&self) -> Model {
        self.state.model
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.state.identity.as_ref()
    }

    /// Returns what secure channel v1 keeps; nothing on 4.0.
    pub(crate) fn pairing(&self) -> Option<&Static> {
        self.state.pairing.as_ref()
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
