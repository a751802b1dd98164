//! What the engine is told.

use proto::{Answer, AskId, ChatKey, MessageId, Refusal, UnixSecs};

use crate::name::ChatName;

/// What happened to the engine.
pub enum Input {
    /// The user wants this chat.
    Join(ChatName),
    /// The user no longer wants this chat.
    Leave(ChatName),
    /// The user says something.
    Post {
        /// Comes back in what this post leads to.
        token: Token,
        /// Where.
        chat: ChatName,
        /// What.
        text: String,
        /// The message that it answers.
        response_to: Option<MessageId>,
    },
    /// An envelope was opened with the key of a chat.
    Received {
        /// The chat whose key opened it.
        chat: ChatName,
        /// The payload inside.
        payload: Vec<u8>,
        /// Who signed the envelope, verified; nobody if it is not signed.
        signer: Option<ChatKey>,
        /// The envelope's send time, expiry less TTL.
        sent: UnixSecs,
    },
    /// The holder of the identity key answered.
    Answer(AskId, Result<Answer, Refusal>),
    /// A peer acknowledged the envelope that carried this message of ours.
    Delivered(MessageId),
    /// It is [`Engine::wake_at`](super::Engine::wake_at), or later.
    Tick,
}

/// Chosen by the shell to know its posts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);
