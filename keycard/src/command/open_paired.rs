//! OPEN SECURE CHANNEL `80 10 slot 00 41 client ephemeral(65)` → `salt(32) || IV(16)`, and MUTUALLY AUTHENTICATE
//! `80 11 00 00 20 random(32)` → `random(32)`, the first command inside: applets 2.x and 3.x.
//!
//! The card's 32 bytes say nothing; that they come under the channel's MAC says that the card has the pairing key.

use k256::elliptic_curve::Generate as _;
use proto::ChatKey;
use rand_core::CryptoRng;

use crate::apdu::Command;
use crate::card::Session;
use crate::channel::Channel;
use crate::channel::cbc::BLOCK;
use crate::channel::v1::ChannelV1;
use crate::error::{CardError, Lost};
use crate::opening::{Opening, PairedOpening};
use crate::pairing::{Pairing, Unpaired};
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};

const OPEN: &str = "OPEN SECURE CHANNEL";
const AUTHENTICATE: &str = "MUTUALLY AUTHENTICATE";

/// Opens a channel with a pairing; `opening` says to which card.
pub(crate) fn handshake<T: CardTransport>(
    transport: &mut T,
    opening: PairedOpening,
    pairing: &Pairing,
    rng: &mut dyn CryptoRng,
) -> Result<Session, CardError> {
    let not_taken = Unpaired::NotTaken { slot: pairing.slot };
    let ours = k256::SecretKey::generate_from_rng(rng);
    let client = ChatKey::from(ours.public_key()).to_bytes();
    let answer = exchange(transport, Command::with_body([0x80, 0x10, pairing.slot, 0x00], &[&client])?)?;
    if answer.status == StatusWord::WRONG_PARAMETERS {
        return Err(not_taken.into());
    }
    let data = answer.success(OPEN)?;
    let (salt, iv) = split(&data)?;
    let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), opening.channel_key.as_point().as_affine());
    let channel = ChannelV1::derive(shared.raw_secret_bytes(), pairing.key.expose(), salt, *iv);
    let mut session =
        Session { channel: Channel::V1(Box::new(channel)), opening: Opening::V1(Box::new(opening)), spoken: false };
    let mut challenge = [0; 32];
    rng.fill_bytes(&mut challenge);
    let command = Command::with_body([0x80, 0x11, 0x00, 0x00], &[&challenge])?;
    let answer = session.call(transport, &command).map_err(|error| match error {
        // Not able to read our MAC, or not able to write one: it has another key in that slot.
        CardError::ChannelLost(Lost::Outside { status: StatusWord::CHANNEL_BROKEN } | Lost::Unverifiable) => {
            not_taken.into()
        }
        other => other,
    })?;
    if answer.success(AUTHENTICATE)?.len() == challenge.len() {
        Ok(session)
    } else {
        Err(CardError::Answer { what: "a malformed answer to MUTUALLY AUTHENTICATE" })
    }
}

fn split(data: &[u8]) -> Result<(&[u8; 32], &[u8; BLOCK]), CardError> {
    const MALFORMED: CardError = CardError::Answer { what: "a malformed answer to OPEN SECURE CHANNEL" };
    let (salt, iv) = data.split_first_chunk().ok_or(MALFORMED)?;
    Ok((salt, iv.try_into().map_err(|_| MALFORMED)?))
}

#[cfg(test)]
mod tests {
    use proto::{KeyUid, Secret, TestDice};

    use super::*;
    use crate::access::Access;
    use crate::fake::{Harm, pin, selected, trust};
    use crate::fake_v1::{FakeV1, SLOT, pairing, secured, trust_v1};
    use crate::known::{Changed, Known};
    use crate::version::Version;
    use crate::{Generation, VerifyError};

    fn open(fake: FakeV1, pairing: &Pairing) -> Result<FakeV1, CardError> {
        let trust = trust_v1();
        let access = Access::new(&trust, [7; 32]).paired(pairing);
        Ok(selected(fake).open(&access, &mut TestDice::seeded(1))?.into_transport())
    }

    #[test]
    fn the_evidence_names_the_slot_and_what_the_card_signed() {
        let card = secured(FakeV1::initialised(Version::V3_1));
        let Opening::V1(opening) = card.opening() else { panic!("with a pairing") };
        assert_eq!((opening.slot, opening.well_known), (SLOT, false));
        assert_eq!(opening.identity.certified().unwrap().challenge, [7; 32], "the caller's salt");
        assert!(card.opening().verify().is_ok());
        let older = secured(FakeV1::initialised(Version::V2_2));
        assert!(older.opening().certificate().is_none());
    }

    #[test]
    fn without_a_pairing_nothing_is_opened() {
        let failed = selected(FakeV1::initialised(Version::V3_1))
            .open(&Access::new(&trust_v1(), [7; 32]), &mut TestDice::seeded(1))
            .err()
            .unwrap();
        assert!(matches!(failed.error, CardError::Unpaired(Unpaired::NoPairing)));
        assert_eq!(failed.transport.commands(), 1);
    }

    #[test]
    fn a_card_that_is_not_trusted_is_sent_no_opening() {
        let (pairing, trust) = (pairing(), trust());
        let access = Access::new(&trust, [7; 32]).paired(&pairing);
        let fake = FakeV1::initialised(Version::V3_1).uncertified();
        let failed = selected(fake).open(&access, &mut TestDice::seeded(1)).err().unwrap();
        assert!(matches!(failed.error, CardError::Untrusted(_)));
        assert_eq!(failed.transport.commands(), 2, "SELECT and IDENTIFY CARD");
    }

