//! The status words that the applet and the card's operating system answer (ISO 7816-4).

/// SW1 and SW2 at the end of every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusWord(u16);

impl StatusWord {
    pub(crate) const OK: Self = Self(0x9000);
    pub(crate) const WRONG_LENGTH: Self = Self(0x6700);
    /// The secure channel is broken: always in clear, and the channel's keys are gone.
    pub(crate) const SECURITY_STATUS: Self = Self(0x6982);
    /// Refused for good, after too many wrong proofs (GlobalPlatform).
    pub(crate) const BLOCKED: Self = Self(0x6983);
    /// The other side does not have the keys (GlobalPlatform).
    pub(crate) const WRONG_CRYPTOGRAM: Self = Self(0x6300);
    /// Nothing of this name is there (GlobalPlatform).
    pub(crate) const NOT_REFERENCED: Self = Self(0x6a88);
    /// A derived key is none (BIP-32's corner case).
    pub(crate) const INVALID_CHILD: Self = Self(0x6984);
    /// Something must come first: a channel, a PIN, a key; or the rules forbid it.
    pub(crate) const CONDITIONS: Self = Self(0x6985);
    pub(crate) const WRONG_DATA: Self = Self(0x6a80);
    /// SIGN has no such algorithm.
    pub(crate) const NOT_SUPPORTED: Self = Self(0x6a81);
    pub(crate) const NOT_FOUND: Self = Self(0x6a82);
    pub(crate) const WRONG_P1_P2: Self = Self(0x6a86);
    /// No pairing slot is free.
    pub(crate) const FULL: Self = Self(0x6a84);
    /// SIGN without a PIN, and no path to sign with.
    pub(crate) const NO_PINLESS_PATH: Self = Self(0x6a88);
    /// P1 asks for a source that there is none of.
    pub(crate) const WRONG_SOURCE: Self = Self(0x6b00);
    pub(crate) const UNKNOWN_INS: Self = Self(0x6d00);
    /// An exception that the applet does not catch, or a memory that cannot be written.
    pub(crate) const INTERNAL: Self = Self(0x6f00);

    /// What a decryption throws at wrong padding: "illegal use" (Java Card's CryptoException, reason 5).
    pub(crate) const BAD_PADDING: Self = Self(0x6f05);

    /// Returns `63Cn`: a wrong PIN, `tries` left. The applet's limits keep `tries` below 16.
    pub(crate) fn wrong_pin(tries: u8) -> Self {
        Self(0x63c0 | u16::from(tries & 0x0f))
    }

    pub(crate) fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}
