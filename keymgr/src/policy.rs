//! Who may have which key, and what for. The decision is a pure function; nothing leaves the card without it.
//!
//! ```toml
//! [[allow]]
//! path = "m/43'/60'/1581'/0'/0"
//! form = "private"              # private, public or extended
//! purposes = ["chat"]
//! uids = [1000]
//! ```
//!
//! The invariant (DESIGN promise 3): no rule can allow the extended public key of `m` or of anything at or under
//! `m/43'/60'/1581'`, nor a private key outside that subtree or with a key type that is not hardened. Two extended public
//! keys and one child private key would rebuild the whole subtree.

use std::path::Path;

use audit::{Asked, Operation, Purpose};
use proto::path::PathError;
pub use proto::purpose::{CHAT as CHAT_PURPOSE, DATABASE as DATABASE_PURPOSE};
use proto::{ExportPath, KeyPath};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::files::{self, StateError};

/// The rules in force, and the hash of the text they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    hash: [u8; 32],
}

/// One thing that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    path: KeyPath,
    form: Form,
    purposes: Vec<Purpose>,
    uids: Vec<u32>,
}

/// In which form a key leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Private,
    Public,
    Extended,
}

/// What the policy says of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The card may be asked for this.
    Allowed(Operation),
    /// It may not.
    Refused(Reason),
}

/// Why a key does not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// With the chain code of `m` every non-hardened key follows; on 3.x it is the one of the last node used.
    #[error("the extended public key of m never leaves; no policy can allow it")]
    ExtendedMaster,
    /// With one child's private key it would give the private keys of the whole subtree.
    #[error("extended public keys at or under m/43'/60'/1581' never leave; no policy can allow them")]
    ExtendedSubtree,
    /// No private key that may leave has this path.
    #[error("{0}; no policy can allow another")]
    NotExportable(PathError),
    /// No rule names it.
    #[error("the policy does not list this key in this form; add a rule to policy.toml and start again")]
    NotListed,
    /// The rules that name it are for other users.
    #[error("the policy allows this key to other users only")]
    OtherUser,
    /// The rules that name it are for other purposes.
    #[error("the policy allows this key for other purposes only")]
    OtherPurpose,
    /// Not a question of the policy's.
    #[error("this is no export")]
    NoExport,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAPolicy(String);

impl Policy {
    /// Reads the policy in force; nothing when there is no such file.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Io`].
    pub fn read(path: &Path) -> Result<Option<Self>, StateError> {
        let Some(text) = files::read_text(path, MAX_BYTES)? else { return Ok(None) };
        Self::parse(&text).map(Some).map_err(|error| StateError::damaged(path, error.to_string()))
    }

    /// Returns the policy of this text.
    ///
    /// # Errors
    /// [`NotAPolicy`].
    pub fn parse(text: &str) -> Result<Self, NotAPolicy> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(default)]
            allow: Vec<Entry>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Entry {
            path: String,
            form: Form,
            purposes: Vec<Purpose>,
            uids: Vec<u32>,
        }
        let document: Document = toml::from_str(text).map_err(|error| NotAPolicy(error.message().to_owned()))?;
        let mut rules = Vec::new();
        for Entry { path, form, purposes, uids } in document.allow {
            let path = path.parse().map_err(|error| NotAPolicy(format!("{path:?}: {error}")))?;
            rules.push(Rule { path, form, purposes, uids });
        }
        Ok(Self { rules, hash: Sha256::digest(text).into() })
    }

    /// Returns the text of the policy that is written at the first enrolment: the chat and the database key for `uid`.
    #[must_use]
    pub fn initial(uid: u32) -> String {
        let rule = |path: &ExportPath, form, purpose| {
            format!("\n[[allow]]\npath = \"{path}\"\nform = \"{form}\"\npurposes = [\"{purpose}\"]\nuids = [{uid}]\n")
        };
        let mut text = INITIAL_HEAD.to_owned();
        text.push_str(&rule(&ExportPath::chat(), "private", CHAT_PURPOSE));
        text.push_str(&rule(&ExportPath::database(), "private", DATABASE_PURPOSE));
        text.push_str(&rule(&ExportPath::chat(), "public", CHAT_PURPOSE));
        text
    }

    /// Returns the SHA-256 of the policy's text, which every intent carries.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns the rules that can never apply, as text for a warning.
    #[must_use]
    pub fn dead_rules(&self) -> Vec<String> {
        let dead = |rule: &&Rule| possible(&rule.asked()).is_err();
        self.rules.iter().filter(dead).map(|rule| rule.asked().to_string()).collect()
    }

    /// Decides one question.
    #[must_use]
    pub fn decide(&self, uid: u32, asked: &Asked, purpose: &Purpose) -> Decision {
        let operation = match possible(asked) {
            Ok(operation) => operation,
            Err(reason) => return Decision::Refused(reason),
        };
        let mut reason = Reason::NotListed;
        for rule in self.rules.iter().filter(|rule| rule.asked() == *asked) {
            match (rule.uids.contains(&uid), rule.purposes.contains(purpose)) {
                (true, true) => return Decision::Allowed(operation),
                (true, false) => reason = Reason::OtherPurpose,
                (false, _) if reason == Reason::NotListed => reason = Reason::OtherUser,
                (false, _) => {}
            }
        }
        Decision::Refused(reason)
    }
}

