//! The identity certificate that a card carries from the factory (reference: Keycard, card identity).
//!
//! ```text
//! identity key, compressed(33) || r(32) || s(32) || v(1)     v = 0 or 1
//! ```
//! (r, s) is the authority's signature over SHA-256(identity key). The authority is not named: it is recovered from the
//! signature, and whether it is taken is for others to say: [`super::Authorities`] offline, the trust of `keycard` before a
//! PIN is entered.

use std::fmt;

use proto::{ChatKey, Digest, RecoverableSignature};
use sha2::{Digest as _, Sha256};

/// The authority of the cards on sale (keycard-rs, keycard-shell).
const PRODUCTION: [u8; 33] = [
    0x02, 0x9a, 0xb9, 0x9e, 0xe1, 0xe7, 0xa7, 0x1b, 0xdf, 0x45, 0xb3, 0xf9, 0xc5, 0x8c, 0x99, 0x86, 0x6f, 0xf1, 0x29,
    0x4d, 0x2c, 0x1e, 0x30, 0x4e, 0x22, 0x8a, 0x86, 0xe1, 0x0c, 0x33, 0x43, 0x50, 0x1c,
];
/// The authority of the applet's test suite. Its private key is public, so it proves nothing.
const TEST: [u8; 33] = [
    0x02, 0x58, 0x77, 0x22, 0x0a, 0xaa, 0xe6, 0xe5, 0x4a, 0x6f, 0x97, 0x46, 0x02, 0xd5, 0x99, 0x5c, 0x0f, 0xe2, 0x4a,
    0x3e, 0xa7, 0xdd, 0xab, 0xd8, 0x64, 0x4b, 0xec, 0x79, 0x5b, 0x9d, 0xa0, 0x07, 0x43,
];

/// A certificate whose identity key is a point of the curve. Who signed it is another question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    bytes: [u8; Self::LEN],
    identity: ChatKey,
    /// Recovered once: that costs as much as all else that is done to a card's answer.
    authority: Option<Authority>,
}

impl Certificate {
    /// How many bytes.
    pub const LEN: usize = 98;

    /// Returns the certificate with these bytes.
    ///
    /// # Errors
    /// [`NotACertificate`] when there are not 98, or the identity key is no point of the curve.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotACertificate> {
        let bytes: [u8; Self::LEN] = bytes.try_into().map_err(|_| NotACertificate)?;
        let (key, signature) = bytes.split_at(33);
        // SEC1 knows a compact form, 05 || X, too: no card writes it, and it would be a second name of one key.
        let ([2 | 3, ..], Ok(identity)) = (key, ChatKey::try_from(key)) else { return Err(NotACertificate) };
        Ok(Self { bytes, identity, authority: Authority::who_signed(key, signature) })
    }

    /// Returns the card's identity key.
    #[must_use]
    pub const fn identity(&self) -> &ChatKey {
        &self.identity
    }

    /// Returns who signed the certificate, or nothing when the signature names nobody.
    #[must_use]
    pub const fn authority(&self) -> Option<Authority> {
        self.authority
    }

    /// Returns the 98 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.bytes
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes: _, identity, authority } = self;
        f.debug_struct("Certificate").field("identity", identity).field("authority", authority).finish_non_exhaustive()
    }
}

/// Bytes that are no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identity certificate of 98 bytes")]
pub struct NotACertificate;

/// A key that signs identity certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The authority of the cards on sale.
    Production,
    /// The authority whose private key is public, for software cards and tests.
    Test,
    /// Any other.
    Other(ChatKey),
}

impl Authority {
    /// Returns the key that the signature in a certificate names.
    fn who_signed(identity: &[u8], signature: &[u8]) -> Option<Self> {
        let signature: [u8; 65] = signature.try_into().ok()?;
        let [.., 0 | 1] = signature else { return None };
        let digest = Digest::from(<[u8; 32]>::from(Sha256::digest(identity)));
        RecoverableSignature::from(signature).recover(&digest).map(Self::from)
    }
}

impl From<ChatKey> for Authority {
    fn from(key: ChatKey) -> Self {
        match key.to_compressed() {
            PRODUCTION => Self::Production,
            TEST => Self::Test,
            _ => Self::Other(key),
        }
    }
}

