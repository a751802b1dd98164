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

impl<T> UnblockError<T> {
    /// Gives the transport back, whatever else there is.
    #[must_use]
    pub fn into_transport(self) -> T {
        match self {
            Self::NotBlocked { card, .. }
            | Self::Wrong { card, .. }
            | Self::Exhausted { card }
            | Self::LastTry { card }
            | Self::Exposed { card }
            | Self::NotRecorded { card, .. } => card.into_transport(),
            Self::Lost { transport, .. } => transport,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, pin, recorded, secured};

    fn puk() -> Puk {
        Puk::try_from(b"123456789012".as_slice()).unwrap()
    }

    /// A card whose next command inside is GET STATUS, with these tries.
    fn blocked(pin_tries: u8, puk_tries: u8) -> FakeCard {
        FakeCard::initialised().answering(&format!("a3090201{pin_tries:02x}0201{puk_tries:02x}0101ff9000"))
    }

    #[expect(clippy::result_large_err, reason = "the fake card is large, and there is one")]
    fn unblock(fake: FakeCard, last: bool) -> Result<Card<Unlocked, FakeCard>, UnblockError<FakeCard>> {
        let card = secured(fake);
        let mut receipt = recorded(card.request(Operation::UnblockPin));
        card.unblock_pin(&puk(), &pin(), last, &mut receipt)
    }

    /// KC-11: the PUK unblocks and sets a new PIN, which is validated.
    #[test]
    fn a_blocked_card_is_unlocked_by_the_puk() {
        let fake = unblock(blocked(0, 5).answering("9000"), false).unwrap().into_transport();
        assert_eq!(fake.inner_commands()[1], b"\x80\x22\x00\x00\x12123456789012000000");
        assert_eq!(fake.inner_commands().len(), 2, "the tries, and the PUK");
    }

    #[test]
    fn a_puk_is_sent_only_when_the_pin_is_blocked() {
        let Err(UnblockError::NotBlocked { card, tries: 1 }) = unblock(blocked(1, 5), false) else { panic!("sent") };
        assert_eq!(card.into_transport().inner_commands().len(), 1);
    }

    #[test]
    fn the_last_try_of_the_puk_is_spent_only_when_allowed() {
        let Err(UnblockError::LastTry { card }) = unblock(blocked(0, 1), false) else { panic!("sent") };
        assert_eq!(card.into_transport().inner_commands().len(), 1);
        assert!(unblock(blocked(0, 1).answering("9000"), true).is_ok());
    }

    #[test]
    fn an_exhausted_puk_is_not_sent_even_when_the_last_try_is_allowed() {
        let Err(UnblockError::Exhausted { card }) = unblock(blocked(0, 0), true) else { panic!("sent") };
        assert_eq!(card.into_transport().inner_commands().len(), 1);
    }

    #[test]
    fn a_wrong_puk_gives_the_card_and_the_tries_back_and_is_not_repeated() {
        let Err(error) = unblock(blocked(0, 2).answering("63c1"), false) else { panic!("right") };
        assert!(error.to_string().contains("one try"), "{error}");
        let UnblockError::Wrong { card, tries: 1 } = error else { panic!("wrong") };
        assert_eq!(card.into_transport().inner_commands().len(), 2);
        assert!(matches!(unblock(blocked(0, 1).answering("63c0"), true), Err(UnblockError::Exhausted { .. })));
    }

    #[test]
    fn without_a_record_no_puk_is_sent() {
        let card = secured(blocked(0, 5));
        let mut receipt = recorded(card.request(Operation::ChangePin));
        let Err(UnblockError::NotRecorded { card, .. }) = card.unblock_pin(&puk(), &pin(), false, &mut receipt) else {
            panic!("sent")
        };
        assert_eq!(card.into_transport().inner_commands().len(), 1);
    }

    #[test]
    fn no_puk_goes_over_a_channel_that_somebody_may_listen_to() {
        let mut card = secured(FakeCard::initialised());
        card.state.exposed = true;
        let mut receipt = recorded(card.request(Operation::UnblockPin));
        let Err(error) = card.unblock_pin(&puk(), &pin(), true, &mut receipt) else { panic!("sent") };
        let UnblockError::Exposed { card } = error else { panic!("sent") };
        assert!(card.into_transport().inner_commands().is_empty());
    }

    #[test]
    fn an_unexpected_answer_leaves_only_the_transport() {
        for answer in ["6985", "6a80", "009000", "0163c2"] {
            let result = unblock(blocked(0, 5).answering(answer), false);
            assert!(matches!(result, Err(UnblockError::Lost { .. })), "{answer}");
        }
        // An uninitialised 4.0 answers 9000 without data to everything, GET STATUS included.
        let ignored = unblock(FakeCard::initialised().answering("9000").answering("9000"), true);
        assert!(matches!(ignored, Err(UnblockError::Lost { .. })));
    }
}
