//! GET STATUS `80 F2 00 00` → `A3 09 { 02 01 PIN tries, 02 01 PUK tries, 01 01 FF|00 }`. It needs no PIN.

use crate::apdu::{Answer, Command};
use crate::card::{Card, Secured, Session, Unlocked};
use crate::error::CardError;
use crate::tlv::Reader;
use crate::transport::CardTransport;

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
        let data = answer.success("GET STATUS")?;
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
