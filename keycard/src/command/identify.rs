//! IDENTIFY CARD `80 14 00 00 20 challenge(32)` → `A0 { 8A 62 certificate, 30 .. signature }`, applets 3.1 and 3.2.
//!
//! Plain, with no channel, before INIT too. What the answer proves is said at [`crate::identification`].

use crate::apdu::{Answer, Command};
use crate::application_info::ApplicationInfo;
use crate::card::{Blank, Card, Selected};
use crate::error::CardError;
use crate::generation::Generation;
use crate::identification::{Identification, Identity};
use crate::status_word::StatusWord;
use crate::tlv::Reader;
use crate::transport::{CardTransport, exchange};
use crate::trust::{Trust, Untrusted};
use crate::version::Feature;
use audit::evidence::Certificate;

const NAME: &str = "IDENTIFY CARD";

impl<T: CardTransport> Card<Blank, T> {
    /// Asks a card of generation v1 who it is, and judges that. A card that was asked before is not asked again.
    ///
    /// # Errors
    /// [`CardError::Untrusted`], [`CardError::Impostor`], [`CardError::Answer`], [`CardError::Status`],
    /// [`CardError::Transport`]; [`CardError::Misuse`] for a card of generation v2, whose certificate is in
    /// [`Card::info`] and whose proof is the opening of the channel.
    pub fn identify(&mut self, trust: &Trust, challenge: [u8; 32]) -> Result<&Identity, CardError> {
        ask_once(&mut self.transport, &self.info, &mut self.state.identity, trust, challenge)
    }
}

impl<T: CardTransport> Card<Selected, T> {
    /// Asks a card of generation v1 who it is, and judges that. A card that was asked before is not asked again, and one
    /// that is too old to answer is sent nothing.
    ///
    /// # Errors
    /// As for a blank card.
    pub fn identify(&mut self, trust: &Trust, challenge: [u8; 32]) -> Result<&Identity, CardError> {
        ask_once(&mut self.transport, &self.info, &mut self.state.identity, trust, challenge)
    }
}

fn ask_once<'a, T: CardTransport>(
    transport: &mut T,
    info: &ApplicationInfo,
    identity: &'a mut Option<Identity>,
    trust: &Trust,
    challenge: [u8; 32],
) -> Result<&'a Identity, CardError> {
    if info.generation() == Generation::V2 {
        return Err(CardError::Misuse { what: "a 4.0 card proves its identity by opening the channel" });
    }
    let found = match identity.take() {
        Some(identity) => identity,
        None if info.version.is_some_and(|version| !version.supports(Feature::Identify)) => Identity::Older,
        None => ask(transport, challenge, info.version.is_none())?,
    };
    match found.certified() {
        Some(identification) => trust.judge(&identification.certificate, Generation::V1)?,
        None if trust.takes_uncertified() => {}
        None => return Err(Untrusted::NoCertificate { card: info.card_id() }.into()),
    }
    Ok(identity.insert(found))
}

/// Sends IDENTIFY CARD. An applet up to 3.0 does not know it, which only one that does not say its version (`unsaid`) may
/// claim.
fn ask<T: CardTransport>(transport: &mut T, challenge: [u8; 32], unsaid: bool) -> Result<Identity, CardError> {
    let answer = exchange(transport, command(challenge)?)?;
    match answer.status {
        StatusWord::PRECONDITION => Ok(Identity::Uncertified),
        StatusWord::UNKNOWN_INSTRUCTION if unsaid => Ok(Identity::Older),
        _ => {
            let identification = parse(answer, challenge)?;
            identification.verify()?;
            Ok(Identity::Certified(Box::new(identification)))
        }
    }
}

pub(crate) fn command(challenge: [u8; 32]) -> Result<Command, CardError> {
    Command::with_body([0x80, 0x14, 0x00, 0x00], &[&challenge])
}

pub(crate) fn parse(answer: Answer, challenge: [u8; 32]) -> Result<Identification, CardError> {
    let data = answer.success(NAME)?;
    let mut inside = Reader::new(&data, "a malformed answer to IDENTIFY CARD").only(0xA0)?;
    let certificate = Certificate::parse(inside.array::<{ Certificate::LEN }>(0x8A)?)?;
    let signature = inside.rest().to_vec();
    Ok(Identification { challenge, signature, certificate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, blank, identity_certificate, selected, trust};
    use crate::fake_v1::{FakeV1, trust_v1};
    use crate::version::Version;

    #[test]
    fn a_card_with_a_certificate_signs_our_challenge() {
        let mut card = selected(FakeV1::initialised(Version::V3_1));
        let proof = card.identify(&trust(), [7; 32]).unwrap().certified().unwrap().clone();
        assert_eq!((proof.challenge, proof.certificate), ([7; 32], identity_certificate()));
        assert!(proof.verify().is_ok());
        let altered = Identification { challenge: [8; 32], ..proof };
        assert!(matches!(altered.verify(), Err(CardError::Impostor)));
        card.identify(&trust(), [9; 32]).unwrap();
        assert_eq!(card.into_transport().commands(), 2, "SELECT, and IDENTIFY CARD once");
    }

    /// KC-01, attack 3: a certificate of another card, replayed.
    #[test]
    fn a_card_that_cannot_sign_with_the_key_of_its_certificate_is_an_impostor() {
        let mut card = selected(FakeV1::initialised(Version::V3_2).signing_with(9));
        assert!(matches!(card.identify(&trust(), [7; 32]), Err(CardError::Impostor)));
    }

    #[test]
    fn a_card_that_nobody_vouches_for_is_taken_only_when_that_is_allowed() {
        for fake in [FakeV1::initialised(Version::V3_1).uncertified(), FakeV1::initialised(Version::V3_0)] {
            let mut card = selected(fake);
            let refused = card.identify(&trust(), [7; 32]);
            assert!(matches!(refused, Err(CardError::Untrusted(Untrusted::NoCertificate { .. }))));
            assert!(card.identify(&trust_v1(), [7; 32]).unwrap().certified().is_none());
        }
        let mut card = selected(FakeV1::initialised(Version::V3_1));
        let refused = card.identify(&Trust::production().with_uncertified_cards(), [7; 32]);
        assert!(
            matches!(refused, Err(CardError::Untrusted(Untrusted::TestAuthority { .. }))),
            "it has one, a test one"
        );
    }

    #[test]
    fn a_card_that_is_too_old_is_sent_nothing_and_a_blank_one_may_say_so_itself() {
        let mut card = selected(FakeV1::initialised(Version::V3_0));
        assert_eq!(card.identify(&trust_v1(), [7; 32]).unwrap(), &Identity::Older);
        assert_eq!(card.into_transport().commands(), 1, "only SELECT");
        let mut card = blank(FakeV1::blank(Version::V2_2));
        assert_eq!(card.identify(&trust_v1(), [7; 32]).unwrap(), &Identity::Older);
        assert_eq!(card.into_transport().commands(), 2);
    }

    #[test]
    fn a_3_1_that_claims_not_to_know_the_command_is_refused() {
        let fake = FakeV1::initialised(Version::V3_1).harmed(1, crate::fake::Harm::Replace(vec![0x6D, 0x00]));
        let mut card = selected(fake);
        assert!(matches!(card.identify(&trust_v1(), [7; 32]), Err(CardError::Status { .. })));
    }

    #[test]
    fn a_4_0_is_not_asked() {
        let mut card = selected(FakeCard::initialised());
        assert!(matches!(card.identify(&trust(), [7; 32]), Err(CardError::Misuse { .. })));
        assert_eq!(card.into_transport().commands(), 1);
    }
}
