//! The card's persistent memory, and the transactions on it.
//!
//! The invariant: a change is made on a copy, the copy is written whole, and only then takes the place of the old one. So a
//! command that fails, or whose change cannot be written, leaves the memory as it was.

use k256::SecretKey;
use proto::{KeyPath, Secret};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::data::Data;
use crate::file::{StateError, StateFile, hexadecimal};
use crate::globalplatform::Domain;
use crate::identity::Identity;
use crate::key::{MasterKey, Tree, draw, keep};
use crate::model::Model;
use crate::pairing::Pairings;
use crate::pin::OwnerPin;
use crate::status::StatusWord;

/// All that outlives a power cut. Its secrets are written to the card's file and nowhere else.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) model: Model,
    /// What is installed, and who may install.
    pub(crate) domain: Domain,
    /// What the factory stored in the Ident applet, where there is one.
    pub(crate) identity: Option<Identity>,
    /// The Cash applet's own key.
    #[serde(with = "hexadecimal")]
    pub(crate) cash_key: Secret<32>,
    pub(crate) data: Data,
    /// What secure channel v1 keeps, on cards that speak it.
    pub(crate) pairings: Option<Pairings>,
    /// The tree that the PIN verified last opened. Only VERIFY PIN moves it.
    pub(crate) tree: Tree,
    pub(crate) owner: Option<Owner>,
}

impl State {
    fn duplicate(&self) -> Self {
        Self {
            model: self.model,
            domain: self.domain.duplicate(),
            identity: self.identity.as_ref().map(Identity::duplicate),
            cash_key: Secret::fill(|room| *room = *self.cash_key.expose()),
            data: self.data.clone(),
            pairings: self.pairings.as_ref().map(Pairings::duplicate),
            tree: self.tree,
            owner: self.owner.as_ref().map(Owner::duplicate),
        }
    }

    fn is_sound(&self) -> bool {
        let pairings = match &self.pairings {
            Some(pairings) => self.model.has_pairings() && pairings.is_sound(self.model),
            None => !self.model.has_pairings(),
        };
        let owner = self.owner.as_ref().is_none_or(|owner| owner.is_sound(self.model));
        let identity = self.identity.is_none() || self.model.has_identity();
        let cash_key = SecretKey::from_slice(self.cash_key.expose()).is_ok();
        let domain = self.domain.is_sound(self.model);
        domain && pairings && owner && identity && cash_key && self.data.is_sound(self.model)
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
    /// Applets before 3.1 have none.
    pub(crate) duress: Option<OwnerPin<6>>,
    pub(crate) puk: OwnerPin<12>,
    /// The PIN last used. Before 4.0, a SELECT makes it the main one.
    pub(crate) active: PinKind,
    pub(crate) key: Option<MasterKey>,
    /// Where DERIVE KEY left off (before 4.0).
    #[serde(with = "path")]
    pub(crate) current: KeyPath,
    /// The path that signs without a PIN; `m` is none (before 4.0).
    #[serde(with = "path")]
    pub(crate) pinless: KeyPath,
}

impl Owner {
    pub(crate) fn pin(&self, kind: PinKind) -> &OwnerPin<6> {
        match (kind, &self.duress) {
            (PinKind::Duress, Some(duress)) => duress,
            _ => &self.main,
        }
    }

    pub(crate) fn pin_mut(&mut self, kind: PinKind) -> &mut OwnerPin<6> {
        match (kind, &mut self.duress) {
            (PinKind::Duress, Some(duress)) => duress,
            _ => &mut self.main,
        }
    }

    /// Returns the tries left of the PIN last used, the only ones the card shows.
    pub(crate) fn tries(&self) -> u8 {
        self.pin(self.active).tries()
    }

    /// Puts a key, or none, where there was another: no path outlives it.
    pub(crate) fn replace_key(&mut self, key: Option<MasterKey>) {
        self.key = key;
        self.current = KeyPath::master();
        self.pinless = KeyPath::master();
    }

