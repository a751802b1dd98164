//! Dice for tests: a fixed sequence for each seed.

pub(crate) struct Dice(pub(crate) u8);

impl rand_core::TryRng for Dice {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, room: &mut [u8]) -> Result<(), Self::Error> {
        for byte in room {
            self.0 = self.0.wrapping_mul(29).wrapping_add(17);
            *byte = self.0;
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Dice {}
