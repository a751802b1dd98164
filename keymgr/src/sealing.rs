//! The one-time keys to which PINs, PUKs and mnemonics are sealed on their way here.
//!
//! The invariant: a key opens once, and there are never more than [`SealingKeys::MOST`] of them.

use std::collections::VecDeque;

use proto::rpc::api::Sealed;
use proto::rpc::{SealingKey, seal};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// The keys that were handed out and have not opened anything yet, oldest first.
#[derive(Default)]
pub struct SealingKeys(VecDeque<SealingKey>);

impl SealingKeys {
    /// How many keys wait at most; the oldest is wiped for one more.
    pub const MOST: usize = 64;

    /// Returns the public half of a fresh key.
    pub fn hand_out(&mut self, rng: &mut dyn CryptoRng) -> [u8; 33] {
        if self.0.len() >= Self::MOST {
            self.0.pop_front();
        }
        let key = SealingKey::generate(rng);
        let public = key.public();
        self.0.push_back(key);
        public
    }

    /// Opens what was sealed to one of the keys, which is spent by that.
    ///
    /// # Errors
    /// [`seal::DoesNotOpen`]: altered, of another context, or its key was spent, pushed out, or never handed out.
    pub fn open(&mut self, context: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, seal::DoesNotOpen> {
        let at = self.0.iter().position(|key| key.public().as_slice() == sealed.receiver).ok_or(seal::DoesNotOpen)?;
        self.0.remove(at).ok_or(seal::DoesNotOpen)?.open(context, sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::shell::dice;

    #[test]
    fn a_key_opens_once_and_only_what_was_sealed_to_it() {
        let mut keys = SealingKeys::default();
        let (one, other) = (keys.hand_out(&mut dice()), keys.hand_out(&mut dice()));
        assert_ne!(one, other);
        let sealed = seal::seal(&other, seal::PIN, b"123456", &mut dice()).unwrap();
        assert_eq!(keys.open(seal::PIN, &sealed).unwrap().as_slice(), b"123456");
        assert!(keys.open(seal::PIN, &sealed).is_err(), "a replay");
        let sealed = seal::seal(&one, seal::PIN, b"123456", &mut dice()).unwrap();
        assert!(keys.open(seal::PUK, &sealed).is_err(), "another context");
        assert!(keys.open(seal::PIN, &sealed).is_err(), "spent on the wrong context");
    }

    #[test]
    fn the_oldest_key_goes_when_there_are_too_many() {
        let mut keys = SealingKeys::default();
        let oldest = keys.hand_out(&mut dice());
        for _ in 0..SealingKeys::MOST {
            keys.hand_out(&mut dice());
        }
        assert_eq!(keys.0.len(), SealingKeys::MOST);
        let sealed = seal::seal(&oldest, seal::PIN, b"123456", &mut dice()).unwrap();
        assert!(keys.open(seal::PIN, &sealed).is_err());
    }
}
