//! What can go wrong between the host and a card, sorted by who can act.

use proto::{Fingerprint, KeyPath, KeyUid};

use crate::known::Changed;
use crate::pairing::Unpaired;
use crate::status_word::StatusWord;
use crate::transport::TransportError;
use crate::trust::Untrusted;
use crate::version::Version;

/// A step with a card that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The reader or the card in it did not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is a card, but not one that this client can work with.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// Nobody that we trust vouches for the card.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It is not the card that is known.
    #[error(transparent)]
    Changed(#[from] Changed),
    /// The host and the card are not paired, or not well enough.
    #[error(transparent)]
    Unpaired(#[from] Unpaired),
    /// The card did not prove that it holds the key of its certificate: a copy, or another device stands in between.
    #[error("the card did not prove its identity; do not use it, or try another reader")]
    Impostor,
    /// The card's answer has not the form that a Keycard gives.
    #[error("the card answered something a Keycard does not answer: {what}")]
    Answer {
        /// What was wrong.
        what: &'static str,
    },
    /// The card refused the command.
    #[error("the card refused {command}: {status:?}")]
    Status {
        /// The command's name in the applet's specification.
        command: &'static str,
        /// What it answered.
        status: StatusWord,
    },
    /// The secure channel is gone and its keys are wiped: start again from SELECT.
    #[error("the secure channel to the card is lost: {0}; select the card again")]
    ChannelLost(#[from] Lost),
    /// The card holds another key than the seed gives, or than it showed before: a wrong tree (duress mode), or a card that
    /// does not do BIP-32.
    #[error("the card's key at {path} is {found}, expected was {expected}; the card is in duress mode or faulty")]
    OtherKey {
        /// Where the two differ first.
        path: KeyPath,
        /// The key computed from the seed, or known from before.
        expected: Fingerprint,
        /// The card's key.
        found: Fingerprint,
    },
    /// The card's master key is not that of its account.
    #[error("the card's master key is of the account {found}, not of {expected}; the card is faulty")]
    OtherAccount {
        /// The account that the card named.
        expected: KeyUid,
        /// The account of its master key.
        found: KeyUid,
    },
    /// A signature of the card is of another message, or by another key, than it was asked for.
    #[error("the card's signature is not that of the key {expected} over what it was asked to sign")]
    FalseSignature {
        /// The key that should have signed.
        expected: Fingerprint,
    },
    /// There is no record on disk of this very request, so nothing was asked of the card.
    #[error("nothing was asked of the card: {0}")]
    NotRecorded(#[from] audit::NotRecorded),
    /// The card's applet does not know the command, or not this form of it. Nothing was sent.
    #[error("applet {version} does not know {command}; nothing was sent to the card")]
    Unsupported {
        /// The command and its form.
        command: &'static str,
        /// The card's version.
        version: Version,
    },
    /// The caller asked for what never can be.
    #[error("{what}")]
    Misuse {
        /// The rule.
        what: &'static str,
    },
}

/// Why a card cannot be used, from its answer to SELECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsuitable {
    /// SELECT answered 6A82.
    #[error("there is no Keycard applet on this card; install it first")]
    NoApplet,
    /// SELECT answered 6985: applet 4.0 without its identity certificate.
    #[error("this Keycard has no identity certificate yet; its maker must personalise it")]
    NotPersonalised,
    /// SELECT of the Cash applet answered 6A82.
    #[error("there is no Cash applet on this card; `cardinal card install` puts one on a card anew")]
    NoCash,
    /// An applet that was built without a secure channel.
    #[error("this applet was built without a secure channel; no secret is given to it")]
    NoSecureChannel,
}

/// How a secure channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The answer came outside the channel: the card has forgotten the session.
    #[error("the card answered {status} outside it")]
    Outside {
        /// What it answered.
        status: StatusWord,
    },
    /// The answer's tag does not fit: altered, cut short, or not the card's.
    #[error("an answer does not verify")]
    Unverifiable,
    /// A command was sealed while the answer of the one before was still due.
    #[error("an answer is missing")]
    OutOfStep,
    /// It ended earlier.
    #[error("it was closed")]
    Closed,
}

/// A step that failed, and the transport, which is all that is left: what the step had consumed is wiped.
pub struct Failed<T, E = CardError> {
    /// The way to the card, for another try from SELECT or for a reset.
    pub transport: T,
    /// Why.
    pub error: E,
}

impl<T, E: std::fmt::Debug> std::fmt::Debug for Failed<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { transport: _, error } = self;
        f.debug_struct("Failed").field("error", error).finish_non_exhaustive()
    }
}

impl<T, E: std::fmt::Display> std::fmt::Display for Failed<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<T, E: std::error::Error> std::error::Error for Failed<T, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<T> From<Failed<T>> for CardError {
    fn from(failed: Failed<T>) -> Self {
        failed.error
    }
}
impl From<audit::evidence::NotACertificate> for CardError {
    fn from(_: audit::evidence::NotACertificate) -> Self {
        Self::Answer { what: "a malformed certificate" }
    }
}
