//! The receipt without which a card does nothing that concerns a key.

use proto::{CardId, KeyUid};
use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::text;

/// What a card is about to be asked, compared with `==` by the code that asks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// The account on it before the operation; none while it holds no key.
    #[serde(with = "text::hex_option")]
    pub key_uid: Option<KeyUid>,
    /// What it shall do.
    pub operation: Operation,
}

/// Proof that an intent is on disk. Only [`crate::Log::intent`] makes one; it is not `Clone`, and it is spent once.
#[derive(Debug)]
#[must_use = "the log waits for the outcome of this intent"]
pub struct Recorded {
    request: Request,
    seq: u64,
    spent: bool,
}

impl Recorded {
    pub(crate) const fn new(request: Request, seq: u64) -> Self {
        Self { request, seq, spent: false }
    }

    /// Spends the receipt on `request`; whoever is about to send the command calls this first.
    ///
    /// # Errors
    /// [`NotRecorded::OtherRequest`] when another request was recorded, [`NotRecorded::Spent`] the second time.
    pub fn spend(&mut self, request: &Request) -> Result<(), NotRecorded> {
        if self.request != *request {
            return Err(NotRecorded::OtherRequest);
        }
        if self.spent {
            return Err(NotRecorded::Spent);
        }
        self.spent = true;
        Ok(())
    }

    /// Returns what was recorded.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the number of the intent's line.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns whether the receipt was spent, that is, whether the command may have reached the card.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.spent
    }
}

/// Why a receipt does not cover what is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecorded {
    /// The record on disk speaks of something else.
    #[error("the record on disk is of another request")]
    OtherRequest,
    /// One record allows one command.
    #[error("the record on disk was used already")]
    Spent,
}
