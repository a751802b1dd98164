//! What can go wrong while applets are installed, sorted by who can act.

use crate::error::CardError;
use crate::globalplatform::aid::Aid;
use crate::status_word::StatusWord;
use crate::transport::TransportError;

/// An installation that did not succeed. It can be run again from its beginning, whatever was on the card by then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The card, the way to it, or the record of what is asked of it.
    #[error(transparent)]
    Card(#[from] CardError),
    /// There is a Keycard with an owner, and nobody said that it may be erased.
    #[error("there is a Keycard with a PIN on this card, whose keys would be erased; say so to replace it")]
    Occupied,
    /// The card has no security domain that answers.
    #[error("this card lets nobody install applets: it has no security domain that answers")]
    NoSecurityDomain,
    /// The card's security domain speaks another protocol.
    #[error("this card's security domain speaks SCP{protocol:02x}, and this program SCP02 only; use its maker's tool")]
    OtherProtocol {
        /// The protocol that it named.
        protocol: u8,
    },
    /// The card's security domain has keys of its own.
    #[error(
        "this card's security domain has keys of its own, neither Keycard's development key nor GlobalPlatform's \
         default; its issuer has them (nothing was tried, so no try was spent)"
    )]
    OtherKeys,
    /// The card has refused too often already.
    #[error("this card's security domain is locked for good, after too many wrong keys")]
    Locked,
    /// The card refused a step.
    #[error("the card refused {step} of {name}: {status}{}", meaning(*status))]
    Refused {
        /// The command's name in GlobalPlatform.
        step: &'static str,
        /// The package or applet.
        name: Aid,
        /// What it answered.
        status: StatusWord,
    },
    /// The card does not show what was installed.
    #[error("the card does not show what was installed: {what}")]
    NotInstalled {
        /// What is missing.
        what: &'static str,
    },
}

impl From<TransportError> for InstallError {
    fn from(error: TransportError) -> Self {
        Self::Card(error.into())
    }
}

/// Returns what GlobalPlatform means by a status word.
fn meaning(status: StatusWord) -> &'static str {
    match status.to_bytes() {
        [0x6A, 0x84] => " (not enough memory)",
        [0x69, 0x85] => " (something else on the card builds upon it, or what it builds upon is not there)",
        [0x6A, 0x80] => " (the card cannot take this file, or has something of this name already)",
        [0x69, 0x82] => " (the card did not take our command for ours)",
        _ => "",
    }
}