    fn is_sound(&self, model: Model) -> bool {
        let pins = self.main.is_sound() && self.duress.as_ref().is_none_or(OwnerPin::is_sound) && self.puk.is_sound();
        pins && self.duress.is_some() == model.has_duress() && self.key.as_ref().is_none_or(MasterKey::is_sound)
    }

    fn duplicate(&self) -> Self {
        Self {
            main: self.main.duplicate(),
            duress: self.duress.as_ref().map(OwnerPin::duplicate),
            puk: self.puk.duplicate(),
            active: self.active,
            key: self.key.as_ref().map(MasterKey::duplicate),
            current: self.current.clone(),
            pinless: self.pinless.clone(),
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
    ///
    /// Of `rng` it takes 32 bytes for the identity key, 32 for that of the Cash applet, and then what a card before 4.0 needs.
    pub(crate) fn blank(model: Model, rng: &mut dyn CryptoRng, file: Option<StateFile>) -> Self {
        let identity = model.has_identity().then(|| Identity::draw(rng));
        let cash_key = keep(&draw(rng));
        let pairings = model.has_pairings().then(|| Pairings::blank(model, rng));
        let data = Data::installed(model);
        let domain = Domain::factory(model, cash_key.expose());
        let state = State { model, domain, identity, cash_key, data, pairings, tree: Tree::Standard, owner: None };
        Self { state, file, fault: None }
    }

    /// Returns the memory of the same card before its factory has stored a certificate.
    pub(crate) fn without_identity(mut self) -> Self {
        self.state.identity = None;
        self
    }

    /// Returns the memory of a Java Card without applets, which will be of this model once they are loaded.
    pub(crate) fn bare(model: Model, rng: &mut dyn CryptoRng, file: Option<StateFile>) -> Self {
        let mut memory = Self::blank(model, rng, file).without_identity();
        memory.state.domain = Domain::bare(memory.state.cash_key.expose());
        memory
    }

    /// Returns the memory that `file` holds.
    pub(crate) fn read(file: StateFile) -> Result<Self, StateError> {
        let state = file.read()?;
        if !state.is_sound() {
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

    pub(crate) fn domain(&self) -> &Domain {
        &self.state.domain
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.state.identity.as_ref()
    }

    pub(crate) fn data(&self) -> &Data {
        &self.state.data
    }

    pub(crate) fn tree(&self) -> Tree {
        self.state.tree
    }

    /// Returns the key of the Cash applet.
    ///
    /// # Errors
    /// 6F00 never, but for a state that is none.
    pub(crate) fn cash_key(&self) -> Result<SecretKey, StatusWord> {
        SecretKey::from_slice(self.state.cash_key.expose()).map_err(|_| StatusWord::INTERNAL)
    }

    /// Returns what secure channel v1 keeps.
    ///
    /// # Errors
    /// 6D00 on 4.0, which has none of its commands.
    pub(crate) fn pairings(&self) -> Result<&Pairings, StatusWord> {
        self.state.pairings.as_ref().ok_or(StatusWord::UNKNOWN_INS)
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
        if self.state.owner.is_none() {
            return Err(StatusWord::CONDITIONS);
        }
        self.commit(|state| {
            if let Some(owner) = &mut state.owner {
                change(owner);
            }
        })
    }

    /// Changes what secure channel v1 keeps, in one transaction.
    ///
    /// # Errors
    /// 6D00 on 4.0; 6F00 when the change cannot be written.
    pub(crate) fn update_pairings(&mut self, change: impl FnOnce(&mut Pairings)) -> Result<(), StatusWord> {
        self.pairings()?;
        self.commit(|state| {
            if let Some(pairings) = &mut state.pairings {
                change(pairings);
            }
        })
    }

    /// Changes anything, in one transaction.
    ///
    /// # Errors
    /// 6F00 when the change cannot be written.
    pub(crate) fn commit(&mut self, change: impl FnOnce(&mut State)) -> Result<(), StatusWord> {
        let mut next = self.state.duplicate();
        change(&mut next);
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

/// A path as text.
mod path {
    use proto::KeyPath;
    use serde::de::{Deserialize, Error};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &KeyPath, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(path)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<KeyPath, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
