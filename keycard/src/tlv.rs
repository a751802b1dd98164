//! A strict reader of the objects in a card's answers: tag(1), length (one byte, or 81 and one byte), value.
//!
//! Invariant: every object has the tag that was asked for, lies within the data, and nothing is left over at the end.

use crate::error::CardError;

/// Reads objects one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `data`; `what` names it in errors.
    pub(crate) const fn new(data: &'a [u8], what: &'static str) -> Self {
        Self { rest: data, what }
    }

    /// Returns the tag of the next object, if any.
    pub(crate) fn tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Returns the value of the next object, whose tag must be `tag`.
    ///
    /// # Errors
    /// [`CardError::Answer`].
    pub(crate) fn value(&mut self, tag: u8) -> Result<&'a [u8], CardError> {
        let length = self.head(tag)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(value)
    }

    /// Returns the value of the next object, which must be `N` bytes.
    ///
    /// # Errors
    /// [`CardError::Answer`].
    pub(crate) fn array<const N: usize>(&mut self, tag: u8) -> Result<&'a [u8; N], CardError> {
        self.value(tag)?.try_into().map_err(|_| self.malformed())
    }

    /// Returns a reader of the next object's inside, which must be all there is.
    ///
    /// # Errors
    /// [`CardError::Answer`].
    pub(crate) fn only(mut self, tag: u8) -> Result<Self, CardError> {
        let inside = self.value(tag)?;
        self.end()?;
        Ok(Self::new(inside, self.what))
    }

    /// As [`Reader::only`], but takes a length that is one too small for what follows: the SELECT template of applet
    /// 4.0.
    ///
    /// # Errors
    /// [`CardError::Answer`].
    pub(crate) fn only_to_the_end(mut self, tag: u8) -> Result<Self, CardError> {
        let length = self.head(tag)?;
        if self.rest.len() == length || self.rest.len() == length + 1 { Ok(self) } else { Err(self.malformed()) }
    }

    /// Returns what is left.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`CardError::Answer`].
    pub(crate) fn end(self) -> Result<(), CardError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    /// Returns the error that names what is read here.
    pub(crate) const fn malformed(&self) -> CardError {
        CardError::Answer { what: self.what }
    }

    /// Reads tag and length.
    fn head(&mut self, tag: u8) -> Result<usize, CardError> {
        let (length, rest) = match self.rest {
            [t, length @ 0..=0x7f, rest @ ..] if *t == tag => (*length, rest),
            [t, 0x81, length @ 0x80..=0xff, rest @ ..] if *t == tag => (*length, rest),
            _ => return Err(self.malformed()),
        };
        self.rest = rest;
        Ok(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn objects_come_out_one_by_one() {
        let mut reader = Reader::new(&[0xa1, 5, 0x81, 1, 7, 0x82, 0], "x").only(0xa1).unwrap();
        assert_eq!(reader.array::<1>(0x81).unwrap(), &[7]);
        assert_eq!(reader.tag(), Some(0x82));
        assert_eq!(reader.value(0x82).unwrap(), &[] as &[u8]);
        assert!(reader.end().is_ok());
    }

    #[test]
    fn wrong_tags_lengths_and_leftovers_are_refused() {
        for data in [&[][..], &[0xa1], &[0xa1, 1], &[0xa1, 2, 0], &[0xa1, 0, 0], &[0xa2, 0], &[0xa1, 0x80]] {
            assert!(Reader::new(data, "x").only(0xa1).is_err(), "{data:x?}");
        }
        let long_form = |length: u8, bytes: usize| [vec![0xa1, 0x81, length], vec![0; bytes]].concat();
        assert!(Reader::new(&long_form(0x7f, 0x7f), "x").only(0xa1).is_err(), "not the shortest form");
        assert!(Reader::new(&long_form(0x80, 0x80), "x").only(0xa1).is_ok());
        assert!(Reader::new(&[0xa1, 0x82, 0, 1, 0], "x").only(0xa1).is_err(), "longer than any answer");
        assert!(Reader::new(&[1, 1, 0], "x").array::<2>(1).is_err());
    }

    #[test]
    fn the_select_template_may_be_one_byte_longer_than_it_says() {
        assert!(Reader::new(&[0xa4, 1, 0, 0], "x").only_to_the_end(0xa4).is_ok());
        assert!(Reader::new(&[0xa4, 2, 0, 0], "x").only_to_the_end(0xa4).is_ok());
        assert!(Reader::new(&[0xa4, 0, 0, 0], "x").only_to_the_end(0xa4).is_err());
        assert!(Reader::new(&[0xa4, 3, 0, 0], "x").only_to_the_end(0xa4).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_their_bounds(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Reader::new(&data, "x");
            let mut seen = 0;
            while let Some(tag) = reader.tag() {
                let Ok(value) = reader.value(tag) else { break };
                seen += value.len() + 2;
                prop_assert!(seen <= data.len());
            }
            let _ = Reader::new(&data, "x").only_to_the_end(0xa4);
        }

        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..256), 0..4)) {
            let mut data = Vec::new();
            for value in &values {
                data.push(0x80);
                if value.len() > 0x7f { data.push(0x81); }
                data.push(value.len() as u8);
                data.extend_from_slice(value);
            }
            let mut reader = Reader::new(&data, "x");
            for value in &values {
                prop_assert_eq!(reader.value(0x80).unwrap(), value.as_slice());
            }
            prop_assert!(reader.end().is_ok());
        }
    }
}
