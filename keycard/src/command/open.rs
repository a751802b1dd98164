//! OPEN SECURE CHANNEL `80 10 00 00 61 salt(32) || client ephemeral(65)` → `card ephemeral(65) || signature(DER)` of applet
//! 4.0, and the choice between this and the pairing's way (open_paired.rs).

use k256::elliptic_curve::Generate as _;
use proto::ChatKey;
use rand_core::CryptoRng;

use crate::access::Access;
use crate::apdu::Command;
use crate::application_info::Kind;
use crate::card::{Card, Secured, Selected, Session};
use crate::channel::Channel;
use crate::channel::v2::ChannelV2;
use crate::command::open_paired;
use crate::error::{CardError, Failed};
use crate::generation::Generation;
use crate::opening::{Opening, PairedOpening, SignedOpening};
use crate::pairing::Unpaired;
use crate::transport::{CardTransport, exchange};
use crate::trust::Trust;
use audit::evidence::Certificate;

/// The longest signature: r and s with a needless zero or two.
const MAX_SIGNATURE: usize = 80;

impl<T: CardTransport> Card<Selected, T> {
    /// Opens the secure channel to a card that `access` takes: trusted, and the one that is known if one is. On generation
    /// v1 the card is asked who it is (IDENTIFY CARD, where it can), unless it was asked before, and the pairing opens
    /// the channel; on v2 the card proves in the opening itself to be the one of its certificate.
    ///
    /// No OPEN SECURE CHANNEL is sent to a card that is not taken.
    ///
    /// # Errors
    /// [`CardError::Changed`], [`CardError::Untrusted`], [`CardError::Unpaired`], [`CardError::Impostor`],
    /// [`CardError::Answer`], [`CardError::Status`], [`CardError::Transport`].
    pub fn open(mut self, access: &Access<'_>, rng: &mut dyn CryptoRng) -> Result<Card<Secured, T>, Failed<T>> {
        match self.session(access, rng) {
            Ok(session) => {
                let exposed = matches!(&session.opening, Opening::V1(opening) if opening.well_known);
                let state = Secured {
                    session: Box::new(session),
                    tries: self.info.pin_tries,
                    exposed: exposed && !access.first_pairing,
                };
                Ok(Card { state, info: self.info, transport: self.transport })
            }
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }

    fn session(&mut self, access: &Access<'_>, rng: &mut dyn CryptoRng) -> Result<Session, CardError> {
        if let Some(known) = access.known {
            known.check(&self.info)?;
        }
        match self.info.kind {
            Kind::V2 { certificate, .. } => {
                handshake(&mut self.transport, &certificate, access.trust, access.salt, rng)
            }
            Kind::V1 { instance, channel_key, .. } => {
                let pairing = access.pairing.ok_or(Unpaired::NoPairing)?;
                let identity = self.identify(access.trust, access.salt)?.clone();
                if let Some(known) = access.known {
                    known.check_identity(&identity)?;
                }
                let (slot, well_known) = (pairing.slot, pairing.well_known);
                let opening = PairedOpening { instance, slot, well_known, channel_key, identity };
                open_paired::handshake(&mut self.transport, opening, pairing, rng)
            }
            Kind::BlankV1 { .. } => Err(CardError::Misuse { what: "a blank card has no channel to open" }),
        }
    }
}

/// Opens a channel to the card of this certificate, which SELECT has shown.
pub(crate) fn handshake<T: CardTransport>(
    transport: &mut T,
    certificate: &Certificate,
    trust: &Trust,
    salt: [u8; 32],
    rng: &mut dyn CryptoRng,
) -> Result<Session, CardError> {
    trust.judge(certificate, Generation::V2)?;
    agree(transport, certificate, salt, rng).map(|(session, _)| session)
}

/// Opens a channel to the card of this certificate, which somebody vouches for, and returns it with its evidence.
pub(crate) fn agree<T: CardTransport>(
    transport: &mut T,
    certificate: &Certificate,
    salt: [u8; 32],
    rng: &mut dyn CryptoRng,
) -> Result<(Session, SignedOpening), CardError> {
    let ours = k256::SecretKey::generate_from_rng(rng);
    let client_ephemeral = ChatKey::from(ours.public_key());
    let command = Command::with_body([0x80, 0x10, 0x00, 0x00], &[&salt, &client_ephemeral.to_bytes()])?;
    let data = exchange(transport, command)?.success("OPEN SECURE CHANNEL")?;
    let (card_ephemeral, signature) = split(&data)?;
    let opening = SignedOpening {
        salt,
        client_ephemeral,
        card_ephemeral,
        signature: signature.to_vec(),
        certificate: *certificate,
    };
    opening.verify()?;
    let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), card_ephemeral.as_point().as_affine());
    let channel = Channel::V2(Box::new(ChannelV2::derive(&shared, &salt)));
    let session = Session { spoken: false, channel, opening: Opening::V2(Box::new(opening.clone())) };
    Ok((session, opening))
}

fn split(data: &[u8]) -> Result<(ChatKey, &[u8]), CardError> {
    const MALFORMED: CardError = CardError::Answer { what: "a malformed answer to OPEN SECURE CHANNEL" };
    let (point, signature) = data.split_at_checked(65).ok_or(MALFORMED)?;
    if signature.len() > MAX_SIGNATURE {
        return Err(MALFORMED);
    }
    Ok((ChatKey::try_from(point).map_err(|_| MALFORMED)?, signature))
}

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;
    use crate::error::CardError;
    use crate::fake::{FakeCard, selected, trust};

    #[test]
    fn a_card_that_is_not_trusted_is_sent_nothing() {
        let card = selected(FakeCard::initialised());
        let failed = card.open(&Access::new(&Trust::production(), [7; 32]), &mut TestDice::seeded(1)).err().unwrap();
        assert!(matches!(failed.error, CardError::Untrusted(_)));
        assert_eq!(failed.transport.commands(), 1, "only SELECT");
    }

    #[test]
    fn the_evidence_of_the_opening_can_be_checked_again() {
        let card =
            selected(FakeCard::initialised()).open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1)).unwrap();
        let Opening::V2(mut opening) = card.opening().clone() else { panic!("signed") };
        assert_eq!(opening.salt, [7; 32]);
        assert_eq!(Some(&opening.certificate), card.info().certificate());
        assert!(opening.verify().is_ok());
        opening.salt = [8; 32];
        assert!(matches!(opening.verify(), Err(CardError::Impostor)));
    }

    #[test]
    fn a_card_without_the_key_of_its_certificate_is_an_impostor() {
        let card = selected(FakeCard::initialised().signing_with(9));
        let failed = card.open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1)).err().unwrap();
        assert!(matches!(failed.error, CardError::Impostor));
    }

    #[test]
    fn an_answer_of_another_length_is_refused() {
        for extra in [-200, -80, -1, 1, 20] {
            let card = selected(FakeCard::initialised().resizing_the_opening(extra));
            let failed = card.open(&Access::new(&trust(), [7; 32]), &mut TestDice::seeded(1)).err().unwrap();
            assert!(matches!(failed.error, CardError::Answer { .. }), "{extra}: {}", failed.error);
        }
    }
}