/// `production`, `test`, or the compressed key in hexadecimal.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Production => f.write_str("production"),
            Self::Test => f.write_str("test"),
            Self::Other(key) => key.to_compressed().iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::curve;

    use super::*;
    use crate::evidence::signature;

    /// keycard-go `types/certificate_test.go`: the answer to IDENTIFY CARD, whose certificate follows `a0 81 ab 8a 62`.
    const KEYCARD_GO: &str = "0365c18485fe7018e11cb992011426803aa8e843c63aab9657aed7d3ee4b85a62a\
        11188ada267db3312a84e1be27c01c736a89da7a1fe4f7e90ce297e74f00008e\
        2bfdb06058374abfc1c026386d16ead7bbc19bc0645d2e7acf7b953169bbc1ac01";
    const CHALLENGE: &str = "63acd6e02a8b5783551ff2836a9cbdf237c115c3ff018b943f044e6a69b19fe7";
    const SIGNATURE: &str = "30450220364c5ca937b7ca42861978f086d206cc569ef0bb2ea4c7de08929c2fcca7434d\
        022100c87699ce4f977e6a7a4800343db9b6842b91ca873e56dfe3327d19a2d01af14e";

    fn certificate() -> Certificate {
        Certificate::parse(&hex::decode(KEYCARD_GO).unwrap()).unwrap()
    }

    #[test]
    fn the_certificate_of_keycard_go_names_its_older_authority() {
        let authority = certificate().authority().unwrap();
        assert_eq!(authority.to_string(), "02fc929321aa94fea085b166994aa66590116252cf0235a03accaa2c8ab4595de5");
        assert_eq!(
            hex::encode(certificate().identity().to_compressed()),
            "0365c18485fe7018e11cb992011426803aa8e843c63aab9657aed7d3ee4b85a62a"
        );
    }

    #[test]
    fn the_identity_of_keycard_go_signed_its_challenge_with_high_s() {
        let signature = signature::parse(&hex::decode(SIGNATURE).unwrap()).unwrap();
        assert!(signature[32] > 0x7f, "S is high in this vector");
        let digest = Digest::try_from(hex::decode(CHALLENGE).unwrap().as_slice()).unwrap();
        assert!(curve::verify(&signature, &digest, certificate().identity()));
        assert!(!curve::verify(&signature, &Digest::from([1; 32]), certificate().identity()));
    }

    #[test]
    fn the_test_authority_is_the_one_whose_private_key_is_public() {
        let secret = hex::decode("a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b6c7d8e9f0a1b2").unwrap();
        let key = ChatKey::from(k256::SecretKey::from_slice(&secret).unwrap().public_key());
        assert_eq!(Authority::from(key), Authority::Test);
        assert_eq!(Authority::Test.to_string(), "test");
    }

    #[test]
    fn the_production_authority_is_a_point_of_the_curve() {
        assert_eq!(Authority::from(ChatKey::try_from(PRODUCTION.as_slice()).unwrap()), Authority::Production);
    }

    #[test]
    fn malformed_certificates_are_refused() {
        let whole = hex::decode(KEYCARD_GO).unwrap();
        for length in [0, 33, 97] {
            assert!(Certificate::parse(&whole[..length]).is_err());
        }
        assert!(Certificate::parse(&[&whole[..], &[0]].concat()).is_err());
        let mut off_the_curve = whole.clone();
        off_the_curve[0] = 5;
        assert!(Certificate::parse(&off_the_curve).is_err());
    }

    #[test]
    fn a_signature_that_names_nobody_has_no_authority() {
        let mut bytes = hex::decode(KEYCARD_GO).unwrap();
        bytes[97] = 2;
        assert_eq!(Certificate::parse(&bytes).unwrap().authority(), None, "v is 0 or 1");
        bytes[97] = 0;
        assert_ne!(
            Certificate::parse(&bytes).unwrap().authority(),
            certificate().authority(),
            "the other v, another key"
        );
        bytes[33..65].fill(0);
        assert_eq!(Certificate::parse(&bytes).unwrap().authority(), None, "r is zero");
    }

    proptest! {
        #[test]
        fn an_altered_signature_never_names_a_known_authority(at in 33usize..98, flip in 1u8..) {
            let mut bytes = *crate::tests::card::certificate(1).as_bytes();
            bytes[at] ^= flip;
            let authority = Certificate::parse(&bytes).unwrap().authority();
            prop_assert!(!matches!(authority, Some(Authority::Production | Authority::Test)));
        }
    }
}
