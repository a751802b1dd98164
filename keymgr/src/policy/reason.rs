//! Why something is refused: what no configuration can change, or what a block of the policy file could.

use std::fmt;
use std::path::PathBuf;

use proto::CardId;
use proto::path::PathError;

use super::rule::{About, Rate};
use crate::caller::Doubt;

/// Why a key does not leave, or is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// Who could have that key sign could make statements of the log up.
    #[error("the key at {} signs the head of the log and nothing else; no policy can allow it", audit::STATEMENT_PATH)]
    ForStatements,
    /// Which key that is depends on what the card was asked before.
    #[error("only keys at a path from m are used; no policy can allow another")]
    NotFromMaster,
    /// Not a question of the policy's.
    #[error("this is no export")]
    NoExport,
    /// Whoever agrees on secrets with this key can compute what is derived from it for others.
    #[error("block {key:?} derives secrets from this key, so nobody agrees on others with it")]
    KeptForDeriving {
        /// The block.
        key: String,
    },
    /// With what left before, more keys would follow from this one than the policy lets go.
    #[error("with what left the card before, {implied} would follow from it, which the policy lets nobody have")]
    Enlarges {
        /// The first of them.
        implied: String,
    },
    /// More left than is remembered.
    #[error(
        "so much left already that not all of it is remembered, so nobody knows what would follow from one more; what left \
         before may leave again, another key from a card in a profile of its own (--profile)"
    )]
    TooMuchLeft,
    /// So many keys were used that what room is left for them is kept for exports.
    #[error(
        "so many different keys were used already that the room to remember more is kept for exports; use one that was used \
         before, or a card in a profile of its own (--profile), and give blocks that cover many keys a `rate`"
    )]
    TooManyUsed,
    /// No block names it.
    #[error("no block allows {question}")]
    NotListed {
        /// What was asked.
        question: String,
    },
    /// The blocks that cover the key do not list the operation.
    #[error("block {key:?} covers this key, but not {operation}")]
    OtherOperation {
        /// The block.
        key: String,
        /// What is missing.
        operation: &'static str,
    },
    /// The blocks that name it are for other users.
    #[error("block {key:?} allows it, but to no client with uid {uid}")]
    OtherUser {
        /// The block.
        key: String,
        /// Who asked.
        uid: u32,
    },
    /// The clients of the block have this user and another program.
    #[error("block {key:?} allows it to client {client:?}, but {why}")]
    OtherProgram {
        /// The block.
        key: String,
        /// The client.
        client: String,
        /// How the caller's program differs.
        why: Mismatch,
    },
    /// The blocks that name it are for other purposes.
    #[error("block {key:?} allows it for {} only, not for {purpose:?}", quoted(purposes))]
    OtherPurpose {
        /// The block.
        key: String,
        /// What it is for.
        purposes: Vec<String>,
        /// What it was asked for.
        purpose: String,
    },
    /// The blocks that name it are for other cards.
    #[error("block {key:?} allows it of the card {} only, not of {card}", quoted(cards))]
    OtherCard {
        /// The block.
        key: String,
        /// Whose keys it is about.
        cards: Vec<String>,
        /// The card that is asked.
        card: Box<About>,
    },
    /// The blocks that name it are for certain cards, and which is meant is not known.
    #[error("block {key:?} allows it of the card {} only, and it is not known which card is meant", quoted(cards))]
    WhichCard {
        /// The block.
        key: String,
        /// Whose keys it is about.
        cards: Vec<String>,
    },
    /// The client had its share.
    #[error("block {key:?} allows it {rate} to a client; the next is allowed in {seconds} s")]
    TooOften {
        /// The block.
        key: String,
        /// How often.
        rate: Rate,
        /// How long until the next.
        seconds: u64,
    },
    /// The owner has to say yes, and did not.
    #[error("block {key:?} allows it when its owner approves, and {why}")]
    NotApproved {
        /// The block.
        key: String,
        /// Why nobody did.
        why: String,
    },
}

impl Reason {
    /// Returns whether it comes from the policy file, and not from what no file can change.
    const fn can_change(&self) -> bool {
        self.can_be_allowed()
            || matches!(
                self,
                Self::KeptForDeriving { .. }
                    | Self::NotApproved { .. }
                    | Self::Enlarges { .. }
                    | Self::WhichCard { .. }
            )
    }

    /// Returns the card of which one more block is, where others are for other cards.
    #[must_use]
    pub const fn card(&self) -> Option<&CardId> {
        if let Self::OtherCard { card, .. } = self { card.card.as_ref() } else { None }
    }

    /// Returns whether one more block would change it.
    #[must_use]
    pub const fn can_be_allowed(&self) -> bool {
        matches!(
            self,
            Self::NotListed { .. }
                | Self::OtherOperation { .. }
                | Self::OtherUser { .. }
                | Self::OtherProgram { .. }
                | Self::OtherPurpose { .. }
                | Self::OtherCard { .. }
                | Self::TooOften { .. }
        )
    }
}

/// How a caller's program is not the one that a client is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The evidence is missing, or tells of a change.
    #[error("{0}")]
    Doubtful(Doubt),
    /// Another path.
    #[error("it is {found}, not {wanted}")]
    Path {
        /// What the caller runs.
        found: String,
        /// What the client runs.
        wanted: String,
    },
    /// Another file under that path.
    #[error("the SHA-256 of its binary is {found}, not {wanted}")]
    Hash {
        /// The caller's.
        found: String,
        /// The client's.
        wanted: String,
    },
}

/// A refusal as its reader can act on it: why, in which file, and what to add there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The text that would allow it, added to the policy file; nothing when none can.
    pub block: Option<String>,
    /// The policy file.
    pub file: PathBuf,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, block, file } = self;
        write!(f, "{reason}")?;
        if reason.can_change() {
            write!(f, " ({})", file.display())?;
        }
        match block {
            Some(block) => write!(
                f,
                "\nto allow it, add this to {} and run `cardinal policy reload`:\n\n{}",
                file.display(),
                block.trim_end()
            ),
            None => Ok(()),
        }
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}
