//! Signatures of a card, checked with nothing but curve and hash.

use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use k256::elliptic_curve::ops::Reduce as _;
use k256::elliptic_curve::point::AffineCoordinates as _;
use k256::{FieldBytes, ProjectivePoint, PublicKey, Scalar};
use scenarios::peer::{Outcome, Tool};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::desk::{Client, unhex};
use crate::geth::same;

/// Has a client sign with the key at a path, or the current one, and checks that the signature is of this key: it
/// verifies, its s is low, and the key comes out of it.
pub(crate) fn signs(client: &mut Client, command: &str, path: Option<&str>, public: &str) -> Outcome {
    let (hash, signed) = signed(client, command, path)?;
    same("the key that the card signed with", signed["public"].as_str(), Some(public))?;
    is_of(&hash, &signed, public)
}

/// Checks that an ECDSA signature is of this key.
pub(crate) fn is_of(hash: &[u8; 32], signed: &Value, public: &str) -> Outcome {
    let (r, s) = (scalar(signed, "r")?, scalar(signed, "s")?);
    let signature = Signature::from_scalars(r, s)?;
    same("a low s", signature.normalize_s(), signature)?;
    let key = VerifyingKey::from_sec1_bytes(&unhex(public)?)?;
    key.verify_prehash(hash, &signature)?;
    if let Some(v) = signed["v"].as_u64() {
        let id = u8::try_from(v).ok().and_then(RecoveryId::from_byte).ok_or("no recovery id")?;
        same("the recovered key", VerifyingKey::recover_from_prehash(hash, &signature, id)?, key)?;
    }
    Ok(())
}

/// Returns a hash and what the client got for it. Some clients fail where r or s is short, and the next hash is signed.
pub(crate) fn signed(client: &mut Client, command: &str, path: Option<&str>) -> Outcome<([u8; 32], Value)> {
    let stumbles = matches!(client.tool, Tool::KeycardGo | Tool::KeycardSdk);
    for number in 1..8 {
        let hash = [number; 32];
        let mut arguments = json!({"hash": hex::encode(hash)});
        if let Some(path) = path {
            arguments["path"] = path.into();
        }
        match client.ask(command, arguments) {
            Ok(signed) => return Ok((hash, signed)),
            Err(error) if stumbles && SHORT.iter().any(|short| error.to_string().contains(short)) => {}
            Err(error) => return Err(error),
        }
    }
    Err("seven signatures with short numbers".into())
}

fn scalar(signed: &Value, name: &str) -> Outcome<[u8; 32]> {
    let bytes = unhex(signed[name].as_str().ok_or("a signature without its numbers")?)?;
    let mut scalar = [0; 32];
    let start = scalar.len().checked_sub(bytes.len()).ok_or("a number of more than 32 bytes")?;
    scalar[start..].copy_from_slice(&bytes);
    Ok(scalar)
}

/// Checks a BIP-340 signature by this key with this tweak added to it.
pub(crate) fn is_schnorr_of(hash: &[u8; 32], signed: &Value, public: &str, tweak: &[u8; 32]) -> Outcome {
    let (r, s) = (scalar(signed, "r")?, scalar(signed, "s")?);
    let untweaked = even(PublicKey::from_sec1_bytes(&unhex(public)?)?.to_projective());
    let key = even(untweaked + ProjectivePoint::GENERATOR * number(tweak));
    let tag = Sha256::digest(b"BIP0340/challenge");
    let challenge = [&tag[..], &tag, &r, &x(&key), hash].concat();
    let nonce = ProjectivePoint::GENERATOR * number(&s) - key * number(&Sha256::digest(challenge).into());
    same("the x of the nonce", x(&nonce), r)?;
    same("the nonce with an even y", even(nonce), nonce)
}

fn number(bytes: &[u8; 32]) -> Scalar {
    Scalar::reduce(&FieldBytes::from(*bytes))
}

fn x(point: &ProjectivePoint) -> [u8; 32] {
    point.to_affine().x().into()
}

fn even(point: ProjectivePoint) -> ProjectivePoint {
    if bool::from(point.to_affine().y_is_odd()) { -point } else { point }
}

/// What clients say of a signature whose r or s has less than 32 bytes.
const SHORT: [&str; 2] = ["invalid signature", "expects Uint8Array with length 65"];
