//! The envelope: `[expiry, ttl, topic, data, nonce]` (6/WAKU1, "Messages"; reference section 2.2).
//!
//! Integers are minimal RLP, not the fixed octets of the specification's grammar. Invariant: an [`Envelope`] keeps the
//! bytes it was read from, and decoding is so strict that encoding its fields again would give the same bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use alloy_rlp::Header;
use proto::{EnvelopeHash, Topic, UnixSecs, keccak256};

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
        let header = header.get(..list.length()).unwrap_or(&[]);
        let zeros = pow::leading_zeros(&keccak256(&[header, short_fields, &nonce.to_be_bytes()]));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE_0: &str = "dd845f5e100f0f84cd423760903031323334353637383961626364656680";
    const NONCE_16805: &str = "df845f5e100f0f84cd42376090303132333435363738396162636465668241a5";

    fn decode(text: &str) -> Result<Envelope, Malformed> {
        Envelope::decode(&hex::decode(text).unwrap())
    }

    fn draft() -> Draft {
        Draft::new(UnixSecs::new(1_600_000_000), 15, Topic::from([0xcd, 0x42, 0x37, 0x60]), b"0123456789abcdef")
    }

    /// WAKU1-35: reference section 10.5, made by status-go 0.62.18.
    #[test]
    fn the_recorded_envelopes_have_the_recorded_names_and_work() {
        let plain = decode(NONCE_0).unwrap();
        assert_eq!(plain.hash().to_string(), "b5b3e73bdde9d5db00c4fc2cc548bcc8c9f65fe80905dd3e38871d44466784d7");
        assert_eq!(plain.pow(0), 0.009_195_402_298_850_575);
        assert_eq!((plain.size(), plain.expiry().get(), plain.sent().get()), (36, 1_600_000_015, 1_600_000_000));
        assert_eq!((plain.data(), plain.nonce(), plain.ttl_s()), (b"0123456789abcdef".as_slice(), 0, 15));
        let sealed = decode(NONCE_16805).unwrap();
        assert_eq!(sealed.hash().to_string(), "a68fad3fd374cfa484f87175a98fd708b830acc0f39b8fc3eb02677c23382285");
        assert_eq!((sealed.pow(0), sealed.pow(6)), (37.664_367_816_091_95, 26.903_119_868_637_11));
    }

    #[test]
    fn a_draft_seals_to_the_recorded_bytes() {
        assert_eq!(hex::encode(draft().seal(0).unwrap().as_bytes()), NONCE_0);
        let nonce = draft().search(20.0).advance(100_000).unwrap();
        assert_eq!(hex::encode(draft().seal(nonce).unwrap().as_bytes()), NONCE_16805);
        assert_eq!(draft().search(0.0).advance(1), Some(0), "no target, no search");
    }

    #[test]
    fn no_time_to_live_means_the_default_and_seconds_wrap() {
        let draft = |sent, ttl| Draft::new(UnixSecs::new(sent), ttl, Topic::from([0; 4]), &[]).seal(0).unwrap();
        assert_eq!(draft(100, 0).ttl_s(), 50);
        let late = draft(u64::from(u32::MAX), 10);
        assert_eq!((late.expiry().get(), late.sent().get()), (9, u64::from(u32::MAX)));
    }

    #[test]
    fn only_the_canonical_encoding_is_an_envelope() {
        let cases = [
            ("", "nothing"),
            ("c0", "no fields"),
            ("dd845f5e100f0f84cd42376090303132333435363738396162636465668000", "a byte behind"),
            ("de845f5e100f0f84cd42376090303132333435363738396162636465668080", "a sixth field"),
            ("dc845f5e100f0f84cd4237609030313233343536373839616263646566", "four fields"),
            ("de855f5e100f000f84cd423760903031323334353637383961626364656680", "an expiry of 40 bits"),
            ("de845f5e100f810f84cd423760903031323334353637383961626364656680", "a byte behind a header"),
            ("de845f5e100f0f84cd42376090303132333435363738396162636465668100", "a nonce with a leading zero"),
            ("dc845f5e100f0f83cd4237903031323334353637383961626364656680", "a topic of three bytes"),
            ("f81d845f5e100f0f84cd423760903031323334353637383961626364656680", "a short length in the long form"),
            ("dd845f5e100f0f84cd423760d03031323334353637383961626364656680", "data that is a list"),
        ];
        for (text, what) in cases {
            assert!(decode(text).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn what_was_sealed_decodes_to_the_same(
            sent in 0..u64::from(u32::MAX), ttl: u32, topic: [u8; 4], data: Vec<u8>, nonce: u64
        ) {
            let sealed = Draft::new(UnixSecs::new(sent), ttl, Topic::from(topic), &data).seal(nonce).unwrap();
            let read = Envelope::decode(sealed.as_bytes()).unwrap();
            prop_assert_eq!(read.hash(), sealed.hash());
            prop_assert_eq!((read.data(), read.nonce(), read.topic()), (data.as_slice(), nonce, Topic::from(topic)));
            prop_assert_eq!(read.size(), data.len() + 20);
            prop_assert!(read.pow(0) >= 0.0);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let _ = Envelope::decode(&bytes);
            let mut near = hex::decode(NONCE_16805).unwrap();
            let place = at.index(near.len());
            near[place] ^= 1 << bit;
            if let Ok(envelope) = Envelope::decode(&near) {
                prop_assert_eq!(envelope.as_bytes(), near.as_slice());
                let draft = Draft::new(envelope.sent(), envelope.ttl_s(), envelope.topic(), envelope.data());
                if envelope.ttl_s() != 0 {
                    prop_assert_eq!(draft.seal(envelope.nonce()).unwrap().as_bytes().to_vec(), near);
                }
            }
        }
    }
}
