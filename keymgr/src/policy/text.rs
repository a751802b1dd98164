//! The language of the policy file: read with the line and the column of what is wrong, and written as blocks to add.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use audit::{Caller, Purpose};
use proto::{CardId, ExportPath, KeyPath};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::question::{Question, Use, exportable};
use super::rule::{Approval, Client, Key, Mode, Rate};
use super::{CHAT_PURPOSE, DATABASE_PURPOSE, Policy};
use crate::caller::Doubt;
use crate::files::{self, StateError};

/// Why a text is no policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct NotAPolicy {
    /// The line, from 1.
    pub line: usize,
    /// The column in it, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    owners: Vec<u32>,
    #[serde(default)]
    client: Vec<ClientBlock>,
    #[serde(default)]
    key: Vec<KeyBlock>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientBlock {
    name: Spanned<String>,
    uid: u32,
    binary: Option<Spanned<PathBuf>>,
    sha256: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBlock {
    name: Spanned<String>,
    path: Spanned<String>,
    cards: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    operations: Vec<Use>,
    clients: Vec<Spanned<String>>,
    purposes: Vec<Purpose>,
    rate: Option<Rate>,
    #[serde(default)]
    approval: Approval,
}

impl Policy {
    /// Reads the policy in force; nothing when there is no such file.
    ///
    /// # Errors
    /// [`StateError::NotAPolicy`], [`StateError::Io`].
    pub fn read(path: &Path) -> Result<Option<Self>, StateError> {
        let Some(text) = files::read_text(path, Self::MAX_BYTES)? else { return Ok(None) };
        let policy = Self::parse(&text);
        policy.map(Some).map_err(|error| StateError::NotAPolicy { path: path.to_owned(), error })
    }

    /// No policy file is longer.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Returns the hash by which a policy with this text goes.
    #[must_use]
    pub fn hash_of(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    /// Returns the policy of this text.
    ///
    /// # Errors
    /// [`NotAPolicy`].
    pub fn parse(text: &str) -> Result<Self, NotAPolicy> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            NotAPolicy::at(text, at, error.message().lines().collect::<Vec<_>>().join("; "))
        })?;
        let wrong = |at: usize, what: String| NotAPolicy::at(text, at, what);
        let mut clients: Vec<Client> = Vec::new();
        for block in document.client {
            let client = block.read().map_err(|(at, what)| wrong(at, what))?;
            if let Some(at) = client.1.filter(|_| clients.iter().any(|other| other.name == client.0.name)) {
                return Err(wrong(
                    at,
                    format!("there is a client {:?} already; give each its own name", client.0.name),
                ));
            }
            clients.push(client.0);
        }
        let mut keys: Vec<Key> = Vec::new();
        for block in document.key {
            let at = block.name.span().start;
            let key = block.read(&clients).map_err(|(at, what)| wrong(at, what))?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(wrong(at, format!("there is a key {:?} already; give each its own name", key.name)));
            }
            keys.push(key);
        }
        Ok(Self { owners: document.owners, clients, keys, hash: Self::hash_of(text) })
    }

    /// Returns the text of the policy that is written at the first enrolment: the chat and the database key for `uid`.
    #[must_use]
    pub fn initial(uid: u32) -> String {
        let client = Client { name: OWNER.to_owned(), uid, binary: None, sha256: None };
        let mut text = format!("{INITIAL_HEAD}\n{}", client_text(&client));
        let keys = [
            ("chat", ExportPath::chat(), "operations = [\"public\"]\n", CHAT_PURPOSE),
            ("database", ExportPath::database(), "", DATABASE_PURPOSE),
        ];
        for (name, path, operations, purpose) in keys {
            let _ = write!(
                text,
                "\n[[key]]\nname = \"{name}\"\npath = \"{path}\"\nmode = \"export\"\n{operations}clients = [\"{OWNER}\"]\n\
                 purposes = [\"{purpose}\"]\n"
            );
        }
        text
    }

    /// Returns the text that would allow this if it stood at the end of the file, of this card alone where one is given;
    /// nothing when no text can.
    #[must_use]
    pub fn block_for(
        &self,
        caller: &Caller,
        doubt: Option<&Doubt>,
        question: &Question,
        purpose: &Purpose,
        card: Option<&CardId>,
    ) -> Option<String> {
        question.possible().ok()?;
        if question.operation == Use::Ecdh && self.derives(&question.path).is_some() {
            return None;
        }
        let known = self.clients.iter().find(|client| client.is(caller, doubt) == Ok(true));
        let mut text = String::new();
        let client = match known {
            Some(client) => client.name.clone(),
            None => {
                let client = self.client_for(caller, doubt)?;
                text.push_str(&client_text(&client));
                text.push('\n');
                client.name
            }
        };
        let name = fresh("key", |name| self.keys.iter().any(|key| key.name == name));
        let what = match question.operation {
            Use::ExportPrivate => "mode = \"export\"\n".to_owned(),
            operation => format!("operations = [\"{operation}\"]\n"),
        };
        let path = &question.path;
        let cards = card.map_or_else(String::new, |card| format!("cards = [\"{card}\"]\n"));
        let _ = write!(
            text,
            "[[key]]\nname = \"{name}\"\npath = \"{path}\"\n{cards}{what}clients = [{client:?}]\npurposes = [\"{purpose}\"]\n"
        );
        Some(text)
    }
}

