//! ECDSA signatures as cards write them. Their form is that of [`audit::evidence::signature`].

use audit::evidence::signature::parse as parse_der;
use k256::ecdsa::Signature;
use proto::{ChatKey, Digest, Fingerprint, RecoverableSignature, curve};

use crate::error::CardError;

/// Returns the signature that `der` writes.
///
/// # Errors
/// [`CardError::Answer`] for anything else.
pub(crate) fn parse(der: &[u8]) -> Result<Signature, CardError> {
    let both = parse_der(der).and_then(|both| Signature::from_slice(&both).ok());
    both.ok_or(CardError::Answer { what: "a malformed signature" })
}

/// Returns whether `signer` signed `digest`. High S is taken: the applet does not lower it in OPEN SECURE CHANNEL.
pub(crate) fn verifies(signature: &Signature, digest: &Digest, signer: &ChatKey) -> bool {
    curve::verify(&signature.to_bytes().into(), digest, signer)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_signature_has_are_refused() {
        let der = |r: u8, s: u8| [&[0x30, 68, 2, 32][..], &[r; 32], &[2, 32], &[s; 32]].concat();
        assert!(parse(&der(5, 7)).is_ok());
        assert!(parse(&der(0, 7)).is_err(), "r is zero");
        assert!(parse(&der(0xff, 7)).is_err(), "r is not below n");
        assert!(parse(&der(5, 7)[1..]).is_err());
    }
}
