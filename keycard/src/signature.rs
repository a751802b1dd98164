//! ECDSA signatures as cards write them: DER, but not always the shortest (applet 4.0 writes an `s` with a needless 00).
//!
//! ```text
//! 30 len { 02 len r, 02 len s }      r and s: up to 32 significant bytes, big-endian, unsigned
//! ```

use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use k256::ecdsa::{Signature, VerifyingKey};
use proto::{ChatKey, Digest, Fingerprint, RecoverableSignature};

use crate::error::CardError;
use crate::tlv::Reader;

/// Returns the signature that `der` writes.
///
/// # Errors
/// [`CardError::Answer`] for anything else, trailing bytes and values of 33 significant bytes included.
pub(crate) fn parse(der: &[u8]) -> Result<Signature, CardError> {
    let mut reader = Reader::new(der, "a malformed signature").only(0x30)?;
    let r = scalar(&mut reader)?;
    let s = scalar(&mut reader)?;
    let malformed = reader.malformed();
    reader.end()?;
    Signature::from_scalars(r, s).map_err(|_| malformed)
}

/// Returns whether `signer` signed `digest`. High S is taken: the applet does not lower it in OPEN SECURE CHANNEL.
pub(crate) fn verifies(signature: &Signature, digest: &Digest, signer: &ChatKey) -> bool {
    VerifyingKey::from(signer.as_point()).verify_prehash(digest.as_bytes(), &signature.normalize_s()).is_ok()
}

/// Returns the low-S form of `signature` with the number that recovers `signer` from it.
///
/// # Errors
/// [`CardError::FalseSignature`] when `signer` did not sign `digest`.
pub(crate) fn recoverable(
    signature: &Signature,
    digest: &Digest,
    signer: &ChatKey,
) -> Result<RecoverableSignature, CardError> {
    let (r, s) = signature.normalize_s().split_bytes();
    let mut bytes = [0; RecoverableSignature::LEN];
    for (room, byte) in bytes.iter_mut().zip(r.into_iter().chain(s)) {
        *room = byte;
    }
    for v in 0..4 {
        if let Some(last) = bytes.last_mut() {
            *last = v;
        }
        let candidate = RecoverableSignature::from(bytes);
        if candidate.recover(digest).as_ref() == Some(signer) {
            return Ok(candidate);
        }
    }
    Err(CardError::FalseSignature { expected: Fingerprint::of(signer) })
}

fn scalar(reader: &mut Reader<'_>) -> Result<[u8; 32], CardError> {
    let bytes = reader.value(0x02)?;
    let significant = bytes.iter().position(|byte| *byte != 0).map_or(&[][..], |start| bytes.split_at(start).1);
    let mut room = [0; 32];
    let start = room.len().checked_sub(significant.len()).ok_or(reader.malformed())?;
    room.split_at_mut(start).1.copy_from_slice(significant);
    Ok(room)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let inside = [&[2, r.len() as u8], r, &[2, s.len() as u8], s].concat();
        [&[0x30, inside.len() as u8], inside.as_slice()].concat()
    }

    #[test]
    fn short_and_padded_values_are_read() {
        let short = parse(&der(&[5; 31], &[7; 30])).unwrap();
        let padded = parse(&der(&[&[0, 0], &[5; 31][..]].concat(), &[&[0; 3], &[7; 30][..]].concat())).unwrap();
        assert_eq!(short, padded);
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let whole = der(&[5; 32], &[7; 32]);
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(parse(&[&whole[..], &[0]].concat()).is_err(), "trailing byte");
        assert!(parse(&der(&[5; 33], &[7; 32])).is_err(), "33 significant bytes");
        assert!(parse(&der(&[], &[7; 32])).is_err(), "r is zero");
        assert!(parse(&der(&[0xff; 32], &[7; 32])).is_err(), "r is not below n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_signature_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..90),
            r in proptest::collection::vec(any::<u8>(), 0..40),
            s in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = parse(&bytes);
            if let Ok(signature) = parse(&der(&r, &s)) {
                let read = signature.r().to_bytes();
                let padded = [&[0; 40], r.as_slice()].concat();
                prop_assert!(padded.ends_with(&read));
            }
        }
    }
}
