//! Mail: what a mail server is asked for in a P2P Request (126), and how it ends in a P2P Request Complete (125)
//! (11/WAKU-MAILSERVER, 8/WAKU-MAIL; reference section 4).
//!
//! ```text
//! 126   envelope, whose payload is the request   or   [id, from, to, limit, cursor, bloom, [topic...]]
//! 125   id (32) || last envelope (0, 32) || cursor (0, 36)   or   "ERROR=" || id (32) || text; as one RLP string
//! ```
//!
//! Invariant: what is read here is as the peer wrote it; only [`MessagesRequest::validate`] judges it.

use proto::EnvelopeHash;

use super::envelope::Envelope;
use super::status::MAX_TOPICS;
use crate::rlp::{self, Malformed, Reader};

/// A P2P Request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailRequest {
    /// An envelope that only the mail server opens. Its hash names the request.
    Sealed(Envelope),
    /// A request in the open.
    Open(MessagesRequest),
}

/// A request in the open: which envelopes, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessagesRequest {
    /// Chosen by who asks: 32 bytes.
    pub id: Vec<u8>,
    /// Sent at this second or later.
    pub from_s: u32,
    /// Sent at this second or earlier.
    pub to_s: u32,
    /// How many at most; 0 leaves it to the server.
    pub limit: u32,
    /// Where the page before ended; empty for the first page.
    pub cursor: Vec<u8>,
    /// A bloom filter, or nothing.
    pub bloom: Vec<u8>,
    /// The topics wanted.
    pub topics: Vec<Vec<u8>>,
}

impl MailRequest {
    /// Returns the payload of the packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Sealed(envelope) => envelope.as_bytes().to_vec(),
            Self::Open(request) => request.encode(),
        }
    }

    /// Reads the payload: as an envelope, and if it is none as a request in the open. Bytes behind do not matter.
    ///
    /// # Errors
    /// [`Malformed`] when it is neither.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        match Envelope::decode(Reader::new(payload).raw()?) {
            Ok(envelope) => Ok(Self::Sealed(envelope)),
            Err(_) => MessagesRequest::decode(payload).map(Self::Open),
        }
    }
}

impl MessagesRequest {
    /// Checks a request before it is sent.
    ///
    /// # Errors
    /// [`BadRequest`] names what no mail server would take.
    pub fn validate(&self) -> Result<(), BadRequest> {
        if self.id.len() != 32 {
            return Err(BadRequest::Id { len: self.id.len() });
        }
        if self.from_s > self.to_s {
            return Err(BadRequest::Range);
        }
        if self.limit > MAX_LIMIT {
            return Err(BadRequest::Limit { limit: self.limit });
        }
        if self.bloom.is_empty() && self.topics.is_empty() {
            return Err(BadRequest::Nothing);
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        rlp::list(|w| {
            w.bytes(&self.id).uint(self.from_s.into()).uint(self.to_s.into()).uint(self.limit.into());
            w.bytes(&self.cursor).bytes(&self.bloom).list(|w| {
                for topic in &self.topics {
                    w.bytes(topic);
                }
            });
        })
    }

    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(payload).list()?;
        let mut request = Self {
            id: fields.bytes()?.to_vec(),
            from_s: fields.u32()?,
            to_s: fields.u32()?,
            limit: fields.u32()?,
            cursor: fields.bytes()?.to_vec(),
            bloom: fields.bytes()?.to_vec(),
            topics: Vec::new(),
        };
        let mut topics = fields.list()?;
        fields.finish()?;
        while !topics.is_empty() {
            if request.topics.len() == MAX_TOPICS {
                return Err(Malformed { what: "too many topics" });
            }
            request.topics.push(topics.bytes()?.to_vec());
        }
        Ok(request)
    }
}

/// Why a request in the open would not be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// The id has not 32 bytes.
    #[error("a request id of {len} bytes")]
    Id {
        /// How many it has.
        len: usize,
    },
    /// It ends before it begins.
    #[error("a range that ends before it begins")]
    Range,
    /// More than a server gives.
    #[error("{limit} envelopes are more than a mail server gives")]
    Limit {
        /// How many.
        limit: u32,
    },
    /// Neither a filter nor topics.
    #[error("neither a bloom filter nor topics")]
    Nothing,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// All that was asked for has been sent, or as much as the limit allows.
    Done {
        /// The request.
        request: [u8; 32],
        /// The last envelope that was sent.
        last: Option<EnvelopeHash>,
        /// Where the next page begins, when there may be one.
        cursor: Option<[u8; CURSOR]>,
    },
    /// It failed.
    Failed {
        /// The request.
        request: [u8; 32],
        /// Words of the server: not to be trusted, not always UTF-8.
        text: Vec<u8>,
    },
}

