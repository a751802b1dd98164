//! A card of the public test authority that signs what a log asks it to.

use std::sync::LazyLock;

use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use k256::ecdsa::{Signature, SigningKey};
use proto::{CardId, ChatKey, Digest, KeyUid, RecoverableSignature};
use sha2::{Digest as _, Sha256};

use crate::evidence::{Certificate, opening};
use crate::*;

/// The private key of the test authority, which everybody has.
const AUTHORITY: &str = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b6c7d8e9f0a1b2";

/// What is computed once: thousands of logs are written.
struct Keys {
    key: SigningKey,
    public: ChatKey,
    certificate: Certificate,
}

static KEYS: LazyLock<Vec<Keys>> = LazyLock::new(|| (1..10).map(Keys::of).collect());

impl Keys {
    fn of(secret: u8) -> Self {
        let key = SigningKey::from_slice(&[secret; 32]).unwrap();
        let public = ChatKey::from(k256::PublicKey::from(key.verifying_key()));
        let identity = public.to_compressed();
        let authority = SigningKey::from_slice(&hex::decode(AUTHORITY).unwrap()).unwrap();
        let digest = Digest::from(<[u8; 32]>::from(Sha256::digest(identity)));
        let signature = RecoverableSignature::sign(&authority, &digest);
        let certificate = Certificate::parse(&[&identity[..], signature.as_bytes()].concat()).unwrap();
        Self { key, public, certificate }
    }
}

fn keys(secret: u8) -> &'static Keys {
    &KEYS[usize::from(secret) - 1]
}

pub(crate) fn public(secret: u8) -> ChatKey {
    keys(secret).public
}

/// Returns the certificate of the card whose identity key is `secret` × 32; secrets are 1 to 9.
pub(crate) fn certificate(secret: u8) -> Certificate {
    keys(secret).certificate
}

/// The name of that card when it speaks v2.
pub(crate) fn id(secret: u8) -> CardId {
    CardId::Identity(public(secret).to_compressed())
}

fn der(secret: u8, digest: &[u8]) -> Blob<80> {
    let signature: Signature = keys(secret).key.sign_prehash(digest).unwrap();
    let number = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    let inside = [number(&signature.r().to_bytes()), number(&signature.s().to_bytes())].concat();
    Blob::try_from([&[0x30, inside.len() as u8], inside.as_slice()].concat().as_slice()).unwrap()
}

/// An opening of a 4.0 card that signs `head`.
pub(crate) fn opening(secret: u8, head: &Head, random: [u8; 32]) -> ChannelOpened {
    let salt = head.salt(&random);
    let (host, card) = (public(8), public(9));
    let signature = der(secret, opening::transcript(&salt, &host, &card).as_bytes());
    ChannelOpened {
        card: id(secret),
        key_uid: None,
        applet: Text::lossy("4.0"),
        authority: Text::lossy("test"),
        certificate: Blob::try_from(certificate(secret).as_bytes().as_slice()).unwrap(),
        random,
        salt,
        host_key: Blob::try_from(host.to_bytes().as_slice()).unwrap(),
        card_key: Blob::try_from(card.to_bytes().as_slice()).unwrap(),
        signature,
    }
}

/// What a 3.1 card signs of `head`.
pub(crate) fn signed(secret: u8, head: &Head, random: [u8; 32]) -> SignedHead {
    let salt = head.salt(&random);
    SignedHead {
        authority: Text::lossy("test"),
        certificate: Blob::try_from(certificate(secret).as_bytes().as_slice()).unwrap(),
        random,
        salt,
        signature: der(secret, &salt),
    }
}

/// What a key under a PIN signs of `head`.
pub(crate) fn statement(
    secret: u8,
    (card, key_uid): (CardId, KeyUid),
    intent: u64,
    head: &Head,
    random: [u8; 32],
) -> Statement {
    let salt = head.salt(&random);
    let signature: Signature = keys(secret).key.sign_prehash(&salt).unwrap();
    Statement {
        card,
        key_uid: Some(key_uid),
        intent,
        key: Blob::try_from(public(secret).to_bytes().as_slice()).unwrap(),
        random,
        salt,
        signature: Blob::try_from(signature.to_bytes().as_slice()).unwrap(),
    }
}
