//! The pairings of a card before 4.0, its static channel key, and the name that goes with them.
//!
//! ```text
//! PAIR step 1: C1(32)                       -> SHA-256(secret || C1)(32) || C2(32)
//! PAIR step 2: SHA-256(secret || C2)(32)    -> slot(1) || salt(32), pairing key = SHA-256(secret || salt)
//! ```
//!
//! The slot that step 1 reserves is kept in the applet's persistent memory and the challenge in its RAM: after a power cut
//! step 2 is still expected, for a challenge of zeros. So it is on every card.

use k256::SecretKey;
use proto::Secret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::file::hexadecimal;
use crate::key::{draw, keep};
use crate::model::Model;
use crate::status::StatusWord;

/// The persistent part of secure channel v1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pairings {
    /// The instance UID: drawn again by FACTORY RESET.
    #[serde(with = "hexadecimal::plain")]
    pub(crate) uid: [u8; 16],
    /// The static channel key: drawn again by INIT and FACTORY RESET.
    #[serde(with = "hexadecimal")]
    key: Secret<32>,
    /// What INIT set and CHANGE PIN changes; none on a blank card.
    secret: Option<PairingKey>,
    slots: Vec<Option<PairingKey>>,
    reserved: Option<Slot>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct PairingKey(#[serde(with = "hexadecimal")] Secret<32>);

/// Where a pairing is kept.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Slot {
    Persistent(u8),
    /// In RAM, for as long as the applet stays selected (3.2).
    Ephemeral,
}

impl Slot {
    /// Returns the slot that an index names.
    ///
    /// # Errors
    /// 6A86 for none; 6F00 where the applet takes the index for a negative number and leaves its array.
    pub(crate) fn of(index: u8, model: Model) -> Result<Self, StatusWord> {
        match index {
            EPHEMERAL if model.has_ephemeral_pairing() => Ok(Self::Ephemeral),
            0x80.. => Err(StatusWord::INTERNAL),
            _ if index >= model.slots() => Err(StatusWord::WRONG_P1_P2),
            _ => Ok(Self::Persistent(index)),
        }
    }

    pub(crate) fn index(self) -> u8 {
        match self {
            Self::Persistent(index) => index,
            Self::Ephemeral => EPHEMERAL,
        }
    }
}

impl Pairings {
    /// Returns those of a blank card, with a fresh key and name.
    pub(crate) fn blank(model: Model, rng: &mut dyn CryptoRng) -> Self {
        let key = keep(&draw(rng));
        let mut uid = [0; 16];
        rng.fill_bytes(&mut uid);
        let slots = (0..model.slots()).map(|_| None).collect();
        Self { uid, key, secret: None, slots, reserved: None }
    }

    /// Sets the secret and draws the channel key again: what INIT does.
    pub(crate) fn initialise(&mut self, secret: Secret<32>, rng: &mut dyn CryptoRng) {
        self.key = keep(&draw(rng));
        self.secret = Some(PairingKey(secret));
    }

    /// Changes the secret. Pairings made with the old one stay.
    pub(crate) fn change_secret(&mut self, secret: Secret<32>) {
        self.secret = Some(PairingKey(secret));
    }

    /// Returns the static channel key.
    ///
    /// # Errors
    /// 6F00 when a file that somebody wrote by hand has none.
    pub(crate) fn key(&self) -> Result<SecretKey, StatusWord> {
        SecretKey::from_slice(self.key.expose()).map_err(|_| StatusWord::INTERNAL)
    }

    /// Returns the answer to a challenge: SHA-256(secret || challenge).
    pub(crate) fn cryptogram(&self, challenge: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut hash = Sha256::new();
        if let Some(secret) = &self.secret {
            hash.update(secret.0.expose());
        }
        Zeroizing::new(hash.chain_update(challenge).finalize().into())
    }

    /// Returns the pairing key of a slot that is taken.
    pub(crate) fn pairing(&self, index: u8) -> Option<&Secret<32>> {
        self.slots.get(usize::from(index))?.as_ref().map(|key| &key.0)
    }

    /// Returns how many slots are free.
    pub(crate) fn free(&self) -> u8 {
        self.slots.iter().fold(0, |free, slot| free + u8::from(slot.is_none()))
    }

    /// Returns the first free slot.
    pub(crate) fn first_free(&self) -> Option<Slot> {
        (0..).zip(&self.slots).find(|(_, key)| key.is_none()).map(|(index, _)| Slot::Persistent(index))
    }

    /// Returns the slot that step 1 reserved.
    pub(crate) fn reserved(&self) -> Option<Slot> {
        self.reserved
    }

    pub(crate) fn reserve(&mut self, slot: Option<Slot>) {
        self.reserved = slot;
    }

    /// Keeps a pairing, or gives its slot back.
    pub(crate) fn set(&mut self, index: u8, key: Option<Secret<32>>) {
        if let Some(room) = self.slots.get_mut(usize::from(index)) {
            *room = key.map(PairingKey);
        }
    }

    /// Returns whether this can be what the model wrote.
    pub(crate) fn is_sound(&self, model: Model) -> bool {
        self.key().is_ok() && self.slots.len() == usize::from(model.slots())
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            uid: self.uid,
            key: copy(&self.key),
            secret: self.secret.as_ref().map(|secret| PairingKey(copy(&secret.0))),
            slots: self.slots.iter().map(|slot| slot.as_ref().map(|key| PairingKey(copy(&key.0)))).collect(),
            reserved: self.reserved,
        }
    }
}

fn copy(secret: &Secret<32>) -> Secret<32> {
    Secret::fill(|room| *room = *secret.expose())
}

const EPHEMERAL: u8 = 0xff;
