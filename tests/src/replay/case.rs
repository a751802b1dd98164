//! One case of a recording: its fields by name, and comparisons that say what differs.

use serde_json::Value;

/// One JSON object of a recording.
#[derive(Clone, Copy)]
pub struct Case<'a>(&'a Value);

impl<'a> Case<'a> {
    /// Returns this object as a case.
    #[must_use]
    pub const fn of(value: &'a Value) -> Self {
        Self(value)
    }

    /// Returns the field, if it is there and not null.
    #[must_use]
    pub fn find(self, name: &str) -> Option<Self> {
        self.0.get(name).filter(|value| !value.is_null()).map(Self)
    }

    /// Returns the field.
    ///
    /// # Errors
    /// Says that it is missing, as do all that follow.
    pub fn at(self, name: &str) -> Result<Self, String> {
        self.find(name).ok_or_else(|| format!("the case has no {name}"))
    }

    /// Returns a field's text.
    ///
    /// # Errors
    /// Says that it is no text.
    pub fn text(self, name: &str) -> Result<&'a str, String> {
        self.at(name)?.0.as_str().ok_or_else(|| format!("{name} is no text"))
    }

    /// Returns the bytes that a field gives in hexadecimal.
    ///
    /// # Errors
    /// Says that it is not hexadecimal.
    pub fn bytes(self, name: &str) -> Result<Vec<u8>, String> {
        hex::decode(self.text(name)?).map_err(|_| format!("{name} is not hexadecimal"))
    }

    /// Returns the bytes of a field that may be missing.
    ///
    /// # Errors
    /// Says that it is not hexadecimal.
    pub fn bytes_if_there(self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.find(name).map(|_| self.bytes(name)).transpose()
    }

    /// Returns `N` bytes of a field.
    ///
    /// # Errors
    /// Says that they are not so many.
    pub fn array<const N: usize>(self, name: &str) -> Result<[u8; N], String> {
        self.bytes(name)?.try_into().map_err(|_| format!("{name} has not {N} bytes"))
    }

    /// Returns a field's number; those above 2^53 are written as text.
    ///
    /// # Errors
    /// Says that it is no number.
    pub fn number(self, name: &str) -> Result<u64, String> {
        self.at(name)?.as_number().ok_or_else(|| format!("{name} is no number"))
    }

    /// Returns a field's three numbers.
    ///
    /// # Errors
    /// Says that they are not three numbers.
    pub fn three_numbers(self, name: &str) -> Result<[u64; 3], String> {
        let numbers: Option<Vec<u64>> = self.list(name)?.map(Self::as_number).collect();
        numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(|| format!("{name} is not three numbers"))
    }

    fn as_number(self) -> Option<u64> {
        let Self(value) = self;
        value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    }

    /// Returns whether a field is there and true.
    #[must_use]
    pub fn says(self, name: &str) -> bool {
        self.find(name).is_some_and(|case| case.0.as_bool() == Some(true))
    }

    /// Returns what a field says that may be missing.
    ///
    /// # Errors
    /// Says that it is neither true nor false.
    pub fn flag(self, name: &str) -> Result<Option<bool>, String> {
        self.find(name).map(|Self(value)| value.as_bool().ok_or_else(|| format!("{name} is no flag"))).transpose()
    }

    /// Returns whether a field's verdict is "accept".
    ///
    /// # Errors
    /// Says that it has none.
    pub fn accepts(self, name: &str) -> Result<bool, String> {
        self.at(name)?.is_accepted()
    }

    /// Returns whether the verdict is "accept".
    ///
    /// # Errors
    /// Says that there is none, or another than "accept" and "reject".
    pub fn is_accepted(self) -> Result<bool, String> {
        match self.text("verdict")? {
            "accept" => Ok(true),
            "reject" => Ok(false),
            other => Err(format!("verdict {other} is neither accept nor reject")),
        }
    }

    /// Returns the double that a field gives by its bits.
    ///
    /// # Errors
    /// Says that it gives none.
    pub fn double(self, name: &str) -> Result<f64, String> {
        Ok(f64::from_bits(u64::from_be_bytes(self.at(name)?.array("bits")?)))
    }

    /// Returns the elements of a field.
    ///
    /// # Errors
    /// Says that it is no list.
    pub fn list(self, name: &str) -> Result<impl Iterator<Item = Self> + 'a, String> {
        Ok(self.at(name)?.0.as_array().ok_or_else(|| format!("{name} is no list"))?.iter().map(Self))
    }

    /// Returns the texts of a field.
    ///
    /// # Errors
    /// Says that it is no list of texts.
    pub fn texts(self, name: &str) -> Result<Vec<&'a str>, String> {
        self.list(name)?.map(|Self(value)| value.as_str().ok_or_else(|| format!("{name} holds no text"))).collect()
    }

    /// Returns the bytes of `payload`, or those that `payload_gen` describes.
    ///
    /// # Errors
    /// Says that it gives neither.
    pub fn payload(self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(bytes) = self.bytes_if_there(name)? {
            return Ok(Some(bytes));
        }
        let Some(described) = self.find("payload_gen") else { return Ok(None) };
        let [byte] = described.array("byte")?;
        let len = usize::try_from(described.number("len")?).map_err(|_| "payload_gen is too long".to_owned())?;
        if len > MAX_DESCRIBED {
            return Err("payload_gen is too long".to_owned());
        }
        Ok(Some(vec![byte; len]))
    }

    /// Compares a value with the field of that name, which large ones give by length and keccak-256.
    ///
    /// # Errors
    /// Says that they differ.
    pub fn compare_large(self, name: &str, ours: &[u8]) -> Result<(), String> {
        if let Some(theirs) = self.bytes_if_there(name)? {
            return same_bytes(name, ours, &theirs);
        }
        let len = self.number(&format!("{name}_len"))?;
        same(&format!("{name}_len"), ours.len() as u64, len)?;
        let hash = self.bytes(&format!("{name}_keccak"))?;
        same_bytes(&format!("{name}_keccak"), &proto::keccak256(&[ours]), &hash)
    }
}

/// Compares our value with the peer's.
///
/// # Errors
/// Says that they differ.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: ours {ours:?}, the peer's {theirs:?}")) }
}

/// Compares our bytes with the peer's.
///
/// # Errors
/// Says that they differ, showing the beginning of both.
pub fn same_bytes(what: &str, ours: &[u8], theirs: &[u8]) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    let show = |bytes: &[u8]| {
        let shown = hex::encode(bytes.get(..SHOWN).unwrap_or(bytes));
        if bytes.len() > SHOWN { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
    };
    Err(format!("{what}: ours {}, the peer's {}", show(ours), show(theirs)))
}

/// Returns the error of a check that fails.
///
/// # Errors
/// `what`, unless `holds`.
pub fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// No recorded message is longer than a frame can be.
const MAX_DESCRIBED: usize = 1 << 25;
/// Bytes of a value that are shown when it differs.
const SHOWN: usize = 40;
