//! SELECT `00 A4 04 00 09 A00000080400010101`: the Keycard instance, by its name.

use crate::apdu::Command;
use crate::application_info::ApplicationInfo;
use crate::card::{Blank, Card, Selected, Selection};
use crate::error::{CardError, Failed, Unsuitable};
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};

/// The application identifier of the first Keycard instance.
const AID: [u8; 9] = [0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];

/// Selects the Keycard applet of the card behind `transport`, which ends any session that the card was in.
///
/// # Errors
/// [`CardError::Unsuitable`] for a card without the applet, without an identity (4.0), or without a secure channel;
/// [`CardError::Transport`], [`CardError::Answer`], [`CardError::Status`].
pub fn select<T: CardTransport>(mut transport: T) -> Result<Selection<T>, Failed<T>> {
    let info = match read(&mut transport) {
        Ok(info) => Box::new(info),
        Err(error) => return Err(Failed { transport, error }),
    };
    Ok(if info.is_initialised() {
        Selection::Initialised(Card { state: Selected { identity: None }, info, transport })
    } else {
        Selection::Blank(Card { state: Blank { identity: None }, info, transport })
    })
}

/// Sends SELECT and reads the answer.
pub(crate) fn read<T: CardTransport>(transport: &mut T) -> Result<ApplicationInfo, CardError> {
    let answer = exchange(transport, Command::with_body([0x00, 0xA4, 0x04, 0x00], &[&AID])?)?;
    match answer.status {
        StatusWord::NOT_FOUND => Err(Unsuitable::NoApplet.into()),
        StatusWord::PRECONDITION => Err(Unsuitable::NotPersonalised.into()),
        _ => ApplicationInfo::parse(&answer.success("SELECT")?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Script, select_data};

    const SELECT: &str = "00a4040009a00000080400010101";

    fn selected(answer: &str) -> Result<Selection<Script>, Failed<Script>> {
        select(Script::new([(SELECT, answer)]))
    }

    #[test]
    fn a_card_without_the_applet_or_the_identity_is_named_as_such() {
        let error = |answer| selected(answer).err().unwrap().error;
        assert!(matches!(error("6a82"), CardError::Unsuitable(Unsuitable::NoApplet)));
        assert!(matches!(error("6985"), CardError::Unsuitable(Unsuitable::NotPersonalised)));
        assert!(matches!(error("6f00"), CardError::Status { command: "SELECT", .. }));
        assert!(matches!(error("9000"), CardError::Answer { .. }));
    }

    #[test]
    fn the_status_byte_tells_blank_from_initialised() {
        let answer = |status| hex::encode(select_data(status, None)) + "9000";
        assert!(matches!(selected(&answer(0x00)), Ok(Selection::Blank(_))));
        assert!(matches!(selected(&answer(0x10)), Ok(Selection::Initialised(_))), "a blocked PIN is no blank card");
    }
}
