//! GET STATUS `80 F2 P1 00`. It needs no PIN.
//!
//! ```text
//! P1 = 00  A3 09 { 02 01 PIN tries, 02 01 PUK tries, 01 01 FF|00 }
//! P1 = 01  the path of the current key, 4 bytes a component (up to 3.2)
//! ```

use proto::KeyPath;

use crate::apdu::{Answer, Command};
use crate::card::{Card, Open, Secured, Session, Unlocked};
use crate::error::CardError;
use crate::tlv::Reader;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "GET STATUS";

/// What the card says of itself inside the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Tries left of the PIN last used: on 4.0 the duress PIN counts on its own.
    pub pin_tries: u8,
    /// Tries left of the PUK.
    pub puk_tries: u8,
    /// Whether there is a key.
    pub has_key: bool,
}

impl Status {
    pub(crate) fn command() -> Command {
        Command::new([0x80, 0xF2, 0x00, 0x00])
    }

    pub(crate) fn parse(answer: Answer) -> Result<Self, CardError> {
        let data = answer.success(NAME)?;
        let mut inside = Reader::new(&data, "a malformed answer to GET STATUS").only(0xA3)?;
        let [pin_tries] = *inside.array(0x02)?;
        let [puk_tries] = *inside.array(0x02)?;
        let has_key = match *inside.array(0x01)? {
            [0xFF] => true,
            [0x00] => false,
            _ => return Err(inside.malformed()),
        };
        inside.end()?;
        Ok(Self { pin_tries, puk_tries, has_key })
    }

    pub(crate) fn ask<T: CardTransport>(session: &mut Session, transport: &mut T) -> Result<Self, CardError> {
        Self::parse(session.call(transport, &Self::command())?)
    }
}

impl<T: CardTransport> Card<Secured, T> {
    /// Returns the card's status.
    ///
    /// # Errors
    /// [`CardError::ChannelLost`], [`CardError::Transport`], [`CardError::Answer`], [`CardError::Status`].
    pub fn status(&mut self) -> Result<Status, CardError> {
        let status = Status::ask(&mut self.state.session, &mut self.transport)?;
        self.state.tries = Some(status.pin_tries);
        Ok(status)
    }
}

impl<T: CardTransport> Card<Unlocked, T> {
    /// Returns the card's status.
    ///
    /// # Errors
    /// [`CardError::ChannelLost`], [`CardError::Transport`], [`CardError::Answer`], [`CardError::Status`].
    pub fn status(&mut self) -> Result<Status, CardError> {
        Status::ask(&mut self.state.session, &mut self.transport)
    }
}

impl<S: Open, T: CardTransport> Card<S, T> {
    /// Returns the path of the card's current key (DERIVE KEY).
    ///
    /// # Errors
    /// [`CardError::Unsupported`] on 4.0, which has none; [`CardError::ChannelLost`], [`CardError::Transport`],
    /// [`CardError::Answer`], [`CardError::Status`].
    pub fn current_path(&mut self) -> Result<KeyPath, CardError> {
        self.require(Feature::CurrentPath, "GET STATUS of the current path")?;
        let data = self.call(&Command::new([0x80, 0xF2, 0x01, 0x00]))?.success(NAME)?;
        KeyPath::from_bytes(&data).map_err(|_| CardError::Answer { what: "a malformed current path" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Status, CardError> {
        Status::parse(Answer::parse(hex::decode(text).unwrap()).unwrap())
    }

    #[test]
    fn the_three_values_are_read() {
        assert_eq!(parse("a3090201030201050101ff9000").unwrap(), Status { pin_tries: 3, puk_tries: 5, has_key: true });
        assert!(!parse("a3090201000201050101009000").unwrap().has_key);
    }

    #[test]
    fn any_other_form_is_refused() {
        for text in ["9000", "a3090201030201050101fe9000", "a30902010302010501019000", "a3090201030201050101ff009000"] {
            assert!(matches!(parse(text), Err(CardError::Answer { .. })), "{text}");
        }
        assert!(matches!(parse("6985"), Err(CardError::Status { .. })));
    }
}
