//! VERIFY PIN `80 20 00 00 06 PIN` → nothing, or 63Cn with n tries left.
//!
//! Sent once for each call, never again on its own, and the last try is spent only when the caller says so. How many are
//! left SELECT has said on 4.0; older applets are asked inside the channel. Nobody signs SELECT's answer, but who can change
//! it on a 4.0 card can open a channel of their own, for that takes no pairing, and spend the tries themselves. A caller
//! that wants to know from inside the channel calls [`Card::status`] first.

use proto::Pin;

use crate::apdu::Command;
use crate::card::{Card, Secured, Unlocked};
use crate::error::CardError;
use crate::known_keys::KnownKeys;
use crate::pairing::Unpaired;
use crate::status_word::StatusWord;
use crate::transport::CardTransport;

impl<T: CardTransport> Card<Secured, T> {
    /// Unlocks the card.
    ///
    /// # Errors
    /// [`VerifyError::Wrong`], [`VerifyError::Blocked`], [`VerifyError::LastTry`] and [`VerifyError::Exposed`] give the
    /// card back;
    /// [`VerifyError::Lost`] only the transport.
    pub fn verify_pin(mut self, pin: &Pin, allow_last_try: bool) -> Result<Card<Unlocked, T>, VerifyError<T>> {
        if self.state.exposed {
            return Err(VerifyError::Exposed { card: self });
        }
        let tries = match self.state.tries {
            Some(tries) => tries,
            None => match self.status() {
                Ok(status) => status.pin_tries,
                Err(error) => return Err(VerifyError::Lost { transport: self.transport, error }),
            },
        };
        match tries {
            0 => return Err(VerifyError::Blocked { card: self }),
            1 if !allow_last_try => return Err(VerifyError::LastTry { card: self }),
            _ => {}
        }
        match self.send(pin) {
            Ok(None) => {
                let state = Unlocked { session: self.state.session, known: KnownKeys::default() };
                Ok(Card { state, info: self.info, transport: self.transport })
            }
            Ok(Some(tries)) => {
                self.state.tries = Some(tries);
                Err(if tries == 0 {
                    VerifyError::Blocked { card: self }
                } else {
                    VerifyError::Wrong { card: self, tries }
                })
            }
            Err(error) => Err(VerifyError::Lost { transport: self.transport, error }),
        }
    }

    /// Sends the PIN, and returns the tries left if it is wrong.
    fn send(&mut self, pin: &Pin) -> Result<Option<u8>, CardError> {
        let answer = self.state.session.call(&mut self.transport, &command(pin)?)?;
        if !answer.data.is_empty() {
            return Err(CardError::Answer { what: "an answer to VERIFY PIN with data" });
        }
        match answer.status {
            StatusWord::OK => Ok(None),
            status => status.tries_left().map(Some).ok_or(CardError::Status { command: "VERIFY PIN", status }),
        }
    }
}

pub(crate) fn command(pin: &Pin) -> Result<Command, CardError> {
    Command::with_body([0x80, 0x20, 0x00, 0x00], &[pin.expose()])
}

/// The card did not unlock.
#[non_exhaustive]
pub enum VerifyError<T> {
    /// The PIN is wrong.
    Wrong {
        /// The card, for another PIN.
        card: Card<Secured, T>,
        /// How many tries are left; never zero.
        tries: u8,
    },
    /// No try is left: even the right PIN does nothing.
    Blocked {
        /// The card, for the PUK.
        card: Card<Secured, T>,
    },
    /// One try is left and was not spent.
    LastTry {
        /// The card as it was.
        card: Card<Secured, T>,
    },
    /// Somebody may listen, see [`Unpaired::WellKnown`]; no PIN was sent.
    Exposed {
        /// The card as it was.
        card: Card<Secured, T>,
    },
    /// The channel is gone. Whether the PIN was tried is unknown.
    Lost {
        /// All that is left.
        transport: T,
        /// Why.
        error: CardError,
    },
}

impl<T> VerifyError<T> {
    /// Gives the transport back, whatever else there is.
    #[must_use]
    pub fn into_transport(self) -> T {
        match self {
            Self::Wrong { card, .. } | Self::Blocked { card } | Self::LastTry { card } | Self::Exposed { card } => {
                card.into_transport()
            }
            Self::Lost { transport, .. } => transport,
        }
    }
}

