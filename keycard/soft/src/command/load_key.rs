//! LOAD KEY (`80 D0 03 00 seed`): a BIP-39 seed of 16 to 64 bytes becomes the master key, whatever was there.
//!
//! The answer is the key UID (32). Needs the PIN. Other forms of key (P1 01, 02, 04) answer 6A86.

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::key::MasterKey;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xd0;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    applet.unlocked()?;
    if command.p1 != SEED {
        return Err(StatusWord::WRONG_P1_P2);
    }
    if !(16..=64).contains(&command.data.len()) {
        return Err(StatusWord::WRONG_DATA);
    }
    load_seed(applet, command.data)
}

/// Makes `seed` the wallet and returns its key UID. GENERATE KEY comes this way too.
pub(super) fn load_seed(applet: &mut Applet, seed: &[u8]) -> Answer {
    let key = MasterKey::from_seed(seed).ok_or(StatusWord::INTERNAL)?;
    let uid = key.uid().ok_or(StatusWord::INTERNAL)?;
    applet.memory.update(|owner| owner.key = Some(key))?;
    Ok(Zeroizing::new(uid.as_bytes().to_vec()))
}

const SEED: u8 = 0x03;