impl Rule {
    fn asked(&self) -> Asked {
        let path = self.path.clone();
        match self.form {
            Form::Private => Asked::Private(path),
            Form::Public => Asked::Public(path),
            Form::Extended => Asked::ExtendedPublic(path),
        }
    }
}

/// Returns the operation, unless no configuration may allow it.
fn possible(asked: &Asked) -> Result<Operation, Reason> {
    match asked {
        Asked::Private(path) => {
            ExportPath::try_from(path.clone()).map(Operation::ExportPrivate).map_err(Reason::NotExportable)
        }
        Asked::Public(path) => Ok(Operation::ExportPublic(path.clone())),
        Asked::ExtendedPublic(path) if path.is_master() => Err(Reason::ExtendedMaster),
        Asked::ExtendedPublic(path) if path.is_in_eip_1581() => Err(Reason::ExtendedSubtree),
        Asked::ExtendedPublic(path) => Ok(Operation::ExportExtendedPublic(path.clone())),
        Asked::Unlock | Asked::Provision | Asked::Operation(_) => Err(Reason::NoExport),
    }
}

const MAX_BYTES: usize = 1 << 20;

const INITIAL_HEAD: &str = "\
# Which keys may leave the card, for whom and what for. Read when cardinal-keymgr starts; what is not listed is refused.
# Key types are added here with hardened paths only, m/43'/60'/1581'/type'/index. No rule can allow the extended public
# key of m or of anything at or under m/43'/60'/1581'.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn private(path: &str) -> Asked {
        Asked::Private(path.parse().unwrap())
    }

    fn public(path: &str) -> Asked {
        Asked::Public(path.parse().unwrap())
    }

    fn extended(path: &str) -> Asked {
        Asked::ExtendedPublic(path.parse().unwrap())
    }

    fn rule(path: &str, form: &str) -> String {
        format!("[[allow]]\npath = \"{path}\"\nform = \"{form}\"\npurposes = [\"chat\", \"x\"]\nuids = [7]\n")
    }

    fn reason(policy: &Policy, uid: u32, asked: &Asked, purpose: &str) -> Option<Reason> {
        match policy.decide(uid, asked, &purpose.parse().unwrap()) {
            Decision::Allowed(_) => None,
            Decision::Refused(reason) => Some(reason),
        }
    }

    #[test]
    fn the_initial_policy_allows_two_private_keys_to_our_user_and_no_more() {
        let policy = Policy::parse(&Policy::initial(7)).unwrap();
        assert_eq!(policy.dead_rules(), [""; 0]);
        let (chat, database) = ("m/43'/60'/1581'/0'/0", "m/43'/60'/1581'/1'/0");
        let table = [
            (7, private(chat), "chat identity", None),
            (7, private(database), "database", None),
            (7, public(chat), "chat identity", None),
            (8, private(chat), "chat identity", Some(Reason::OtherUser)),
            (7, private(chat), "database", Some(Reason::OtherPurpose)),
            (8, private(chat), "database", Some(Reason::OtherUser)),
            (7, public(database), "database", Some(Reason::NotListed)),
            (7, private("m/43'/60'/1581'/2'/0"), "chat", Some(Reason::NotListed)),
            (7, private("m/43'/60'/1581'/0'/1"), "chat", Some(Reason::NotListed)),
            (7, public("m"), "chat", Some(Reason::NotListed)),
            (7, extended("m/44'/60'/0'/0"), "chat", Some(Reason::NotListed)),
            (7, private("m/44'/60'/0'/0/0"), "chat", Some(Reason::NotExportable(PathError::OutsideExportableRange))),
            (7, Asked::Unlock, "chat", Some(Reason::NoExport)),
        ];
        for (uid, asked, purpose, want) in table {
            assert_eq!(reason(&policy, uid, &asked, purpose), want, "{uid} {asked} {purpose}");
        }
    }

    /// EIP1581-03: key types are hardened; one that is not never leaves, whatever the rules say.
    #[test]
    fn no_rule_allows_what_would_enlarge_the_closure() {
        let never = [
            ("m", "extended", Reason::ExtendedMaster),
            ("m/43'/60'/1581'", "extended", Reason::ExtendedSubtree),
            ("m/43'/60'/1581'/0'", "extended", Reason::ExtendedSubtree),
            ("m/43'/60'/1581'/5", "extended", Reason::ExtendedSubtree),
            ("m/43'/60'/1581'/0'/0", "extended", Reason::ExtendedSubtree),
            ("m/43'/60'/1581'/5/6", "private", Reason::NotExportable(PathError::NotHardened)),
            ("m/43'/60'/1581'/0'/1/0", "private", Reason::NotExportable(PathError::NotHardened)),
            ("m/43'/60'/1581'/0'", "private", Reason::NotExportable(PathError::OutsideExportableRange)),
            ("m", "private", Reason::NotExportable(PathError::OutsideExportableRange)),
            ("m/44'/60'/0'/0/0", "private", Reason::NotExportable(PathError::OutsideExportableRange)),
        ];
        let text: String = never.iter().map(|(path, form, _)| rule(path, form)).collect();
        let policy = Policy::parse(&text).unwrap();
        assert_eq!(policy.dead_rules().len(), never.len());
        for (path, form, want) in never {
            let asked = if form == "private" { private(path) } else { extended(path) };
            assert_eq!(reason(&policy, 7, &asked, "chat"), Some(want), "{form} {path}");
        }
    }

    #[test]
    fn a_rule_extends_the_list_by_hardened_key_types_and_wallet_keys() {
        let text = rule("m/43'/60'/1581'/9'/0", "private") + &rule("m/44'/60'/0'/0", "extended") + &rule("m", "public");
        let policy = Policy::parse(&text).unwrap();
        for asked in [private("m/43'/60'/1581'/9'/0"), extended("m/44'/60'/0'/0"), public("m")] {
            assert_eq!(reason(&policy, 7, &asked, "x"), None, "{asked}");
            assert_eq!(reason(&policy, 7, &asked, "y"), Some(Reason::OtherPurpose), "{asked}");
        }
        assert_eq!(reason(&policy, 7, &private("m/43'/60'/1581'/0'/0"), "chat"), Some(Reason::NotListed));
    }

    #[test]
    fn what_is_no_policy_is_named() {
        for (text, want) in [
            ("allow = 1".to_owned(), "invalid type"),
            ("[[alow]]".to_owned(), "unknown field"),
            (rule("m/0''", "private"), "key path"),
            (rule("m", "secret"), "unknown variant"),
            (rule("m", "public").replace("\"x\"", "\"X!\""), "purpose"),
            ("[[allow]]\npath = \"m\"".to_owned(), "missing field"),
        ] {
            let error = Policy::parse(&text).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn the_hash_is_of_the_text() {
        let text = Policy::initial(0);
        assert_ne!(Policy::parse(&text).unwrap().hash(), Policy::parse(&(text + "\n")).unwrap().hash());
    }
}