impl<T> std::fmt::Display for VerifyError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wrong { card: _, tries: 1 } => f.write_str("wrong PIN; one try is left before the card blocks"),
            Self::Wrong { card: _, tries } => write!(f, "wrong PIN; {tries} tries are left"),
            Self::Blocked { card: _ } => f.write_str("the PIN is blocked; only the PUK unblocks it"),
            Self::LastTry { card: _ } => f.write_str("only one PIN try is left; say so to spend it"),
            Self::Exposed { card: _ } => Unpaired::WellKnown.fmt(f),
            Self::Lost { transport: _, error } => error.fmt(f),
        }
    }
}

impl<T> std::fmt::Debug for VerifyError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyError({self})")
    }
}

impl<T> std::error::Error for VerifyError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost { transport: _, error } => Some(error),
            Self::Wrong { .. } | Self::Blocked { .. } | Self::LastTry { .. } | Self::Exposed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Lost;
    use crate::fake::{FakeCard, pin, secured};

    /// KC-08: a wrong PIN reports the tries left.
    #[test]
    fn a_wrong_pin_returns_the_card_and_the_tries_left() {
        let card = secured(FakeCard::with_tries(3).answering("63c2").answering("9000"));
        let Err(VerifyError::Wrong { card, tries: 2 }) = card.verify_pin(&pin(), false) else { panic!("wrong") };
        let card = card.verify_pin(&pin(), false).unwrap();
        let fake = card.into_transport();
        let sent: Vec<u8> = fake.inner_commands().iter().map(|command| command[1]).collect();
        assert_eq!(sent, [0x20, 0x20], "one command for each call");
    }

    #[test]
    fn the_last_try_is_spent_only_when_allowed() {
        let card = secured(FakeCard::with_tries(1).answering("9000"));
        let Err(VerifyError::LastTry { card }) = card.verify_pin(&pin(), false) else { panic!("last try") };
        assert!(card.verify_pin(&pin(), true).is_ok());
    }

    #[test]
    fn a_wrong_pin_that_leaves_one_try_stops_the_next_call() {
        let card = secured(FakeCard::with_tries(2).answering("63c1"));
        let Err(VerifyError::Wrong { card, tries: 1 }) = card.verify_pin(&pin(), false) else { panic!("wrong") };
        let Err(VerifyError::LastTry { card }) = card.verify_pin(&pin(), false) else { panic!("last try") };
        assert_eq!(card.into_transport().inner_commands().len(), 1);
    }

    #[test]
    fn a_blocked_card_is_sent_no_pin() {
        let card = secured(FakeCard::with_tries(0));
        let Err(VerifyError::Blocked { card }) = card.verify_pin(&pin(), true) else { panic!("blocked") };
        assert!(card.into_transport().inner_commands().is_empty());
        let card = secured(FakeCard::with_tries(1).answering("63c0"));
        assert!(matches!(card.verify_pin(&pin(), true), Err(VerifyError::Blocked { .. })));
    }

    #[test]
    fn a_caller_that_asks_inside_the_channel_goes_by_that() {
        let mut card = secured(FakeCard::with_tries(3).answering(
            "a30902010102010501\
            01ff9000",
        ));
        assert_eq!(card.status().unwrap().pin_tries, 1);
        assert!(matches!(card.verify_pin(&pin(), false), Err(VerifyError::LastTry { .. })));
    }

    #[test]
    fn a_lost_channel_gives_only_the_transport_back() {
        let card = secured(FakeCard::with_tries(3).answering_outside("6982"));
        let Err(VerifyError::Lost { transport, error }) = card.verify_pin(&pin(), false) else { panic!("lost") };
        assert!(matches!(error, CardError::ChannelLost(Lost::Outside { .. })));
        assert_eq!(transport.inner_commands().len(), 1, "not repeated");
    }

    #[test]
    fn an_unexpected_answer_is_no_success() {
        for answer in ["6a80", "6985", "6d00", "019000", "0163c2"] {
            let card = secured(FakeCard::with_tries(3).answering(answer));
            assert!(matches!(card.verify_pin(&pin(), false), Err(VerifyError::Lost { .. })), "{answer}");
        }
    }
}
