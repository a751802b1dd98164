//! Compression of message payloads: snappy's block format (EIP-706).
//!
//! The declared length is judged before any room is made for it: it may not exceed [`MAX_LEN`], nor what so many
//! compressed bytes can become at most.

use std::borrow::Cow;

/// The longest payload, compressed or not, in bytes: 16 MiB - 1.
pub const MAX_LEN: usize = (1 << 24) - 1;

/// A payload that does not decompress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSnappy {
    /// It declares more than [`MAX_LEN`].
    #[error("the payload declares {declared} bytes, more than a message may have")]
    Bomb {
        /// The declared length.
        declared: u64,
    },
    /// It is no snappy block, or declares more than so few bytes can become.
    #[error("the payload is no snappy block")]
    Corrupt,
}

/// Returns the declared length of a block, which is the room that decompressing it takes; makes none itself.
///
/// # Errors
/// [`BadSnappy::Bomb`]; [`BadSnappy::Corrupt`] when so few bytes cannot become so many.
pub fn planned_len(block: &[u8]) -> Result<usize, BadSnappy> {
    plan(block).map(|(len, _)| len)
}

/// Decompresses one block.
///
/// # Errors
/// Those of [`planned_len`], before any room is made; [`BadSnappy::Corrupt`].
pub fn decompress(block: &[u8]) -> Result<Vec<u8>, BadSnappy> {
    let (len, body) = plan(block)?;
    let mut out = vec![0; len];
    match snap::raw::Decoder::new().decompress(&short_form(block, len, body), &mut out) {
        Ok(written) if written == len => Ok(out),
        _ => Err(BadSnappy::Corrupt),
    }
}

/// Returns the declared length, once it can be true, and what follows it.
fn plan(block: &[u8]) -> Result<(usize, &[u8]), BadSnappy> {
    let (declared, body) = split_length(block).ok_or(BadSnappy::Corrupt)?;
    let len = usize::try_from(declared).ok().filter(|len| *len <= MAX_LEN).ok_or(BadSnappy::Bomb { declared })?;
    // The densest element is a copy of 64 bytes told in 3.
    if len > body.len().saturating_mul(MOST_PER_BYTE) {
        return Err(BadSnappy::Corrupt);
    }
    Ok((len, body))
}

/// Returns the declared length and what follows it. As the peers read it: a varint of at most 10 bytes, minimal or not.
fn split_length(block: &[u8]) -> Option<(u64, &[u8])> {
    let mut declared: u64 = 0;
    for (i, byte) in block.iter().take(10).enumerate() {
        let digit = u64::from(byte & 0x7f);
        if i == 9 && *byte > 1 {
            return None;
        }
        declared |= digit << (7 * i);
        if *byte < 0x80 {
            return block.split_at_checked(i + 1).map(|(_, body)| (declared, body));
        }
    }
    None
}

/// The decoder takes length fields of at most 5 bytes; a longer one that says little is written anew.
fn short_form<'a>(block: &'a [u8], declared: usize, body: &[u8]) -> Cow<'a, [u8]> {
    if block.len() - body.len() <= 5 {
        return Cow::Borrowed(block);
    }
    let mut short = Vec::with_capacity(5 + body.len());
    let mut rest = declared;
    while rest >= 0x80 {
        short.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    short.push(u8::try_from(rest).unwrap_or(0));
    short.extend_from_slice(body);
    Cow::Owned(short)
}

const MOST_PER_BYTE: usize = 64 / 3 + 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BadSnappy, MAX_LEN, decompress, planned_len};

    fn compress(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    #[test]
    fn a_declared_length_of_16_mib_is_refused() {
        assert_eq!(decompress(&[0x80, 0x80, 0x80, 0x08, 0]), Err(BadSnappy::Bomb { declared: 1 << 24 }));
        assert_eq!(decompress(&[0xff, 0xff, 0xff, 0x07, 0]), Err(BadSnappy::Corrupt), "not out of one byte");
        assert_eq!(decompress(&[0xff; 10]), Err(BadSnappy::Corrupt));
        let most = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(decompress(&most), Err(BadSnappy::Bomb { declared: u64::MAX }));
    }

    #[test]
    fn more_than_so_few_bytes_can_become_is_refused_before_any_room_is_made() {
        assert_eq!(planned_len(&[0xff, 0xff, 0xff, 0x07, 0]), Err(BadSnappy::Corrupt));
        // 22 bytes for each that follows.
        assert_eq!(planned_len(&[22, 0]), Ok(22));
        assert_eq!(planned_len(&[23, 0]), Err(BadSnappy::Corrupt));
        assert_eq!(planned_len(&[0x80, 0x80, 0x80, 0x08, 0]), Err(BadSnappy::Bomb { declared: 1 << 24 }));
        let dense = compress(&vec![0; MAX_LEN]);
        assert_eq!(planned_len(&dense), Ok(MAX_LEN), "the densest block there is passes");
    }

    #[test]
    fn the_longest_payload_passes() {
        let zeros = vec![0; MAX_LEN];
        assert_eq!(decompress(&compress(&zeros)), Ok(zeros));
    }

    /// The peer's rules: a length field that is not minimal passes, so does nothing at all, but not a missing length.
    #[test]
    fn odd_length_fields_are_read_as_the_peers_do() {
        assert_eq!(decompress(&[0]), Ok(Vec::new()));
        assert_eq!(decompress(&[]), Err(BadSnappy::Corrupt));
        assert_eq!(decompress(&[0x83, 0x00, 0x08, 1, 2, 3]), Ok(vec![1, 2, 3]));
        assert_eq!(decompress(&[0x83, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x08, 1, 2, 3]), Ok(vec![1, 2, 3]));
        assert_eq!(decompress(&[0x83, 0x00, 0x0c, 1, 2, 3, 4]), Err(BadSnappy::Corrupt));
        assert_eq!(decompress(&[0, 0x08, 1, 2, 3]), Err(BadSnappy::Corrupt));
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(bytes: Vec<u8>, times in 1..200usize) {
            let bytes = bytes.repeat(times);
            prop_assert_eq!(decompress(&compress(&bytes)), Ok(bytes));
        }

        #[test]
        fn no_bytes_are_too_odd(len in 0..5000u64, body: Vec<u8>) {
            let mut block = vec![u8::try_from(len & 0x7f).unwrap() | 0x80, u8::try_from(len >> 7).unwrap()];
            block.extend(body);
            let _ = decompress(&block);
        }
    }
}
