//! Base64 with padding (RFC 4648 section 4), into buffers that are wiped: the form in which phones keep pairings.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len().div_ceil(3) * 4));
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let six = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            let letter = if place > chunk.len() { b'=' } else { ALPHABET.get(six).copied().unwrap_or(b'=') };
            text.push(letter);
        }
    }
    text
}

pub(super) fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3));
    let (groups, rest) = text.trim_ascii().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    for (n, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|letter| **letter == b'=').count();
        if padding > 2 || (padding > 0 && n + 1 != groups.len()) {
            return None;
        }
        let mut bits = 0u32;
        for letter in group.iter().take(4 - padding) {
            let six = ALPHABET.iter().position(|other| other == letter)?;
            bits = bits << 6 | u32::try_from(six).ok()?;
        }
        bits <<= 6 * padding;
        let [_, whole @ ..] = bits.to_be_bytes();
        let (kept, dropped) = whole.split_at_checked(3 - padding)?;
        if dropped.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    #[test]
    fn the_vectors_of_the_rfc_hold_both_ways() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()).as_slice(), text.as_bytes());
            assert_eq!(decode(text.as_bytes()).unwrap().as_slice(), bytes.as_bytes());
        }
        for bad in ["Zg=", "Zg", "Z===", "====", "Zh==", "Zm9v Zm8=", "Zm8=Zm9v", "Zm9*"] {
            assert!(decode(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
