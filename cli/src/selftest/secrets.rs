//! Secrets that the test knows: they are in its source, so they protect nothing.

use std::convert::Infallible;

use proto::leak::{self, Form};
use proto::rpc::SealingKey;
use proto::shell::dice;
use rand_core::{Rng as _, TryCryptoRng, TryRng};
use zeroize::Zeroizing;

/// A secret of one line that a command reads from a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Pin,
    WrongPin,
    NewPin,
    Puk,
    NewPuk,
    Duress,
    Words,
    Seed,
    PrivateKey,
    Passphrase,
    Password,
}

impl Line {
    const ALL: [Self; 11] = [
        Self::Pin,
        Self::WrongPin,
        Self::NewPin,
        Self::Puk,
        Self::NewPuk,
        Self::Duress,
        Self::Words,
        Self::Seed,
        Self::PrivateKey,
        Self::Passphrase,
        Self::Password,
    ];

    /// Returns what is read.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Pin => "493817",
            Self::WrongPin => "870316",
            Self::NewPin => "650294",
            Self::Puk => "201938475601",
            Self::NewPuk => "918273645509",
            Self::Duress => "307518",
            Self::Words => "legal winner thank year wave sausage worth useful legal winner thank yellow",
            // A seed of its own.
            Self::Seed => "6d1f90a4b2c35e7788990a1b2c3d4e5f60718293a4b5c6d7e8f90112233445d6",
            Self::PrivateKey => "3c9d21f07ab4558e0d12c3f4a5968778695a4b3c2d1e0f9087766554433221f1",
            Self::Passphrase => "correct horse staple",
            Self::Password => "a pairing password of this test",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pin => "the PIN",
            Self::WrongPin => "a wrong PIN",
            Self::NewPin => "the new PIN",
            Self::Puk => "the PUK",
            Self::NewPuk => "the new PUK",
            Self::Duress => "the duress PIN",
            Self::Words => "the words",
            Self::Seed => "a seed",
            Self::PrivateKey => "a private key",
            Self::Passphrase => "the passphrase",
            Self::Password => "the pairing password",
        }
    }
}

/// All that must be nowhere.
pub(super) struct Secrets(Vec<(String, Vec<Form>)>);

impl Secrets {
    /// Returns those that are known from the beginning.
    pub(super) fn known() -> Self {
        let mut secrets = Self(Vec::new());
        for line in Line::ALL {
            match (line, hex::decode(line.text())) {
                (Line::Words, _) => secrets.0.push((line.name().to_owned(), leak::words(line.text()))),
                (Line::Seed | Line::PrivateKey, Ok(bytes)) => secrets.add(line.name(), &bytes),
                _ => secrets.add(line.name(), line.text().as_bytes()),
            }
        }
        if let Ok(seed) = hex::decode(SEED_OF_WORDS).map(Zeroizing::new) {
            for (half, bytes) in seed.chunks(32).enumerate() {
                secrets.add(format!("half {} of the words' seed", half + 1), bytes);
            }
        }
        secrets
    }

    /// Adds one that became known on the way.
    pub(super) fn add(&mut self, name: impl Into<String>, bytes: &[u8]) {
        self.0.push((name.into(), leak::forms(bytes)));
    }

    /// Returns each with its forms.
    pub(super) fn forms(&self) -> impl Iterator<Item = (&String, &Vec<Form>)> {
        self.0.iter().map(|(name, forms)| (name, forms))
    }

    /// Returns a fresh one-time key, whose private half is one of the secrets.
    pub(super) fn one_time_key(&mut self, name: &str) -> SealingKey {
        let mut thrown = Remembering(Zeroizing::new(Vec::new()));
        let key = SealingKey::generate(&mut thrown);
        // The last 32 bytes that were drawn became the key.
        let drawn = thrown.0.len().saturating_sub(32);
        self.add(name, thrown.0.get(drawn..).unwrap_or_default());
        key
    }
}

/// Dice that remember what they threw.
struct Remembering(Zeroizing<Vec<u8>>);

impl TryRng for Remembering {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        dice().fill_bytes(bytes);
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Remembering {}

/// The seed of [`Line::Words`] without a passphrase (BIP-39: PBKDF2-HMAC-SHA512 with 2048 rounds).
const SEED_OF_WORDS: &str = "878386efb78845b3355bd15ea4d39ef97d179cb712b77d5c12b6be415fffeffe\
                             5f377ba02bf3f8544ab800b955e51fbff09828f682052a20faa6addbbddfb096";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_looked_for_in_eight_encodings_or_as_words() {
        for (name, forms) in Secrets::known().forms() {
            let mut encodings: Vec<&str> = forms.iter().map(|form| form.encoding).collect();
            encodings.sort_unstable();
            encodings.dedup();
            assert!(encodings == ["words"] || encodings.len() >= 8, "{name}: {encodings:?}");
        }
    }

    #[test]
    fn a_one_time_key_is_known_by_what_was_thrown_for_it() {
        let mut secrets = Secrets(Vec::new());
        let key = secrets.one_time_key("a one-time key");
        let (_, forms) = secrets.forms().next().unwrap();
        let sealed = proto::rpc::seal::seal(key.public().as_slice(), "pin", b"493817", &mut dice()).unwrap();
        assert!(key.open("pin", &sealed).is_ok());
        assert!(forms.iter().any(|form| form.encoding == "raw"));
    }
}
