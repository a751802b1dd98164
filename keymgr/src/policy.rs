//! Who may have which key, and what for. The decision is a pure function; nothing leaves the card without it.
//!
//! ```toml
//! [[allow]]
//! path = "m/43'/60'/1581'/0'/0"
//! form = "private"              # private, public, extended, sign, ecdh, bip85 or lee
//! purposes = ["chat"]
//! uids = [1000]
//! ```
//!
//! The invariant (DESIGN promise 3): no rule can allow the extended public key of `m` or of anything at or under
//! `m/43'/60'/1581'`, nor a private key outside that subtree or with a key type that is not hardened. Two extended public
//! keys and one child private key would rebuild the whole subtree.
//!
//! What a key is used for has forms of its own: a card that signs or agrees on secrets for anybody is an oracle, and BIP-85
//! and LEE are side doors to secrets. Each names an exact path; wallet keys are used for nothing unless a rule says so.

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

/// In which form a key leaves, or what it does on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Private,
    Public,
    Extended,
    Sign,
    Ecdh,
    Bip85,
    Lee,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
            Self::Extended => "extended",
            Self::Sign => "sign",
            Self::Ecdh => "ecdh",
            Self::Bip85 => "bip85",
            Self::Lee => "lee",
        }
    }
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
    /// The applet agrees on secrets with few keys.
    #[error(
        "only keys below m/43'/60'/1581' and m/44'/1237', at least 5 deep, agree on secrets; no policy can allow another"
    )]
    NoAgreement,
    /// The applet takes no other paths for BIP-85.
    #[error("a path of BIP-85 is m/83696968'/… with every component hardened; no policy can allow another")]
    NoBip85,
    /// Which key that is depends on what the card was asked before.
    #[error("only keys at a path from m are used; no policy can allow another")]
    NotFromMaster,
    /// No rule names it.
    #[error("the policy does not list this key in this form")]
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
        let mut text = INITIAL_HEAD.to_owned();
        for (path, form, purpose) in [
            (ExportPath::chat(), Form::Private, CHAT_PURPOSE),
            (ExportPath::database(), Form::Private, DATABASE_PURPOSE),
            (ExportPath::chat(), Form::Public, CHAT_PURPOSE),
        ] {
            text.push('\n');
            text.push_str(&rule_text(path.as_path(), form, purpose, uid));
        }
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
        let dead = |rule: &&Rule| possible(rule.form, &rule.path).is_err();
        self.rules.iter().filter(dead).map(Rule::shown).collect()
    }

    /// Decides one question.
    #[must_use]
    pub fn decide(&self, uid: u32, asked: &Asked, purpose: &Purpose) -> Decision {
        let (form, path, operation) = match question(asked) {
            Ok(question) => question,
            Err(reason) => return Decision::Refused(reason),
        };
        let mut reason = Reason::NotListed;
        for rule in self.rules.iter().filter(|rule| rule.form == form && rule.path == path) {
            match (rule.uids.contains(&uid), rule.purposes.contains(purpose)) {
                (true, true) => return Decision::Allowed(operation),
                (true, false) => reason = Reason::OtherPurpose,
                (false, _) if reason == Reason::NotListed => reason = Reason::OtherUser,
                (false, _) => {}
            }
        }
        Decision::Refused(reason)
    }

    /// Returns the rule that would allow this, as it stands in the file; nothing when none can.
    #[must_use]
    pub fn rule_for(uid: u32, asked: &Asked, purpose: &Purpose) -> Option<String> {
        let (form, path, _) = question(asked).ok()?;
        Some(rule_text(&path, form, purpose.as_str(), uid))
    }
}

impl Rule {
    fn shown(&self) -> String {
        format!("{} {}", self.form.name(), self.path)
    }
}

fn rule_text(path: &KeyPath, form: Form, purpose: &str, uid: u32) -> String {
    let form = form.name();
    format!("[[allow]]\npath = \"{path}\"\nform = \"{form}\"\npurposes = [\"{purpose}\"]\nuids = [{uid}]\n")
}

/// Returns the form, the path and the operation, unless no configuration may allow it.
fn question(asked: &Asked) -> Result<(Form, KeyPath, Operation), Reason> {
    let (form, path, operation) = match asked {
        Asked::Private(path) => {
            let exported = ExportPath::try_from(path.clone()).map_err(Reason::NotExportable)?;
            (Form::Private, path, Operation::ExportPrivate(exported))
        }
        Asked::Public(path) => (Form::Public, path, Operation::ExportPublic(path.clone())),
        Asked::ExtendedPublic(path) => (Form::Extended, path, Operation::ExportExtendedPublic(path.clone())),
        Asked::Operation(operation) => {
            let (form, path) = match operation {
                Operation::Sign(signing) => (Form::Sign, signing.key.absolute().ok_or(Reason::NotFromMaster)?),
                Operation::SetPinlessPath(path) => (Form::Sign, path),
                Operation::Ecdh(agreement) => (Form::Ecdh, &agreement.path),
                Operation::ExportBip85(entropy) => (Form::Bip85, &entropy.path),
                Operation::ExportLee(path) => (Form::Lee, path),
                _ => return Err(Reason::NoExport),
            };
            (form, path, operation.clone())
        }
        Asked::Unlock | Asked::Provision => return Err(Reason::NoExport),
    };
    possible(form, path)?;
    Ok((form, path.clone(), operation))
}

