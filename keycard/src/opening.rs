//! The evidence of one opening of the secure channel, which anybody can check again.
//!
//! ```text
//! v1   nothing in it is signed: who can open it has the pairing. The card's certificate, where it has one, signed a
//!      challenge of ours just before (see identification.rs for what that proves)
//! v2   transcript = SHA-256("sc_v2_ccm" || salt(32) || client ephemeral(65) || card ephemeral(65))
//!      the card signs the transcript with the identity key of its certificate
//! ```

use proto::{ChatKey, Digest, InstanceUid};

use crate::error::CardError;
use crate::identification::{Identification, Identity};
use crate::signature;
use audit::evidence::Certificate;
use audit::evidence::opening::transcript;

/// How a channel was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// With a pairing.
    V1(Box<PairedOpening>),
    /// With a signature of the card.
    V2(Box<SignedOpening>),
}

/// OPEN SECURE CHANNEL and MUTUALLY AUTHENTICATE of applets 2.x and 3.x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairedOpening {
    /// The applet's instance.
    pub instance: InstanceUid,
    /// The pairing's slot on the card.
    pub slot: u8,
    /// Whether the pairing was made with a password that everybody knows.
    pub well_known: bool,
    /// The card's static key.
    pub channel_key: ChatKey,
    /// Who the card said it is, before the channel was opened.
    pub identity: Identity,
}

/// What both sides said in OPEN SECURE CHANNEL of applet 4.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOpening {
    /// Our salt: a log's head can be bound into it.
    pub salt: [u8; 32],
    /// Our one-time key.
    pub client_ephemeral: ChatKey,
    /// The card's one-time key.
    pub card_ephemeral: ChatKey,
    /// The card's signature over the transcript, DER as it came.
    pub signature: Vec<u8>,
    /// The certificate whose identity key signed.
    pub certificate: Certificate,
}

impl Opening {
    /// Returns the certificate of the card, if it has one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::V1(opening) => opening.identity.certified().map(|identification| &identification.certificate),
            Self::V2(opening) => Some(&opening.certificate),
        }
    }

    /// Checks what is signed in it: nothing, for a card without a certificate.
    ///
    /// # Errors
    /// [`CardError::Answer`] when it is no signature, [`CardError::Impostor`] when it is another's.
    pub fn verify(&self) -> Result<(), CardError> {
        match self {
            Self::V1(opening) => opening.identity.certified().map_or(Ok(()), Identification::verify),
            Self::V2(opening) => opening.verify(),
        }
    }
}

impl SignedOpening {
    /// Returns what the card signs.
    #[must_use]
    pub fn transcript(&self) -> Digest {
        transcript(&self.salt, &self.client_ephemeral, &self.card_ephemeral)
    }

    /// Checks the signature against the certificate's identity key. Whether that card is taken is [`crate::Trust`]'s to
    /// say.
    ///
    /// # Errors
    /// [`CardError::Answer`] when it is no signature, [`CardError::Impostor`] when it is another's.
    pub fn verify(&self) -> Result<(), CardError> {
        let signature = signature::parse(&self.signature)?;
        if signature::verifies(&signature, &self.transcript(), self.certificate.identity()) {
            Ok(())
        } else {
            Err(CardError::Impostor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{identity_certificate, public};

    /// Reference section 9.4, V2.
    #[test]
    fn the_transcript_is_that_of_the_vector() {
        let opening = SignedOpening {
            salt: std::array::from_fn(|i| i as u8),
            client_ephemeral: public(1),
            card_ephemeral: public(2),
            signature: Vec::new(),
            certificate: identity_certificate(),
        };
        assert_eq!(
            opening.transcript().to_string(),
            "25004b39a7800f68876158e77a7d177e56ec7dc12dddd3dfd5e06d7eba61fbff"
        );
        assert_eq!(
            hex::encode(opening.certificate.identity().to_compressed()),
            "02531fe6068134503d2723133227c867ac8fa6c83c537e9a44c3c5bdbdcb1fe337"
        );
        assert!(matches!(opening.verify(), Err(CardError::Answer { .. })), "no signature");
    }
}