    /// A pairing that was unpaired, or is of a card that was reset since.
    #[test]
    fn a_pairing_that_the_card_does_not_know_is_named() {
        let version = Version::V3_1;
        let elsewhere = Pairing { slot: 3, ..pairing() };
        let error = open(FakeV1::initialised(version), &elsewhere).err().unwrap();
        assert!(matches!(error, CardError::Unpaired(Unpaired::NotTaken { slot: 3 })));
        let other = Pairing { key: Secret::fill(|bytes| bytes.fill(1)), ..pairing() };
        let error = open(FakeV1::initialised(version), &other).err().unwrap();
        assert!(matches!(error, CardError::Unpaired(Unpaired::NotTaken { slot: SLOT })));
        assert!(error.to_string().contains("pair it again"), "{error}");
    }

    /// Attack 3: another card that shows the name of ours.
    #[test]
    fn a_card_without_the_pairing_key_cannot_answer_inside() {
        let fake = FakeV1::initialised(Version::V3_1).with_channel_key(7);
        let real = pairing();
        // Its MAC is of keys that we do not have, as ours is of keys that it does not have.
        assert!(open(fake.with_secret(&Secret::fill(|bytes| bytes.fill(1)).into()), &real).is_err());
    }

    #[test]
    fn every_harmed_answer_of_the_opening_is_an_error() {
        // SELECT, IDENTIFY CARD, OPEN SECURE CHANNEL, MUTUALLY AUTHENTICATE.
        for at in 1..4 {
            for harm in [Harm::Cut(1), Harm::Cut(3), Harm::Grow(vec![1]), Harm::Silence, Harm::Replace(vec![0x90, 0])] {
                assert!(open(FakeV1::initialised(Version::V3_1).harmed(at, harm.clone()), &pairing()).is_err());
            }
        }
        // What no MAC covers: the first IV, bytes 32 to 47 of OPEN's answer. See channel/v1.rs for its effect.
        for byte in (0..32).chain(48..50) {
            let harmed = FakeV1::initialised(Version::V3_1).harmed(2, Harm::Flip(byte, 1));
            assert!(open(harmed, &pairing()).is_err(), "byte {byte}");
        }
        for byte in 32..48 {
            let harmed = FakeV1::initialised(Version::V3_1).harmed(2, Harm::Flip(byte, 1));
            assert!(open(harmed, &pairing()).is_ok(), "byte {byte}");
        }
    }

    #[test]
    fn a_card_of_v1_is_asked_for_its_tries_before_a_pin_is_sent() {
        let card = secured(FakeV1::initialised(Version::V3_1).answering("a3090201010201050101ff9000"));
        let Err(VerifyError::LastTry { card }) = card.verify_pin(&pin(), false) else { panic!("last try") };
        assert_eq!(card.into_transport().inner_commands(), [[0x80, 0xF2, 0, 0]]);
    }

    #[test]
    fn a_card_that_lost_the_channel_gives_only_the_transport_back() {
        let status = "a3090201030201050101ff9000";
        let fake = FakeV1::initialised(Version::V3_1).answering(status).answering_outside("6982");
        let Err(VerifyError::Lost { error, .. }) = secured(fake).verify_pin(&pin(), false) else { panic!("lost") };
        assert!(matches!(error, CardError::ChannelLost(Lost::Outside { .. })));
    }

    #[test]
    fn an_early_error_is_the_cards_answer_and_not_the_end() {
        let fake = FakeV1::initialised(Version::V3_1).answering_early("6d00").answering("a3090201030201050101ff9000");
        let mut card = secured(fake);
        assert!(matches!(card.status(), Err(CardError::Status { .. })));
        assert_eq!(card.status().unwrap().pin_tries, 3);
    }

    fn known() -> Known {
        let card = selected(FakeV1::initialised(Version::V3_1).holding(KeyUid::from([7; 32])));
        Known {
            id: card.id(),
            generation: Generation::V1,
            identity: Some(crate::fake::identity_key()),
            key_uid: Some(KeyUid::from([7; 32])),
            channel_key: card.info().channel_key().copied(),
        }
    }

    fn met(fake: FakeV1, known: &Known) -> Result<FakeV1, CardError> {
        let (trust, pairing) = (trust_v1(), pairing());
        let access = Access::new(&trust, [7; 32]).paired(&pairing).to_known(known);
        let card = selected(fake.holding(KeyUid::from([7; 32]))).open(&access, &mut TestDice::seeded(1))?;
        Ok(card.into_transport())
    }

    #[test]
    fn a_card_that_is_known_is_the_same_in_all_that_was_pinned() {
        assert!(met(FakeV1::initialised(Version::V3_1), &known()).is_ok());
        let changed = |fake| met(fake, &known()).err().unwrap();
        let error = changed(FakeV1::initialised(Version::V3_1).with_channel_key(7));
        assert!(matches!(error, CardError::Changed(Changed::Card { .. })), "a fake names its instance after its key");
        let error = changed(FakeV1::initialised(Version::V3_1).uncertified());
        assert!(matches!(error, CardError::Changed(Changed::Identity { found: None, .. })));
        let downgraded = Known { generation: Generation::V2, ..known() };
        let error = met(FakeV1::initialised(Version::V3_1), &downgraded).err().unwrap();
        assert!(matches!(error, CardError::Changed(Changed::Generation { .. })));
    }
}
