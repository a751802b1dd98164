//! Key paths as commands carry them: from the master key on 4.0, from four sources before.

use proto::KeyPath;

use crate::memory::Owner;
use crate::model::Model;
use crate::status::StatusWord;

/// Reads the path of a command of 4.0 that is a path and nothing else.
///
/// # Errors
/// Those of [`from_master`]; 6F00 where the applet's length byte turns negative.
pub(crate) fn absolute(bytes: &[u8], is_extended: bool) -> Result<KeyPath, StatusWord> {
    // The applet keeps the length in a signed byte: from 128 on it runs into an exception instead of its own check.
    if is_extended && bytes.len() >= 128 && bytes.len().is_multiple_of(4) {
        return Err(StatusWord::INTERNAL);
    }
    from_master(bytes, is_extended)
}

/// Reads a path from the master key, as 4.0 takes it behind other data: SIGN, ECDH.
///
/// # Errors
/// 6985 for any path of a key without chain code; 6A80.
pub(crate) fn from_master(bytes: &[u8], is_extended: bool) -> Result<KeyPath, StatusWord> {
    if !is_extended && !bytes.is_empty() {
        return Err(StatusWord::CONDITIONS);
    }
    KeyPath::from_bytes(bytes).map_err(|_| StatusWord::WRONG_DATA)
}

/// Where a path of a card before 4.0 starts: the two high bits of P1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Master,
    Parent,
    Current,
    Pinless,
    /// DERIVE KEY takes the whole of P1 for a source; most are none.
    None,
}

impl Source {
    /// Returns the source that the high bits of P1 name.
    pub(crate) fn of_high_bits(p1: u8, model: Model) -> Self {
        Self::of(p1 & !LOW_BITS, model)
    }

    /// Returns the source that the whole of P1 names.
    pub(crate) fn of(p1: u8, model: Model) -> Self {
        match p1 {
            0x00 => Self::Master,
            0x40 => Self::Parent,
            0x80 => Self::Current,
            0xc0 if model.has_pinless_source() => Self::Pinless,
            _ => Self::None,
        }
    }
}

/// Returns the absolute path that `bytes` from `source` stand for, on a card before 4.0.
///
/// # Errors
/// 6985 for any path of a key without chain code; 6B00 for the parent of the master key; 6A86 for no source; 6A80.
pub(crate) fn resolve(owner: &Owner, source: Source, bytes: &[u8]) -> Result<KeyPath, StatusWord> {
    if !owner.key.as_ref().is_some_and(|key| key.is_extended()) {
        return if bytes.is_empty() { Ok(KeyPath::master()) } else { Err(StatusWord::CONDITIONS) };
    }
    let start = match source {
        Source::Master => &[],
        Source::Parent => owner.current.components().split_last().ok_or(StatusWord::WRONG_SOURCE)?.1,
        Source::Current => owner.current.components(),
        Source::Pinless if bytes.is_empty() => owner.pinless.components(),
        Source::Pinless => return Err(StatusWord::WRONG_DATA),
        Source::None => return Err(StatusWord::WRONG_P1_P2),
    };
    let (components, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(StatusWord::WRONG_DATA);
    }
    let components: Vec<u32> =
        start.iter().copied().chain(components.iter().map(|bytes| u32::from_be_bytes(*bytes))).collect();
    KeyPath::new(&components).map_err(|_| StatusWord::WRONG_DATA)
}

/// Returns whether the private key at this path may leave the card: m/43'/60'/1581' and two components more, hardened or
/// not.
pub(crate) fn is_exportable(path: &KeyPath) -> bool {
    path.is_in_eip_1581() && path.components().len() >= 5
}

/// The bits of P1 that are no source.
pub(crate) const LOW_BITS: u8 = 0x3f;
