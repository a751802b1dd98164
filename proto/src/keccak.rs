//! Keccak-256 as Ethereum and this network use it: the sponge of FIPS 202 with the padding of before the standard.
//!
//! Envelope hashes, proof of work and the MACs of RLPx make it the busiest code of a relay. It is ours because it takes a
//! fifth less time than the crates' (`docs/benchmarks.md`): six of the 25 lanes are kept complemented, which spares the chi
//! step most of its NOTs ("lane complementing", Keccak implementation overview, section 2.2), and input is absorbed into
//! the state itself. Tests hold it against another implementation.

use zeroize::Zeroize;

/// A sponge that absorbs bytes. Cloning it goes on from what was absorbed; dropping it wipes it.
#[derive(Clone)]
pub struct Keccak256 {
    lanes: Lanes,
    /// How many bytes of the block were absorbed: less than [`RATE`].
    filled: usize,
}

impl Keccak256 {
    /// Returns a sponge that has absorbed nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { lanes: COMPLEMENT, filled: 0 }
    }

    /// Absorbs bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while let Some((part, rest)) = bytes.split_at_checked(RATE - self.filled) {
            self.absorb(part);
            permute(&mut self.lanes);
            self.filled = 0;
            bytes = rest;
        }
        self.absorb(bytes);
        self.filled += bytes.len();
    }

    /// Returns the hash of what was absorbed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut last = self.clone();
        last.absorb(&[0x01]);
        last.filled = RATE - 1;
        last.absorb(&[0x80]);
        permute(&mut last.lanes);
        let mut hash = [0; 32];
        let lanes = last.lanes.as_flattened().iter().zip(COMPLEMENT.as_flattened());
        for (room, (lane, complement)) in hash.as_chunks_mut::<8>().0.iter_mut().zip(lanes) {
            *room = (lane ^ complement).to_le_bytes();
        }
        hash
    }

    /// Absorbs bytes that fit into the block, from where it is filled to.
    fn absorb(&mut self, bytes: &[u8]) {
        let (lane, offset) = (self.filled / 8, self.filled % 8);
        let mut lanes = self.lanes.as_flattened_mut().iter_mut().skip(lane);
        let mut rest = bytes;
        if offset != 0
            && let Some(lane) = lanes.next()
        {
            let (head, tail) = bytes.split_at(bytes.len().min(8 - offset));
            *lane ^= word(head) << (8 * offset);
            rest = tail;
        }
        let (words, tail) = rest.as_chunks::<8>();
        for (word, lane) in words.iter().zip(&mut lanes) {
            *lane ^= u64::from_le_bytes(*word);
        }
        if let Some(lane) = lanes.next() {
            *lane ^= word(tail);
        }
    }
}

impl Default for Keccak256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Keccak256 {
    fn drop(&mut self) {
        self.lanes.zeroize();
    }
}

/// Returns keccak-256 (not NIST SHA-3) of the concatenated parts.
#[must_use]
pub fn keccak256(parts: &[&[u8]]) -> [u8; 32] {
    let mut sponge = Keccak256::new();
    for part in parts {
        sponge.update(part);
    }
    sponge.digest()
}

/// Returns up to 8 bytes as the beginning of a lane.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Keccak-f\[1600\] over lanes of which those of [`COMPLEMENT`] are complemented.
fn permute(lanes: &mut Lanes) {
    let mut even = *lanes;
    // Two rounds a turn: the lanes go to and fro between two places instead of being moved back.
    for [first, second] in ROUND_CONSTANTS.as_chunks::<2>().0 {
        let odd = round(&even, *first);
        even = round(&odd, *second);
    }
    *lanes = even;
}

