//! Hexadecimal digits in room that is there already. Logs are full of them: whoever reads a million lines reads half a
//! billion, so both ways are written for the compiler to do many at once.

/// Writes `bytes` as lower-case digits and returns them; nothing when `room` has not two digits for each.
pub fn encode<'a>(bytes: &[u8], room: &'a mut [u8]) -> Option<&'a str> {
    let (room, rest) = room.as_chunks_mut::<2>();
    if room.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for ([high, low], byte) in room.iter_mut().zip(bytes) {
        (*high, *low) = (digit(byte >> 4), digit(byte & 15));
    }
    std::str::from_utf8(room.as_flattened()).ok()
}

/// Reads as many lower-case digits as fill `room`; nothing when there are more, fewer or others.
#[must_use]
pub fn decode(digits: &str, room: &mut [u8]) -> Option<()> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if room.len() != pairs.len() || !rest.is_empty() {
        return None;
    }
    let mut wrong = 0;
    for (byte, [high, low]) in room.iter_mut().zip(pairs) {
        let (high, low) = (value(*high), value(*low));
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    (wrong & WRONG == 0).then_some(())
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

const fn value(digit: u8) -> u8 {
    let number = digit.wrapping_sub(b'0');
    let letter = digit.wrapping_sub(b'a');
    if number < 10 {
        number
    } else if letter < 6 {
        letter + 10
    } else {
        WRONG
    }
}

/// A bit that no digit has.
const WRONG: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_written_and_read_as_the_hex_crate_does() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut room = [0; 512];
        assert_eq!(encode(&bytes, &mut room), Some(hex::encode(&bytes).as_str()));
        let mut read = [0; 256];
        assert_eq!(decode(&hex::encode(&bytes), &mut read), Some(()));
        assert_eq!(read.as_slice(), bytes);
    }

    #[test]
    fn other_digits_and_other_lengths_are_refused() {
        for digits in ["", "0", "000", "0g", "0A", "g0", " 0", "é", "/0", ":0", "`0"] {
            assert_eq!(decode(digits, &mut [0]), None, "{digits}");
        }
        assert_eq!(encode(&[1], &mut [0; 3]), None);
        assert_eq!(encode(&[1, 2], &mut [0; 2]), None);
    }
}
