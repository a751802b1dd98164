//! GENERATE KEY (`80 D4 00 00`): a master key from a random seed of 64 bytes that nobody ever sees.
//!
//! The answer is the key UID (32). Needs the PIN.

use zeroize::Zeroizing;

use super::load_key::keep;
use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::key::MasterKey;

pub(crate) const INS: u8 = 0xd4;

pub(crate) fn handle(applet: &mut Applet, _: &Command<'_>) -> Answer {
    applet.unlocked()?;
    let mut seed = Zeroizing::new([0u8; 64]);
    applet.rng.fill_bytes(seed.as_mut_slice());
    keep(applet, MasterKey::from_seed(seed.as_slice()))
}