impl Policy {
    /// Returns a client that is this caller: with its program where others of its user have one. A doubtful program gets
    /// none.
    fn client_for(&self, caller: &Caller, doubt: Option<&Doubt>) -> Option<Client> {
        let name = fresh("client", |name| self.clients.iter().any(|client| client.name == name));
        let mut client = Client { name, uid: caller.uid, binary: None, sha256: None };
        if self.clients.iter().any(|other| other.uid == caller.uid) {
            if doubt.is_some() {
                return None;
            }
            client.binary = caller.binary.as_ref().map(|path| PathBuf::from(path.as_str()));
            client.sha256 = caller.binary_hash;
        }
        Some(client)
    }
}

impl ClientBlock {
    /// Returns the client, and where its name stands.
    fn read(self) -> Result<(Client, Option<usize>), (usize, String)> {
        let at = self.name.span().start;
        let name = name_of(self.name)?;
        let binary = match self.binary {
            Some(path) if !path.get_ref().is_absolute() => {
                return Err((path.span().start, "the path of a binary begins with a stroke".to_owned()));
            }
            other => other.map(Spanned::into_inner),
        };
        let sha256 = match self.sha256 {
            Some(digits) => {
                let hash = hex::decode(digits.get_ref()).ok().and_then(|bytes| bytes.try_into().ok());
                Some(hash.ok_or_else(|| (digits.span().start, "a SHA-256 is 64 hexadecimal digits".to_owned()))?)
            }
            None => None,
        };
        Ok((Client { name, uid: self.uid, binary, sha256 }, Some(at)))
    }
}

impl KeyBlock {
    fn read(self, clients: &[Client]) -> Result<Key, (usize, String)> {
        let Self { name, path, cards, mode, operations, clients: names, purposes, rate, approval } = self;
        let at = path.span().start;
        let path: KeyPath = path.get_ref().parse().map_err(|error| (at, format!("{:?}: {error}", path.get_ref())))?;
        if mode == Mode::Export
            && let Err(error) = exportable(&path)
        {
            return Err((
                at,
                format!("{error}: mode \"export\" is for a key type m/43'/60'/1581'/type' or a key below one"),
            ));
        }
        let mut allowed = Vec::new();
        for name in names {
            if !clients.iter().any(|client| client.name == *name.get_ref()) {
                let what = format!("there is no [[client]] with the name {:?}", name.get_ref());
                return Err((name.span().start, what));
            }
            allowed.push(name.into_inner());
        }
        let cards = cards.map(|names| names.into_iter().map(card_name).collect()).transpose()?;
        if mode == Mode::OnCard && operations.is_empty() {
            let what = "this block allows nothing: give it operations, or mode = \"export\"";
            return Err((name.span().start, what.to_owned()));
        }
        Ok(Key { name: name_of(name)?, path, cards, mode, operations, clients: allowed, purposes, rate, approval })
    }
}

impl NotAPolicy {
    fn at(text: &str, byte: usize, what: String) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        Self { line, column, what }
    }
}

/// Returns the name of a block: what may stand in a message and in a log.
fn name_of(name: Spanned<String>) -> Result<String, (usize, String)> {
    let at = name.span().start;
    let name = name.into_inner();
    let good = (1..=32).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b' '));
    if good { Ok(name) } else { Err((at, "a name is 1 to 32 of letters, digits, - _ . and spaces".to_owned())) }
}

/// Returns what a block calls a card.
fn card_name(name: Spanned<String>) -> Result<String, (usize, String)> {
    let at = name.span().start;
    let name = name.into_inner();
    if name.trim().is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        return Err((at, "a card is named by its label, its whole id, or its whole account (key UID)".to_owned()));
    }
    Ok(name)
}

fn fresh(word: &str, taken: impl Fn(&str) -> bool) -> String {
    let names = std::iter::once(word.to_owned()).chain((2_u32..).map(|n| format!("{word}-{n}")));
    names.into_iter().find(|name| !taken(name)).unwrap_or_default()
}

fn client_text(client: &Client) -> String {
    let Client { name, uid, binary, sha256 } = client;
    let mut text = format!("[[client]]\nname = \"{name}\"\nuid = {uid}\n");
    if let Some(path) = binary {
        let _ = writeln!(text, "binary = {}", toml::Value::from(path.to_string_lossy().as_ref()));
    }
    if let Some(hash) = sha256 {
        let _ = writeln!(text, "sha256 = \"{}\"", hex::encode(hash));
    }
    text
}

/// What the initial policy calls the user that it is for.
const OWNER: &str = "me";

const INITIAL_HEAD: &str = "\
# Which keys may leave the card or be used on it, for whom and what for. What is not listed is refused.
# A change counts after `cardinal policy reload`; `cardinal policy check FILE` says what a file allows.
#
# A key type is added by one more [[key]] block with its hardened path, m/43'/60'/1581'/type'. No block can allow the
# extended public key of m or of anything at or under m/43'/60'/1581'.
";
