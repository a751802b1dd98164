//! OPEN SECURE CHANNEL (`80 10 00 00`), plain, in any state of the card.
//!
//! ```text
//! command: salt(32) || host's one-time public key(65)
//! answer:  card's one-time public key(65) || signature(DER)
//! signature = ECDSA by the identity key over SHA-256("sc_v2_ccm" || salt || host's key || card's key), any s
//! ```
//!
//! Success replaces an older channel; failure leaves it alone. PIN validation is not touched.

use k256::PublicKey;
use k256::ecdh::diffie_hellman;
use k256::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::channel::{LABEL, Session};
use crate::key::draw;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x10;

/// Of the dice it takes 32 bytes for the one-time key, then one for the signature.
pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let Some((salt, theirs)) = command.data.split_first_chunk::<32>() else {
        return Err(StatusWord::WRONG_DATA);
    };
    let theirs: &[u8; 65] = theirs.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    if (command.p1, command.p2) != (0, 0) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    if theirs.first() != Some(&0x04) {
        return Err(StatusWord::WRONG_DATA);
    }
    let point = PublicKey::from_sec1_bytes(theirs).map_err(|_| StatusWord::WRONG_DATA)?;

    let identity = applet.memory.identity().ok_or(StatusWord::CONDITIONS)?;
    let key = draw(&mut *applet.rng);
    let ours = key.public_key().to_sec1_point(false);
    let transcript: [u8; 32] = Sha256::new()
        .chain_update(LABEL)
        .chain_update(salt)
        .chain_update(theirs)
        .chain_update(ours.as_bytes())
        .finalize()
        .into();
    let signature = identity.sign(&transcript, &mut *applet.rng).ok_or(StatusWord::INTERNAL)?;
    let shared = diffie_hellman(key.to_nonzero_scalar(), point.as_affine());
    applet.session = Some(Session::agree(shared.raw_secret_bytes(), salt));
    Ok(Zeroizing::new([ours.as_bytes(), &signature].concat()))
}
