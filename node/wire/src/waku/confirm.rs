//! Confirmations: Batch Ack (11) and Message Response (12) for one Messages packet (reference section 2.6).
//!
//! ```text
//! 11   batchHash                                        12   [1, [batchHash, [[envelopeHash, code, text]...]]]
//! ```
//!
//! The batch hash is keccak-256 of the packet's payload. The batch ack is the bare hash, where the specification's grammar
//! has a structure. Invariant: a response never grows past [`MAX_RESPONSE`], however much was refused.

use proto::{EnvelopeHash, keccak256};

use crate::rlp::{self, Malformed, Reader, Writer};

/// Which Messages packet is meant: keccak-256 of its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchHash([u8; 32]);

impl BatchHash {
    /// Returns the name of the Messages packet with this payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self(keccak256(&[payload]))
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for BatchHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Returns the payload of a Batch Ack.
#[must_use]
pub fn batch_ack(batch: &BatchHash) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes(batch.as_bytes());
    writer.into_vec()
}

/// Reads the payload of a Batch Ack; bytes behind the hash do not matter.
///
/// # Errors
/// [`Malformed`] when there is no hash.
pub fn read_batch_ack(payload: &[u8]) -> Result<BatchHash, Malformed> {
    Reader::new(payload).array::<32>().map(BatchHash::from)
}

/// One envelope that a peer refused, and what it said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The envelope.
    pub hash: EnvelopeHash,
    /// 1 by the specification, 21 or 22 by the network's nodes; none of them says more than "refused".
    pub code: u64,
    /// Words for people. The peer chose them: not to be trusted, not always UTF-8.
    pub text: Vec<u8>,
}

/// The content of a Message Response of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The packet.
    pub batch: BatchHash,
    /// What was refused of it.
    pub failures: Vec<Failure>,
}

impl Response {
    /// Returns the payload. Failures that would make it too long are left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rlp::list(|w| {
            w.uint(VERSION).list(|w| {
                w.bytes(self.batch.as_bytes()).list(|w| {
                    let mut room = MAX_RESPONSE;
                    for failure in &self.failures {
                        let one = rlp::list(|w| {
                            w.bytes(failure.hash.as_bytes()).uint(failure.code).bytes(&failure.text);
                        });
                        let Some(left) = room.checked_sub(one.len()) else { break };
                        room = left;
                        w.raw(&one);
                    }
                });
            });
        })
    }

    /// Reads the payload; nothing when it is of a version that nobody knows.
    ///
    /// # Errors
    /// [`Malformed`] when it does not decode.
    pub fn decode(payload: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut outer = Reader::new(payload).list()?;
        let version = outer.u64()?;
        let body = outer.raw()?;
        outer.finish()?;
        if version != VERSION {
            return Ok(None);
        }
        let mut body = Reader::new(body).list()?;
        let batch = BatchHash::from(body.array::<32>()?);
        let mut list = body.list()?;
        body.finish()?;
        let mut failures = Vec::new();
        while !list.is_empty() {
            let mut one = list.list()?;
            failures.push(Failure {
                hash: EnvelopeHash::from(one.array::<32>()?),
                code: one.u64()?,
                text: one.bytes()?.to_vec(),
            });
            one.finish()?;
        }
        Ok(Some(Self { batch, failures }))
    }
}

/// The code we send: what the network's nodes send for every refusal. The specification has 1.
pub const REFUSED: u64 = 21;

/// The most bytes of failures in a response.
pub const MAX_RESPONSE: usize = 512 << 10;

const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RECORDED: &str = "f85e01f85ba00100000000000000000000000000000000000000000000000000000000000000f838f7a0\
         02000000000000000000000000000000000000000000000000000000000000001594656e76656c6f70652066726f6d20667574757265";

    fn first(byte: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0] = byte;
        bytes
    }

    /// WAKU1-60, WU10-34: reference section 10.7, made by status-go 0.62.18.
    #[test]
    fn the_recorded_response_is_written_and_read() {
        let response = Response {
            batch: first(1).into(),
            failures: vec![Failure { hash: first(2).into(), code: REFUSED, text: b"envelope from future".to_vec() }],
        };
        let payload = hex::decode(RECORDED).unwrap();
        assert_eq!(response.encode(), payload);
        assert_eq!(Response::decode(&payload), Ok(Some(response)));
    }

    /// WAKU1-61: the code of the specification is taken as well.
    #[test]
    fn any_code_and_no_other_version_is_read() {
        let of = |version: u64, code: u64| {
            rlp::list(|w| {
                w.uint(version).list(|w| {
                    w.bytes(&first(1)).list(|w| {
                        w.list(|w| {
                            w.bytes(&first(2)).uint(code).bytes(b"\xff");
                        });
                    });
                });
            })
        };
        for code in [1, 21, 22, 99] {
            assert_eq!(Response::decode(&of(1, code)).unwrap().unwrap().failures[0].code, code);
        }
        assert_eq!(Response::decode(&of(2, 1)), Ok(None));
    }

    #[test]
    fn a_response_stays_short() {
        let failure = Failure { hash: first(2).into(), code: REFUSED, text: vec![b'x'; 30] };
        let response = Response { batch: first(1).into(), failures: vec![failure; 100_000] };
        let payload = response.encode();
        assert!(payload.len() < MAX_RESPONSE + 100);
        assert!(Response::decode(&payload).unwrap().unwrap().failures.len() > 5_000);
    }

    #[test]
    fn an_ack_is_a_bare_hash() {
        let payload = batch_ack(&first(9).into());
        assert_eq!(payload.len(), 33);
        assert_eq!(read_batch_ack(&payload), Ok(first(9).into()));
        assert_eq!(read_batch_ack(&[payload.as_slice(), b"more"].concat()), Ok(first(9).into()));
        assert!(read_batch_ack(&payload[..32]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let _ = Response::decode(&bytes);
            let _ = read_batch_ack(&bytes);
        }
    }
}
