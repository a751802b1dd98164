//! Recursive length prefix, as strict as the peers of the network read it (Ethereum yellow paper, appendix B).
//!
//! A [`Reader`] walks over borrowed bytes and never allocates; a list is read by a reader of its own that cannot leave it.
//! The invariant: whatever a `Reader` accepts is the one canonical encoding of what it returns.

use alloy_rlp::Header;

/// Bytes that are no canonical RLP, or not of the shape that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed RLP: {what}")]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
}

/// Reads values one after the other from a list, or from a whole packet.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Returns a reader over values that follow each other in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Enters the next value, which must be a list, and returns a reader of its elements.
    ///
    /// # Errors
    /// [`Malformed`] when it is a string, cut short, or not canonical.
    pub fn list(&mut self) -> Result<Self, Malformed> {
        let (body, is_list) = self.value()?;
        if is_list { Ok(Self::new(body)) } else { Err(Malformed { what: "a list was expected" }) }
    }

    /// Returns the next value, which must be a string of bytes.
    ///
    /// # Errors
    /// [`Malformed`] when it is a list, cut short, or not canonical.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let (body, is_list) = self.value()?;
        if is_list { Err(Malformed { what: "a string was expected" }) } else { Ok(body) }
    }

    /// Returns the next value, which must be a string of exactly `N` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when it is not.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed { what: "a string of another length" })
    }

    /// Returns the next value, an integer without leading zeros.
    ///
    /// # Errors
    /// [`Malformed`] when it is not canonical or has more than 64 bits.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        let digits = self.bytes()?;
        if digits.first() == Some(&0) {
            return Err(Malformed { what: "an integer with a leading zero" });
        }
        if digits.len() > 8 {
            return Err(Malformed { what: "an integer that is too long" });
        }
        Ok(digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)))
    }

    /// Returns the next value, an integer without leading zeros.
    ///
    /// # Errors
    /// [`Malformed`] when it is not canonical or has more than 32 bits.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.u64()?.try_into().map_err(|_| Malformed { what: "an integer that is too long" })
    }

    /// Returns the next value, which must be the integer 0 or 1.
    ///
    /// # Errors
    /// [`Malformed`] when it is not.
    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.u64()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed { what: "a boolean that is neither 0 nor 1" }),
        }
    }

    /// Returns the next value whole, header included, whatever it is. What a list holds is not looked at, and a single
    /// byte may be written as a string of one, as the peers let it in what they skip.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short or its header is not canonical.
    pub fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        let before = self.rest;
        if let [0x81, _, rest @ ..] = before {
            self.rest = rest;
        } else {
            self.value()?;
        }
        let len = before.len() - self.rest.len();
        before.get(..len).ok_or(Malformed { what: "cut short" })
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`Malformed`] when something is left.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed { what: "more than was expected" }) }
    }

    fn value(&mut self) -> Result<(&'a [u8], bool), Malformed> {
        let mut rest = self.rest;
        let header = Header::decode(&mut rest).map_err(|error| Malformed { what: reason(error) })?;
        let (body, rest) = rest.split_at_checked(header.payload_length).ok_or(Malformed { what: "cut short" })?;
        self.rest = rest;
        Ok((body, header.list))
    }
}

/// Writes canonical RLP.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Returns an empty writer.
    #[must_use]
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// Writes a string of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if !matches!(bytes, [0..=0x7f]) {
            Header { list: false, payload_length: bytes.len() }.encode(&mut self.out);
        }
        self.out.extend_from_slice(bytes);
        self
    }

    /// Writes an integer in as few bytes as it takes; 0 is the empty string.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        let zeros = (value.leading_zeros() / 8) as usize;
        let digits = value.to_be_bytes();
        self.bytes(digits.get(zeros..).unwrap_or(&[]))
    }

    /// Writes a boolean, the integer 0 or 1.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.uint(u64::from(value))
    }

    /// Writes a list of what `write` writes.
    pub fn list(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.out.len();
        write(self);
        let end = self.out.len();
        // The header's length is known only behind the body: it is written there and rotated to the front.
        Header { list: true, payload_length: end - start }.encode(&mut self.out);
        let header = self.out.len() - end;
        if let Some(list) = self.out.get_mut(start..) {
            list.rotate_right(header);
        }
        self
    }

    /// Writes values that are RLP already.
    pub fn raw(&mut self, rlp: &[u8]) -> &mut Self {
        self.out.extend_from_slice(rlp);
        self
    }

    /// Returns what was written.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.out
    }
}

/// Returns the RLP of a list of what `write` writes.
#[must_use]
pub fn list(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.list(write);
    writer.into_vec()
}

