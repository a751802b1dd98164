//! OPEN SECURE CHANNEL `80 10 00 00 61 salt(32) || client ephemeral(65)` → `card ephemeral(65) || signature(DER)`.

use k256::elliptic_curve::Generate as _;
use proto::ChatKey;
use rand_core::CryptoRng;

use crate::apdu::Command;
use crate::card::{Card, Secured, Selected, Session};
use crate::certificate::Certificate;
use crate::channel::Channel;
use crate::channel::v2::ChannelV2;
use crate::error::{CardError, Failed};
use crate::opening::Opening;
use crate::transport::{CardTransport, exchange};
use crate::trust::Trust;

/// The longest signature: r and s with a needless zero or two.
const MAX_SIGNATURE: usize = 80;

impl<T: CardTransport> Card<Selected, T> {
    /// Opens the secure channel, once the card has proved to be the one of its certificate and `trust` takes that.
    /// Nothing is sent to a card that `trust` does not take.
    ///
    /// The salt is the caller's, fresh each time: the head of a log may be hashed into it.
    ///
    /// # Errors
    /// [`CardError::Untrusted`], [`CardError::Impostor`], [`CardError::Answer`], [`CardError::Status`],
    /// [`CardError::Transport`].
    pub fn open(
        mut self,
        trust: &Trust,
        salt: [u8; 32],
        rng: &mut dyn CryptoRng,
    ) -> Result<Card<Secured, T>, Failed<T>> {
        match handshake(&mut self.transport, &self.info.certificate, trust, salt, rng) {
            Ok(session) => {
                let state = Secured { session: Box::new(session), tries: None };
                Ok(Card { state, info: self.info, transport: self.transport })
            }
            Err(error) => Err(Failed { transport: self.transport, error }),
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
    trust.judge(certificate)?;
    let ours = k256::SecretKey::generate_from_rng(rng);
    let client_ephemeral = ChatKey::from(ours.public_key());
    let command = Command::with_body([0x80, 0x10, 0x00, 0x00], &[&salt, &client_ephemeral.to_bytes()])?;
    let data = exchange(transport, command)?.success("OPEN SECURE CHANNEL")?;
    let (card_ephemeral, signature) = split(&data)?;
    let opening =
        Opening { salt, client_ephemeral, card_ephemeral, signature: signature.to_vec(), certificate: *certificate };
    opening.verify()?;
    let shared = k256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), card_ephemeral.as_point().as_affine());
    Ok(Session { channel: Channel::V2(ChannelV2::derive(&shared, &salt)), opening })
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
        let failed = card.open(&Trust::production(), [7; 32], &mut TestDice::seeded(1)).err().unwrap();
        assert!(matches!(failed.error, CardError::Untrusted(_)));
        assert_eq!(failed.transport.commands(), 1, "only SELECT");
    }

    #[test]
    fn the_evidence_of_the_opening_can_be_checked_again() {
        let card = selected(FakeCard::initialised()).open(&trust(), [7; 32], &mut TestDice::seeded(1)).unwrap();
        let mut opening = card.opening().clone();
        assert_eq!(opening.salt, [7; 32]);
        assert_eq!(opening.certificate, card.info().certificate);
        assert!(opening.verify().is_ok());
        opening.salt = [8; 32];
        assert!(matches!(opening.verify(), Err(CardError::Impostor)));
    }

    #[test]
    fn a_card_without_the_key_of_its_certificate_is_an_impostor() {
        let card = selected(FakeCard::initialised().signing_with(9));
        let failed = card.open(&trust(), [7; 32], &mut TestDice::seeded(1)).err().unwrap();
        assert!(matches!(failed.error, CardError::Impostor));
    }

    #[test]
    fn an_answer_of_another_length_is_refused() {
        for extra in [-200, -80, -1, 1, 20] {
            let card = selected(FakeCard::initialised().resizing_the_opening(extra));
            let failed = card.open(&trust(), [7; 32], &mut TestDice::seeded(1)).err().unwrap();
            assert!(matches!(failed.error, CardError::Answer { .. }), "{extra}: {}", failed.error);
        }
    }
}
