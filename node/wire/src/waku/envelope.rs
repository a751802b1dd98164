//! The envelope: `[expiry, ttl, topic, data, nonce]` (6/WAKU1, "Messages"; reference section 2.2).
//!
//! Integers are minimal RLP, not the fixed octets of the specification's grammar. Invariant: an [`Envelope`] keeps the
//! bytes it was read from, and decoding is so strict that encoding its fields again would give the same bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use alloy_rlp::Header;
use proto::{EnvelopeHash, Topic, UnixSecs, keccak256};
use sha3::{Digest as _, Keccak256};

use super::pow;
use crate::rlp::{self, Malformed, Reader, Writer};

/// One envelope as it travels. Cloning shares the bytes.
#[derive(Clone)]
pub struct Envelope {
    raw: Arc<[u8]>,
    hash: EnvelopeHash,
    expiry: u32,
    ttl: u32,
    topic: Topic,
    nonce: u64,
    data: Range<usize>,
    short: Range<usize>,
}

impl Envelope {
    /// Reads an envelope from exactly these bytes.
    ///
    /// # Errors
    /// [`Malformed`] when they are not the one encoding of five such fields.
    pub fn decode(raw: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::decode(raw)?;
        Ok(fields.to_envelope(fields.hash()))
    }

    /// Returns the bytes as received or sealed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Returns the envelope's name: keccak-256 of all its bytes.
    #[must_use]
    pub const fn hash(&self) -> EnvelopeHash {
        self.hash
    }

    /// Returns the last second in which it is alive.
    #[must_use]
    pub fn expiry(&self) -> UnixSecs {
        UnixSecs::new(self.expiry.into())
    }

    /// Returns how many seconds it lives.
    #[must_use]
    pub const fn ttl_s(&self) -> u32 {
        self.ttl
    }

    /// Returns when it was sent: expiry - ttl, wrapping in 32 bits.
    #[must_use]
    pub fn sent(&self) -> UnixSecs {
        UnixSecs::new(self.expiry.wrapping_sub(self.ttl).into())
    }

    /// Returns the topic.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
    }

    /// Returns the encrypted payload.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.raw.get(self.data.clone()).unwrap_or(&[])
    }

    /// Returns the nonce of the proof of work.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Returns the size that limits count: 20 + data.
    #[must_use]
    pub fn size(&self) -> usize {
        pow::HEADER_ESTIMATE + self.data.len()
    }

    /// Returns the proof of work with `extra_s` seconds added to the time to live (0 unless it comes from the near
    /// future). Costs one hash.
    #[must_use]
    pub fn pow(&self, extra_s: u32) -> f64 {
        self.work().value(self.ttl, extra_s)
    }

    pub(super) fn work(&self) -> Work {
        Work::of(self.raw.get(self.short.clone()).unwrap_or(&[]), self.nonce)
    }

    pub(super) const fn expiry_s(&self) -> u32 {
        self.expiry
    }
}

impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Envelope {}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({:?}, {} bytes)", self.hash, self.raw.len())
    }
}

/// An envelope still lying in the packet it came in: nothing is copied or hashed before it passed the cheap checks.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    pub(super) raw: &'a [u8],
    pub(super) expiry: u32,
    pub(super) ttl: u32,
    pub(super) topic: Topic,
    pub(super) nonce: u64,
    data: Range<usize>,
    short: Range<usize>,
}

