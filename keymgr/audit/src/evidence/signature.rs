//! ECDSA signatures as cards write them: DER, but not always the shortest (applet 4.0 writes an `s` with a needless 00).
//!
//! ```text
//! 30 len { 02 len r, 02 len s }      r and s: up to 32 significant bytes, big-endian, unsigned
//! ```

/// Returns `R(32) || S(32)` of the signature that `der` writes; nothing for anything else, trailing bytes and values of 33
/// significant bytes included. Whether these are a signature of something is for [`proto::curve::verify`] to say.
#[must_use]
pub fn parse(der: &[u8]) -> Option<[u8; 64]> {
    let (inside, []) = value(0x30, der)? else { return None };
    let (r, rest) = value(0x02, inside)?;
    let (s, []) = value(0x02, rest)? else { return None };
    let mut both = [0; 64];
    let (room_r, room_s) = both.split_at_mut(32);
    fill(room_r, r)?;
    fill(room_s, s)?;
    Some(both)
}

/// Returns what stands under `tag` at the beginning, and what comes after it.
fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes {
        [first, 0x81, length, rest @ ..] | [first, length @ 0..=0x7f, rest @ ..] if *first == tag => (*length, rest),
        _ => return None,
    };
    rest.split_at_checked(usize::from(length))
}

/// Writes a number to the end of `room`; nothing when it has too many significant bytes.
fn fill(room: &mut [u8], number: &[u8]) -> Option<()> {
    let significant = number.iter().position(|byte| *byte != 0).map_or(&[][..], |start| number.split_at(start).1);
    let start = room.len().checked_sub(significant.len())?;
    room.split_at_mut(start).1.copy_from_slice(significant);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let inside = [&[2, r.len() as u8], r, &[2, s.len() as u8], s].concat();
        [&[0x30, inside.len() as u8], inside.as_slice()].concat()
    }

    #[test]
    fn short_and_padded_values_are_read() {
        let short = parse(&der(&[5; 31], &[7; 30])).unwrap();
        let padded = parse(&der(&[&[0, 0], &[5; 31][..]].concat(), &[&[0; 3], &[7; 30][..]].concat())).unwrap();
        assert_eq!(short, padded);
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let whole = der(&[5; 32], &[7; 32]);
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "{cut}");
        }
        assert!(parse(&[&whole[..], &[0]].concat()).is_none(), "trailing byte");
        assert!(parse(&der(&[5; 33], &[7; 32])).is_none(), "33 significant bytes");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_signature_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..90),
            r in proptest::collection::vec(any::<u8>(), 0..40),
            s in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = parse(&bytes);
            if let Some(both) = parse(&der(&r, &s)) {
                prop_assert!([&[0; 40], r.as_slice()].concat().ends_with(&both[..32]));
                prop_assert!([&[0; 40], s.as_slice()].concat().ends_with(&both[32..]));
            }
        }
    }
}
