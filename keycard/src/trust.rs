//! Whom we believe that a card is genuine.

use proto::{CardId, ChatKey};

use crate::certificate::{Authority, Certificate};

/// The authorities whose certificates are taken, and cards that are taken by their identity key alone.
///
/// A card passes when either holds. The default takes the production authority and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    authorities: Vec<Authority>,
    identities: Vec<ChatKey>,
}

impl Trust {
    /// Returns the trust in the authority of the cards on sale.
    #[must_use]
    pub fn production() -> Self {
        Self { authorities: vec![Authority::Production], identities: Vec::new() }
    }

    /// Returns the trust in nobody, to be extended.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { authorities: Vec::new(), identities: Vec::new() }
    }

    /// Also takes the public test authority, which proves nothing: software cards and tests.
    #[must_use]
    pub fn with_test_authority(self) -> Self {
        self.with_authority(Authority::Test)
    }

    /// Also takes what `authority` signed.
    #[must_use]
    pub fn with_authority(mut self, authority: Authority) -> Self {
        self.authorities.push(authority);
        self
    }

    /// Also takes the card with this identity key, whoever signed its certificate.
    #[must_use]
    pub fn with_identity(mut self, identity: ChatKey) -> Self {
        self.identities.push(identity);
        self
    }

    /// Judges a certificate.
    ///
    /// # Errors
    /// [`Untrusted`], which names the card and who signed for it.
    pub fn judge(&self, certificate: &Certificate) -> Result<(), Untrusted> {
        let authority = certificate.authority();
        if authority.is_some_and(|authority| self.authorities.contains(&authority))
            || self.identities.contains(certificate.identity())
        {
            return Ok(());
        }
        let card = CardId::Identity(certificate.identity().to_compressed());
        Err(match authority {
            Some(Authority::Test) => Untrusted::TestAuthority { card },
            Some(authority) => Untrusted::UnknownAuthority { card, authority: Box::new(authority) },
            None => Untrusted::NoAuthority { card },
        })
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::production()
    }
}

/// Why a card is not believed to be genuine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// An authority signed the certificate that is not among those taken.
    #[error(
        "the certificate of card {card} is signed by {authority}, which is not trusted; use a genuine card, or add its \
         identity to the allow-list"
    )]
    UnknownAuthority {
        /// The card.
        card: CardId,
        /// Who signed.
        authority: Box<Authority>,
    },
    /// The public test authority signed, and nobody asked for it to be taken.
    #[error("card {card} is a test card (anybody can make one); allow the test authority to use it")]
    TestAuthority {
        /// The card.
        card: CardId,
    },
    /// The signature of the certificate names nobody.
    #[error("the certificate of card {card} is signed by nobody; do not use it")]
    NoAuthority {
        /// The card.
        card: CardId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{identity_certificate, identity_key};

    #[test]
    fn the_test_authority_is_refused_unless_asked_for() {
        let certificate = identity_certificate();
        assert!(matches!(Trust::default().judge(&certificate), Err(Untrusted::TestAuthority { .. })));
        assert_eq!(Trust::default().with_test_authority().judge(&certificate), Ok(()));
    }

    #[test]
    fn a_listed_identity_needs_no_authority() {
        let mut bytes = *identity_certificate().as_bytes();
        bytes[97] = 9;
        let certificate = Certificate::parse(&bytes).unwrap();
        assert!(matches!(Trust::default().judge(&certificate), Err(Untrusted::NoAuthority { .. })));
        assert_eq!(Trust::nobody().with_identity(identity_key()).judge(&certificate), Ok(()));
    }

    #[test]
    fn an_altered_certificate_is_of_an_unknown_authority() {
        let mut bytes = *identity_certificate().as_bytes();
        bytes[97] ^= 1;
        let certificate = Certificate::parse(&bytes).unwrap();
        let judged = Trust::default().with_test_authority().judge(&certificate);
        assert!(matches!(judged, Err(Untrusted::UnknownAuthority { .. })));
        assert!(judged.unwrap_err().to_string().contains("allow-list"), "the error says what to do");
    }
}
