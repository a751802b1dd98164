//! The way to a card: bytes out, bytes back. And the follow-ups of ISO 7816-4 that a transport may leave to us.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::error::CardError;

/// More follow-ups than any answer of the applet needs: it never exceeds 255 bytes.
const MAX_FOLLOW_UPS: usize = 4;

/// One reader with a card in it, or a software card.
pub trait CardTransport {
    /// Sends one command and returns the answer, data followed by the two bytes of the status word.
    ///
    /// # Errors
    /// [`TransportError`] when there is no answer. The card may have carried the command out all the same.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;

    /// Hears the instruction of the command that follows, which a secure channel may hide: for statistics, and because some
    /// take longer than others.
    fn announce(&mut self, _instruction: u8) {}

    /// Resets the card (`SCARD_RESET_CARD`, a power cycle): its channel and its validated PIN end.
    ///
    /// # Errors
    /// [`TransportError`] when the card could not be reset.
    fn reset(&mut self) -> Result<(), TransportError>;

    /// Resets the card in so long at the latest, whatever holds up its user, and refuses every command after that, until its
    /// user resets it too. The time that the computer sleeps counts. A reset ends this, and so does no time. A transport
    /// that has no clock leaves it to its user.
    fn reset_within(&mut self, _left: Option<Duration>) {}

    /// Whether the card that heard the last command is still there, as far as can be told without asking it. A transport
    /// that cannot tell says yes.
    fn is_there(&mut self) -> bool {
        true
    }
}

/// No answer from the card.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The reader is empty, or the card in it does not come up.
    #[error("no card answers in this reader; insert it and try again")]
    NoCard,
    /// The card was drawn while it was in use. It may have carried the last command out all the same.
    #[error("the card was drawn while it was in use; insert it and try again")]
    Removed,
    /// Somebody else reset the card: its channel and its validated PIN are gone.
    #[error("another program reset the card while it was in use; end that program and try again")]
    Reset,
    /// The card was reset at the end of the time that [`CardTransport::reset_within`] gave it.
    #[error("the time for which the card was unlocked is over; unlock it and try again")]
    Expired,
    /// No reader that fits is there, or it was unplugged.
    #[error("{what}; `cardinal doctor` says what is there")]
    NoReader {
        /// Which one is missing.
        what: String,
    },
    /// Several readers fit.
    #[error("several readers fit: {}; name one of them", .readers.join(", "))]
    Ambiguous {
        /// Their names.
        readers: Vec<String>,
    },
    /// The reader's service does not run, or does not let us in.
    #[error("{0}; `cardinal doctor` says how to mend it")]
    Service(#[from] NoService),
    /// Another program holds the reader.
    #[error("another program holds the reader; end it, `cardinal doctor` names it, and try again")]
    Held,
    /// A command was not answered within its time. The reader is given up.
    #[error("the reader did not answer within {seconds} s; unplug it, plug it in again and try again")]
    Hung {
        /// The time that it had.
        seconds: u64,
    },
    /// The reader or its driver failed.
    #[error("the reader failed: {source}; unplug it, plug it in again and try again")]
    Reader {
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store of a software card failed.
    #[error("the software card failed: {source}")]
    Store {
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why the service of all readers cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoService {
    /// Its client library is not on this computer.
    #[error("libpcsclite, through which programs reach card readers, is not installed")]
    Library,
    /// It does not run.
    #[error("pcscd, which speaks to card readers, does not run")]
    Stopped,
    /// It refuses this user.
    #[error("pcscd does not let this user use card readers")]
    Denied,
}

impl TransportError {
    /// Returns the failure of a reader.
    pub fn reader(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Reader { source: source.into() }
    }

    /// Returns the failure of a software card's store.
    pub fn store(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Store { source: source.into() }
    }
}

/// Sends `command` and returns the whole answer: 61xx is followed by GET RESPONSE, 6Cxx by the same bytes with the right
/// `Le`.
///
/// # Errors
/// [`CardError::Transport`]; [`CardError::Answer`] when the card goes on for ever.
pub(crate) fn exchange<T: CardTransport>(transport: &mut T, command: Command) -> Result<Answer, CardError> {
    let mut command = command;
    let mut data = Zeroizing::new(Vec::new());
    for _ in 0..=MAX_FOLLOW_UPS {
        let answer = Answer::parse(transport.transmit(&command.to_bytes())?)?;
        match answer.status.to_bytes() {
            [0x6c, le] => command = command.with_le(le),
            [0x61, le] => {
                data.extend_from_slice(&answer.data);
                command = Command::new([0x00, 0xC0, 0x00, 0x00]).with_le(le);
            }
            _ if data.is_empty() => return Ok(answer),
            _ => {
                data.extend_from_slice(&answer.data);
                return Ok(Answer { data, status: answer.status });
            }
        }
    }
    Err(CardError::Answer { what: "an answer in too many parts" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Script;
    use crate::status_word::StatusWord;

    fn select() -> Command {
        Command::with_body([0, 0xA4, 4, 0], &[&[1]]).unwrap()
    }

    #[test]
    fn an_answer_in_parts_is_put_together() {
        let mut card =
            Script::new([("00a404000101", "0102 6102"), ("00c0000002", "0304 6100"), ("00c0000000", "05 9000")]);
        let answer = exchange(&mut card, select()).unwrap();
        assert_eq!(*answer.data, [1, 2, 3, 4, 5]);
        assert_eq!(answer.status, StatusWord::OK);
        card.finish();
    }

    #[test]
    fn a_wrong_le_is_put_right_once_the_card_names_it() {
        let mut card = Script::new([("00a404000101", "6c03"), ("00a40400010103", "010203 9000")]);
        assert_eq!(*exchange(&mut card, select()).unwrap().data, [1, 2, 3]);
        card.finish();
    }

    #[test]
    fn a_card_that_goes_on_for_ever_is_cut_off() {
        for endless in ["aa 61ff", "6cff"] {
            let mut card = Script::repeating(endless);
            assert!(matches!(exchange(&mut card, select()), Err(CardError::Answer { .. })));
        }
    }

    #[test]
    fn a_silent_card_is_a_transport_error() {
        let mut card = Script::new([]);
        assert!(matches!(exchange(&mut card, select()), Err(CardError::Transport(TransportError::NoCard))));
    }
}
