//! One reader with the card in it, as the way to a Keycard.
//!
//! The reader is held from the first command after a reset to the next reset, and by nobody in between.

use keycard::{CardTransport, TransportError};

use crate::service::{Choice, Readers};
use crate::session::Session;
use crate::trouble::Trouble;

/// The way to the card in a reader. Neither need be there before the card is spoken to.
pub struct PcscReader {
    readers: Readers,
    choice: Choice,
    link: Link,
    /// The instruction of the next command, if its sender said so.
    inside: Option<u8>,
}

/// Whether the card is held.
enum Link {
    /// It is not; the next command takes it.
    Free,
    /// It is.
    Held(Session),
    /// It was, until this happened. Only a reset ends this, so that no session goes on with another card.
    Lost(Trouble),
}

impl PcscReader {
    pub(crate) const fn new(readers: Readers, choice: Choice) -> Self {
        Self { readers, choice, link: Link::Free, inside: None }
    }

    fn session(&mut self) -> Result<&mut Session, Trouble> {
        if matches!(self.link, Link::Free) {
            let name = self.readers.find(&self.choice)?;
            self.link = Link::Held(Session::open(&self.readers, &name)?);
            tracing::debug!(reader = name, "the card is held");
        }
        match &mut self.link {
            Link::Held(session) => Ok(session),
            Link::Lost(trouble) => Err(trouble.clone()),
            Link::Free => Err(Trouble::NoCard),
        }
    }
}

impl CardTransport for PcscReader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let outside = command.get(1).copied().unwrap_or_default();
        let instruction = self.inside.take().unwrap_or(outside);
        let answer = self.session()?.transmit(command, instruction);
        answer.map_err(|trouble| {
            // What became of the command is not known, so the session is over, and the card is reset if it is there.
            if let Link::Held(session) = std::mem::replace(&mut self.link, Link::Lost(trouble.clone())) {
                drop(session.close());
            }
            trouble.into()
        })
    }

    fn announce(&mut self, instruction: u8) {
        self.inside = Some(instruction);
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        match std::mem::replace(&mut self.link, Link::Free) {
            Link::Held(session) => session.close().map_err(TransportError::from),
            Link::Free | Link::Lost(_) => Ok(()),
        }
    }

    fn is_there(&mut self) -> bool {
        match &mut self.link {
            Link::Held(session) => session.is_there(),
            Link::Free => true,
            Link::Lost(_) => false,
        }
    }
}

impl Drop for PcscReader {
    fn drop(&mut self) {
        if let Err(error) = self.reset() {
            tracing::error!("the card could not be reset: {error}");
        }
    }
}
