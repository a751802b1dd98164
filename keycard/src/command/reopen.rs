//! The card's signature once more, in a session that goes on: over a fresh salt of ours, so that it can speak of what has
//! happened since the channel was opened.
//!
//! ```text
//! v2   OPEN SECURE CHANNEL (open.rs): another channel takes the place of the open one, and the validated PIN stays
//! v1   IDENTIFY CARD (identify.rs) inside the channel, which goes on
//! ```
//! The invariant: the card that signs is the one whose certificate opened the session. After a failure there is no channel.

use rand_core::CryptoRng;

use crate::card::{Card, Unlocked};
use crate::command::{identify, open};
use crate::error::CardError;
use crate::identification::Identification;
use crate::opening::{Opening, SignedOpening};
use crate::transport::CardTransport;
use audit::evidence::Certificate;

/// What a card signed in a session that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedAgain {
    /// A new opening of the channel of generation v2.
    Opening(Box<SignedOpening>),
    /// A challenge inside the channel of generation v1.
    Challenge(Box<Identification>),
}

impl<T: CardTransport> Card<Unlocked, T> {
    /// Returns whether [`Self::reopen`] gets a signature: a card without a certificate has none to give.
    #[must_use]
    pub fn can_sign_again(&self) -> bool {
        self.state.session.opening.certificate().is_some()
    }

    /// Has the card sign `salt`, as when the session began. The PIN stays validated.
    ///
    /// # Errors
    /// [`CardError::Misuse`] for a card without a certificate: nothing is sent, and the session goes on.
    /// [`CardError::Impostor`], [`CardError::Answer`], [`CardError::Status`], [`CardError::ChannelLost`],
    /// [`CardError::Transport`]: the channel is closed after each.
    pub fn reopen(&mut self, salt: [u8; 32], rng: &mut dyn CryptoRng) -> Result<SignedAgain, CardError> {
        let opening = &self.state.session.opening;
        let is_v2 = matches!(opening, Opening::V2(_));
        let Some(certificate) = opening.certificate().copied() else {
            return Err(CardError::Misuse { what: "a card without a certificate signs nothing" });
        };
        let signed = if is_v2 {
            self.open_again(&certificate, salt, rng).map(|opening| SignedAgain::Opening(Box::new(opening)))
        } else {
            self.identify_again(&certificate, salt).map(|proof| SignedAgain::Challenge(Box::new(proof)))
        };
        signed.inspect_err(|_| self.state.session.channel.close())
    }

    fn open_again(
        &mut self,
        certificate: &Certificate,
        salt: [u8; 32],
        rng: &mut dyn CryptoRng,
    ) -> Result<SignedOpening, CardError> {
        // The signature is checked with the key of the certificate that was judged when the session began.
        let (session, opening) = open::agree(&mut self.transport, certificate, salt, rng)?;
        *self.state.session = session;
        Ok(opening)
    }

    fn identify_again(&mut self, certificate: &Certificate, challenge: [u8; 32]) -> Result<Identification, CardError> {
        let answer = self.call(&identify::command(challenge)?)?;
        let proof = identify::parse(answer, challenge)?;
        if proof.certificate != *certificate {
            return Err(CardError::Impostor);
        }
        proof.verify()?;
        Ok(proof)
    }
}

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;
    use crate::error::Lost;
    use crate::fake::{FakeCard, Harm};
    use crate::fake_v1::FakeV1;
    use crate::version::Version;
    use crate::{fake, fake_v1};

    #[test]
    fn a_4_0_signs_a_fresh_salt_and_the_session_goes_on_in_another_channel() {
        let mut card = fake::unlocked(FakeCard::initialised().answering("a3090201030201050101ff9000"));
        let first = card.opening().clone();
        let SignedAgain::Opening(again) = card.reopen([9; 32], &mut TestDice::seeded(7)).unwrap() else {
            panic!("an opening");
        };
        assert_eq!((again.salt, again.verify().is_ok()), ([9; 32], true));
        assert_eq!(card.opening(), &Opening::V2(again.clone()));
        let Opening::V2(first) = first else { panic!("signed") };
        assert_eq!(first.certificate, again.certificate);
        assert_ne!(first.client_ephemeral, again.client_ephemeral, "no key is used twice");
        assert_eq!(card.status().unwrap().pin_tries, 3);
    }

    #[test]
    fn a_3_1_signs_a_fresh_challenge_inside_the_channel_that_is_open() {
        let proof = {
            let card = fake_v1::unlocked(FakeV1::initialised(Version::V3_1));
            let Opening::V1(opening) = card.opening().clone() else { panic!("paired") };
            opening.identity.certified().unwrap().clone()
        };
        // The same key signs the same challenge to the same bytes.
        let body = [&[0x8a, 0x62], proof.certificate.as_bytes().as_slice(), &proof.signature].concat();
        let inside = format!("a081{:02x}{}9000", body.len(), hex::encode(&body));
        let fake = FakeV1::initialised(Version::V3_1).answering(&inside).answering("a3090201030201050101ff9000");
        let mut card = fake_v1::unlocked(fake);
        let again = card.reopen(proof.challenge, &mut TestDice::seeded(7)).unwrap();
        assert_eq!(again, SignedAgain::Challenge(Box::new(proof)));
        assert_eq!(card.status().unwrap().pin_tries, 3, "the same channel");
        let sent = card.into_transport();
        assert_eq!(sent.inner_commands().iter().filter(|command| command[1] == 0x14).count(), 1);
    }

    #[test]
    fn whoever_cannot_sign_as_the_card_did_loses_the_channel() {
        // SELECT, OPEN, VERIFY PIN and GET STATUS come before.
        let before = fake::unlocked(FakeCard::initialised()).into_transport().commands();
        for harm in
            [Harm::Cut(3), Harm::Flip(70, 1), Harm::Flip(100, 1), Harm::Silence, Harm::Replace(vec![0x69, 0x85])]
        {
            let mut card = fake::unlocked(FakeCard::initialised().harmed(before, harm.clone()));
            assert!(card.reopen([9; 32], &mut TestDice::seeded(7)).is_err(), "{harm:?}");
            assert!(matches!(card.status(), Err(CardError::ChannelLost(Lost::Closed))), "{harm:?}");
        }
    }

    #[test]
    fn another_answer_inside_is_an_impostor_and_ends_the_session() {
        let mut card = fake_v1::unlocked(FakeV1::initialised(Version::V3_2).answering("6985"));
        assert!(card.reopen([9; 32], &mut TestDice::seeded(7)).is_err());
        assert!(matches!(card.status(), Err(CardError::ChannelLost(Lost::Closed))));
    }

    #[test]
    fn a_card_without_a_certificate_is_not_asked_and_goes_on() {
        for fake in [FakeV1::initialised(Version::V3_1).uncertified(), FakeV1::initialised(Version::V2_2)] {
            let mut card = fake_v1::unlocked(fake.answering("a3090201030201050101ff9000"));
            assert!(!card.can_sign_again());
            assert!(matches!(card.reopen([9; 32], &mut TestDice::seeded(7)), Err(CardError::Misuse { .. })));
            assert!(card.status().is_ok());
        }
    }
}
