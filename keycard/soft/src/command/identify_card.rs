//! IDENTIFY CARD (`80 14 00 00 20 challenge(32)`), 3.1 and 3.2: the factory's certificate, and that its key is here.
//!
//! ```text
//! A0 81 len { 8A 62 certificate(98) | signature(DER) }      over the challenge itself, any s
//! ```
//!
//! Anybody may ask, in any state of the card. The Cash applet answers it too.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::apdu::Answer;
use crate::applet::Applet;
use crate::memory::Memory;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x14;

pub(crate) fn handle(applet: &mut Applet, challenge: &[u8]) -> Answer {
    identify(&applet.memory, challenge, &mut *applet.rng)
}

/// # Errors
/// 6985 without a certificate, 6A80 for a challenge that is none.
pub(crate) fn identify(memory: &Memory, challenge: &[u8], rng: &mut dyn CryptoRng) -> Answer {
    let identity = memory.identity().ok_or(StatusWord::CONDITIONS)?;
    let challenge: &[u8; 32] = challenge.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    let signature = identity.sign(challenge, rng).ok_or(StatusWord::INTERNAL)?;
    let body = [&[0x8a, 0x62], identity.certificate().as_slice(), &signature].concat();
    let length = u8::try_from(body.len()).map_err(|_| StatusWord::INTERNAL)?;
    Ok(Zeroizing::new([&[0xa0, 0x81, length], body.as_slice()].concat()))
}