/// Returns the RLP of a list whose elements are RLP already.
#[must_use]
pub fn list_of(elements: &[u8]) -> Vec<u8> {
    let header = Header { list: true, payload_length: elements.len() };
    let mut out = Vec::with_capacity(header.length() + elements.len());
    header.encode(&mut out);
    out.extend_from_slice(elements);
    out
}

const fn reason(error: alloy_rlp::Error) -> &'static str {
    match error {
        alloy_rlp::Error::InputTooShort => "cut short",
        alloy_rlp::Error::LeadingZero => "a length with a leading zero",
        alloy_rlp::Error::NonCanonicalSize => "a short length in the long form",
        alloy_rlp::Error::NonCanonicalSingleByte => "a single byte behind a header",
        _ => "no RLP",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Malformed, Reader, Writer, list, list_of};

    fn hex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn values_of_the_yellow_paper_are_written_as_it_says() {
        let mut w = Writer::new();
        w.bytes(b"dog").bytes(b"").uint(0).uint(15).uint(1024).bytes(&[0x7f]).bytes(&[0x80]);
        assert_eq!(w.into_vec(), hex("83646f6780800f8204007f8180"));
        assert_eq!(list(|_| ()), [0xc0]);
        assert_eq!(
            list(|w| {
                w.bytes(b"cat").bytes(b"dog");
            }),
            hex("c88363617483646f67")
        );
        let long = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit";
        assert_eq!(
            list(|w| {
                w.bytes(long);
            }),
            [&[0xf8, 0x3a, 0xb8, 0x38][..], long].concat()
        );
    }

    #[test]
    fn integers_that_are_not_canonical_are_refused() {
        for bad in ["00", "8100", "8105", "820004", "b80104", "b90001aa", "89010000000000000000", "c0", "", "82ff"] {
            assert!(Reader::new(&hex(bad)).u64().is_err(), "{bad}");
        }
        assert_eq!(Reader::new(&hex("80")).u64(), Ok(0));
        assert_eq!(Reader::new(&hex("88ffffffffffffffff")).u64(), Ok(u64::MAX));
        assert!(Reader::new(&hex("850100000000")).u32().is_err());
        assert!(Reader::new(&[2]).boolean().is_err());
    }

    #[test]
    fn a_list_cannot_be_left() {
        let bytes = hex("c3820102ff");
        let mut outer = Reader::new(&bytes);
        let mut inner = outer.list().unwrap();
        assert_eq!(inner.bytes(), Ok([1, 2].as_slice()));
        assert_eq!(inner.bytes(), Err(Malformed { what: "cut short" }));
        assert_eq!(inner.finish(), Ok(()));
        assert_eq!(outer.rest(), [0xff]);
        assert!(Reader::new(&hex("c2830102")).list().unwrap().bytes().is_err(), "a string longer than its list");
        assert!(Reader::new(&hex("c501")).list().is_err());
        assert!(Reader::new(&hex("bfffffffffffffffff")).bytes().is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(numbers: Vec<u64>, blobs: Vec<Vec<u8>>, flag: bool) {
            let bytes = list(|w| {
                w.boolean(flag).list(|w| { numbers.iter().for_each(|n| { w.uint(*n); }); });
                blobs.iter().for_each(|b| { w.bytes(b); });
            });
            let mut outer = Reader::new(&bytes);
            prop_assert_eq!(outer.raw().unwrap(), bytes.as_slice());
            prop_assert_eq!(&list_of(Reader::new(&bytes).list().unwrap().rest()), &bytes);
            let mut r = Reader::new(&bytes).list().unwrap();
            prop_assert_eq!(r.boolean(), Ok(flag));
            let mut inner = r.list().unwrap();
            for n in &numbers {
                prop_assert_eq!(inner.u64(), Ok(*n));
            }
            prop_assert!(inner.finish().is_ok());
            for b in &blobs {
                prop_assert_eq!(r.bytes(), Ok(b.as_slice()));
            }
            prop_assert!(r.finish().is_ok());
        }

        #[test]
        fn any_accepted_string_is_canonical(bytes: Vec<u8>) {
            let mut r = Reader::new(&bytes);
            if let Ok(body) = r.bytes() {
                let mut w = Writer::new();
                w.bytes(body).raw(r.rest());
                prop_assert_eq!(w.into_vec(), bytes);
            }
        }
    }

    #[test]
    fn a_value_that_is_skipped_may_write_a_byte_as_a_string_of_one() {
        let mut reader = Reader::new(&[0x81, 0x05, 0x81, 0x05]);
        assert_eq!(reader.raw(), Ok([0x81, 0x05].as_slice()));
        assert!(reader.u64().is_err(), "read as a number it is not canonical");
        assert!(Reader::new(&[0x81]).raw().is_err(), "cut short");
    }
}
