//! INIT (`80 FE 00 00`), through the channel, on a blank card.
//!
//! ```text
//! PIN(6) PUK(12) [PIN tries(1) PUK tries(1) [duress PIN(6)]]      18, 20 or 26 bytes
//! ```
//!
//! Without a duress PIN the PIN itself becomes one, and the card then always shows the duress keys: so does the applet.

use proto::{Pin, Puk, Secret};

use crate::apdu::{Answer, Command, done};
use crate::applet::Applet;
use crate::memory::{Owner, PinKind};
use crate::pin::OwnerPin;
use crate::status::StatusWord;

pub(crate) const INS: u8 = 0xfe;

pub(crate) fn handle(applet: &mut Applet, command: &Command<'_>) -> Answer {
    let (pin, rest) = command.data.split_first_chunk::<6>().ok_or(StatusWord::WRONG_DATA)?;
    let (puk, rest) = rest.split_first_chunk::<12>().ok_or(StatusWord::WRONG_DATA)?;
    let (pin_tries, puk_tries, duress) = match rest {
        [] => (DEFAULT_PIN_TRIES, DEFAULT_PUK_TRIES, pin.as_slice()),
        [pin_tries, puk_tries] => (*pin_tries, *puk_tries, pin.as_slice()),
        // Its characters are not checked.
        [pin_tries, puk_tries, duress @ ..] => (*pin_tries, *puk_tries, duress),
        [_] => return Err(StatusWord::WRONG_DATA),
    };
    let duress = Secret::copy_from(duress).ok_or(StatusWord::WRONG_DATA)?;
    let pin = Pin::try_from(pin.as_slice()).map_err(|_| StatusWord::WRONG_DATA)?;
    let puk = Puk::try_from(puk.as_slice()).map_err(|_| StatusWord::WRONG_DATA)?;
    if !(2..=10).contains(&pin_tries) || !(3..=12).contains(&puk_tries) {
        return Err(StatusWord::WRONG_DATA);
    }
    if usize::from(pin_tries) > Pin::DIGITS {
        // The applet fills a dummy PIN of six bytes with that many: an exception, and the card stays blank.
        return Err(StatusWord::INTERNAL);
    }
    applet.memory.commit(Some(Owner {
        main: OwnerPin::new(Secret::fill(|room| *room = *pin.expose()), pin_tries),
        duress: OwnerPin::new(duress, pin_tries),
        puk: OwnerPin::new(Secret::fill(|room| *room = *puk.expose()), puk_tries),
        active: PinKind::Main,
        key: None,
    }))?;
    done()
}

const DEFAULT_PIN_TRIES: u8 = 3;
const DEFAULT_PUK_TRIES: u8 = 5;
