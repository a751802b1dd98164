//! The plaintext: `flags (1) || size (n) || payload || padding || [signature (65)]` (7/WAKU-DATA; reference section 2.10).
//!
//! Flags: bits 0 and 1 are n, bit 2 says that a signature follows; the size is little-endian. Invariant: what is written
//! without explicit padding has a length that is a multiple of 256.

use std::ops::Range;

use proto::{ChatKey, Digest, RecoverableSignature, keccak256};
use zeroize::Zeroizing;

use super::OpenError;

/// Returns how much padding fills a plaintext up to a multiple of 256: 1 to 256 bytes.
#[must_use]
pub fn padding_len(payload_len: usize, signed: bool) -> usize {
    let signature = if signed { RecoverableSignature::LEN } else { 0 };
    let raw = 1 + size_len(payload_len) + payload_len + signature;
    BLOCK - raw % BLOCK
}

/// Returns a plaintext without signature; nothing when the payload is longer than [`MAX_PAYLOAD`].
#[must_use]
pub fn unsigned(payload: &[u8], padding: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    write(0, payload, padding)
}

/// A plaintext that waits for its signature.
pub struct ToSign(Zeroizing<Vec<u8>>);

impl ToSign {
    /// Returns a plaintext to be signed; nothing when the payload is longer than [`MAX_PAYLOAD`].
    #[must_use]
    pub fn new(payload: &[u8], padding: &[u8]) -> Option<Self> {
        write(SIGNED, payload, padding).map(Self)
    }

    /// Returns what is to be signed: keccak-256 of everything before the signature, its flag included.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from(keccak256(&[&self.0]))
    }

    /// Returns the whole plaintext.
    #[must_use]
    pub fn signed(mut self, signature: &RecoverableSignature) -> Zeroizing<Vec<u8>> {
        self.0.extend_from_slice(signature.as_bytes());
        self.0
    }
}

/// A decrypted and checked plaintext.
pub struct Opened {
    plaintext: Zeroizing<Vec<u8>>,
    payload: Range<usize>,
    padding: Range<usize>,
    signed: Option<(RecoverableSignature, ChatKey)>,
}

impl Opened {
    /// Reads a plaintext and recovers its signer. The size need not be minimal, unknown flags are ignored, and n = 0 means
    /// no payload; V of the signature must be 0 to 3, not 27 or 28.
    ///
    /// # Errors
    /// [`OpenError::Malformed`].
    pub fn parse(plaintext: Zeroizing<Vec<u8>>) -> Result<Self, OpenError> {
        let malformed = |what| OpenError::Malformed { what };
        let flags = *plaintext.first().ok_or(malformed("empty"))?;
        let mut end = plaintext.len();
        let mut signed = None;
        if flags & SIGNED != 0 {
            let (body, tail) = plaintext.split_last_chunk::<65>().ok_or(malformed("too short for a signature"))?;
            if body.len() < 2 {
                return Err(malformed("too short for a signature"));
            }
            let signature = RecoverableSignature::from(*tail);
            let signer = signature.recover(&Digest::from(keccak256(&[body]))).ok_or(malformed("bad signature"))?;
            signed = Some((signature, signer));
            end = body.len();
        }
        let start = 1 + usize::from(flags & SIZE_LEN);
        let size = plaintext.get(1..start).filter(|_| start <= end).ok_or(malformed("too short for its size"))?;
        let size = size.iter().rev().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        let payload = start..start + size;
        if payload.end > end {
            return Err(malformed("too short for its payload"));
        }
        Ok(Self { padding: payload.end..end, payload, signed, plaintext })
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.plaintext.get(self.payload.clone()).unwrap_or(&[])
    }

    /// Returns the padding, which carries no meaning.
    #[must_use]
    pub fn padding(&self) -> &[u8] {
        self.plaintext.get(self.padding.clone()).unwrap_or(&[])
    }

    /// Returns who signed it, when somebody did.
    #[must_use]
    pub fn signer(&self) -> Option<ChatKey> {
        self.signed.as_ref().map(|(_, signer)| *signer)
    }

    /// Returns the signature.
    #[must_use]
    pub fn signature(&self) -> Option<&RecoverableSignature> {
        self.signed.as_ref().map(|(signature, _)| signature)
    }

    /// Returns everything that was encrypted.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }
}

/// The longest payload: its size has at most three bytes.
pub const MAX_PAYLOAD: usize = 0xff_ffff;

const BLOCK: usize = 256;
const SIZE_LEN: u8 = 0x03;
const SIGNED: u8 = 0x04;

fn size_len(payload_len: usize) -> usize {
    let bits = usize::BITS - payload_len.leading_zeros();
    (bits.div_ceil(8) as usize).max(1)
}

fn write(flags: u8, payload: &[u8], padding: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if payload.len() > MAX_PAYLOAD {
        return None;
    }
    let n = size_len(payload.len());
    // The whole capacity at once: a buffer that grows leaves copies behind.
    let capacity = 1 + n + payload.len() + padding.len() + RecoverableSignature::LEN;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(capacity));
    plaintext.push(flags | u8::try_from(n).ok()?);
    plaintext.extend(payload.len().to_le_bytes().iter().take(n));
    plaintext.extend_from_slice(payload);
    plaintext.extend_from_slice(padding);
    Some(plaintext)
}
