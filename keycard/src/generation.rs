//! The two generations of the secure channel.

use std::fmt;

use crate::version::Version;

/// A generation of the secure channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// Applets up to 3.2: a static card key and a pairing secret, AES-CBC.
    V1,
    /// Applet 4.0: an identity certificate and a signed opening, AES-CCM; no pairing.
    V2,
}

impl Version {
    /// Returns which secure channel this version speaks.
    #[must_use]
    pub fn generation(self) -> Generation {
        if self >= Self::V4 { Generation::V2 } else { Generation::V1 }
    }
}

/// `v1` or `v2`.
impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}
