//! `ApplicationMetadataMessage`, the wrapper around every payload (6/PAYLOADS, "Wrapper").
//!
//! ```text
//! 1 signature  R(32) || S(32) || V(1) over keccak-256(payload), by the author's chat key; may be absent
//! 2 payload    the message of that type
//! 3 type       1 is a chat message
//! ```
//!
//! A message's id covers the wrapper's exact bytes, so they are kept as received and never encoded again.

use prost::Message as _;
use proto::pb::{ApplicationMetadataMessage, application_metadata_message::Type};
use proto::{ChatKey, Digest, MessageId, RecoverableSignature, keccak256};

/// A wrapper that was received and whose author is known.
pub struct Wrapper {
    /// What the payload is.
    pub kind: Kind,
    /// The inner message, not decoded.
    pub payload: Vec<u8>,
    /// Who wrote it: the signer of the payload or, where it is not signed, of the envelope.
    pub author: ChatKey,
    /// Whether the author signed the payload. What is not signed must not be passed on to others.
    pub signed: bool,
    /// The message's id.
    pub id: MessageId,
    /// The same for every wrapping of this payload by this author.
    pub content: Digest,
}

/// What a wrapper says it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Type 1, [`crate::message`].
    ChatMessage,
    /// Another number, perhaps of a later version: to be ignored without an error.
    Other(i32),
}

/// Why a wrapper was refused. Nothing of it was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrapperError {
    /// No protobuf, or a known field in another form.
    #[error("the wrapper is malformed")]
    Malformed,
    /// The signature is there, if only as no bytes, and names no key.
    #[error("the wrapper's signature is invalid")]
    BadSignature,
    /// Neither the wrapper nor the envelope is signed.
    #[error("nobody signed the message")]
    NoAuthor,
}

impl Wrapper {
    /// Reads a wrapper that came in an envelope signed by `transport_signer`.
    ///
    /// # Errors
    /// [`WrapperError`]: an absent signature leaves the author to the envelope, a present one must name a key.
    pub fn open(bytes: &[u8], transport_signer: Option<ChatKey>) -> Result<Self, WrapperError> {
        let wrapper = ApplicationMetadataMessage::decode(bytes).map_err(|_| WrapperError::Malformed)?;
        let signer = wrapper.signature.as_deref().map(|signature| signer(signature, &wrapper.payload)).transpose()?;
        let author = signer.or(transport_signer).ok_or(WrapperError::NoAuthor)?;
        Ok(Self {
            kind: match wrapper.r#type {
                CHAT_MESSAGE => Kind::ChatMessage,
                other => Kind::Other(other),
            },
            author,
            signed: signer.is_some(),
            id: message_id(signer.as_ref(), bytes),
            content: content(&author, wrapper.r#type, &wrapper.payload),
            payload: wrapper.payload,
        })
    }
}

/// A chat message of ours inside its wrapper.
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) id: MessageId,
    pub(crate) content: Digest,
}

/// Wraps the encoded chat message `payload` with the author's signature over [`to_sign`].
pub(crate) fn seal(payload: &[u8], author: &ChatKey, signature: &RecoverableSignature) -> Sealed {
    let wrapper = ApplicationMetadataMessage {
        signature: Some(signature.as_bytes().to_vec()),
        payload: payload.to_vec(),
        r#type: CHAT_MESSAGE,
    };
    let bytes = wrapper.encode_to_vec();
    Sealed { id: message_id(Some(author), &bytes), content: content(author, CHAT_MESSAGE, payload), bytes }
}

/// Returns what the author signs: keccak-256 of the payload.
pub(crate) fn to_sign(payload: &[u8]) -> Digest {
    Digest::from(keccak256(&[payload]))
}

fn signer(signature: &[u8], payload: &[u8]) -> Result<ChatKey, WrapperError> {
    let signature: [u8; 65] = signature.try_into().map_err(|_| WrapperError::BadSignature)?;
    RecoverableSignature::from(signature).recover(&to_sign(payload)).ok_or(WrapperError::BadSignature)
}

/// keccak-256(author's 65 bytes || wrapper); of an unsigned one the wrapper alone, as the peers count.
fn message_id(signer: Option<&ChatKey>, bytes: &[u8]) -> MessageId {
    MessageId::from(match signer {
        Some(signer) => keccak256(&[&signer.to_bytes(), bytes]),
        None => keccak256(&[bytes]),
    })
}

/// A third party can wrap a signed payload anew (high S, unknown fields, another order) and so give it another id;
/// author, type and payload stay.
fn content(author: &ChatKey, kind: i32, payload: &[u8]) -> Digest {
    Digest::from(keccak256(&[&author.to_bytes(), &kind.to_be_bytes(), payload]))
}

const CHAT_MESSAGE: i32 = Type::ChatMessage as i32;

#[cfg(test)]
mod tests {
    use k256::ecdsa::{Signature, SigningKey};
    use proptest::prelude::*;

    use super::*;

    /// Keys A and B of "Keys used below", and what A wrapped in "MVDS and application layer" (status-go 0.62.18).
    const A: &str = "c6cbd7d76bc5baca530c875663711b947efa6a86a900a9e8645ce32e5821484e";
    const B: &str = "d51dd64ad19ea84968a308dca246012c00d2b2101d41bce740acd1c650acc509";
    const PAYLOAD: &str = "088080babbc82e108080babbc82e1a0568656c6c6f320673746174757338024001";
    const WRAPPED: &str = "0a41aebaa98be478eb638e874f802868eed63775b368d87b6d85a4a165256b491a8c63071c7ba6750ee79d143617a51899ae0be8eea8d894572da7e5e027cd0ee7e9011221088080babbc82e108080babbc82e1a0568656c6c6f3206737461747573380240011801";
    const ID: &str = "871cd44d171c1efff12cb26c2670bb8e4b2cf9690f5adc36b77c632f3876fb0a";

