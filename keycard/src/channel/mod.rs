//! The secure channel: commands are sealed, answers are opened, nothing is sent from here.
//!
//! The generations share no format, so a channel is an enum. Invariant of each: an answer that does not verify wipes the
//! keys, and no two commands are ever sealed with the same nonce or IV.

pub(crate) mod cbc;
pub(crate) mod v1;
pub(crate) mod v2;

use crate::apdu::{Answer, Command};
use crate::error::CardError;

/// An open channel to one card.
pub(crate) enum Channel {
    /// Applets 2.x and 3.x.
    V1(Box<v1::ChannelV1>),
    /// Applet 4.0.
    V2(Box<v2::ChannelV2>),
}

impl Channel {
    /// Returns `command` as it goes to the card. Its nonce counts as used from here on, sent or not.
    ///
    /// # Errors
    /// [`CardError::ChannelLost`], [`CardError::Misuse`] for a command that is too long.
    pub(crate) fn seal(&mut self, command: &Command) -> Result<Command, CardError> {
        match self {
            Self::V1(channel) => channel.seal(command),
            Self::V2(channel) => channel.seal(command),
        }
    }

    /// Returns the answer inside the card's answer.
    ///
    /// # Errors
    /// [`CardError::ChannelLost`]: the keys are wiped.
    pub(crate) fn open(&mut self, answer: Answer) -> Result<Answer, CardError> {
        match self {
            Self::V1(channel) => channel.open(answer),
            Self::V2(channel) => channel.open(answer),
        }
    }

    /// Wipes the keys.
    pub(crate) fn close(&mut self) {
        match self {
            Self::V1(channel) => channel.close(),
            Self::V2(channel) => channel.close(),
        }
    }
}
