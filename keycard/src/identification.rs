//! What a card of generation v1 says of who it is (reference: Keycard applet, card identity and IDENTIFY CARD).
//!
//! A 3.1 or 3.2 card signs any 32 bytes with its identity key, for anybody. So a right signature proves that a genuine card
//! is reachable at this moment, and nothing more: not that the secure channel ends in it (the pairing proves that), nor
//! that the card is of generation v1 (it could sign for a device that plays a 4.0 card; see [`crate::Trust`]).

use proto::Digest;

use crate::error::CardError;
use crate::signature;
use audit::evidence::Certificate;

/// Who a card of generation v1 is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It showed a certificate and signed with its key.
    Certified(Box<Identification>),
    /// An applet 3.1 or 3.2 that was given no certificate.
    Uncertified,
    /// An applet up to 3.0, which has no certificates.
    Older,
}

impl Identity {
    /// Returns the proof, if there is one.
    #[must_use]
    pub fn certified(&self) -> Option<&Identification> {
        match self {
            Self::Certified(identification) => Some(identification),
            Self::Uncertified | Self::Older => None,
        }
    }
}

/// An answer to IDENTIFY CARD, which anybody can check again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identification {
    /// What we gave to be signed: a log's head can be bound into it.
    pub challenge: [u8; 32],
    /// The card's signature over the challenge, DER as it came.
    pub signature: Vec<u8>,
    /// The certificate whose identity key signed.
    pub certificate: Certificate,
}

impl Identification {
    /// Checks the signature against the certificate's identity key. Whether that card is taken is [`crate::Trust`]'s to
    /// say.
    ///
    /// # Errors
    /// [`CardError::Answer`] when it is no signature, [`CardError::Impostor`] when it is another's.
    pub fn verify(&self) -> Result<(), CardError> {
        let signature = signature::parse(&self.signature)?;
        // The applet takes the challenge for a hash and does not hash it again.
        if signature::verifies(&signature, &Digest::from(self.challenge), self.certificate.identity()) {
            Ok(())
        } else {
            Err(CardError::Impostor)
        }
    }
}
