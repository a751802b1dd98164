//! The words that a person writes down (BIP-39, English), and the seed that a card is loaded with.

use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use proto::Secret;

/// What LOAD KEY takes: 64 bytes for the words of BIP-39, 16 to 64 for other ways to keep a seed.
pub struct Seed {
    bytes: Secret<64>,
    length: usize,
}

impl Seed {
    /// Returns the seed of these words.
    ///
    /// Case and spacing do not matter. A passphrase is part of the seed: another one is another key.
    ///
    /// # Errors
    /// [`SeedError`], which never repeats a word.
    pub fn from_mnemonic(words: &str, passphrase: &str) -> Result<Self, SeedError> {
        Ok(Mnemonic::parse(words)?.to_seed(passphrase))
    }

    /// Returns the seed with these bytes. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        Self { bytes: Secret::fill(|room| room.copy_from_slice(bytes)), length: bytes.len() }
    }

    /// Returns the seed with these bytes, 16 to 64. The caller wipes its own copy.
    ///
    /// # Errors
    /// [`SeedError::Length`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, SeedError> {
        let length = bytes.len();
        if !(16..=64).contains(&length) {
            return Err(SeedError::Length { found: length });
        }
        Ok(Self { bytes: Secret::fill(|room| room.split_at_mut(length).0.copy_from_slice(bytes)), length })
    }

    /// Returns the bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.expose().split_at(self.length).0
    }
}

/// 12 to 24 words with a valid checksum, wiped when dropped.
pub struct Mnemonic(bip39::Mnemonic);

impl Mnemonic {
    /// Returns fresh words; their entropy is drawn from `rng`.
    ///
    /// # Errors
    /// [`SeedError::WordCount`] for anything but 12, 15, 18, 21 or 24.
    pub fn generate(words: usize, rng: &mut dyn CryptoRng) -> Result<Self, SeedError> {
        if !matches!(words, 12 | 15 | 18 | 21 | 24) {
            return Err(SeedError::WordCount { found: words });
        }
        let mut entropy = Zeroizing::new([0; 32]);
        // 32 bits of entropy for each three words: 24 words are 32 bytes.
        let (entropy, _) = entropy.split_at_mut(words / 3 * 4);
        rng.fill_bytes(entropy);
        bip39::Mnemonic::from_entropy(entropy).map(Self).map_err(SeedError::from)
    }

    /// Returns the words that were written down.
    ///
    /// # Errors
    /// [`SeedError`].
    pub fn parse(words: &str) -> Result<Self, SeedError> {
        let mut lower = Zeroizing::new(String::with_capacity(words.len()));
        lower.push_str(words);
        lower.make_ascii_lowercase();
        bip39::Mnemonic::parse_in_normalized(bip39::Language::English, &lower).map(Self).map_err(SeedError::from)
    }

    /// Returns the words with these numbers in the English list, from 0.
    ///
    /// # Errors
    /// [`SeedError`].
    pub(crate) fn from_numbers(numbers: &[u16]) -> Result<Self, SeedError> {
        let list = bip39::Language::English.word_list();
        let mut words = Zeroizing::new(String::with_capacity(24 * 9));
        for (number, position) in numbers.iter().zip(1..) {
            words.push_str(list.get(usize::from(*number)).ok_or(SeedError::UnknownWord { position })?);
            words.push(' ');
        }
        Self::parse(&words)
    }

    /// Returns the words, one space between them, to be shown once to their owner.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        // The longest English word has 8 letters. Room for all at once: a growing string leaves copies.
        let mut text = Zeroizing::new(String::with_capacity(24 * 9));
        for word in self.0.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// Returns the seed of the words with a passphrase, which is empty for most people. One that is not in NFKD
    /// is normalised into a copy that the `bip39` crate does not wipe.
    #[must_use]
    pub fn to_seed(&self, passphrase: &str) -> Seed {
        let mut bytes = self.0.to_seed(passphrase);
        let seed = Seed::from_bytes(&bytes);
        bytes.zeroize();
        seed
    }
}

/// Words that are no mnemonic. Positions count from 1; the words themselves are never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// Too many or too few.
    #[error("a mnemonic has 12, 15, 18, 21 or 24 words, this one has {found}; check that none is missing")]
    WordCount {
        /// How many there are.
        found: usize,
    },
    /// Not in the English list.
    #[error("word {position} is not in the English BIP-39 list; check its spelling")]
    UnknownWord {
        /// Which one.
        position: usize,
    },
    /// A seed that is too short or too long.
    #[error("a seed has 16 to 64 bytes, this one has {found}")]
    Length {
        /// How many bytes it has.
        found: usize,
    },
    /// Each word is in the list, together they are no mnemonic.
    #[error("the words do not fit together; check their order, and each against what was written down")]
    Checksum,
}