impl Completion {
    /// Returns the payload of the packet. A cursor is sent with the envelope that it stands behind, or not at all.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Done { request, last, cursor } => {
                body.extend_from_slice(request);
                if let Some(last) = last {
                    body.extend_from_slice(last.as_bytes());
                    body.extend_from_slice(cursor.as_ref().map_or(&[], <[_; CURSOR]>::as_slice));
                }
            }
            Self::Failed { request, text } => {
                body.extend_from_slice(FAILED);
                body.extend_from_slice(request);
                body.extend_from_slice(text);
            }
        }
        let mut writer = rlp::Writer::new();
        writer.bytes(&body);
        writer.into_vec()
    }

    /// Reads the payload. Bytes behind the string do not matter; nor do those behind the id or behind the last envelope
    /// that are too few to be something.
    ///
    /// # Errors
    /// [`Malformed`] when it is no string, or its length is none that has a meaning.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let body = Reader::new(payload).bytes()?;
        if let Some((request, text)) = body.strip_prefix(FAILED).and_then(|rest| rest.split_first_chunk()) {
            return Ok(Self::Failed { request: *request, text: text.to_vec() });
        }
        let (request, rest) = body.split_first_chunk().ok_or(Malformed { what: "no request id" })?;
        if rest.len() > 32 + CURSOR {
            return Err(Malformed { what: "too long for a completion" });
        }
        let (last, rest) = match rest.split_first_chunk::<32>() {
            Some((last, rest)) => (Some(EnvelopeHash::from(*last)), rest),
            None => (None, &[][..]),
        };
        Ok(Self::Done { request: *request, last, cursor: rest.try_into().ok() })
    }
}

/// The most envelopes that a request may ask for (reference section 9.1).
pub const MAX_LIMIT: u32 = 1000;

/// How many bytes a cursor has.
pub const CURSOR: usize = 36;

const FAILED: &[u8] = b"ERROR=";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> MessagesRequest {
        MessagesRequest { id: vec![7; 32], from_s: 1, to_s: 2, topics: vec![vec![1, 2, 3, 4]], ..Default::default() }
    }

    /// MAIL-19, MAIL-20, MAIL-33: reference section 10.8, made by status-go 0.62.18.
    #[test]
    fn the_recorded_completions_are_written_and_read() {
        let first = |byte: u8| {
            let mut bytes = [0; 32];
            bytes[0] = byte;
            bytes
        };
        let done = Completion::Done { request: first(1), last: Some(first(2).into()), cursor: Some([0x11; CURSOR]) };
        let text = format!("b864{}{}{}", hex::encode(first(1)), hex::encode(first(2)), "11".repeat(36));
        assert_eq!(hex::encode(done.encode()), text);
        assert_eq!(Completion::decode(&hex::decode(text).unwrap()), Ok(done));
        let failed = Completion::Failed { request: first(1), text: b"rate limit exceeded".to_vec() };
        let text = format!("b8394552524f523d{}72617465206c696d6974206578636565646564", hex::encode(first(1)));
        assert_eq!(hex::encode(failed.encode()), text);
        assert_eq!(Completion::decode(&hex::decode(text).unwrap()), Ok(failed));
    }

    /// The network's nodes take 32 to 100 bytes, and a cursor only of 100.
    #[test]
    fn the_length_of_a_completion_tells_what_is_in_it() {
        let read = |len: usize| {
            let mut writer = rlp::Writer::new();
            writer.bytes(&vec![0xab; len]);
            Completion::decode(&writer.into_vec())
        };
        for len in [0, 1, 31, 101, 200] {
            assert!(read(len).is_err(), "{len}");
        }
        for len in 32..=100 {
            let Ok(Completion::Done { last, cursor, .. }) = read(len) else { panic!("{len}") };
            assert_eq!((last.is_some(), cursor.is_some()), (len >= 64, len == 100), "{len}");
        }
    }

    /// MAIL-07, MAIL-21: an envelope is tried first, and the first fields of a request are none.
    #[test]
    fn five_fields_are_an_envelope_and_seven_a_request() {
        let open = MailRequest::Open(request());
        assert_eq!(MailRequest::decode(&open.encode()), Ok(open));
        let five = hex::decode("cd01028401020304846461746103").unwrap();
        assert!(matches!(MailRequest::decode(&five), Ok(MailRequest::Sealed(envelope)) if envelope.as_bytes() == five));
        for other in ["", "80", "c0", "67617262616765", "d2d1845f5e103c3c8401020304846461746103"] {
            assert!(MailRequest::decode(&hex::decode(other).unwrap()).is_err(), "{other}");
        }
        for fields in [6, 8] {
            let other = rlp::list(|w| {
                w.bytes(&[7; 32]).uint(1).uint(2).uint(3).bytes(&[]).bytes(&[]);
                for _ in 6..fields {
                    w.list(|_| {});
                }
            });
            assert!(MailRequest::decode(&other).is_err(), "{fields} fields");
        }
    }

    #[test]
    fn what_no_server_answers_is_not_asked() {
        assert_eq!(request().validate(), Ok(()));
        let bad = [
            (MessagesRequest { id: vec![1; 31], ..request() }, BadRequest::Id { len: 31 }),
            (MessagesRequest { from_s: 3, ..request() }, BadRequest::Range),
            (MessagesRequest { limit: 1001, ..request() }, BadRequest::Limit { limit: 1001 }),
            (MessagesRequest { topics: vec![], ..request() }, BadRequest::Nothing),
        ];
        for (request, why) in bad {
            assert_eq!(request.validate(), Err(why));
        }
    }

    #[test]
    fn topics_without_end_are_not_read() {
        let of = |count| MailRequest::Open(MessagesRequest { topics: vec![vec![]; count], ..request() }).encode();
        assert!(MailRequest::decode(&of(MAX_TOPICS)).is_ok());
        assert!(MailRequest::decode(&of(MAX_TOPICS + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let _ = MailRequest::decode(&bytes);
            if let Ok(completion) = Completion::decode(&bytes) {
                prop_assert_eq!(Completion::decode(&completion.encode()), Ok(completion));
            }
        }
    }
}
