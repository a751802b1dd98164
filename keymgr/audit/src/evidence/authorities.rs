//! Whose certificates an auditor takes, and the text form of lists of keys.

use std::collections::BTreeSet;

use proto::ChatKey;

use super::certificate::{Authority, Certificate};

/// The authorities whose cards count as genuine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities {
    production: bool,
    test: bool,
    others: BTreeSet<[u8; 33]>,
}

impl Authorities {
    /// Returns the authority of the cards on sale.
    #[must_use]
    pub fn production() -> Self {
        Self { production: true, ..Self::default() }
    }

    /// Returns the authority whose private key is public: software cards and tests.
    #[must_use]
    pub fn test() -> Self {
        Self { test: true, ..Self::default() }
    }

    /// Returns the authorities of a list ([`keys_of`]).
    ///
    /// # Errors
    /// [`BadList`]; also for the public test authority, which is asked for by name or not at all.
    pub fn listed(list: &str) -> Result<Self, BadList> {
        let mut listed = Self::default();
        for (line, key) in keys_of(list) {
            match Authority::from(key.ok_or(BadList::NotAKey { line })?) {
                Authority::Test => return Err(BadList::TestAuthority { line }),
                Authority::Production => listed.production = true,
                Authority::Other(key) => drop(listed.others.insert(key.to_compressed())),
            }
        }
        Ok(listed)
    }

    /// Returns whether the cards of this authority count as genuine.
    #[must_use]
    pub fn take(&self, authority: &Authority) -> bool {
        match authority {
            Authority::Production => self.production,
            Authority::Test => self.test,
            Authority::Other(key) => self.others.contains(&key.to_compressed()),
        }
    }

    /// Returns whether a certificate is by one of them.
    #[must_use]
    pub fn vouch_for(&self, certificate: &Certificate) -> bool {
        certificate.authority().is_some_and(|authority| self.take(&authority))
    }
}

/// Returns the keys of a list with their lines, from 1: one compressed key in hexadecimal a line; empty lines and what
/// follows `#` do not count. What is no key is nothing.
pub fn keys_of(list: &str) -> impl Iterator<Item = (usize, Option<ChatKey>)> {
    let text = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let lines = (1..).zip(list.lines().map(text)).filter(|(_, text)| !text.is_empty());
    lines.map(|(line, text)| (line, compressed(&text)))
}

fn compressed(digits: &str) -> Option<ChatKey> {
    let bytes = hex::decode(digits).ok().filter(|bytes| bytes.len() == 33)?;
    ChatKey::try_from(bytes.as_slice()).ok()
}

/// Why a text is no list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadList {
    /// Something else than one compressed public key.
    #[error("line {line} is no compressed public key (66 hexadecimal digits)")]
    NotAKey {
        /// Which, from 1.
        line: usize,
    },
    /// The key whose private half everybody has.
    #[error("line {line} is the public test authority, which proves nothing; allow it by its own option if you must")]
    TestAuthority {
        /// Which, from 1.
        line: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::card;

    #[test]
    fn an_authority_is_taken_only_where_it_was_named() {
        let test = card::certificate(1);
        assert!(Authorities::test().vouch_for(&test));
        assert!(!Authorities::production().vouch_for(&test));
        assert!(!Authorities::default().vouch_for(&test));
        let mut altered = *test.as_bytes();
        altered[97] ^= 1;
        let altered = Certificate::parse(&altered).unwrap();
        let Some(Authority::Other(other)) = altered.authority() else { panic!("somebody's") };
        let list = format!("# ours\n\n {} # spare\n", hex::encode(other.to_compressed()));
        assert!(Authorities::listed(&list).unwrap().vouch_for(&altered));
        assert!(!Authorities::test().vouch_for(&altered));
    }

    #[test]
    fn a_list_with_anything_else_names_the_line() {
        assert_eq!(Authorities::listed("\n02"), Err(BadList::NotAKey { line: 2 }));
        let test = "025877220aaae6e54a6f974602d5995c0fe24a3ea7ddabd8644bec795b9da00743";
        assert_eq!(Authorities::listed(test), Err(BadList::TestAuthority { line: 1 }));
    }
}
