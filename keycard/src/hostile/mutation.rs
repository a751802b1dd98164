//! Answers that no Keycard gives, made of answers that one does.

use rand_core::Rng;

/// Returns an answer that differs from `good`, data and status word, in one to three places.
pub(super) fn mutate(good: &[u8], dice: &mut dyn Rng) -> Vec<u8> {
    let mut answer = good.to_vec();
    for _ in 0..=below(3, dice) {
        befall(&mut answer, dice);
    }
    answer.truncate(MAX_ANSWER);
    answer
}

/// Returns bytes without any form.
pub(super) fn noise(dice: &mut dyn Rng) -> Vec<u8> {
    let mut bytes = vec![0; below(MAX_ANSWER + 1, dice)];
    dice.fill_bytes(&mut bytes);
    bytes
}

fn befall(answer: &mut Vec<u8>, dice: &mut dyn Rng) {
    let at = below(answer.len().max(1), dice);
    match below(11, dice) {
        // Cut short, with the status word gone or put behind what is left.
        0 => answer.truncate(at),
        1 => {
            let end = answer.len().saturating_sub(2);
            answer.splice(at.min(end)..end, []);
        }
        // Prolonged.
        2 => {
            let end = answer.len().saturating_sub(2);
            let more = vec![EDGES[below(EDGES.len(), dice)]; 1 + below(40, dice)];
            answer.splice(end..end, more);
        }
        // One bit, or one byte at the edge of what lengths and tags mean.
        3 => flip(answer, at, 1 << below(8, dice)),
        4 | 5 => {
            if let Some(byte) = answer.get_mut(at) {
                *byte = EDGES[below(EDGES.len(), dice)];
            }
        }
        // A length that is off by a little, or said in the long form.
        6 => {
            if let Some(byte) = answer.get_mut(at) {
                *byte = byte.wrapping_add([1, 2, 0xff, 0xfe][below(4, dice)]);
            }
        }
        7 => {
            let prefix: &[u8] = [&[0x81][..], &[0x82, 0x00], &[0x84, 0, 0, 0], &[0x80]][below(4, dice)];
            answer.splice(at..at, prefix.iter().copied());
        }
        // A stretch of it twice.
        8 => {
            let end = (at + 1 + below(70, dice)).min(answer.len());
            let twice = answer.get(at..end).unwrap_or_default().to_vec();
            answer.splice(at..at, twice);
        }
        // A number that is no scalar, no coordinate, or nothing at all.
        9 => {
            let number = NUMBERS[below(NUMBERS.len(), dice)];
            for (byte, other) in answer.iter_mut().skip(at).zip(number) {
                *byte = other;
            }
        }
        // Another status word.
        _ => {
            if let Some(word) = answer.last_chunk_mut::<2>() {
                *word = [[0x63, 0xc1], [0x61, 0xff], [0x6c, 0x00], [0x69, 0x85], [0x90, 0x01], [0x00, 0x90]]
                    [below(6, dice)];
            }
        }
    }
}

fn flip(answer: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = answer.get_mut(at) {
        *byte ^= bits;
    }
}

fn below(limit: usize, dice: &mut dyn Rng) -> usize {
    usize::try_from(dice.next_u32()).unwrap() % limit
}

/// What fits into one answer inside the channel of 4.0, the status word included.
const MAX_ANSWER: usize = 247;
const EDGES: [u8; 14] = [0x00, 0x01, 0x02, 0x20, 0x21, 0x30, 0x41, 0x7f, 0x80, 0x81, 0x82, 0xa0, 0xfe, 0xff];
const NUMBERS: [[u8; 32]; 5] = [
    [0; 32],
    [0xff; 32],
    // n and n - 1 of secp256k1, and p.
    hexadecimal(b"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
    hexadecimal(b"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140"),
    hexadecimal(b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"),
];

const fn hexadecimal(text: &[u8; 64]) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        if c.is_ascii_digit() { c - b'0' } else { c - b'a' + 10 }
    }
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    bytes
}
