//! IDENTIFY CARD `80 14 00 00 20 challenge(32)` → `A0 { 8A 62 certificate, 30 .. signature }`, applets 3.1 and 3.2.
//!
//! Plain, with no channel, before INIT too. What the answer proves is said at [`crate::identification`].

use crate::apdu::{Answer, Command};
use crate::application_info::ApplicationInfo;
use crate::card::{Blank, Card, Selected};
use crate::certificate::Certificate;
use crate::error::CardError;
use crate::generation::Generation;
use crate::identification::{Identification, Identity};
use crate::status_word::StatusWord;
use crate::tlv::Reader;
use crate::transport::{CardTransport, exchange};
use crate::trust::{Trust, Untrusted};
use crate::version::Feature;

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
    let answer = exchange(transport, Command::with_body([0x80, 0x14, 0x00, 0x00], &[&challenge])?)?;
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

fn parse(answer: Answer, challenge: [u8; 32]) -> Result<Identification, CardError> {
    let data = answer.success(NAME)?;
    let mut inside = Reader::new(&data, "a malformed answer to IDENTIFY CARD").only(0xA0)?;
    let certificate = Certificate::parse(inside.array::<{ Certificate::LEN }>(0x8A)?)?;
    let signature = inside.rest().to_vec();
    Ok(Identification { challenge, signature, certificate })
}
