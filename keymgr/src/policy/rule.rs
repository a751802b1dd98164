//! The blocks of the policy file: clients, and keys with what may be done with them, by whom, what for and how often.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use audit::{Caller, Purpose};
use proto::{CardId, KeyPath, KeyUid};
use serde::{Deserialize, Serialize};

use super::question::{Question, Use, is_key_type};
use super::reason::Mismatch;
use crate::caller::Doubt;

/// A `[[client]]`: a user, and the program that it must run if that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What the keys' blocks call it.
    pub name: String,
    /// The user: the authority.
    pub uid: u32,
    /// The program's path: a second reason to refuse.
    pub binary: Option<PathBuf>,
    /// SHA-256 of the program's file: a second reason to refuse.
    pub sha256: Option<[u8; 32]>,
}

/// A `[[key]]`: a key, or all keys of a type, and what is allowed with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What refusals and the log of approvals call it.
    pub name: String,
    /// The key's path; that of a key type covers every key below it.
    pub path: KeyPath,
    /// The cards on which it is, by their labels, ids or accounts; without it, any card.
    pub cards: Option<Vec<String>>,
    /// Whether the private key may leave.
    pub mode: Mode,
    /// What else may be done.
    pub operations: Vec<Use>,
    /// The names of the clients that may.
    pub clients: Vec<String>,
    /// What for.
    pub purposes: Vec<Purpose>,
    /// How often; without it there is no bound.
    pub rate: Option<Rate>,
    /// Whether the owner must say yes each time.
    pub approval: Approval,
}

/// The card that is asked, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Which it is.
    pub card: Option<CardId>,
    /// The account on it.
    pub key_uid: Option<KeyUid>,
    /// What its owner calls it.
    pub label: Option<String>,
}

/// Whether a private key may leave its card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It may.
    Export,
    /// It stays on the card.
    #[default]
    OnCard,
}

/// What the owner does at each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// Nothing.
    #[default]
    None,
    /// Says yes.
    Prompt,
    /// Enters the PIN.
    Pin,
}

/// How often something is allowed to a client: `"10/hour"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    /// So many times, 1 to [`Rate::MOST`].
    pub most: usize,
    /// In so much time.
    pub period: Period,
}

/// The time of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
}

impl Client {
    /// Returns whether this client is the caller.
    ///
    /// # Errors
    /// Why the program of a caller with the right user is not the client's.
    pub fn is(&self, caller: &Caller, doubt: Option<&Doubt>) -> Result<bool, Mismatch> {
        if self.uid != caller.uid {
            return Ok(false);
        }
        if self.binary.is_none() && self.sha256.is_none() {
            return Ok(true);
        }
        if let Some(doubt) = doubt {
            return Err(Mismatch::Doubtful(doubt.clone()));
        }
        let unknown = || Mismatch::Doubtful(Doubt::Unreadable);
        if let Some(wanted) = &self.binary {
            let found = caller.binary.as_ref().ok_or_else(unknown)?.as_str();
            if wanted.as_os_str() != found {
                return Err(Mismatch::Path { found: found.to_owned(), wanted: wanted.display().to_string() });
            }
        }
        if let Some(wanted) = self.sha256 {
            let found = caller.binary_hash.ok_or_else(unknown)?;
            if wanted != found {
                return Err(Mismatch::Hash { found: hex::encode(found), wanted: hex::encode(wanted) });
            }
        }
        Ok(true)
    }
}

impl About {
    /// Returns the card that is called so: what is no id and no account is a label.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        let mut about = Self::default();
        for name in names {
            let account = hex::decode(name).ok().and_then(|bytes| KeyUid::try_from(bytes.as_slice()).ok());
            match (name.parse(), account) {
                (Ok(card), _) => about.card = Some(card),
                (Err(_), Some(key_uid)) => about.key_uid = Some(key_uid),
                (Err(_), None) => about.label = Some(name.clone()),
            }
        }
        about
    }

    /// Returns whether anything is known of the card.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.card.is_some() || self.key_uid.is_some() || self.label.is_some()
    }

    /// Returns whether a block that names a card so means this one: by its whole label, id or account.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let is = |text: String| text.eq_ignore_ascii_case(name);
        self.label.as_deref() == Some(name)
            || self.card.is_some_and(|card| is(card.to_string()))
            || self.key_uid.is_some_and(|uid| is(uid.to_string()))
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, self.card, self.key_uid) {
            (Some(label), Some(card), _) => write!(f, "{card} ({label:?})"),
            (Some(label), None, _) => write!(f, "{label:?}"),
            (None, Some(card), _) => card.fmt(f),
            (None, None, Some(uid)) => write!(f, "the one with the account {uid}"),
            (None, None, None) => f.write_str("one that is not known"),
        }
    }
}

impl Key {
    /// Returns whether this block is about keys of this card. Of one that is not known, only where it names none.
    #[must_use]
    pub fn is_of(&self, card: &About) -> bool {
        self.cards.as_ref().is_none_or(|names| names.iter().any(|name| card.is_called(name)))
    }

    /// Returns whether this block is about the key at `path`.
    #[must_use]
    pub fn covers(&self, path: &KeyPath) -> bool {
        if is_key_type(&self.path) {
            let (whole, part) = (path.components(), self.path.components());
            whole.len() > part.len() && whole.starts_with(part)
        } else {
            self.path == *path
        }
    }

    /// Returns whether this block lists the operation.
    #[must_use]
    pub fn lists(&self, operation: Use) -> bool {
        match operation {
            Use::ExportPrivate => self.mode == Mode::Export,
            other => self.operations.contains(&other),
        }
    }

    /// Returns every operation of this block.
    pub fn uses(&self) -> impl Iterator<Item = Use> + '_ {
        Use::ALL.into_iter().filter(|operation| self.lists(*operation))
    }

    /// Returns the example of what this block allows by one of its operations: a key type's first key stands for all.
    #[must_use]
    pub fn example(&self, operation: Use) -> Question {
        let path = if is_key_type(&self.path) {
            let components: Vec<u32> = self.path.components().iter().copied().chain([0]).collect();
            KeyPath::new(&components).unwrap_or_else(|_| self.path.clone())
        } else {
            self.path.clone()
        };
        Question { operation, path }
    }
}

impl Approval {
    /// Returns the word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Prompt => "prompt",
            Self::Pin => "pin",
        }
    }
}

impl Rate {
    /// No rate counts further: what is remembered of each client is bounded.
    pub const MOST: usize = 1000;
}

impl Period {
    /// Returns how long it is.
    #[must_use]
    pub const fn millis(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "a rate is a number from 1 to 1000, a stroke, and minute, hour or day: \"10/hour\"";
        let (most, period) = text.split_once('/').ok_or(WHAT)?;
        let most = most.trim().parse().ok().filter(|most| (1..=Self::MOST).contains(most)).ok_or(WHAT)?;
        let all = [Period::Minute, Period::Hour, Period::Day];
        let period = all.into_iter().find(|it| it.name() == period.trim()).ok_or(WHAT)?;
        Ok(Self { most, period })
    }
}

impl TryFrom<String> for Rate {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.most, self.period.name())
    }
}
