//! What left beside the keys of BIP-32: secrets from which no other key follows, and what the host itself has seen.

use std::collections::BTreeMap;
use std::fmt;

use proto::{CardId, KeyPath, KeyUid};

use super::facts::Source;
use super::history::{Full, MOST_LINES, Wallet};

/// A secret that follows from a private key, and from which that key does not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideDoor {
    /// The tree.
    pub wallet: Wallet,
    /// The path of the key.
    pub path: KeyPath,
    /// What left.
    pub way: Way,
    /// With which lines: the first ones, if there are many.
    pub lines: Vec<Source>,
}

/// The kinds of such secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A nullifier and a viewing key.
    Lee,
    /// Bytes of BIP-85, from which another wallet may have been made.
    Bip85,
    /// Secrets shared with other keys.
    Ecdh,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lee => "LEE nullifier and viewing keys",
            Self::Bip85 => "BIP-85 entropy",
            Self::Ecdh => "secrets shared with other keys",
        })
    }
}

/// A secret above all keys of a tree that a host had in its memory: whoever held that memory has them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenByHost {
    /// The card into which it went, or from which it came; none when that was written by hand.
    pub card: Option<CardId>,
    /// The account, when it is known: words are no account yet.
    pub key_uid: Option<KeyUid>,
    /// What was seen.
    pub sight: Sight,
    /// Who asked for it.
    pub holder: Option<u32>,
    /// Where that is told: the first ones, if it was seen often.
    pub lines: Vec<Source>,
}

/// What a host has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// A seed: every key.
    Seed,
    /// A LEE seed: every key.
    LeeSeed,
    /// The words of a new seed.
    Words,
    /// The master key without a chain code: that key.
    MasterKey,
    /// The master key and its chain code: every key.
    ExtendedMasterKey,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seed => "seed",
            Self::LeeSeed => "LEE seed",
            Self::Words => "words of a new seed",
            Self::MasterKey => "master key",
            Self::ExtendedMasterKey => "master key and chain code",
        })
    }
}

/// What one user had of one account, or of one card as long as the account is not known.
pub(super) type Seen = (Option<KeyUid>, Sight, Option<CardId>, Option<u32>);

/// All that hosts have seen, each once: what was seen again and again hides nothing else.
#[derive(Debug, Clone, Default)]
pub(super) struct Sights(BTreeMap<Seen, Vec<Source>>);

impl Sights {
    /// Takes what was seen.
    pub(super) fn add(&mut self, seen: Seen, source: Source) -> Result<(), Full> {
        if self.0.len() >= MOST_SEEN && !self.0.contains_key(&seen) {
            return Err(Full);
        }
        let lines = self.0.entry(seen).or_default();
        if lines.len() < MOST_LINES {
            lines.push(source);
        }
        Ok(())
    }

    /// Returns all, what was seen first before the rest.
    pub(super) fn all(&self) -> Vec<SeenByHost> {
        let seen = self.0.iter().map(|(&(key_uid, sight, card, holder), lines)| SeenByHost {
            card,
            key_uid,
            sight,
            holder,
            lines: lines.clone(),
        });
        let mut all: Vec<SeenByHost> = seen.collect();
        all.sort_by_key(|seen| seen.lines.first().copied());
        all
    }
}

/// Of different accounts, kinds and users.
const MOST_SEEN: usize = 1000;
