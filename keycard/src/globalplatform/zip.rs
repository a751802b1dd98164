//! ZIP archives (PKWARE APPNOTE 6.3), as much of them as a CAP file needs: stored and deflated members, found through
//! the central directory.
//!
//! The invariant: no length in an archive is believed before it is held against the bytes that are there, and nothing
//! is unpacked beyond the bound of the caller.

use crate::globalplatform::cap::CapError;

/// An archive and its central directory.
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    directory: &'a [u8],
    entries: usize,
}

/// One entry of the central directory.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    flags: u16,
    method: u16,
    crc: u32,
    packed: usize,
    size: usize,
    header_at: usize,
}

impl<'a> Archive<'a> {
    /// Finds the central directory.
    ///
    /// # Errors
    /// [`CapError::NotAZip`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CapError> {
        let tail = bytes.len().saturating_sub(END_LEN + usize::from(u16::MAX));
        let last = (tail..=bytes.len().saturating_sub(END_LEN)).rev();
        for at in last {
            if let Some(end) = bytes.get(at..).and_then(|end| end.strip_prefix(END)) {
                return Self::of_end(bytes, end).ok_or(CapError::NotAZip);
            }
        }
        Err(CapError::NotAZip)
    }

    fn of_end(bytes: &'a [u8], end: &[u8]) -> Option<Self> {
        let [disks, entries, size, at] = [u32_at(end, 0)?, u32_at(end, 4)?, u32_at(end, 8)?, u32_at(end, 12)?];
        // This disk and the one of the directory are the first; the entries on it are all there are.
        let (here, all) = (entries & 0xffff, entries >> 16);
        let at = usize::try_from(at).ok()?;
        let directory = bytes.get(at..)?.get(..usize::try_from(size).ok()?)?;
        let entries = usize::try_from(all).ok()?;
        (disks == 0 && here == all && entries <= MAX_ENTRIES).then_some(Self { bytes, directory, entries })
    }

    /// Returns the entries; an unreadable one is an error and the last.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, CapError>> {
        let mut rest = Some(self.directory);
        (0..self.entries).map_while(move |_| {
            let (entry, behind) = match Entry::parse(rest?) {
                Some((entry, behind)) => (Ok(entry), Some(behind)),
                None => (Err(CapError::NotAZip), None),
            };
            rest = behind;
            Some(entry)
        })
    }

    /// Unpacks an entry of at most `bound` bytes.
    ///
    /// # Errors
    /// [`CapError::NotAZip`], [`CapError::TooLong`].
    pub(crate) fn unpack(&self, entry: &Entry<'_>, bound: usize) -> Result<Vec<u8>, CapError> {
        if entry.size > bound {
            return Err(CapError::TooLong);
        }
        let content = self.unpacked(entry).filter(|content| content.len() == entry.size);
        content.filter(|content| crc32(content) == entry.crc).ok_or(CapError::NotAZip)
    }

    fn unpacked(&self, entry: &Entry<'_>) -> Option<Vec<u8>> {
        let header = self.bytes.get(entry.header_at..)?.strip_prefix(LOCAL)?;
        let name = usize::from(u16_at(header, 22)?);
        let extra = usize::from(u16_at(header, 24)?);
        let packed = header.get(26 + name + extra..)?.get(..entry.packed)?;
        match entry.method {
            _ if entry.flags & ENCRYPTED != 0 => None,
            STORED => Some(packed.to_vec()),
            DEFLATED => miniz_oxide::inflate::decompress_to_vec_with_limit(packed, entry.size).ok(),
            _ => None,
        }
    }
}

impl<'a> Entry<'a> {
    /// Returns the first entry and what is behind it.
    fn parse(directory: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let fields = directory.strip_prefix(CENTRAL)?;
        let [name, extra, comment] = [u16_at(fields, 24)?, u16_at(fields, 26)?, u16_at(fields, 28)?].map(usize::from);
        let (name, rest) = fields.get(42..)?.split_at_checked(name)?;
        let entry = Self {
            name,
            flags: u16_at(fields, 4)?,
            method: u16_at(fields, 6)?,
            crc: u32_at(fields, 12)?,
            packed: usize::try_from(u32_at(fields, 16)?).ok()?,
            size: usize::try_from(u32_at(fields, 20)?).ok()?,
            header_at: usize::try_from(u32_at(fields, 38)?).ok()?,
        };
        Some((entry, rest.get(extra + comment..)?))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The checksum of the archive format: reflected, polynomial 04C11DB7.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    !crc
}

/// "End of central directory", "central file header", "local file header"; field offsets above count from behind these.
const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const END_LEN: usize = 22;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const ENCRYPTED: u16 = 1;
/// A CAP file has about 15.
const MAX_ENTRIES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
