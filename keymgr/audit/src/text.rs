//! The few forms that values take in a line, each bounded: text, hexadecimal bytes, purposes.

use std::fmt;

use proto::digits;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text of at most `MAX` bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Returns `text` with control characters replaced by `?`, cut to the bound.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let mut kept = String::new();
        for c in text.chars() {
            if kept.len() + c.len_utf8() > MAX {
                break;
            }
            kept.push(if c.is_control() { '?' } else { c });
        }
        Self(kept)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > MAX {
            return Err("text too long");
        }
        let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_plain && text.chars().any(char::is_control) {
            return Err("text with control characters");
        }
        Ok(Self(text))
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key is asked for: 1 to 32 of `a-z 0-9 -` and spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Purpose(String);

impl Purpose {
    /// Returns the word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is no purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a purpose is 1 to 32 of a-z, 0-9, - and spaces")]
pub struct NotAPurpose;

impl TryFrom<String> for Purpose {
    type Error = NotAPurpose;

    fn try_from(text: String) -> Result<Self, NotAPurpose> {
        let fits = (1..=32).contains(&text.len());
        if fits && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b' ')) {
            Ok(Self(text))
        } else {
            Err(NotAPurpose)
        }
    }
}

impl std::str::FromStr for Purpose {
    type Err = NotAPurpose;

    fn from_str(text: &str) -> Result<Self, NotAPurpose> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// At most `MAX` public bytes, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<&[u8]> for Blob<MAX> {
    type Error = &'static str;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        if bytes.len() > MAX { Err("too many bytes") } else { Ok(Self(bytes.to_vec())) }
    }
}

impl<const MAX: usize> TryFrom<String> for Blob<MAX> {
    type Error = &'static str;

    fn try_from(digits: String) -> Result<Self, Self::Error> {
        if digits.len() > 2 * MAX {
            return Err("too many bytes");
        }
        hex::decode(digits).map(Self).map_err(|_| "not hexadecimal")
    }
}

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(&self.0))
    }
}

impl<const MAX: usize> fmt::Display for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// Reads a text that is parsed where it stands.
fn parsed<'de, T, D: Deserializer<'de>>(from: D, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, D::Error> {
    struct Parsed<F>(F);

    impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Parsed<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }

    from.deserialize_str(Parsed(parse))
}

/// As [`parsed`], where the value may be absent.
fn parsed_option<'de, T, D: Deserializer<'de>>(
    from: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    struct Parsed<F>(F);

    impl<'de, T, F: FnOnce(&str) -> Result<T, String>> Visitor<'de> for Parsed<F> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, or nothing")
        }

        fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
            parsed(from, self.0).map(Some)
        }
    }

    from.deserialize_option(Parsed(parse))
}

/// A value in the form that its `Display` writes and its `FromStr` reads.
pub(crate) mod shown {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        super::parsed(from, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }
}

/// Like [`shown`], where the value may be absent.
pub(crate) mod shown_option {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        super::parsed_option(from, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }
}

/// What has a fixed number of bytes to show in hexadecimal.
pub(crate) trait Fixed: Sized {
    /// Returns the bytes.
    fn bytes(&self) -> &[u8];
    /// Returns the value with these bytes, if they are as many as it has.
    fn of(bytes: &[u8]) -> Option<Self>;
}

impl<const N: usize> Fixed for [u8; N] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl Fixed for proto::KeyUid {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl Fixed for proto::Digest {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

/// The longest [`Fixed`] value: a public key, uncompressed.
const MAX_FIXED: usize = 65;

fn digits_of<T: Fixed, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let mut room = [0; 2 * MAX_FIXED];
    let bytes = value.bytes();
    let digits = room.get_mut(..2 * bytes.len()).and_then(|room| digits::encode(bytes, room));
    to.serialize_str(digits.ok_or_else(|| serde::ser::Error::custom("too many bytes"))?)
}

fn of_digits<T: Fixed>(text: &str) -> Result<T, String> {
    let mut room = [0; MAX_FIXED];
    let bytes = room.get_mut(..text.len() / 2);
    let read = bytes.and_then(|bytes| digits::decode(text, bytes).and_then(|()| T::of(bytes)));
    read.ok_or_else(|| "not the right hexadecimal digits".to_owned())
}

/// A [`Fixed`] value in hexadecimal.
pub(crate) mod hex_fixed {
    use serde::{Deserializer, Serializer};

    use super::Fixed;

    pub(crate) fn serialize<T: Fixed, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        super::digits_of(value, to)
    }

    pub(crate) fn deserialize<'de, T: Fixed, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        super::parsed(from, super::of_digits)
    }
}

/// Like [`hex_fixed`], where the value may be absent.
pub(crate) mod hex_option {
    use serde::{Deserializer, Serializer};

    use super::Fixed;

    pub(crate) fn serialize<T: Fixed, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::digits_of(value, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: Fixed, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        super::parsed_option(from, super::of_digits)
    }
}

/// A path whose private key may leave.
pub(crate) mod export_path {
    use proto::{ExportPath, KeyPath};
    use serde::{Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(path: &ExportPath, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(path)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ExportPath, D::Error> {
        let path: KeyPath = super::shown::deserialize(from)?;
        ExportPath::try_from(path).map_err(D::Error::custom)
    }
}
