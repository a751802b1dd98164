//! What the engine tells.

use std::fmt;

use proto::{Ask, AskId, MessageId, Refusal};

use crate::message::MessageError;
use crate::name::ChatName;
use crate::state::{Change, Message};
use crate::wrapper::WrapperError;

use super::Token;

/// What the shell is to do, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this before anything that follows. When that fails, nothing that follows may be done: the engine is to be
    /// dropped, and built again over what is on disk.
    Persist(Change),
    /// Seal this into an envelope and send it.
    Send(Parcel),
    /// Ask the holder of the identity key.
    Ask(AskId, Ask),
    /// Tell whom it concerns.
    Event(Event),
}

/// A payload for the topic and the key of a chat. It may come again, under the same id.
#[derive(Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The message inside, to be named in [`Input::Delivered`](super::Input::Delivered).
    pub message: MessageId,
    /// Of the post that led to it; nothing when that was before a restart.
    pub token: Option<Token>,
    /// Where to.
    pub chat: ChatName,
    /// The envelope's payload.
    pub payload: Vec<u8>,
}

/// Without what was written.
impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, token, chat, payload } = self;
        write!(f, "Parcel({message:?}, {token:?}, {chat:?}, {} bytes)", payload.len())
    }
}

/// What the engine tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A message to show, one of ours included.
    Message(Box<Message>),
    /// A post was signed and is being sent.
    Posted {
        /// Of the post; nothing when that was before a restart.
        token: Option<Token>,
        /// The message it became.
        message: MessageId,
    },
    /// A post came to nothing.
    NotPosted {
        /// Of the post; nothing when that was before a restart.
        token: Option<Token>,
        /// Why.
        why: NotPosted,
    },
    /// A peer has this message of ours.
    Delivered(MessageId),
    /// No peer acknowledged this message of ours, and it is given up.
    Undelivered(MessageId),
    /// A chat could not be joined: there are [`CHATS_LIMIT`](super::CHATS_LIMIT).
    TooManyChats(ChatName),
    /// Something arrived that is not for us.
    Ignored(Ignored),
    /// Something arrived that breaks the rules. Nothing of it was believed.
    Refused(Refused),
}

/// Why a post came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPosted {
    /// The chat was not joined.
    #[error("the chat was not joined")]
    NotJoined,
    /// The text is one that every receiver refuses.
    #[error(transparent)]
    Text(#[from] MessageError),
    /// [`DRAFTS_LIMIT`](super::DRAFTS_LIMIT) posts wait for signatures, or [`UNSENT_LIMIT`](super::UNSENT_LIMIT) for peers.
    #[error("too many posts are waiting")]
    TooMany,
    /// The chat's clock has reached the end of its numbers.
    #[error("the chat's clock has run out")]
    ClockRanOut,
    /// The holder of the identity key did not sign.
    #[error(transparent)]
    Signature(#[from] Refusal),
    /// What the holder of the identity key gave is no signature by that key.
    #[error("the holder of the identity key gave a signature by another key")]
    WrongSignature,
}

/// Why something that arrived is not for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// The chat it came in was not joined.
    NotJoined,
    /// It was seen before, ours coming back included.
    Duplicate,
    /// A wrapper type that nothing here reads.
    UnknownType(i32),
    /// A message for another kind of chat.
    Elsewhere,
}

/// Why something that arrived was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The wrapper.
    #[error(transparent)]
    Wrapper(#[from] WrapperError),
    /// The message in it.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The message names another chat than the one whose key it came under.
    #[error("the message names another chat than it came in")]
    OtherChat,
}
