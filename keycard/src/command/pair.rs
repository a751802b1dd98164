//! PAIR `80 12 00 P2 20 C1(32)` → `SHA-256(secret || C1) || C2(32)`, then `80 12 01 P2 20 SHA-256(secret || C2)` →
//! `slot(1) || salt(32)`: applets 2.x and 3.x, plain, without a PIN.
//!
//! ```text
//! P2 (3.2)   01 ephemeral   02 persistent or 6A84       older applets ignore it: 00
//! ```
//! The card's cryptogram is compared before ours is sent, so that a card that does not know the secret learns nothing
//! from which it could guess it.

use audit::{Operation, Recorded};
use proto::Secret;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::apdu::Command;
use crate::card::{Card, Selected};
use crate::error::CardError;
use crate::pairing::{Lasting, Pairing, PairingSecret, Unpaired};
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};
use crate::version::Feature;

const NAME: &str = "PAIR";

impl<T: CardTransport> Card<Selected, T> {
    /// Pairs this host with a card of generation v1. `secrets` are tried against one answer of the card, so several forms
    /// of a password cost nothing.
    ///
    /// The caller writes the pairing down before it opens a channel with it: a lost one has used up a slot.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] for a card of generation v2, which needs no pairing, and for an ephemeral pairing before
    /// 3.2; [`CardError::NotRecorded`]: nothing was sent. [`CardError::Unpaired`] for another secret and when there is no
    /// slot; [`CardError::Answer`], [`CardError::Status`], [`CardError::Transport`].
    pub fn pair(
        &mut self,
        secrets: &[PairingSecret],
        lasting: Lasting,
        recorded: &mut Recorded,
        rng: &mut dyn CryptoRng,
    ) -> Result<Pairing, CardError> {
        self.require(Feature::Pairing, NAME)?;
        let p2 = match lasting {
            Lasting::Persistent if self.supports(Feature::EphemeralPairing) => 0x02,
            Lasting::Persistent => 0x00,
            Lasting::Ephemeral => {
                self.require(Feature::EphemeralPairing, "PAIR for one session")?;
                0x01
            }
        };
        recorded.spend(&self.request(Operation::Pair))?;
        let mut challenge = [0; 32];
        rng.fill_bytes(&mut challenge);
        let answer = exchange(&mut self.transport, Command::with_body([0x80, 0x12, 0x00, p2], &[&challenge])?)?;
        if answer.status == StatusWord::NO_SLOT {
            return Err(Unpaired::SlotsExhausted.into());
        }
        let data = answer.success(NAME)?;
        let (theirs, challenge_of_card) = halves(&data)?;
        let knows = |secret: &&PairingSecret| bool::from(cryptogram(secret, &challenge).expose().ct_eq(theirs));
        let secret = secrets.iter().find(knows).ok_or(Unpaired::WrongSecret)?;
        let ours = cryptogram(secret, challenge_of_card);
        let command = Command::with_body([0x80, 0x12, 0x01, p2], &[ours.expose()])?;
        let data = exchange(&mut self.transport, command)?.success(NAME)?;
        let (slot, salt) = slot_and_salt(&data)?;
        if (slot == Pairing::EPHEMERAL) != (lasting == Lasting::Ephemeral) {
            return Err(CardError::Answer { what: "a pairing that lasts otherwise than asked for" });
        }
        Ok(Pairing { slot, key: cryptogram(secret, salt), well_known: secret.is_well_known() })
    }
}

/// Returns SHA-256(secret || other): both cryptograms and the pairing's key are of this form.
fn cryptogram(secret: &PairingSecret, other: &[u8; 32]) -> Secret<32> {
    let mut hasher = Sha256::new();
    hasher.update(secret.expose());
    hasher.update(other);
    let mut digest = hasher.finalize();
    let secret = Secret::fill(|bytes| bytes.copy_from_slice(&digest));
    digest.as_mut_slice().zeroize();
    secret
}

const MALFORMED: CardError = CardError::Answer { what: "a malformed answer to PAIR" };

fn halves(data: &[u8]) -> Result<(&[u8; 32], &[u8; 32]), CardError> {
    let (first, second) = data.split_first_chunk().ok_or(MALFORMED)?;
    Ok((first, second.try_into().map_err(|_| MALFORMED)?))
}

fn slot_and_salt(data: &[u8]) -> Result<(u8, &[u8; 32]), CardError> {
    let (slot, salt) = data.split_first().ok_or(MALFORMED)?;
    Ok((*slot, salt.try_into().map_err(|_| MALFORMED)?))
}
