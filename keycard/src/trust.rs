//! Whom we believe that a card is genuine.

use proto::{CardId, ChatKey};

use crate::generation::Generation;
use audit::evidence::{Authority, BadList, Certificate, keys_of};

/// The authorities whose certificates are taken, and cards that are taken by their identity key alone.
///
/// A card passes when either holds. The default takes the production authority and nothing else.
///
/// An identity key is good for one generation of the secure channel: a 3.1 or 3.2 card signs whatever it is given
/// (IDENTIFY CARD), so a device with such a card behind it could sign the opening of a 4.0 channel that ends in the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    authorities: Vec<Authority>,
    identities: Vec<ChatKey>,
    seen: Vec<(ChatKey, Generation)>,
    uncertified: bool,
}

impl Trust {
    /// Returns the trust in the authority of the cards on sale.
    #[must_use]
    pub fn production() -> Self {
        Self::nobody().with_authority(Authority::Production)
    }

    /// Returns the trust in nobody, to be extended.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { authorities: Vec::new(), identities: Vec::new(), seen: Vec::new(), uncertified: false }
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

    /// Also takes what the authorities of a list signed: the text of a file with one compressed key in hexadecimal a line;
    /// empty lines and what follows `#` do not count.
    ///
    /// # Errors
    /// [`BadList`]; also for the public test authority, which is asked for by name or not at all.
    pub fn with_authorities(mut self, list: &str) -> Result<Self, BadList> {
        for (line, key) in keys_of(list) {
            match Authority::from(key.ok_or(BadList::NotAKey { line })?) {
                Authority::Test => return Err(BadList::TestAuthority { line }),
                authority => self = self.with_authority(authority),
            }
        }
        Ok(self)
    }

    /// Also takes the cards of an allow-list, by their identity keys, whoever signed their certificates; its form is that
    /// of [`Trust::with_authorities`].
    ///
    /// # Errors
    /// [`BadList`].
    pub fn with_identities(mut self, list: &str) -> Result<Self, BadList> {
        for (line, key) in keys_of(list) {
            self = self.with_identity(key.ok_or(BadList::NotAKey { line })?);
        }
        Ok(self)
    }

    /// Refuses this identity key from cards of the other generation than the one it was seen on, whoever vouches for it.
    #[must_use]
    pub fn with_seen(mut self, identity: ChatKey, generation: Generation) -> Self {
        self.seen.push((identity, generation));
        self
    }

    /// Also takes cards of generation v1 that have no certificate: those up to 3.0 never have one. Who they are is for
    /// the pairing to prove.
    #[must_use]
    pub const fn with_uncertified_cards(mut self) -> Self {
        self.uncertified = true;
        self
    }

    /// Returns whether the card with this identity key is taken for that key alone: somebody named this very card.
    #[must_use]
    pub fn lists(&self, identity: &ChatKey) -> bool {
        self.identities.contains(identity)
    }

    /// Returns whether cards without a certificate are taken.
    #[must_use]
    pub const fn takes_uncertified(&self) -> bool {
        self.uncertified
    }

