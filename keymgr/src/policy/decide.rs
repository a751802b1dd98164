//! The decision: a pure function of who asks, what, what for, and what happened before.
//!
//! What no configuration may allow is refused first. Then the first block that allows it decides, in the order of the file;
//! where none does, the reason is of the block that came nearest.

use audit::{Caller, Purpose};
use proto::{KeyPath, UnixMillis};

use super::history::History;
use super::question::{Question, Use};
use super::reason::Reason;
use super::rule::{About, Approval, Client, Key};
use super::{Policy, Role};
use crate::caller::Doubt;

/// Everything that a decision may look at, beside the policy and the history.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks: the kernel's word for the user, evidence for the program.
    pub caller: &'a Caller,
    /// What is wrong with the evidence, if anything.
    pub doubt: Option<&'a Doubt>,
    /// What is asked.
    pub question: &'a Question,
    /// What for.
    pub purpose: &'a Purpose,
    /// The card, as far as it is known.
    pub about: &'a About,
    /// The time.
    pub at: UnixMillis,
}

/// What the policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The card may be asked, once the owner approved where that is said.
    Allowed {
        /// The name of the block that allows it.
        key: String,
        /// What the owner does before.
        approval: Approval,
    },
    /// It may not.
    Refused(Reason),
}

impl Policy {
    /// Decides one question.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>, history: &History) -> Decision {
        match self.allowing(request, history) {
            Ok(key) => Decision::Allowed { key: key.name.clone(), approval: key.approval },
            Err(reason) => Decision::Refused(reason),
        }
    }

    /// Returns what a user may ask of the manager at all, whose own user is `ours`.
    #[must_use]
    pub fn role(&self, uid: u32, ours: u32) -> Role {
        if uid == ours || self.owners.contains(&uid) {
            Role::Owner
        } else if self.clients.iter().any(|client| client.uid == uid && self.is_named(client)) {
            Role::Client
        } else {
            Role::Stranger
        }
    }

    /// Returns the block that derives secrets from the key at `path`, if there is one.
    pub(super) fn derives(&self, path: &KeyPath) -> Option<&Key> {
        self.keys.iter().find(|key| key.lists(Use::Derive) && key.covers(path))
    }

    /// Returns whether some block lets a client with this uid do anything with keys of this card.
    #[must_use]
    pub fn concerns(&self, uid: u32, card: &About) -> bool {
        let is_for = |key: &Key, client: &Client| client.uid == uid && key.clients.contains(&client.name);
        self.keys.iter().any(|key| key.is_of(card) && self.clients.iter().any(|client| is_for(key, client)))
    }

    fn is_named(&self, client: &Client) -> bool {
        self.keys.iter().any(|key| key.clients.contains(&client.name))
    }

    fn allowing(&self, request: &Request<'_>, history: &History) -> Result<&Key, Reason> {
        let question = request.question;
        question.possible()?;
        if question.operation == Use::Ecdh
            && let Some(key) = self.derives(&question.path)
        {
            return Err(Reason::KeptForDeriving { key: key.name.clone() });
        }
        let mut nearest = Reason::NotListed { question: question.to_string() };
        for key in self.keys.iter().filter(|key| key.covers(&question.path)) {
            match self.allows(key, request, history) {
                Ok(()) => return self.enlarges_nothing(request.about, question, history).map(|()| key),
                Err(reason) if nearness(&reason) > nearness(&nearest) => nearest = reason,
                Err(_) => {}
            }
        }
        Err(nearest)
    }

    /// Whether this block allows it.
    fn allows(&self, key: &Key, request: &Request<'_>, history: &History) -> Result<(), Reason> {
        let Request { caller, doubt, question, purpose, about, at } = *request;
        let name = || key.name.clone();
        if !key.lists(question.operation) {
            return Err(Reason::OtherOperation { key: name(), operation: question.operation.name() });
        }
        let mut nearest = Reason::OtherUser { key: name(), uid: caller.uid };
        for client in self.clients.iter().filter(|client| key.clients.contains(&client.name)) {
            let reason = match client.is(caller, doubt) {
                Ok(false) => continue,
                Err(why) => Reason::OtherProgram { key: name(), client: client.name.clone(), why },
                Ok(true) if !key.purposes.contains(purpose) => {
                    let purposes = key.purposes.iter().map(ToString::to_string).collect();
                    Reason::OtherPurpose { key: name(), purposes, purpose: purpose.to_string() }
                }
                Ok(true) if !key.is_of(about) => {
                    let cards = key.cards.clone().unwrap_or_default();
                    if about.is_known() {
                        Reason::OtherCard { key: name(), cards, card: Box::new(about.clone()) }
                    } else {
                        Reason::WhichCard { key: name(), cards }
                    }
                }
                Ok(true) => match (key.rate, history.wait(key, client, question.operation, at)) {
                    (Some(rate), Some(seconds)) => Reason::TooOften { key: name(), rate, seconds },
                    _ => return Ok(()),
                },
            };
            if nearness(&reason) > nearness(&nearest) {
                nearest = reason;
            }
        }
        Err(nearest)
    }
}

/// How far a block went before it refused.
const fn nearness(reason: &Reason) -> u8 {
    match reason {
        Reason::OtherOperation { .. } => 1,
        Reason::OtherUser { .. } => 2,
        Reason::OtherProgram { .. } => 3,
        Reason::OtherPurpose { .. } => 4,
        Reason::OtherCard { .. } | Reason::WhichCard { .. } => 5,
        Reason::TooOften { .. } => 6,
        _ => 0,
    }
}
