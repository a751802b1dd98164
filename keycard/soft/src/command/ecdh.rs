//! ECDH (`80 C5 01 00 public key(65) path`), applet 4.0: the X coordinate (32). Needs the PIN.
//!
//! Only keys of m/44'/1237' (Nostr) and m/43'/60'/1581', five components deep or more.

use k256::PublicKey;
use k256::ecdh::diffie_hellman;
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::path::from_master;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xc5;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    if (command.p1, command.p2) != (0x01, 0x00) {
        return Err(StatusWord::WRONG_SOURCE);
    }
    let (theirs, path) = command.data.split_first_chunk::<65>().ok_or(StatusWord::WRONG_DATA)?;
    if path.len() < 4 || theirs.first() != Some(&0x04) {
        return Err(StatusWord::WRONG_DATA);
    }
    let path = from_master(path, applet.unlocked_key()?.is_extended())?;
    let may = path.is_in_eip_1581() || path.components().starts_with(&NOSTR);
    if !may || path.components().len() < 5 {
        return Err(StatusWord::CONDITIONS);
    }
    let node = applet.derive(&path)?;
    let theirs = PublicKey::from_sec1_bytes(theirs).map_err(|_| StatusWord::WRONG_DATA)?;
    let shared = diffie_hellman(node.key().to_nonzero_scalar(), theirs.as_affine());
    Ok(Zeroizing::new(shared.raw_secret_bytes().to_vec()))
}

/// m/44'/1237' (NIP-06).
const NOSTR: [u32; 2] = [0x8000_002c, 0x8000_04d5];
