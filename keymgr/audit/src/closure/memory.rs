//! What a card remembers between two commands, as far as the log tells: which node was used last, and which keys it calls
//! current and PIN-less (reference: Keycard, export rules and DERIVE KEY).
//!
//! ```text
//! up to 3.0    the public key of m comes out only as the current key, so asking for it leaves m the current one
//! 3.1, 3.2     the extended public key of m carries the chain code of the node used last; a power cut forgets that node
//! 4.0          no current key, and no extended public key of m
//! ```
//! A node is used by EXPORT KEY in any form and by SIGN, unless its path is empty; DERIVE KEY uses nothing. A power cut is in
//! no line: what was used before counts until something else is used.

use std::collections::{BTreeMap, BTreeSet};

use proto::{CardId, Fingerprint, KeyPath, KeyPlace};

use super::history::{Full, Node};
use super::names::Held;
use crate::operation::{Operation, Signing};

/// The memory of one card.
#[derive(Debug, Clone, Default)]
pub(super) struct CardMemory {
    /// The applet's version, when a line told it.
    applet: Option<Version>,
    /// The chat keys of the duress PIN.
    decoys: BTreeSet<Fingerprint>,
    /// Whether the duress PIN was entered.
    pub(super) decoy: bool,
    /// The nodes of which one was used last.
    used: BTreeSet<Node>,
    /// How many commands of unknown outcome may use a node yet.
    may_use: BTreeMap<Node, u32>,
    /// Its current path, when it is known.
    current: Option<KeyPath>,
    /// Its path for signing without a PIN, when it is known.
    pinless: Option<KeyPath>,
    pub(super) held: Held,
}

/// The version of an applet: major, minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u8, u8);

impl Version {
    /// Reads `3.1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }

    /// Returns whether the extended public key of `m` carries the chain code of the node used last.
    pub(super) fn leaks(self) -> bool {
        (Self(3, 1)..Self(4, 0)).contains(&self)
    }

    /// Returns whether the public key of `m` comes out only while `m` is the current key.
    fn moves_to_master(self) -> bool {
        self < Self(3, 1)
    }
}

impl CardMemory {
    /// Takes which applet the card has.
    pub(super) fn is_applet(&mut self, version: &str) {
        self.applet = Version::parse(version);
    }

    /// Takes the chat key of the duress PIN, which was entered.
    pub(super) fn shows_decoy(&mut self, chat_key: Fingerprint) -> Result<(), Full> {
        self.decoy = true;
        if self.decoys.len() >= MOST_DECOYS && !self.decoys.contains(&chat_key) {
            return Err(Full);
        }
        self.decoys.insert(chat_key);
        Ok(())
    }

    /// Returns whether this is a chat key of the duress PIN.
    pub(super) fn is_decoy(&self, chat_key: &Fingerprint) -> bool {
        self.decoys.contains(chat_key)
    }

    /// Returns the nodes of which the extended public key of `m` would carry the chain code of one.
    pub(super) fn leaks(&self) -> BTreeSet<Node> {
        if self.applet.is_some_and(|version| !version.leaks()) {
            return BTreeSet::new();
        }
        self.used.iter().chain(self.may_use.keys()).cloned().collect()
    }

    /// Takes that a command was recorded which would use a node.
    pub(super) fn will_use(&mut self, node: &Node) -> Result<(), Full> {
        if !self.has_room(node) {
            return Err(Full);
        }
        let times = self.may_use.entry(node.clone()).or_default();
        *times = times.saturating_add(1);
        Ok(())
    }

    /// Takes that such a command has ended.
    pub(super) fn has_ended(&mut self, node: &Node) {
        if let Some(times) = self.may_use.get_mut(node) {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.may_use.remove(node);
            }
        }
    }

    /// Takes which node was used last.
    pub(super) fn used(&mut self, node: Node) {
        self.used = BTreeSet::from([node]);
    }

    /// Takes which node may have been used last.
    pub(super) fn may_have_used(&mut self, node: Node) -> Result<(), Full> {
        if !self.has_room(&node) {
            return Err(Full);
        }
        self.used.insert(node);
        Ok(())
    }

    fn has_room(&self, node: &Node) -> bool {
        let is_there = self.used.contains(node) || self.may_use.contains_key(node);
        is_there || self.used.len().saturating_add(self.may_use.len()) < MOST_USED
    }

    /// Returns the path from `m` of the key at a place, when it is known.
    pub(super) fn resolve(&self, place: &KeyPlace) -> Option<KeyPath> {
        let (start, below) = match place {
            KeyPlace::Absolute(path) => return Some(path.clone()),
            KeyPlace::Pinless => return self.pinless.clone(),
            KeyPlace::BelowCurrent(below) => (self.current.as_ref()?.components(), below),
            KeyPlace::BelowParent(below) => (self.current.as_ref()?.components().split_last()?.1, below),
        };
        KeyPath::new(&[start, below.components()].concat()).ok()
    }

    /// Follows what an operation that was done changes.
    pub(super) fn changes(&mut self, operation: &Operation) {
        match operation {
            Operation::LoadKey
            | Operation::LoadKeyPair
            | Operation::LoadExtendedKey
            | Operation::LoadLeeSeed
            | Operation::GenerateKey => {
                self.current = Some(KeyPath::master());
                self.pinless = None;
                self.held = self.held.next();
            }
            Operation::DeriveKey(place) | Operation::Sign(Signing { key: place, makes_current: true, .. }) => {
                self.current = self.resolve(place);
            }
            Operation::ExportPublic(path) if path.is_master() => self.may_move_to_master(true),
            Operation::SetPinlessPath(path) => self.pinless = Some(path.clone()),
            Operation::ClearPinlessPath => self.pinless = None,
            Operation::RemoveKey => *self = Self { applet: self.applet, held: self.held.next(), ..Self::default() },
            Operation::FactoryReset | Operation::InstallApplet(_) => {
                *self = Self { held: self.held.next(), ..Self::default() };
            }
            _ => {}
        }
    }

    /// Follows what an operation of unknown outcome may have changed.
    pub(super) fn may_change(&mut self, operation: &Operation) {
        match operation {
            Operation::ExportPublic(path) if path.is_master() => self.may_move_to_master(false),
            operation if operation.only_reads() => {}
            _ => self.forget_paths(),
        }
    }

    /// Returns whether it remembers a path that another program might set.
    pub(super) const fn has_paths(&self) -> bool {
        self.current.is_some() || self.pinless.is_some()
    }

    /// Forgets what another program, or a command of unknown outcome, may have set.
    pub(super) fn forget_paths(&mut self) {
        self.current = None;
        self.pinless = None;
    }

    /// Follows an export of the public key of `m`, which was done for certain or not.
    fn may_move_to_master(&mut self, is_certain: bool) {
        let moves = self.applet.map(Version::moves_to_master);
        self.current = match (moves, self.current.take()) {
            (Some(true), _) if is_certain => Some(KeyPath::master()),
            (Some(false), before) => before,
            // Whether it moved or not, it is where it was.
            (_, before) => before.filter(KeyPath::is_master),
        };
    }
}

/// Returns whether what a card uses can leak: a card of 4.0, which its identity names, does not.
pub(super) const fn can_leak(card: &CardId) -> bool {
    !matches!(card, CardId::Identity(_))
}

/// More would be a log that lies.
const MOST_DECOYS: usize = 16;
/// Nodes that may have been used last: many only where command after command had an unknown end.
const MOST_USED: usize = 64;
