//! Who may have which key, what for, and how often. Nothing leaves a card, and no key is used, without its decision.
//!
//! ```toml
//! owners = [1000]                 # beside the manager's own user
//!
//! [[client]]
//! name = "node"
//! uid = 1001                      # the authority; an owner's own programs could approve for themselves
//! binary = "/usr/bin/node"        # a second reason to refuse, like sha256 = "…"
//!
//! [[key]]
//! name = "vault"
//! path = "m/43'/60'/1581'/2'"     # a key type: every key below it; any other path is that key alone
//! cards = ["blue"]                # labels, ids or accounts; without it, any card
//! mode = "export"                 # the private key may leave; "on-card" without it
//! operations = ["public"]         # public, extended, sign, ecdh, derive, bip85, lee, pinless
//! clients = ["node"]
//! purposes = ["team vault"]
//! rate = "10/hour"                # for each client; minute, hour or day
//! approval = "prompt"             # the owner's agent asks: none, prompt, or pin
//! ```
//!
//! - [`text`] reads and writes that language, [`rule`] holds its blocks, [`table`] shows what they allow;
//! - [`question`] is what may be asked, and what no configuration can allow;
//! - [`decide`] is the decision, [`reason`] why not, [`history`] what it knows of the past, and [`answer`] asks it without
//!   a card.
//!
//! The invariant (DESIGN promise 3): no policy allows the extended public key of `m` or of anything at or under
//! `m/43'/60'/1581'`, nor a private key outside that subtree or with a key type that is not hardened, nor one from which
//! another would follow.

pub mod answer;
mod closure;
pub mod decide;
pub mod history;
pub mod question;
pub mod reason;
pub mod rule;
pub mod table;
pub mod text;

pub use decide::{Decision, Request};
pub use history::History;
pub use proto::purpose::{CHAT as CHAT_PURPOSE, DATABASE as DATABASE_PURPOSE};
pub use question::{Question, Use};
pub use reason::{Reason, Refusal};
pub use rule::{About, Approval, Client, Key, Mode};
pub use text::NotAPolicy;

#[cfg(test)]
mod tests;

/// The blocks in force, and the hash of the text they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    owners: Vec<u32>,
    clients: Vec<Client>,
    keys: Vec<Key>,
    hash: [u8; 32],
}

/// What a user is to the manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Does everything with cards; what keys do for it, the blocks say.
    Owner,
    /// A block names it: it gets what the blocks allow.
    Client,
    /// Nobody.
    Stranger,
}

impl Policy {
    /// Returns the SHA-256 of the policy's text, which every intent carries.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns whether some block is for certain cards only.
    #[must_use]
    pub fn names_cards(&self) -> bool {
        self.keys.iter().any(|key| key.cards.is_some())
    }

    /// Returns whether some block wants its owner's approval.
    #[must_use]
    pub fn asks_its_owner(&self) -> bool {
        self.keys.iter().any(|key| key.approval != Approval::None)
    }
}