/// One round: theta, rho, pi, chi and iota. Lanes are named by row (b g k m s) and column (a e i o u).
#[inline(always)]
#[rustfmt::skip]
fn round(lanes: &Lanes, constant: u64) -> Lanes {
    let [
        [ba, be, bi, bo, bu],
        [ga, ge, gi, go, gu],
        [ka, ke, ki, ko, ku],
        [ma, me, mi, mo, mu],
        [sa, se, si, so, su],
    ] = *lanes;

    let a = ba ^ ga ^ ka ^ ma ^ sa;
    let e = be ^ ge ^ ke ^ me ^ se;
    let i = bi ^ gi ^ ki ^ mi ^ si;
    let o = bo ^ go ^ ko ^ mo ^ so;
    let u = bu ^ gu ^ ku ^ mu ^ su;
    let (a, e, i, o, u) = (
        u ^ e.rotate_left(1),
        a ^ i.rotate_left(1),
        e ^ o.rotate_left(1),
        i ^ u.rotate_left(1),
        o ^ a.rotate_left(1),
    );

    let (ba, ge, ki, mo, su) = (
        ba ^ a, (ge ^ e).rotate_left(44), (ki ^ i).rotate_left(43), (mo ^ o).rotate_left(21), (su ^ u).rotate_left(14),
    );
    let b = [ba ^ (ge | ki) ^ constant, ge ^ (!ki | mo), ki ^ (mo & su), mo ^ (su | ba), su ^ (ba & ge)];
    let (bo, gu, ka, me, si) = (
        (bo ^ o).rotate_left(28), (gu ^ u).rotate_left(20), (ka ^ a).rotate_left(3), (me ^ e).rotate_left(45),
        (si ^ i).rotate_left(61),
    );
    let g = [bo ^ (gu | ka), gu ^ (ka & me), ka ^ (me | !si), me ^ (si | bo), si ^ (bo & gu)];
    let (be, gi, ko, mu, sa) = (
        (be ^ e).rotate_left(1), (gi ^ i).rotate_left(6), (ko ^ o).rotate_left(25), (mu ^ u).rotate_left(8),
        (sa ^ a).rotate_left(18),
    );
    let k = [be ^ (gi | ko), gi ^ (ko & mu), ko ^ (!mu & sa), !mu ^ (sa | be), sa ^ (be & gi)];
    let (bu, ga, ke, mi, so) = (
        (bu ^ u).rotate_left(27), (ga ^ a).rotate_left(36), (ke ^ e).rotate_left(10), (mi ^ i).rotate_left(15),
        (so ^ o).rotate_left(56),
    );
    let m = [bu ^ (ga & ke), ga ^ (ke | mi), ke ^ (!mi | so), !mi ^ (so & bu), so ^ (bu | ga)];
    let (bi, go, ku, ma, se) = (
        (bi ^ i).rotate_left(62), (go ^ o).rotate_left(55), (ku ^ u).rotate_left(39), (ma ^ a).rotate_left(41),
        (se ^ e).rotate_left(2),
    );
    let s = [bi ^ (!go & ku), !go ^ (ku | ma), ku ^ (ma & se), ma ^ (se | bi), se ^ (bi & go)];
    [b, g, k, m, s]
}

/// The state, row by row.
type Lanes = [[u64; 5]; 5];

/// Bytes of a block: 1600 bits less twice the 256 of the hash.
const RATE: usize = 136;

/// The lanes that are kept complemented (be, bi, go, ki, mi, sa), as all ones.
const COMPLEMENT: Lanes = [[0, !0, !0, 0, 0], [0, 0, 0, !0, 0], [0, 0, !0, 0, 0], [0, 0, !0, 0, 0], [!0, 0, 0, 0, 0]];

/// Of iota (FIPS 202, algorithm 5).
const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha3::Digest as _;

    use super::{Keccak256, RATE, keccak256};

    #[test]
    fn nothing_and_a_text_have_the_known_hashes() {
        let nothing = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(hex::encode(keccak256(&[])), nothing);
        let testing = "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02";
        assert_eq!(hex::encode(keccak256(&[b"test", b"ing"])), testing);
    }

    #[test]
    fn every_length_around_a_block_hashes_as_elsewhere() {
        let bytes: Vec<u8> = (0..=255).cycle().take(2 * RATE + 9).collect();
        for len in 0..bytes.len() {
            let (bytes, _) = bytes.split_at(len);
            assert_eq!(keccak256(&[bytes]), <[u8; 32]>::from(sha3::Keccak256::digest(bytes)), "{len}");
        }
    }

    proptest! {
        #[test]
        fn pieces_hash_as_the_whole_does_elsewhere(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..8),
        ) {
            let mut sponge = Keccak256::new();
            for piece in &pieces {
                sponge.update(piece);
                let _ = sponge.digest();
            }
            prop_assert_eq!(sponge.digest(), <[u8; 32]>::from(sha3::Keccak256::digest(pieces.concat())));
        }
    }
}
