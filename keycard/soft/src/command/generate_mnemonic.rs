//! GENERATE MNEMONIC (`80 D2 P1 00`): BIP-39 words as indexes of two bytes, P1 (4 to 8) checksum bits. Nothing is kept. No PIN.
//!
//! ```text
//! entropy(4 P1) || the first P1 bits of SHA-256(entropy), read in groups of 11 bits
//! ```

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xd2;

/// Of the dice it takes 4 P1 bytes.
pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if !(4..=8).contains(&command.p1) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let checksum_bits = usize::from(command.p1);
    let mut entropy = Zeroizing::new(vec![0; 4 * checksum_bits + 1]);
    let (drawn, room) = entropy.split_at_mut(4 * checksum_bits);
    applet.rng.fill_bytes(drawn);
    room.copy_from_slice(Sha256::digest(drawn).split_at(1).0);

    // 33 P1 bits: always a multiple of 11.
    let mut words = Zeroizing::new(Vec::with_capacity(6 * checksum_bits));
    let (mut window, mut bits) = (0u32, 0);
    for byte in entropy.iter() {
        window = window << 8 | u32::from(*byte);
        bits += 8;
        if bits >= 11 {
            bits -= 11;
            let [.., high, low] = (window >> bits & 0x7ff).to_be_bytes();
            words.extend_from_slice(&[high, low]);
        }
    }
    Ok(words)
}
