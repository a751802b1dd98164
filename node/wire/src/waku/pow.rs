//! Proof of work: what an envelope has, what a sealing needs, and the search for it (6/WAKU1, "PoW Requirement").
//!
//! Invariant: the value is computed in the float steps of status-go, one division after the other, because a single
//! division by the product differs in the last bit for one envelope in seven.

use proto::Keccak256;

/// Envelopes are taken to be this many bytes longer than their data, by all size limits and by the sealing target.
pub const HEADER_ESTIMATE: usize = 20;

/// Returns 2^zeros / length / (ttl + extra); seconds wrap in 32 bits, and none at all mean infinite work.
#[must_use]
pub fn value(zeros: u32, short_len: usize, ttl: u32, extra_s: u32) -> f64 {
    let seconds = ttl.wrapping_add(extra_s);
    if seconds == 0 {
        return f64::INFINITY;
    }
    let per_byte = 2f64.powi(i32::try_from(zeros).unwrap_or(i32::MAX)) / short_len as f64;
    per_byte / f64::from(seconds)
}

/// Returns the leading zero bits that reach `target`: ceil(log2(target * (20 + data) * ttl)), at least 1.
///
/// The target counts an estimate of the size where [`value`] counts the short form; so does status-go.
#[must_use]
pub fn sealing_bits(target: f64, data_len: usize, ttl: u32) -> u32 {
    let work = target * (HEADER_ESTIMATE + data_len) as f64 * f64::from(ttl);
    // A float cast saturates, and what is no number becomes 0.
    (work.log2().ceil() as u32).max(1)
}

/// Returns the number of leading zero bits.
#[must_use]
pub fn leading_zeros(hash: &[u8; 32]) -> u32 {
    let mut zeros = 0;
    for byte in hash {
        zeros += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    zeros
}

/// The search for the first nonce, counted from 0, whose hash has enough leading zero bits.
///
/// It goes on in pieces, so that its owner stays responsive and can give up.
pub struct Search {
    short: Keccak256,
    bits: u32,
    next: u64,
}

impl Search {
    /// Starts a search over the short form (the RLP list without the nonce).
    #[must_use]
    pub fn new(short: &[u8], bits: u32) -> Self {
        let mut sponge = Keccak256::new();
        sponge.update(short);
        Self { short: sponge, bits, next: 0 }
    }

    /// Tries up to `tries` further nonces and returns the one that does, if it was among them.
    pub fn advance(&mut self, tries: u32) -> Option<u64> {
        for _ in 0..tries {
            let nonce = self.next;
            let mut sponge = self.short.clone();
            sponge.update(&nonce.to_be_bytes());
            if leading_zeros(&sponge.digest()) >= self.bits {
                return Some(nonce);
            }
            self.next = nonce.wrapping_add(1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Vec<u8> {
        hex::decode("dc845f5e100f0f84cd4237609030313233343536373839616263646566").unwrap()
    }

    /// WAKU1-35: reference section 10.5, made by status-go 0.62.18.
    #[test]
    fn the_first_nonce_for_a_target_of_20_is_16805() {
        let bits = sealing_bits(20.0, 16, 15);
        assert_eq!(bits, 14);
        assert_eq!(Search::new(&short(), bits).advance(20_000), Some(16_805));
    }

    #[test]
    fn a_search_goes_on_where_it_stopped() {
        let mut search = Search::new(&short(), 14);
        let mut pieces = 1;
        while search.advance(1_000).is_none() {
            pieces += 1;
        }
        assert_eq!(pieces, 17);
    }

    #[test]
    fn work_is_divided_by_the_length_first_and_the_seconds_then() {
        assert_eq!(value(14, 29, 15, 0), 37.664_367_816_091_95);
        assert_eq!(value(14, 29, 15, 6), 26.903_119_868_637_11);
        assert_eq!(value(2, 29, 15, 0), 0.009_195_402_298_850_575);
    }

    #[test]
    fn no_seconds_are_infinite_work_and_seconds_wrap() {
        assert_eq!(value(0, 29, 0, 0), f64::INFINITY);
        assert_eq!(value(0, 29, u32::MAX, 1), f64::INFINITY);
        assert_eq!(value(3, 4, u32::MAX, 3), 1.0);
    }

    #[test]
    fn a_sealing_needs_at_least_one_bit() {
        assert_eq!(sealing_bits(0.000_000_1, 100, 10), 1);
        assert_eq!(sealing_bits(1.0, 44, 16), 10);
        assert_eq!(sealing_bits(f64::INFINITY, 44, 16), u32::MAX);
    }

    #[test]
    fn leading_zeros_run_over_bytes() {
        let mut hash = [0; 32];
        assert_eq!(leading_zeros(&hash), 256);
        hash[2] = 0x10;
        assert_eq!(leading_zeros(&hash), 19);
    }
}
