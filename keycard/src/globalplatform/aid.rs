//! Application identifiers (ISO 7816-5): the names of packages, applets and instances.

use std::fmt;

/// An application identifier of 5 to 16 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Aid(Vec<u8>);

impl Aid {
    /// Returns the identifier with these bytes, or nothing when they are too few or too many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (5..=16).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether it names the same as these bytes.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        self.0 == bytes
    }
}

/// The bytes in lower-case hexadecimal.
impl fmt::Display for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aid({self})")
    }
}

/// The package with the applets of a Keycard.
pub(crate) const PACKAGE: &[u8] = &[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01];
/// The package of arithmetic that applet 4.0 builds upon.
pub(crate) const MATH: &[u8] = &[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x02];
/// The Keycard applet, and the instance that everybody selects.
pub(crate) const KEYCARD: (&[u8], &[u8]) =
    (&[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01], &[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01]);
/// The NDEF applet under the name that a phone looks for (NFC Forum, type 4 tag).
pub(crate) const NDEF: (&[u8], &[u8]) =
    (&[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x02], &[0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01]);
/// The Cash applet.
pub(crate) const CASH: (&[u8], &[u8]) =
    (&[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x03], &[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x03, 0x01]);
/// The Ident applet, which holds the card's certificate.
pub(crate) const IDENT: (&[u8], &[u8]) =
    (&[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x04], &[0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x04, 0x01]);