    fn key(hex: &str) -> SigningKey {
        SigningKey::from_slice(&hex::decode(hex).unwrap()).unwrap()
    }

    fn public(key: &SigningKey) -> ChatKey {
        ChatKey::from(k256::PublicKey::from(key.verifying_key()))
    }

    fn wrapped() -> Vec<u8> {
        hex::decode(WRAPPED).unwrap()
    }

    /// PAY-01, PAY-02, PAY-05: the wrapper of status-go 0.62.18, byte for byte.
    #[test]
    fn a_wrapper_is_the_peers_byte_for_byte() {
        let (a, payload) = (key(A), hex::decode(PAYLOAD).unwrap());
        let sealed = seal(&payload, &public(&a), &RecoverableSignature::sign(&a, &to_sign(&payload)));
        assert_eq!(hex::encode(&sealed.bytes), WRAPPED);
        assert_eq!(sealed.id.to_string(), ID);
    }

    #[test]
    fn the_message_id_covers_author_and_wrapper() {
        let opened = Wrapper::open(&wrapped(), None).unwrap();
        assert_eq!(opened.id.to_string(), ID);
        assert_eq!((opened.kind, opened.author, opened.signed), (Kind::ChatMessage, public(&key(A)), true));
        assert_eq!(hex::encode(opened.payload), PAYLOAD);
    }

    #[test]
    fn the_wrappers_signature_outranks_the_envelopes() {
        assert_eq!(Wrapper::open(&wrapped(), Some(public(&key(B)))).unwrap().author, public(&key(A)));
    }

    /// PAY-03: what only a lower layer signed is known as such.
    #[test]
    fn without_a_signature_the_envelopes_signer_is_the_author_and_the_id_has_none() {
        let bytes = wrapped().split_off(67);
        let opened = Wrapper::open(&bytes, Some(public(&key(B)))).unwrap();
        assert_eq!((opened.author, opened.signed), (public(&key(B)), false));
        assert_eq!(*opened.id.as_bytes(), keccak256(&[&bytes]));
        assert_eq!(Wrapper::open(&bytes, None).err(), Some(WrapperError::NoAuthor));
    }

    #[test]
    fn a_signature_of_no_bytes_is_not_an_absent_one() {
        let mut bytes = vec![0x0a, 0];
        bytes.extend(wrapped().split_off(67));
        assert_eq!(Wrapper::open(&bytes, Some(public(&key(B)))).err(), Some(WrapperError::BadSignature));
    }

    /// PAY-02: V is 0 or 1; the Ethereum forms are refused, as by the peers.
    #[test]
    fn ethereum_style_v_is_refused() {
        for v in [27, 28, 4, 255] {
            let mut bytes = wrapped();
            bytes[66] = v;
            assert_eq!(Wrapper::open(&bytes, None).err(), Some(WrapperError::BadSignature), "{v}");
        }
    }

    #[test]
    fn a_signature_of_another_length_is_refused() {
        for len in [1, 64, 66] {
            let wrapper = ApplicationMetadataMessage {
                signature: Some(vec![1; len]),
                payload: hex::decode(PAYLOAD).unwrap(),
                r#type: 1,
            };
            assert_eq!(
                Wrapper::open(&wrapper.encode_to_vec(), Some(public(&key(B)))).err(),
                Some(WrapperError::BadSignature),
                "{len}"
            );
        }
    }

    #[test]
    fn another_wrapping_of_the_same_payload_has_another_id_and_the_same_content() {
        let first = Wrapper::open(&wrapped(), None).unwrap();
        let mut extra = wrapped();
        extra.extend([0xf8, 0x07, 0x01]); // an unknown field
        let mut twin = wrapped();
        let low = Signature::from_slice(&twin[2..66]).unwrap();
        let high = Signature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).unwrap();
        twin[2..66].copy_from_slice(&high.to_bytes());
        twin[66] ^= 1;
        for other in [extra, twin] {
            let other = Wrapper::open(&other, None).unwrap();
            assert_eq!(other.author, first.author);
            assert_ne!(other.id, first.id);
            assert_eq!(other.content, first.content);
        }
    }

    /// PAY-04, PAY-51: numbers of later versions are no error.
    #[test]
    fn an_unknown_type_is_no_error() {
        for number in [0, 2, 23, 90, i32::MAX, -1] {
            let wrapper = ApplicationMetadataMessage { signature: None, payload: vec![], r#type: number };
            let opened = Wrapper::open(&wrapper.encode_to_vec(), Some(public(&key(A)))).unwrap();
            assert_eq!(opened.kind, Kind::Other(number));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_wrapper_or_an_error(bytes: Vec<u8>, at in 0_usize..102, bit in 0_u8..8) {
            let _ = Wrapper::open(&bytes, Some(public(&key(B))));
            let mut flipped = wrapped();
            flipped[at] ^= 1 << bit;
            // Whatever one flipped bit leaves readable, it is not the same message of the same author.
            if let Ok(opened) = Wrapper::open(&flipped, None) {
                prop_assert!(opened.id.to_string() != ID);
            }
        }
    }
}
