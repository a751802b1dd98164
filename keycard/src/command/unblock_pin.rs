//! UNBLOCK PIN `80 22 00 00 12 PUK(12) || PIN(6)`: the only way out of a blocked PIN but FACTORY RESET.
//!
//! A PUK without tries is lost for ever, and with it the card's key. So the tries are asked first, a PUK is sent once for
//! each call and never again on its own, and the last try is spent only when the caller says so.

use audit::{Operation, Recorded};
use proto::{Pin, Puk};

use crate::apdu::Command;
use crate::card::{Card, Secured, Unlocked};
use crate::error::CardError;
use crate::known_keys::KnownKeys;
use crate::pairing::Unpaired;
use crate::status_word::StatusWord;
use crate::transport::CardTransport;

const NAME: &str = "UNBLOCK PIN";

impl<T: CardTransport> Card<Secured, T> {
    /// Sets a new PIN in place of a blocked one, which unlocks the card. Of the two PINs of a card it is the one used last
    /// (the duress PIN may be that); applets up to 3.2 unblock both.
    ///
    /// # Errors
    /// [`UnblockError::Lost`] gives only the transport back, every other error the card.
    pub fn unblock_pin(
        mut self,
        puk: &Puk,
        pin: &Pin,
        allow_last_try: bool,
        recorded: &mut Recorded,
    ) -> Result<Card<Unlocked, T>, UnblockError<T>> {
        if self.state.exposed {
            return Err(UnblockError::Exposed { card: self });
        }
        let status = match self.status() {
            Ok(status) => status,
            Err(error) => return Err(UnblockError::Lost { transport: self.transport, error }),
        };
        if status.pin_tries > 0 {
            return Err(UnblockError::NotBlocked { tries: status.pin_tries, card: self });
        }
        match status.puk_tries {
            0 => return Err(UnblockError::Exhausted { card: self }),
            1 if !allow_last_try => return Err(UnblockError::LastTry { card: self }),
            _ => {}
        }
        if let Err(error) = recorded.spend(&self.request(Operation::UnblockPin)) {
            return Err(UnblockError::NotRecorded { card: self, error });
        }
        match self.send_puk(puk, pin) {
            Ok(None) => {
                let state = Unlocked { session: self.state.session, known: KnownKeys::default() };
                Ok(Card { state, info: self.info, transport: self.transport })
            }
            Ok(Some(0)) => Err(UnblockError::Exhausted { card: self }),
            Ok(Some(tries)) => Err(UnblockError::Wrong { card: self, tries }),
            Err(error) => Err(UnblockError::Lost { transport: self.transport, error }),
        }
    }

    /// Sends the PUK, and returns the tries left if it is wrong.
    fn send_puk(&mut self, puk: &Puk, pin: &Pin) -> Result<Option<u8>, CardError> {
        let command = Command::with_body([0x80, 0x22, 0x00, 0x00], &[puk.expose(), pin.expose()])?;
        let answer = self.call(&command)?;
        if !answer.data.is_empty() {
            return Err(CardError::Answer { what: "an answer to UNBLOCK PIN with data" });
        }
        match answer.status {
            StatusWord::OK => Ok(None),
            status => status.tries_left().map(Some).ok_or(CardError::Status { command: NAME, status }),
        }
    }
}

/// The PIN is as blocked, or not, as before.
#[non_exhaustive]
pub enum UnblockError<T> {
    /// The PIN is not blocked, so there is nothing to do. Nothing was sent.
    NotBlocked {
        /// The card, for its PIN.
        card: Card<Secured, T>,
        /// How many tries the PIN has.
        tries: u8,
    },
    /// The PUK is wrong.
    Wrong {
        /// The card, for another PUK.
        card: Card<Secured, T>,
        /// How many tries of the PUK are left; never zero.
        tries: u8,
    },
    /// No try of the PUK is left: only FACTORY RESET makes the card usable again, without its key.
    Exhausted {
        /// The card.
        card: Card<Secured, T>,
    },
    /// One try is left and was not spent.
    LastTry {
        /// The card as it was.
        card: Card<Secured, T>,
    },
    /// Somebody may listen, see [`Unpaired::WellKnown`]; no PUK was sent.
    Exposed {
        /// The card as it was.
        card: Card<Secured, T>,
    },
    /// There is no record on disk of this request. Nothing was sent.
    NotRecorded {
        /// The card as it was.
        card: Card<Secured, T>,
        /// What the record is.
        error: audit::NotRecorded,
    },
    /// The channel is gone. Whether the PUK was tried is unknown.
    Lost {
        /// All that is left.
        transport: T,
        /// Why.
        error: CardError,
    },
}

impl<T> std::fmt::Display for UnblockError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotBlocked { card: _, tries } => write!(f, "the PIN is not blocked; it has {tries} tries"),
            Self::Wrong { card: _, tries: 1 } => {
                f.write_str("wrong PUK; one try is left, and after that only a factory reset helps, without the key")
            }
            Self::Wrong { card: _, tries } => write!(f, "wrong PUK; {tries} tries are left"),
            Self::Exhausted { card: _ } => {
                f.write_str("the PUK has no tries left; a factory reset erases the card and makes it usable again")
            }
            Self::LastTry { card: _ } => f.write_str("only one PUK try is left; say so to spend it"),
            Self::Exposed { card: _ } => Unpaired::WellKnown.fmt(f),
            Self::NotRecorded { card: _, error } => write!(f, "nothing was asked of the card: {error}"),
            Self::Lost { transport: _, error } => error.fmt(f),
        }
    }
}

impl<T> std::fmt::Debug for UnblockError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnblockError({self})")
    }
}

impl<T> std::error::Error for UnblockError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost { transport: _, error } => Some(error),
            Self::NotRecorded { card: _, error } => Some(error),
            Self::NotBlocked { .. }
            | Self::Wrong { .. }
            | Self::Exhausted { .. }
            | Self::LastTry { .. }
            | Self::Exposed { .. } => None,
        }
    }
}