/// Checks that a rule may allow this at all.
fn possible(form: Form, path: &KeyPath) -> Result<(), Reason> {
    match form {
        Form::Private => ExportPath::try_from(path.clone()).map(drop).map_err(Reason::NotExportable),
        Form::Extended if path.is_master() => Err(Reason::ExtendedMaster),
        Form::Extended if path.is_in_eip_1581() => Err(Reason::ExtendedSubtree),
        Form::Ecdh if !agrees(path) => Err(Reason::NoAgreement),
        Form::Bip85 if !is_bip85(path) => Err(Reason::NoBip85),
        Form::Extended | Form::Public | Form::Sign | Form::Ecdh | Form::Bip85 | Form::Lee => Ok(()),
    }
}

/// Whether ECDH takes this path (reference: Keycard applet, ECDH).
fn agrees(path: &KeyPath) -> bool {
    path.components().len() >= 5 && (path.is_in_eip_1581() || path.components().starts_with(&NOSTR))
}

/// Whether EXPORT BIP85 takes this path (reference: Keycard applet, EXPORT BIP85).
fn is_bip85(path: &KeyPath) -> bool {
    let components = path.components();
    components.len() >= 2 && components.first() == Some(&BIP85) && components.iter().all(|c| c & HARDENED != 0)
}

const HARDENED: u32 = 0x8000_0000;
/// `m/44'/1237'`
const NOSTR: [u32; 2] = [HARDENED | 44, HARDENED | 1237];
/// `83696968'`
const BIP85: u32 = HARDENED | 83_696_968;
const MAX_BYTES: usize = 1 << 20;

const INITIAL_HEAD: &str = "\
# Which keys may leave the card or be used on it, for whom and what for. Read when cardinal-keymgr starts; what is not listed is refused.
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

    /// DESIGN section 9, uses as oracle: wallet keys sign nothing unless a rule of that form says so, and the refusal
    /// names the rule.
    #[test]
    fn uses_of_a_key_have_forms_of_their_own_and_none_is_allowed_by_default() {
        use audit::{Agreement, Bip85, Scheme, Signing};
        use proto::{Digest, KeyPlace};

        let sign = |place: &str| {
            let key: KeyPlace = place.parse().unwrap();
            let digest = Digest::from([7; 32]);
            Asked::Operation(Operation::Sign(Signing { key, makes_current: false, scheme: Scheme::Ecdsa, digest }))
        };
        let peer = "0001-0203-0405-06ff".parse().unwrap();
        let ecdh = |path: &str| Asked::Operation(Operation::Ecdh(Agreement { path: path.parse().unwrap(), peer }));
        let bip85 =
            |path: &str| Asked::Operation(Operation::ExportBip85(Bip85 { path: path.parse().unwrap(), bytes: 64 }));
        let lee = |path: &str| Asked::Operation(Operation::ExportLee(path.parse().unwrap()));
        let initial = Policy::parse(&Policy::initial(7)).unwrap();
        for asked in [
            sign("m/44'/60'/0'/0/0"),
            sign("m/43'/60'/1581'/0'/0"),
            ecdh("m/43'/60'/1581'/0'/0"),
            bip85("m/83696968'/39'"),
            lee("m"),
            Asked::Operation(Operation::SetPinlessPath("m/44'/60'/0'/0/0".parse().unwrap())),
        ] {
            assert_eq!(reason(&initial, 7, &asked, "x"), Some(Reason::NotListed), "{asked}");
            let rule = Policy::rule_for(7, &asked, &"x".parse().unwrap()).unwrap();
            assert_eq!(reason(&Policy::parse(&rule).unwrap(), 7, &asked, "x"), None, "{rule}");
        }
        let public = Policy::parse(&rule("m/44'/60'/0'/0/0", "public")).unwrap();
        assert_eq!(reason(&public, 7, &sign("m/44'/60'/0'/0/0"), "x"), Some(Reason::NotListed), "another form");
        for (asked, want) in [
            (sign("pinless"), Reason::NotFromMaster),
            (sign("current"), Reason::NotFromMaster),
            (ecdh("m/44'/60'/0'/0/0"), Reason::NoAgreement),
            (ecdh("m/43'/60'/1581'/0'"), Reason::NoAgreement),
            (bip85("m/83696968'"), Reason::NoBip85),
            (bip85("m/83696968'/39"), Reason::NoBip85),
            (bip85("m/44'/60'"), Reason::NoBip85),
            (Asked::Operation(Operation::Init), Reason::NoExport),
        ] {
            assert_eq!(reason(&initial, 7, &asked, "x"), Some(want), "{asked}");
            assert_eq!(Policy::rule_for(7, &asked, &"x".parse().unwrap()), None);
        }
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
