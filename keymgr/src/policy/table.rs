//! What a policy allows, as rows for a person to read, and what in it can never apply.

use std::collections::BTreeSet;

use serde::Serialize;

use super::question::Use;
use super::rule::{Approval, Client, Key};
use super::{Policy, Role};

/// One thing that a policy allows one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The block.
    pub key: String,
    /// The operation.
    pub operation: Use,
    /// The path; that of a key type stands for every key below it.
    pub path: String,
    /// The cards; nothing: any.
    pub cards: Option<Vec<String>>,
    /// The client.
    pub client: String,
    /// Its user.
    pub uid: u32,
    /// Its program, where that is said.
    pub binary: Option<String>,
    /// The hash of it, where that is said.
    pub sha256: Option<String>,
    /// What for.
    pub purposes: Vec<String>,
    /// How often.
    pub rate: Option<String>,
    /// What the owner does before.
    pub approval: Approval,
}

impl Policy {
    /// Returns what is allowed, in the order of the file.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for key in &self.keys {
            for operation in key.uses().filter(|operation| self.impossible(key, *operation).is_none()) {
                for client in self.clients.iter().filter(|client| key.clients.contains(&client.name)) {
                    rows.push(Row {
                        key: key.name.clone(),
                        operation,
                        path: key.path.to_string(),
                        cards: key.cards.clone(),
                        client: client.name.clone(),
                        uid: client.uid,
                        binary: client.binary.as_ref().map(|path| path.display().to_string()),
                        sha256: client.sha256.map(hex::encode),
                        purposes: key.purposes.iter().map(ToString::to_string).collect(),
                        rate: key.rate.map(|rate| rate.to_string()),
                        approval: key.approval,
                    });
                }
            }
        }
        rows
    }

    /// Returns the users that do everything with cards, beside the manager's own.
    #[must_use]
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// Returns what can never apply, and which approval is none, a sentence each. Whoever runs as an owner, or as
    /// the user of this program, can answer for its owner.
    #[must_use]
    pub fn dead_rules(&self) -> Vec<String> {
        let own = rustix::process::geteuid().as_raw();
        let mut dead = Vec::new();
        for key in &self.keys {
            let Key { name, cards, clients, purposes, .. } = key;
            for operation in key.uses() {
                if let Some(reason) = self.impossible(key, operation) {
                    dead.push(format!("key {name:?} lists {operation}, which it never allows: {reason}"));
                }
            }
            if cards.as_ref().is_some_and(Vec::is_empty) {
                dead.push(format!("key {name:?} names no card"));
            }
            if clients.is_empty() {
                dead.push(format!("key {name:?} names no client"));
            }
            if purposes.is_empty() {
                dead.push(format!("key {name:?} names no purpose"));
            }
        }
        for key in self.keys.iter().filter(|key| key.approval != Approval::None) {
            for client in self.clients.iter().filter(|client| key.clients.contains(&client.name)) {
                let Client { name, uid, .. } = client;
                if self.role(*uid, own) == Role::Owner {
                    dead.push(format!(
                        "key {:?} wants approval of client {name:?}, whose uid {uid} is an owner's: it can approve itself; \
                         run it as another user",
                        key.name
                    ));
                }
            }
        }
        let named: BTreeSet<&String> = self.keys.iter().flat_map(|key| &key.clients).collect();
        for client in self.clients.iter().filter(|client| !named.contains(&client.name)) {
            dead.push(format!("no key names client {:?}", client.name));
        }
        dead
    }

    /// Returns which clients a key manager of this user can only know with the right to look at other users' processes.
    #[must_use]
    pub fn unseen_programs(&self, ours: u32) -> Vec<String> {
        let named = self.clients.iter().filter(|client| client.binary.is_some() || client.sha256.is_some());
        let warn = |Client { name, uid, .. }: &Client| {
            format!(
                "client {name:?} names a program of uid {uid}: a key manager of another user sees it only with CAP_SYS_PTRACE, \
                 and refuses without; for a service, see callers.conf.example beside its unit"
            )
        };
        named.filter(|client| client.uid != ours).map(warn).collect()
    }

    /// Returns why a block can never allow one of its operations, if it cannot.
    fn impossible(&self, key: &Key, operation: Use) -> Option<String> {
        let question = key.example(operation);
        if let Err(reason) = question.possible() {
            return Some(reason.to_string());
        }
        match self.derives(&question.path) {
            Some(other) if operation == Use::Ecdh => Some(format!("block {:?} derives secrets from it", other.name)),
            _ => None,
        }
    }
}
