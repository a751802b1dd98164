//! Dice for tests: every throw is known beforehand. Never a source of secrets.

use std::collections::VecDeque;
use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// Dice that play given bytes first, and then the sequence of a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct TestDice {
    given: VecDeque<u8>,
    seed: u64,
    overdrawn: bool,
}

impl TestDice {
    /// Returns the endless sequence of this seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { given: VecDeque::new(), seed, overdrawn: false }
    }

    /// Returns these bytes, and then the sequence of seed 0.
    #[must_use]
    pub fn playing(bytes: &[u8]) -> Self {
        Self { given: bytes.iter().copied().collect(), seed: 0, overdrawn: false }
    }

    /// Returns whether exactly the given bytes were thrown.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.given.is_empty() && !self.overdrawn
    }

    fn byte(&mut self) -> u8 {
        if let Some(byte) = self.given.pop_front() {
            return byte;
        }
        self.overdrawn = true;
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [byte, ..] = (z ^ z >> 31).to_le_bytes();
        byte
    }
}

impl TryRng for TestDice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, room: &mut [u8]) -> Result<(), Infallible> {
        room.fill_with(|| self.byte());
        Ok(())
    }
}

impl TryCryptoRng for TestDice {}

#[cfg(test)]
mod tests {
    use rand_core::Rng as _;

    use super::TestDice;

    #[test]
    fn given_bytes_are_played_and_it_shows_when_they_are_spent() {
        let mut dice = TestDice::playing(&[1, 2, 3]);
        let mut two = [0; 2];
        dice.fill_bytes(&mut two);
        assert!(two == [1, 2] && !dice.is_spent());
        dice.fill_bytes(&mut two[..1]);
        assert!(two == [3, 2] && dice.is_spent());
        dice.fill_bytes(&mut two);
        assert!(!dice.is_spent());
    }

    #[test]
    fn a_seed_repeats_itself_and_is_unlike_another() {
        let throw = |seed| {
            let mut dice = TestDice::seeded(seed);
            (dice.next_u64(), dice.next_u64())
        };
        assert_eq!(throw(1), throw(1));
        assert_ne!(throw(1), throw(2));
        assert_ne!(throw(1).0, throw(1).1);
    }
}
