//! The version word of an applet, and what each version can do (reference: Keycard applet, feature by version).
//!
//! The word is the only thing that decides: applets older than 4.0 answer 9000 to some of what they do not know (a
//! Schnorr signature asked of 3.2 is ECDSA). A command that the card's version does not know is refused before anything
//! is sent.

use std::fmt;

/// An applet's version word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u8; 2]);

impl Version {
    /// The oldest that this program speaks to.
    pub const V2_2: Self = Self([2, 2]);
    /// The first with data slots.
    pub const V3_0: Self = Self([3, 0]);
    /// The first with an identity, factory reset, and limits of tries.
    pub const V3_1: Self = Self([3, 1]);
    /// The first with ephemeral pairing and seeds of any length.
    pub const V3_2: Self = Self([3, 2]);
    /// The first with secure channel v2.
    pub const V4: Self = Self([4, 0]);

    /// Returns the version with this word.
    #[must_use]
    pub const fn new(word: [u8; 2]) -> Self {
        Self(word)
    }

    /// Returns the word: major, minor.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 2] {
        self.0
    }

    /// Returns whether this version has `feature`.
    #[must_use]
    pub fn supports(self, feature: Feature) -> bool {
        let (first, dropped) = feature.span();
        first <= self && dropped.is_none_or(|dropped| self < dropped)
    }
}

/// What not every applet can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Secure channel v1: PAIR, UNPAIR, MUTUALLY AUTHENTICATE and the pairing secret.
    Pairing,
    /// A pairing that ends with the session.
    EphemeralPairing,
    /// A current key: GET STATUS of its path, DERIVE KEY, SIGN with it.
    CurrentPath,
    /// A key that signs without a PIN.
    PinlessPath,
    /// Keys are derived each time from `m`. Before, EXPORT KEY and SIGN know `m` only as the current key, and SIGN takes the
    /// first bit of the hash for that of the path.
    LazyDerivation,
    /// GET DATA and STORE DATA.
    DataSlots,
    /// An NDEF message that begins with its own length, and is written in parts.
    NdefParts,
    /// GET DATA from an offset on.
    NdefOffset,
    /// EXPORT KEY gives a public key with its chain code.
    ExtendedPublic,
    /// IDENTIFY CARD.
    Identify,
    /// FACTORY RESET.
    FactoryReset,
    /// INIT takes limits of tries and a duress PIN.
    InitLimits,
    /// LOAD KEY takes seeds of 16 to 64 bytes; before, of 64 only.
    SeedLengths,
    /// LOAD KEY takes a LEE seed; EXPORT LEE.
    Lee,
    /// GET CHALLENGE.
    Challenge,
    /// BIP-340 signatures.
    Schnorr,
    /// EXPORT BIP85.
    Bip85,
    /// ECDH.
    Ecdh,
}

impl Feature {
    /// Returns the first version that has it, and the one that dropped it.
    const fn span(self) -> (Version, Option<Version>) {
        match self {
            Self::Pairing | Self::CurrentPath | Self::PinlessPath => (Version::V2_2, Some(Version::V4)),
            Self::EphemeralPairing => (Version::V3_2, Some(Version::V4)),
            Self::DataSlots => (Version::V3_0, None),
            Self::Identify => (Version::V3_1, Some(Version::V4)),
            Self::LazyDerivation | Self::ExtendedPublic | Self::FactoryReset | Self::InitLimits => {
                (Version::V3_1, None)
            }
            Self::NdefParts | Self::SeedLengths => (Version::V3_2, None),
            Self::NdefOffset | Self::Lee | Self::Challenge | Self::Schnorr | Self::Bip85 | Self::Ecdh => {
                (Version::V4, None)
            }
        }
    }
}

/// `4.0`
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor] = self.0;
        write!(f, "{major}.{minor}")
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the reference, section 2.3: the applets 2.2, 3.0, 3.1, 3.2 and 4.0 from left to right.
    #[test]
    fn each_version_has_the_features_of_the_table() {
        use Feature::*;
        let versions = [Version::V2_2, Version::V3_0, Version::V3_1, Version::V3_2, Version::V4];
        for (feature, has) in [
            (Pairing, "yyyyn"),
            (EphemeralPairing, "nnnyn"),
            (CurrentPath, "yyyyn"),
            (PinlessPath, "yyyyn"),
            (DataSlots, "nyyyy"),
            (NdefParts, "nnnyy"),
            (NdefOffset, "nnnny"),
            (LazyDerivation, "nnyyy"),
            (ExtendedPublic, "nnyyy"),
            (Identify, "nnyyn"),
            (FactoryReset, "nnyyy"),
            (InitLimits, "nnyyy"),
            (SeedLengths, "nnnyy"),
            (Lee, "nnnny"),
            (Challenge, "nnnny"),
            (Schnorr, "nnnny"),
            (Bip85, "nnnny"),
            (Ecdh, "nnnny"),
        ] {
            let found: String = versions.map(|v| if v.supports(feature) { 'y' } else { 'n' }).iter().collect();
            assert_eq!(found, has, "{feature:?}");
        }
    }

    #[test]
    fn a_version_between_or_after_those_known_is_taken_for_the_one_before() {
        let (before, between, after) = (Version::new([2, 1]), Version::new([3, 3]), Version::new([4, 1]));
        assert!(!before.supports(Feature::Pairing));
        assert!(!between.supports(Feature::Ecdh) && between.supports(Feature::Pairing));
        assert!(after.supports(Feature::Ecdh) && !after.supports(Feature::Pairing));
        assert_eq!((after.to_string(), after.to_bytes()), ("4.1".to_owned(), [4, 1]));
    }
}
