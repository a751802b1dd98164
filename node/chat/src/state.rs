//! What the engine must not forget: joined chats and their clocks, drafts, messages not yet handed over, what was seen.
//!
//! The one invariant: state changes only by [`State::apply`], and each [`Change`] is persisted before anything that
//! depends on it is sent. Folding the persisted changes, or building a [`State`] from rows that say the same, gives
//! the engine back as it was.

use std::collections::BTreeMap;
use std::fmt;

use proto::{ChatKey, MessageId, UnixMillis, UnixSecs};

use crate::clock::Lamport;
use crate::message::{Content, encode_text};
use crate::name::ChatName;
use crate::seen::{Seen, SeenSet};

/// Everything of an engine that outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Chats that were ever joined. A left one keeps its clock: its numbers must not be used again.
    pub chats: BTreeMap<ChatName, Chat>,
    /// Messages of ours that wait for their signature, by chat and clock.
    pub drafts: BTreeMap<(ChatName, Lamport), Draft>,
    /// Signed messages of ours that no peer has acknowledged.
    pub unsent: BTreeMap<MessageId, Unsent>,
    /// The messages seen last.
    pub seen: SeenSet,
}

/// A public chat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chat {
    /// Whether its messages are wanted.
    pub joined: bool,
    /// The highest clock seen or used.
    pub clock: Lamport,
}

/// A message of ours whose every byte but the signature is fixed.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    /// Where to.
    pub chat: ChatName,
    /// Its clock, used up from now on.
    pub clock: Lamport,
    /// Our wall clock when it was written.
    pub timestamp: UnixMillis,
    /// What is written.
    pub text: String,
    /// The message that it answers.
    pub response_to: Option<MessageId>,
}

impl Draft {
    /// Returns the bytes to be signed and wrapped: the same each time.
    pub(crate) fn payload(&self) -> Vec<u8> {
        encode_text(self)
    }
}

/// A signed message of ours that is to be sent until a peer acknowledges it.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Where to.
    pub chat: ChatName,
    /// The wrapper, which must go out with these very bytes: the message's id covers them.
    pub wrapper: Vec<u8>,
}

/// A message of a public chat that was verified, or is ours.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, and its name among other wrappings of the same. A store keeps both unique.
    pub seen: Seen,
    /// Its author.
    pub author: ChatKey,
    /// Whether the author is our own identity, on this device or another.
    pub own: bool,
    /// Whether the author signed it. If not, the envelope's signer is the author, and it must not be passed on.
    pub signed: bool,
    /// Where it was written.
    pub chat: ChatName,
    /// Orders the chat, ties by id.
    pub clock: Lamport,
    /// The author's wall clock, to be shown.
    pub timestamp: UnixMillis,
    /// When its envelope was sent; of ours, when it was signed.
    pub sent: UnixSecs,
    /// Our wall clock when it came, or was written.
    pub received: UnixMillis,
    /// What is written.
    pub text: String,
    /// The id of the message it answers, as the author wrote it, or nothing.
    pub response_to: String,
    /// What it is besides its text.
    pub content: Content,
    /// The wrapper as it was received or sent.
    pub wrapper: Vec<u8>,
}

/// One step of a [`State`], to be written to disk as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A chat is wanted.
    Joined(ChatName),
    /// A chat is no longer wanted; its clock stays.
    Left(ChatName),
    /// A message of ours is fixed: the draft is kept and the chat's clock is lifted to its own.
    Drafted(Draft),
    /// The draft of this chat and clock will not be sent; the clock stays used.
    Abandoned {
        /// The draft's chat.
        chat: ChatName,
        /// The draft's clock.
        clock: Lamport,
    },
    /// The draft of this message's chat and clock became this message, seen and still unsent.
    Signed(Box<Message>),
    /// A message is no longer to be sent: a peer has it, or nobody took it in time.
    Settled(MessageId),
    /// A message of somebody came: it is seen, and the chat's clock is lifted to at least its own.
    Received(Box<Message>),
}

impl State {
    /// Takes one step. Steps that refer to nothing are no steps, so that a log may be folded twice.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Joined(name) => self.chats.entry(name.clone()).or_default().joined = true,
            Change::Left(name) => {
                if let Some(chat) = self.chats.get_mut(name) {
                    chat.joined = false;
                }
            }
            Change::Drafted(draft) => {
                self.lift(&draft.chat, draft.clock);
                self.drafts.insert((draft.chat.clone(), draft.clock), draft.clone());
            }
            Change::Abandoned { chat, clock } => {
                self.drafts.remove(&(chat.clone(), *clock));
            }
            Change::Signed(message) => {
                self.drafts.remove(&(message.chat.clone(), message.clock));
                self.lift(&message.chat, message.clock);
                self.seen.insert(message.seen);
                let unsent = Unsent { chat: message.chat.clone(), wrapper: message.wrapper.clone() };
                self.unsent.insert(message.seen.id, unsent);
            }
            Change::Settled(id) => {
                self.unsent.remove(id);
            }
            Change::Received(message) => {
                self.lift(&message.chat, message.clock);
                self.seen.insert(message.seen);
            }
        }
    }

    /// Returns whether messages of this chat are wanted.
    #[must_use]
    pub fn is_joined(&self, chat: &ChatName) -> bool {
        self.chats.get(chat).is_some_and(|chat| chat.joined)
    }

    fn lift(&mut self, name: &ChatName, clock: Lamport) {
        let chat = self.chats.entry(name.clone()).or_default();
        chat.clock = chat.clock.max(clock);
    }
}

/// Without what was written.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chat, clock, timestamp: _, text, response_to: _ } = self;
        write!(f, "Draft({chat:?}, {clock:?}, {} bytes)", text.len())
    }
}

/// Without what was written.
impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chat, wrapper } = self;
        write!(f, "Unsent({chat:?}, {} bytes)", wrapper.len())
    }
}

/// Without what was written.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.seen.id)
            .field("author", &self.author)
            .field("chat", &self.chat)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
