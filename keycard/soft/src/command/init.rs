//! INIT (`80 FE 00 00`), on a blank card: through the channel on 4.0, encrypted to the card's channel key before.
//!
//! ```text
//! 4.0      PIN(6) PUK(12) [PIN tries(1) PUK tries(1) [duress PIN(6)]]                        18, 20 or 26 bytes
//! before   41 public key(65) IV(16) AES-256-CBC of
//!          PIN(6) PUK(12) pairing secret(32) [PIN tries(1) PUK tries(1) [duress PIN(6)]]     50, from 3.1 on 52 or 58 bytes
//! ```
//!
//! Without a duress PIN the card takes one of its own: on 4.0 the PIN itself, so that it always shows the duress keys; on 3.1
//! and 3.2 the first six digits of the PUK.

use k256::PublicKey;
use k256::ecdh::diffie_hellman;
use proto::{KeyPath, Pin, Puk, Secret};

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::memory::{Owner, PinKind};
use crate::model::Model;
use crate::pin::OwnerPin;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xfe;

/// The form of 4.0.
pub(crate) fn inner(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let (credentials, rest) = command.data.split_first_chunk::<18>().ok_or(StatusWord::WRONG_DATA)?;
    let owner = owner(credentials, rest, Model::V4_0)?;
    applet.memory.commit(|state| state.owner = Some(owner))?;
    done()
}

/// The form of the cards before. Of the dice it takes 32 bytes for the new channel key.
pub(crate) fn one_shot(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let model = applet.memory.model();
    let [length, rest @ ..] = command.data else {
        return Err(StatusWord::WRONG_DATA);
    };
    let (theirs, sealed) = rest.split_at_checked(usize::from(*length)).ok_or(StatusWord::WRONG_DATA)?;
    let theirs: &[u8; 65] = theirs.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
    let point = PublicKey::from_sec1_bytes(theirs).map_err(|_| StatusWord::WRONG_DATA)?;
    let key = applet.memory.pairings()?.key()?;
    let shared = diffie_hellman(key.to_nonzero_scalar(), point.as_affine());
    let plain = applet.v1.open_once(shared.raw_secret_bytes(), sealed).ok_or(StatusWord::INTERNAL)?;

    let (credentials, rest) = plain.split_first_chunk::<18>().ok_or(StatusWord::WRONG_DATA)?;
    let (secret, rest) = rest.split_first_chunk::<32>().ok_or(StatusWord::WRONG_DATA)?;
    let owner = owner(credentials, rest, model)?;
    let secret = Secret::fill(|room| *room = *secret);
    let rng = &mut *applet.rng;
    applet.memory.commit(|state| {
        state.owner = Some(owner);
        if let Some(pairings) = &mut state.pairings {
            pairings.initialise(secret, rng);
        }
    })?;
    done()
}

/// Reads PIN and PUK, then what may follow them.
fn owner(credentials: &[u8; 18], rest: &[u8], model: Model) -> Result<Owner, StatusWord> {
    let (pin, puk) = credentials.split_first_chunk::<6>().ok_or(StatusWord::WRONG_DATA)?;
    let default_duress = if model == Model::V4_0 { pin } else { puk.first_chunk().ok_or(StatusWord::WRONG_DATA)? };
    let (pin_tries, puk_tries, duress) = match rest {
        [] => (DEFAULT_PIN_TRIES, DEFAULT_PUK_TRIES, default_duress),
        _ if !model.has_duress() => return Err(StatusWord::WRONG_DATA),
        [pin_tries, puk_tries] => (*pin_tries, *puk_tries, default_duress),
        // Its characters are not checked.
        [pin_tries, puk_tries, duress @ ..] => {
            (*pin_tries, *puk_tries, duress.try_into().map_err(|_| StatusWord::WRONG_DATA)?)
        }
        [_] => return Err(StatusWord::WRONG_DATA),
    };
    let pin = Pin::try_from(pin.as_slice()).map_err(|_| StatusWord::WRONG_DATA)?;
    let puk = Puk::try_from(puk).map_err(|_| StatusWord::WRONG_DATA)?;
    if !(2..=10).contains(&pin_tries) || !(3..=12).contains(&puk_tries) {
        return Err(StatusWord::WRONG_DATA);
    }
    if model == Model::V4_0 && usize::from(pin_tries) > Pin::DIGITS {
        // The applet fills a dummy PIN of six bytes with that many: an exception, and the card stays blank.
        return Err(StatusWord::INTERNAL);
    }
    let duress = OwnerPin::new(Secret::fill(|room| *room = *duress), pin_tries);
    Ok(Owner {
        main: OwnerPin::new(Secret::fill(|room| *room = *pin.expose()), pin_tries),
        duress: model.has_duress().then_some(duress),
        puk: OwnerPin::new(Secret::fill(|room| *room = *puk.expose()), puk_tries),
        active: PinKind::Main,
        key: None,
        current: KeyPath::master(),
        pinless: KeyPath::master(),
    })
}

const DEFAULT_PIN_TRIES: u8 = 3;
const DEFAULT_PUK_TRIES: u8 = 5;
