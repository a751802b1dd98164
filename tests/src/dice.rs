//! Dice that can be foreseen: thrown before, for recordings, or seeded, for worlds in virtual time.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// Gives out bytes that were written down before.
pub struct Scripted {
    script: Vec<u8>,
    at: usize,
    wanted_more: bool,
}

impl Scripted {
    /// Returns dice that show these parts, one behind the other, and then zeros.
    #[must_use]
    pub fn new(parts: &[&[u8]]) -> Self {
        Self { script: parts.concat(), at: 0, wanted_more: false }
    }

    /// Returns whether exactly the script was thrown.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.at == self.script.len() && !self.wanted_more
    }
}

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, room: &mut [u8]) -> Result<(), Infallible> {
        let left = self.script.get(self.at..).unwrap_or_default();
        let given = left.len().min(room.len());
        room.fill(0);
        room.iter_mut().zip(left).for_each(|(room, byte)| *room = *byte);
        self.wanted_more |= given < room.len();
        self.at += given;
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}

/// The same endless sequence for the same seed (SplitMix64). Nobody's secret.
pub struct Seeded(u64);

impl Seeded {
    /// Returns the sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ z >> 31)
    }

    fn try_fill_bytes(&mut self, room: &mut [u8]) -> Result<(), Infallible> {
        for chunk in room.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(room, byte)| *room = byte);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::{Scripted, Seeded};

    #[test]
    fn scripted_dice_show_the_script_and_know_when_it_is_spent() {
        let mut dice = Scripted::new(&[&[1, 2], &[3]]);
        let mut two = [0; 2];
        dice.fill_bytes(&mut two);
        assert_eq!(two, [1, 2]);
        assert!(!dice.is_spent());
        dice.fill_bytes(&mut two[..1]);
        assert!(dice.is_spent());
        dice.fill_bytes(&mut two);
        assert!(two == [0, 0] && !dice.is_spent());
    }

    #[test]
    fn seeded_dice_repeat_themselves() {
        let throw = |seed| Seeded::new(seed).next_u64();
        assert_eq!(throw(1), throw(1));
        assert_ne!(throw(1), throw(2));
    }
}
