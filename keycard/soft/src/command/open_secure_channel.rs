//! OPEN SECURE CHANNEL (`80 10 P1 00`), plain, in any state of the card from 4.0 on; before, of one that is initialised.
//!
//! ```text
//! 4.0: command  salt(32) || host's one-time public key(65)
//!      answer   card's one-time public key(65) || signature(DER)
//!      signature = ECDSA by the identity key over SHA-256("sc_v2_ccm" || salt || host's key || card's key), any s
//! before: P1 = pairing slot
//!      command  host's one-time public key(65)
//!      answer   salt(32) || IV(16)
//! ```
//!
//! On 4.0 success replaces an older channel, and failure leaves it alone. Before, whatever is answered closes it. PIN
//! validation is not touched.

use k256::PublicKey;
use k256::ecdh::diffie_hellman;
use k256::elliptic_curve::sec1::ToSec1Point;
use proto::Secret;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::applet::Applet;
use crate::channel::v1::Channel;
use crate::channel::v2::{LABEL, Session};
use crate::key::draw;
use crate::pairing::{Pairings, Slot};
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0x10;

/// Of the dice it takes 32 bytes for the salt and 16 for the IV.
pub(crate) fn v1(applet: &mut Applet, command: &Command<'_>) -> Answer {
    // The keys stay where they are: MUTUALLY AUTHENTICATE can take a channel up again that a failing OPEN closed.
    applet.v1.authenticate(false);
    if applet.memory.pairings()?.reserved().is_some() {
        applet.memory.update_pairings(|pairings| pairings.reserve(None))?;
    }
    let pairings = applet.memory.pairings()?;
    let slot = Slot::of(command.p1, applet.memory.model())?;
    let ephemeral = applet.v1.ephemeral.take();
    let result = {
        let pairing = match slot {
            Slot::Persistent(index) => pairings.pairing(index),
            Slot::Ephemeral => ephemeral.as_ref(),
        };
        agree(pairing, command.data, pairings, &mut applet.v1, &mut *applet.rng)
    };
    applet.v1.ephemeral = ephemeral;
    result
}

fn agree(
    pairing: Option<&Secret<32>>,
    theirs: &[u8],
    pairings: &Pairings,
    channel: &mut Channel,
    rng: &mut dyn CryptoRng,
) -> Answer {
    let pairing = pairing.ok_or(StatusWord::WRONG_P1_P2)?;
    let theirs: &[u8; 65] = theirs.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    let point = PublicKey::from_sec1_bytes(theirs).map_err(|_| StatusWord::WRONG_DATA)?;
    let shared = diffie_hellman(pairings.key()?.to_nonzero_scalar(), point.as_affine());
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let mut iv = [0; 16];
    rng.fill_bytes(&mut iv);
    channel.agree(shared.raw_secret_bytes(), pairing, &salt, &iv);
    Ok(Zeroizing::new([salt.as_slice(), &iv].concat()))
}

/// Of the dice it takes 32 bytes for the one-time key, then one for the signature.
pub(crate) fn v2(applet: &mut Applet, command: &Command<'_>) -> Answer {
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
    applet.v2 = Some(Session::agree(shared.raw_secret_bytes(), salt));
    Ok(Zeroizing::new([ours.as_bytes(), &signature].concat()))
}
