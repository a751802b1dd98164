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

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;
    use crate::fake::{FakeCard, Harm, recorded, selected};
    use crate::fake_v1::{FakeV1, SLOT, pairing, secret};
    use crate::version::Version;

    fn pair(fake: FakeV1, secrets: &[PairingSecret], lasting: Lasting) -> (Result<Pairing, CardError>, FakeV1) {
        let mut card = selected(fake);
        let mut receipt = recorded(card.request(Operation::Pair));
        let result = card.pair(secrets, lasting, &mut receipt, &mut TestDice::seeded(1));
        (result, card.into_transport())
    }

    /// KC-03.
    #[test]
    fn host_and_card_agree_on_slot_and_key() {
        let (result, fake) = pair(FakeV1::initialised(Version::V3_1), &[secret()], Lasting::Persistent);
        let found = result.unwrap();
        assert_eq!((found.slot, found.well_known), (SLOT, false));
        assert!(found.key.is_same(&pairing().key));
        let [_, first, second] = fake.plain_commands() else { panic!("three commands") };
        assert_eq!((&first[..5], &second[..5]), (&[0x80, 0x12, 0, 0, 32][..], &[0x80, 0x12, 1, 0, 32][..]));
    }

    #[test]
    fn the_parameter_says_on_3_2_how_long_it_lasts() {
        let p2 = |lasting| {
            let (result, fake) = pair(FakeV1::initialised(Version::V3_2), &[secret()], lasting);
            (result.unwrap().slot, fake.plain_commands()[1][3])
        };
        assert_eq!(p2(Lasting::Persistent), (SLOT, 2));
        assert_eq!(p2(Lasting::Ephemeral), (Pairing::EPHEMERAL, 1));
    }

    #[test]
    fn a_pairing_for_one_session_is_not_asked_of_an_older_applet() {
        let (result, fake) = pair(FakeV1::initialised(Version::V3_1), &[secret()], Lasting::Ephemeral);
        assert!(matches!(result, Err(CardError::Unsupported { .. })));
        assert_eq!(fake.commands(), 1);
        let mut card = selected(FakeCard::initialised());
        let mut receipt = recorded(card.request(Operation::Pair));
        let result = card.pair(&[secret()], Lasting::Persistent, &mut receipt, &mut TestDice::seeded(1));
        assert!(matches!(result, Err(CardError::Unsupported { .. })), "4.0 knows no pairing");
        assert!(!receipt.is_spent());
    }

    #[test]
    fn a_wrong_password_is_named_and_our_cryptogram_is_not_sent() {
        let wrong = PairingSecret::of_password("another");
        let (result, fake) = pair(FakeV1::initialised(Version::V3_1), &wrong, Lasting::Persistent);
        let error = result.unwrap_err();
        assert!(matches!(error, CardError::Unpaired(Unpaired::WrongSecret)));
        assert!(error.to_string().contains("pairing password"), "{error}");
        assert_eq!(fake.commands(), 2, "no second step");
    }

    #[test]
    fn several_forms_of_a_password_are_tried_against_one_answer() {
        let secrets = [PairingSecret::of_password("another").remove(0), secret()];
        let (result, fake) = pair(FakeV1::initialised(Version::V3_1), &secrets, Lasting::Persistent);
        assert!(result.unwrap().key.is_same(&pairing().key));
        assert_eq!(fake.commands(), 3);
    }

    #[test]
    fn a_pairing_with_a_password_that_everybody_knows_is_marked() {
        let default = || PairingSecret::of_password("KeycardDefaultPairing").remove(0);
        let fake = FakeV1::initialised(Version::V3_1).with_secret(&default());
        assert!(pair(fake, &[default()], Lasting::Persistent).0.unwrap().well_known);
    }

    /// Attack 8: pairing slots exhausted.
    #[test]
    fn exhausted_slots_are_an_error_that_names_the_way_out() {
        for version in [Version::V3_1, Version::V3_2] {
            let full = || FakeV1::initialised(version).with_slots(0);
            let error = pair(full(), &[secret()], Lasting::Persistent).0.unwrap_err();
            assert!(matches!(error, CardError::Unpaired(Unpaired::SlotsExhausted)));
            assert!(error.to_string().contains("unpair"), "{error}");
        }
        let full = FakeV1::initialised(Version::V3_2).with_slots(0);
        assert!(pair(full, &[secret()], Lasting::Ephemeral).0.is_ok(), "for this session there is room");
    }

    #[test]
    fn every_harmed_answer_is_an_error() {
        for at in [1, 2] {
            let longer = Harm::Grow(vec![1]);
            for harm in [Harm::Cut(1), Harm::Cut(3), longer, Harm::Silence, Harm::Replace(vec![0x90, 0])] {
                let fake = FakeV1::initialised(Version::V3_1).harmed(at, harm.clone());
                assert!(pair(fake, &[secret()], Lasting::Persistent).0.is_err(), "{at} {harm:?}");
            }
        }
        for at in 0..32 {
            let fake = FakeV1::initialised(Version::V3_1).harmed(1, Harm::Flip(at, 1));
            let (result, fake) = pair(fake, &[secret()], Lasting::Persistent);
            assert!(matches!(result, Err(CardError::Unpaired(Unpaired::WrongSecret))));
            assert_eq!(fake.commands(), 2);
        }
    }

    #[test]
    fn without_a_record_of_it_nothing_is_sent() {
        let mut card = selected(FakeV1::initialised(Version::V3_1));
        let mut receipt = recorded(card.request(Operation::Init));
        let result = card.pair(&[secret()], Lasting::Persistent, &mut receipt, &mut TestDice::seeded(1));
        assert!(matches!(result, Err(CardError::NotRecorded(_))));
        assert_eq!(card.into_transport().commands(), 1);
    }
}
