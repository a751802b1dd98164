//! One line of the log: its exact bytes, its checksum, and its place in the chain.
//!
//! ```text
//! {"seq":N,"unix_ms":N,"mono_ms":N,"prev":"<64 hex>","event":{...},"sum":"<16 hex>"}\n
//! ```
//!
//! `prev` is the SHA-256 of the bytes of the line before, its newline included; zeros in the first line. `sum` is the
//! beginning of the SHA-256 of the bytes of this line before `,"sum"`. The chain shows *that* the history was changed; the
//! checksum says *where* after an accident, also in the last line, which no other line vouches for. `seq` is the number
//! of the line, from 1. A line has one form only: what does not encode back to the same bytes is refused.

use std::fmt;
use std::str::FromStr;

use proto::{Instant, UnixMillis};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::entry::Event;
use crate::text;
use crate::tree::Root;

/// The longest line, its newline included.
pub const MAX_LINE: usize = 4096;

/// The SHA-256 of a line's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineHash(#[serde(with = "text::hex_fixed")] [u8; 32]);

impl LineHash {
    /// What the first line names as the one before it.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns the hash of a line.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for LineHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineHash({}…)", hex::encode(self.0.get(..4).unwrap_or(&[])))
    }
}

/// The random name of one log, in its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(#[serde(with = "text::hex_fixed")] [u8; 16]);

impl LogId {
    /// Returns the bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl From<[u8; 16]> for LogId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// How far a log goes: its name, its number of lines, the hash of the last one, and the root of the tree over all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// How many lines it has.
    pub entries: u64,
    /// The hash of the last one.
    pub hash: LineHash,
    /// The root of the tree over all lines.
    pub root: Root,
}

impl Head {
    /// Returns what a card signs when it signs this head:
    /// `SHA-256("cardinal-head/1" || log id(16) || entries(8, big-endian) || root(32) || random(32))`.
    #[must_use]
    pub fn salt(&self, random: &[u8; 32]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"cardinal-head/1");
        hasher.update(self.log.0);
        hasher.update(self.entries.to_be_bytes());
        hasher.update(self.root.as_bytes());
        hasher.update(random);
        hasher.finalize().into()
    }
}

/// `LOG-ID ENTRIES HASH ROOT`, the form in which a head is kept apart from its log.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.log, self.entries, self.hash, self.root)
    }
}

/// A text that is not `LOG-ID ENTRIES HASH ROOT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the head of a log: LOG-ID ENTRIES HASH ROOT")]
pub struct NotAHead;

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        fn bytes<const N: usize>(digits: &str) -> Result<[u8; N], NotAHead> {
            let mut bytes = [0; N];
            hex::decode_to_slice(digits, &mut bytes).map(|()| bytes).map_err(|_| NotAHead)
        }
        let parts: Vec<&str> = text.split(' ').collect();
        let [log, entries, hash, root] = parts.as_slice() else { return Err(NotAHead) };
        Ok(Self {
            log: LogId(bytes(log)?),
            entries: entries.parse().map_err(|_| NotAHead)?,
            hash: LineHash(bytes(hash)?),
            root: Root::from(bytes(root)?),
        })
    }
}

/// Both clocks at the moment of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The wall clock, which may be set back.
    pub unix: UnixMillis,
    /// The monotonic clock of the process that wrote the line.
    pub monotonic: Instant,
}

/// One line, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The number of the line, from 1.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Milliseconds of the writer's monotonic clock.
    pub mono_ms: u64,
    /// The hash of the line before.
    pub prev: LineHash,
    /// What happened.
    pub event: Event,
}

/// Why some bytes are no line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotALine {
    /// Longer than [`MAX_LINE`].
    #[error("longer than {MAX_LINE} bytes")]
    TooLong,
    /// No newline at the end: the writing was cut off.
    #[error("cut off before its end")]
    CutOff,
    /// The checksum does not fit.
    #[error("altered: its checksum does not fit")]
    Altered,
    /// The checksum fits, but it is not an entry in its one form.
    #[error("malformed")]
    Malformed,
}

impl Line {
    /// Returns the bytes of the line.
    ///
    /// # Errors
    /// [`NotALine::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, NotALine> {
        let mut bytes = serde_json::to_vec(self).map_err(|_| NotALine::Malformed)?;
        bytes.pop();
        let sum = digits(Sha256::digest(&bytes).into());
        bytes.extend_from_slice(SUM.as_bytes());
        bytes.extend_from_slice(&sum);
        bytes.extend_from_slice(END.as_bytes());
        if bytes.len() > MAX_LINE { Err(NotALine::TooLong) } else { Ok(bytes) }
    }

    /// Returns the line of these bytes.
    ///
    /// # Errors
    /// [`NotALine`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotALine> {
        Decoder::default().decode(bytes).map(|(line, _)| line)
    }
}

/// Decodes line after line in the same room.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    json: Vec<u8>,
    again: Vec<u8>,
}

impl Decoder {
    /// Returns the line of these bytes and their hash.
    ///
    /// # Errors
    /// [`NotALine`].
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Result<(Line, LineHash), NotALine> {
        if bytes.len() > MAX_LINE {
            return Err(NotALine::TooLong);
        }
        if bytes.last() != Some(&b'\n') {
            return Err(NotALine::CutOff);
        }
        let at = bytes.len().checked_sub(SUM.len() + SUM_DIGITS + END.len()).ok_or(NotALine::Altered)?;
        let (body, tail) = bytes.split_at(at);
        let sum = tail.strip_prefix(SUM.as_bytes()).and_then(|rest| rest.strip_suffix(END.as_bytes()));
        // The line's hash goes on where its checksum ends.
        let mut hasher = Sha256::new_with_prefix(body);
        if sum != Some(digits(hasher.clone().finalize().into()).as_slice()) {
            return Err(NotALine::Altered);
        }
        hasher.update(tail);
        self.json.clear();
        self.json.extend_from_slice(body);
        self.json.push(b'}');
        // Looked at once as a whole: text by text it costs a tenth of all.
        let json = std::str::from_utf8(&self.json).map_err(|_| NotALine::Malformed)?;
        let line: Line = serde_json::from_str(json).map_err(|_| NotALine::Malformed)?;
        self.again.clear();
        serde_json::to_writer(&mut self.again, &line).map_err(|_| NotALine::Malformed)?;
        if self.again == self.json { Ok((line, LineHash(hasher.finalize().into()))) } else { Err(NotALine::Malformed) }
    }
}

/// Returns the digits of a checksum.
fn digits(hash: [u8; 32]) -> [u8; SUM_DIGITS] {
    let mut digits = [0; SUM_DIGITS];
    let short = hash.first_chunk::<{ SUM_DIGITS / 2 }>();
    // As many digits as two a byte: there is always room.
    short.and_then(|short| hex::encode_to_slice(short, &mut digits).ok());
    digits
}

const SUM: &str = ",\"sum\":\"";
const SUM_DIGITS: usize = 16;
const END: &str = "\"}\n";