impl From<bip39::Error> for SeedError {
    fn from(error: bip39::Error) -> Self {
        match error {
            bip39::Error::BadWordCount(found) => Self::WordCount { found },
            bip39::Error::UnknownWord(index) => Self::UnknownWord { position: index.saturating_add(1) },
            // The entropy's length is ours, and the language is given.
            bip39::Error::InvalidChecksum
            | bip39::Error::BadEntropyBitCount(_)
            | bip39::Error::AmbiguousLanguages(_) => Self::Checksum,
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;

    const ABANDON: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    fn seed(words: &str, passphrase: &str) -> String {
        hex::encode(Seed::from_mnemonic(words, passphrase).unwrap().expose())
    }

    #[test]
    fn the_seed_of_abandon_about_is_that_of_the_vector() {
        let expected = "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1\
            9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4";
        assert_eq!(seed(ABANDON, ""), expected);
        assert_eq!(seed(&format!("  {}\n", ABANDON.to_uppercase().replace(' ', "  ")), ""), expected);
        assert_ne!(seed(ABANDON, "TREZOR"), expected);
    }

    /// Keycard.swift `KeycardTests`: the bytes that GENERATE MNEMONIC answered, their words and the seed.
    #[test]
    fn the_seed_of_inner_program_is_that_of_keycard_swift() {
        let words = "inner program cute stem pony coral hand question dove clinic panic glass";
        assert_eq!(
            seed(words, ""),
            "40329ead62f7c46b5a84b72ba3eefd6a91c82267a5b129fa88ec002b593d5a24\
             d5f616afd208ba754debcd66911a289f1a76045a6a30875b0ee708478749675a"
        );
    }

    #[test]
    fn a_passphrase_is_normalised_before_use() {
        assert_eq!(seed(ABANDON, "caf\u{e9}"), seed(ABANDON, "cafe\u{301}"));
    }

    #[test]
    fn bad_words_are_named_by_their_position_only() {
        let error = |words: &str| Seed::from_mnemonic(words, "").err().unwrap();
        let misspelt = error(&ABANDON.replacen("abandon abandon", "abandon abondon", 1));
        assert_eq!(misspelt, SeedError::UnknownWord { position: 2 });
        assert!(!misspelt.to_string().contains("abondon"));
        assert_eq!(error("abandon about"), SeedError::WordCount { found: 2 });
        assert_eq!(error(&ABANDON.replace("about", "above")), SeedError::Checksum);
        assert_eq!(error(""), SeedError::WordCount { found: 0 });
    }

    #[test]
    fn fresh_words_are_of_the_length_asked_for_and_read_back() {
        for count in [12, 15, 18, 21, 24] {
            let mnemonic = Mnemonic::generate(count, &mut TestDice::seeded(3)).unwrap();
            let words = mnemonic.expose();
            assert_eq!(words.split(' ').count(), count);
            assert_eq!(seed(&words, ""), hex::encode(mnemonic.to_seed("").expose()));
        }
        let other = Mnemonic::generate(12, &mut TestDice::seeded(4)).unwrap();
        assert_ne!(*other.expose(), *Mnemonic::generate(12, &mut TestDice::seeded(3)).unwrap().expose());
        for count in [0, 11, 13, 27] {
            assert_eq!(
                Mnemonic::generate(count, &mut TestDice::seeded(3)).err(),
                Some(SeedError::WordCount { found: count })
            );
        }
    }

    #[test]
    fn a_seed_has_16_to_64_bytes() {
        for length in [16, 33, 64] {
            assert_eq!(Seed::from_slice(&vec![7; length]).unwrap().expose(), vec![7; length]);
        }
        for length in [0, 15, 65] {
            assert_eq!(Seed::from_slice(&vec![7; length]).err(), Some(SeedError::Length { found: length }));
        }
    }

    #[test]
    fn numbers_are_words_of_the_list_and_nothing_above_it() {
        let mut numbers = [0; 12];
        numbers[11] = 3;
        assert_eq!(*Mnemonic::from_numbers(&numbers).unwrap().expose(), ABANDON);
        numbers[11] = 4;
        assert_eq!(Mnemonic::from_numbers(&numbers).err(), Some(SeedError::Checksum));
        numbers[4] = 2048;
        assert_eq!(Mnemonic::from_numbers(&numbers).err(), Some(SeedError::UnknownWord { position: 5 }));
    }

    #[test]
    fn zero_entropy_gives_abandon_about() {
        assert_eq!(*Mnemonic::generate(12, &mut TestDice::playing(&[0; 16])).unwrap().expose(), ABANDON);
    }
}