impl<'a> Fields<'a> {
    /// Reads the five fields from exactly these bytes.
    pub(super) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(raw);
        let mut fields = outer.list()?;
        outer.finish()?;
        let start = raw.len() - fields.rest().len();
        let expiry = fields.u32()?;
        let ttl = fields.u32()?;
        let topic = Topic::from(fields.array::<4>()?);
        let data = fields.bytes()?.len();
        let end = raw.len() - fields.rest().len();
        let nonce = fields.u64()?;
        fields.finish()?;
        Ok(Self { raw, expiry, ttl, topic, nonce, data: end - data..end, short: start..end })
    }

    pub(super) fn size(&self) -> usize {
        pow::HEADER_ESTIMATE + self.data.len()
    }

    pub(super) fn hash(&self) -> EnvelopeHash {
        EnvelopeHash::from(keccak256(&[self.raw]))
    }

    pub(super) fn work(&self) -> Work {
        Work::of(self.raw.get(self.short.clone()).unwrap_or(&[]), self.nonce)
    }

    pub(super) fn to_envelope(&self, hash: EnvelopeHash) -> Envelope {
        Envelope {
            raw: Arc::from(self.raw),
            hash,
            expiry: self.expiry,
            ttl: self.ttl,
            topic: self.topic,
            nonce: self.nonce,
            data: self.data.clone(),
            short: self.short.clone(),
        }
    }
}

/// What the proof-of-work hash of an envelope showed; the value follows from it for any penalty.
#[derive(Clone, Copy)]
pub(super) struct Work {
    zeros: u16,
    short_len: u32,
}

impl Work {
    /// Hashes the short form, given as the bytes of its four fields without their list header, and the nonce.
    fn of(short_fields: &[u8], nonce: u64) -> Self {
        let list = Header { list: true, payload_length: short_fields.len() };
        let mut header = [0u8; 9];
        list.encode(&mut header.as_mut_slice());
        let mut hasher = Keccak256::new();
        hasher.update(header.get(..list.length()).unwrap_or(&[]));
        hasher.update(short_fields);
        hasher.update(nonce.to_be_bytes());
        let zeros = pow::leading_zeros(&hasher.finalize().into());
        let short_len = list.length() + short_fields.len();
        Self { zeros: u16::try_from(zeros).unwrap_or(256), short_len: u32::try_from(short_len).unwrap_or(u32::MAX) }
    }

    pub(super) fn value(self, ttl: u32, extra_s: u32) -> f64 {
        pow::value(self.zeros.into(), self.short_len as usize, ttl, extra_s)
    }
}

/// An envelope without its nonce: what a search for proof of work is about.
pub struct Draft {
    fields: Vec<u8>,
    data_len: usize,
    ttl: u32,
}

impl Draft {
    /// Starts an envelope that is sent at `sent` and lives `ttl_s` seconds (0 means [`DEFAULT_TTL_S`]).
    #[must_use]
    pub fn new(sent: UnixSecs, ttl_s: u32, topic: Topic, data: &[u8]) -> Self {
        let ttl = if ttl_s == 0 { DEFAULT_TTL_S } else { ttl_s };
        // Seconds are 32 bits on the wire and wrap there.
        let expiry = (sent.get() as u32).wrapping_add(ttl);
        let mut fields = Writer::new();
        fields.uint(expiry.into()).uint(ttl.into()).bytes(topic.as_bytes()).bytes(data);
        Self { fields: fields.into_vec(), data_len: data.len(), ttl }
    }

    /// Starts the search for the first nonce that gives this much proof of work; a target of 0 takes the very first.
    #[must_use]
    pub fn search(&self, target: f64) -> pow::Search {
        let short = rlp::list(|w| {
            w.raw(&self.fields);
        });
        let bits = if target == 0.0 { 0 } else { pow::sealing_bits(target, self.data_len, self.ttl) };
        pow::Search::new(&short, bits)
    }

    /// Returns the finished envelope.
    ///
    /// # Errors
    /// [`Malformed`] never: what was written is read back once, strictly.
    pub fn seal(self, nonce: u64) -> Result<Envelope, Malformed> {
        Envelope::decode(&rlp::list(|w| {
            w.raw(&self.fields).uint(nonce);
        }))
    }
}

/// The time to live, in seconds, that 0 stands for when an envelope is sealed.
pub const DEFAULT_TTL_S: u32 = 50;
