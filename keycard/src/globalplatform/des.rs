//! The sums of SCP02: triple DES with two keys, and the two MACs that are made of it.
//!
//! GlobalPlatform Card Specification 2.1.1, appendix B and E. Padding is `80`, then zeros to a whole block.

use des::cipher::{Block, BlockCipherEncrypt, KeyInit as _};
use des::{Des, TdesEde2};
use proto::Secret;

/// A key of two DES keys, the first of which is used again as the third.
pub(crate) type Key = Secret<16>;

/// Eight bytes: a block, a MAC, a cryptogram.
pub(crate) type Sum = [u8; BLOCK];

/// Encrypts whole blocks in CBC mode from a zero start. What is no whole block at the end is left out.
pub(crate) fn encrypt_cbc<const N: usize>(key: &Key, data: &[u8; N]) -> Secret<N> {
    let cipher = TdesEde2::new(key.expose().into());
    Secret::fill(|room| {
        let mut last = Sum::default();
        for (from, to) in data.as_chunks().0.iter().zip(room.as_chunks_mut().0) {
            last = block(&cipher, &xor(&last, from));
            *to = last;
        }
    })
}

/// Returns the last block of the padded data in CBC mode, all of it in triple DES: the cryptograms.
pub(crate) fn full_mac(key: &Key, data: &[u8]) -> Sum {
    let cipher = TdesEde2::new(key.expose().into());
    padded(data).fold(Sum::default(), |last, next| block(&cipher, &xor(&last, &next)))
}

/// Returns the "retail" MAC of the padded data: single DES, and triple DES for the last block (ISO 9797-1, algorithm 3).
pub(crate) fn retail_mac(key: &Key, start: &Sum, data: &[u8]) -> Sum {
    let (single, triple) = (single(key), TdesEde2::new(key.expose().into()));
    let mut blocks = padded(data).peekable();
    let mut last = *start;
    while let Some(next) = blocks.next() {
        let input = xor(&last, &next);
        last = if blocks.peek().is_some() { block(&single, &input) } else { block(&triple, &input) };
    }
    last
}

/// Encrypts one block with the first of the two keys: the MAC of a command before it starts the next one.
pub(crate) fn encrypt_single(key: &Key, data: &Sum) -> Sum {
    block(&single(key), data)
}

fn single(key: &Key) -> Des {
    let (first, _) = key.expose().split_at(BLOCK);
    let mut room = [0; BLOCK];
    room.copy_from_slice(first);
    let cipher = Des::new(&room.into());
    zeroize::Zeroize::zeroize(&mut room);
    cipher
}

fn block<C: BlockCipherEncrypt<BlockSize = des::cipher::consts::U8>>(cipher: &C, data: &Sum) -> Sum {
    let mut block: Block<C> = (*data).into();
    cipher.encrypt_block(&mut block);
    block.into()
}

fn xor(a: &Sum, b: &Sum) -> Sum {
    let mut sum = *a;
    sum.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    sum
}

/// Returns the blocks of the data and of its padding.
fn padded(data: &[u8]) -> impl Iterator<Item = Sum> {
    let (whole, rest) = data.as_chunks::<BLOCK>();
    let mut last = Sum::default();
    for (to, from) in last.iter_mut().zip(rest.iter().chain([&0x80])) {
        *to = *from;
    }
    whole.iter().copied().chain([last])
}

const BLOCK: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(digits: &str) -> [u8; N] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    fn key(digits: &str) -> Key {
        Secret::fill(|room| *room = bytes(digits))
    }

    /// keycard-go `globalplatform/crypto_test.go`: of EXTERNAL AUTHENTICATE.
    #[test]
    fn the_mac_of_keycard_go() {
        let data = hex::decode("8482010010810b098a8fbb88da").unwrap();
        let mac = retail_mac(&key("5b02e75ad63190aece0622936f11abab"), &Sum::default(), &data);
        assert_eq!(mac, bytes("5271D7174A5A166A"));
    }

    /// ISO 9797-1, annex B: algorithm 3 with padding method 2, over "Now is the time for all ".
    #[test]
    fn the_retail_mac_of_iso_9797() {
        let key = key("0123456789abcdeffedcba9876543210");
        assert_eq!(retail_mac(&key, &Sum::default(), b"Now is the time for all "), bytes("e9086230ca3be796"));
    }
}
