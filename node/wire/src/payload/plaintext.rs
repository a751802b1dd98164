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

#[cfg(test)]
mod tests {
    use k256::ecdsa::SigningKey;
    use proptest::prelude::*;

    use super::*;

    fn key_a() -> SigningKey {
        let key = hex::decode("c6cbd7d76bc5baca530c875663711b947efa6a86a900a9e8645ce32e5821484e").unwrap();
        SigningKey::from_slice(&key).unwrap()
    }

    fn signed(payload: &[u8], padding: &[u8]) -> Zeroizing<Vec<u8>> {
        let to_sign = ToSign::new(payload, padding).unwrap();
        let signature = RecoverableSignature::sign(&key_a(), &to_sign.digest());
        to_sign.signed(&signature)
    }

    fn parse(bytes: &[u8]) -> Result<Opened, OpenError> {
        Opened::parse(Zeroizing::new(bytes.to_vec()))
    }

    /// WDATA-02, WDATA-04, WDATA-05, WDATA-06, WDATA-07: reference section 10.6, made by status-go 0.62.18.
    #[test]
    fn the_recorded_plaintext_is_written_and_read() {
        let recorded = "050c68656c6c6f20737461747573aaaaaaaaaaaaaaa46e70a326acc86ed9cc61a949d980f4eaa7d957caceda028936c0d84a4e6cf31a\
             76bcbd71161f2cc8d873783dabdae7a874b1b58fc2a30493a4075e1f466d0601";
        let plaintext = signed(b"hello status", &[0xaa; 7]);
        assert_eq!(hex::encode(&plaintext), recorded);
        let opened = parse(&plaintext).unwrap();
        assert_eq!((opened.payload(), opened.padding()), (b"hello status".as_slice(), [0xaa; 7].as_slice()));
        let signer = ChatKey::from(k256::PublicKey::from(key_a().verifying_key()));
        assert_eq!(opened.signer(), Some(signer));
        assert_eq!(opened.signature().unwrap().as_bytes().as_slice(), &plaintext[plaintext.len() - 65..]);
    }

    /// WDATA-09: reference section 10.6, the whole length by payload, signed and unsigned.
    #[test]
    fn automatic_padding_fills_whole_blocks() {
        let cases = [
            (0, 256, 256),
            (1, 256, 256),
            (189, 512, 256),
            (190, 512, 256),
            (191, 512, 256),
            (255, 512, 512),
            (256, 512, 512),
            (443, 512, 512),
            (444, 768, 512),
            (445, 768, 512),
        ];
        for (len, with, without) in cases {
            let payload = vec![1; len];
            assert_eq!(signed(&payload, &vec![0; padding_len(len, true)]).len(), with, "{len} signed");
            assert_eq!(unsigned(&payload, &vec![0; padding_len(len, false)]).unwrap().len(), without, "{len}");
        }
    }

    /// WDATA-08: V is 0 or 1 on the wire; 27 and 28 are refused, as the peer does.
    #[test]
    fn a_signature_with_v_27_is_refused() {
        let mut plaintext = signed(b"x", b"").to_vec();
        *plaintext.last_mut().unwrap() += 27;
        assert!(matches!(parse(&plaintext), Err(OpenError::Malformed { .. })));
    }

    #[test]
    fn odd_but_legal_plaintexts_are_read() {
        let of = |text: &str| parse(&hex::decode(text).unwrap()).map(|o| (o.payload().to_vec(), o.padding().to_vec()));
        assert_eq!(of("00aabb"), Ok((vec![], vec![0xaa, 0xbb])), "no size: all is padding");
        assert_eq!(of("020100aabb"), Ok((vec![0xaa], vec![0xbb])), "a size that is not minimal");
        assert_eq!(of("f901aa"), Ok((vec![0xaa], vec![])), "unknown flags");
        assert_eq!(of("0100"), Ok((vec![], vec![])));
    }

    #[test]
    fn short_plaintexts_are_refused() {
        for text in ["", "01", "0102aa", "03ffffff", "020100", "04", "05"] {
            assert!(parse(&hex::decode(text).unwrap()).is_err(), "{text}");
        }
        // A signature takes 65 bytes, and flags and size must be left.
        assert!(parse(&[&[4][..], &[1; 65]].concat()).is_err());
    }

    #[test]
    fn a_payload_of_16_mib_is_too_long() {
        let payload = vec![0; MAX_PAYLOAD + 1];
        assert!(unsigned(&payload, &[]).is_none() && ToSign::new(&payload, &[]).is_none());
        let longest = unsigned(&payload[..MAX_PAYLOAD], &[9]).unwrap();
        let opened = Opened::parse(longest).unwrap();
        assert_eq!((opened.payload().len(), opened.padding()), (MAX_PAYLOAD, [9].as_slice()));
    }

    proptest! {
        /// WDATA-10: padding may have any size.
        #[test]
        fn what_was_written_is_read_back(payload: Vec<u8>, padding: Vec<u8>) {
            for plaintext in [unsigned(&payload, &padding).unwrap(), signed(&payload, &padding)] {
                let opened = Opened::parse(plaintext).unwrap();
                prop_assert_eq!((opened.payload(), opened.padding()), (payload.as_slice(), padding.as_slice()));
            }
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