    /// Judges the certificate of a card that speaks the channel of `generation`.
    ///
    /// # Errors
    /// [`Untrusted`], which names the card and who signed for it.
    pub fn judge(&self, certificate: &Certificate, generation: Generation) -> Result<(), Untrusted> {
        let elsewhere = |(key, seen): &(ChatKey, Generation)| key == certificate.identity() && *seen != generation;
        if self.seen.iter().any(elsewhere) {
            let card = CardId::Identity(certificate.identity().to_compressed());
            return Err(Untrusted::OtherGeneration { card, found: generation });
        }
        let authority = certificate.authority();
        if authority.is_some_and(|authority| self.authorities.contains(&authority))
            || self.lists(certificate.identity())
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
    /// The card has no certificate, and nobody asked for such cards to be taken.
    #[error("card {card} has no certificate, so nobody vouches for it: confirm its fingerprint to use it")]
    NoCertificate {
        /// The card.
        card: CardId,
    },
    /// The identity key belongs to a card of the other generation.
    #[error(
        "the identity of card {card} was seen on a card of another generation, this one speaks secure channel {found}: \
         a device may stand in between; do not use it"
    )]
    OtherGeneration {
        /// The card.
        card: CardId,
        /// What is spoken.
        found: Generation,
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
    use crate::fake::{identity_certificate, identity_key, public};

    #[test]
    fn the_test_authority_is_refused_unless_asked_for() {
        let certificate = identity_certificate();
        assert!(matches!(Trust::default().judge(&certificate, Generation::V2), Err(Untrusted::TestAuthority { .. })));
        assert_eq!(Trust::default().with_test_authority().judge(&certificate, Generation::V2), Ok(()));
    }

    #[test]
    fn a_listed_identity_needs_no_authority() {
        let mut bytes = *identity_certificate().as_bytes();
        bytes[97] = 9;
        let certificate = Certificate::parse(&bytes).unwrap();
        assert!(matches!(Trust::default().judge(&certificate, Generation::V2), Err(Untrusted::NoAuthority { .. })));
        assert_eq!(Trust::nobody().with_identity(identity_key()).judge(&certificate, Generation::V2), Ok(()));
    }

    #[test]
    fn lists_of_authorities_and_of_cards_are_read_line_by_line() {
        let hex = |key: ChatKey| hex::encode(key.to_compressed());
        let list = format!("# ours\n\n  {}  # spare\n{}\n", hex(public(5)), hex(public(6)).to_uppercase());
        let trust = Trust::nobody().with_authorities(&list).unwrap();
        assert_eq!(trust.authorities, [Authority::Other(public(5)), Authority::Other(public(6))]);
        let trust = Trust::nobody().with_identities(&hex(identity_key())).unwrap();
        assert_eq!(trust.judge(&identity_certificate(), Generation::V2), Ok(()));
    }

    #[test]
    fn a_list_with_anything_else_names_the_line() {
        let uncompressed = hex::encode(public(5).to_bytes());
        for bad in ["02", &"0".repeat(66), &uncompressed, "é2", &format!("{}x", hex::encode([2; 33]))] {
            assert_eq!(
                Trust::nobody().with_identities(&format!("\n{bad}")),
                Err(BadList::NotAKey { line: 2 }),
                "{bad}"
            );
        }
        let test = "025877220aaae6e54a6f974602d5995c0fe24a3ea7ddabd8644bec795b9da00743";
        assert_eq!(Trust::nobody().with_authorities(test), Err(BadList::TestAuthority { line: 1 }));
    }

    /// Attack: a device plays a 4.0 card and has a genuine 3.x card sign for it.
    #[test]
    fn an_identity_seen_on_one_generation_is_never_taken_on_the_other() {
        let trust = Trust::default().with_test_authority().with_identity(identity_key());
        let trust = trust.with_seen(identity_key(), Generation::V1);
        let certificate = identity_certificate();
        assert_eq!(trust.judge(&certificate, Generation::V1), Ok(()));
        assert!(matches!(trust.judge(&certificate, Generation::V2), Err(Untrusted::OtherGeneration { .. })));
        let trust = Trust::default().with_test_authority().with_seen(identity_key(), Generation::V2);
        assert!(matches!(trust.judge(&certificate, Generation::V1), Err(Untrusted::OtherGeneration { .. })));
        assert_eq!(trust.judge(&certificate, Generation::V2), Ok(()));
    }

    #[test]
    fn an_altered_certificate_is_of_an_unknown_authority() {
        let mut bytes = *identity_certificate().as_bytes();
        bytes[97] ^= 1;
        let certificate = Certificate::parse(&bytes).unwrap();
        let judged = Trust::default().with_test_authority().judge(&certificate, Generation::V2);
        assert!(matches!(judged, Err(Untrusted::UnknownAuthority { .. })));
        assert!(judged.unwrap_err().to_string().contains("allow-list"), "the error says what to do");
    }
}
