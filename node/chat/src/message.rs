//! `ChatMessage`, wrapper type 1 (6/PAYLOADS, "Chat message"), as public chats use it.
//!
//! ```text
//! 1 clock         Lamport, see clock.rs     5 ens_name       the author's, announced
//! 2 timestamp     the author's, ms          6 chat_id        of a public chat: its name
//! 3 text          never blank               7 message_type   2 in a public chat
//! 4 response_to   0x and a message id       8 content_type   what else there is
//! 9 sticker | 10 image | 11 audio
//! ```
//!
//! A [`ChatMessage`] that exists has passed every rule; nothing else reads the protobuf form.

use std::fmt;

use prost::Message as _;
use proto::pb::chat_message::{ContentType, MessageType, Payload};
use proto::{UnixMillis, UnixSecs, pb};

use crate::clock::{ClockError, Lamport};
use crate::name::ChatName;
use crate::state::Draft;

/// A chat message for a public chat that keeps all the rules.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Orders the messages of a chat.
    pub clock: Lamport,
    /// The author's wall clock, to be shown, never to order by.
    pub timestamp: UnixMillis,
    /// What is written; with other content, what those see who cannot show it.
    pub text: String,
    /// The id of the message that this one answers, as the author wrote it, or nothing.
    pub response_to: String,
    /// The chat it was written for.
    pub chat: ChatName,
    /// What it is besides its text.
    pub content: Content,
}

/// Content types of a public chat. All of them come with text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Type 1: text alone.
    Text,
    /// Type 2.
    Sticker {
        /// IPFS content hash.
        hash: String,
        /// Id of the pack.
        pack: i32,
    },
    /// Type 3: a status line.
    Status,
    /// Type 4: text that the author says is emoji alone.
    Emoji,
    /// Type 8.
    Audio {
        /// The sound, as the author sent it: nothing here has looked into it.
        sound: Vec<u8>,
        /// Its coding.
        coding: AudioCoding,
        /// How long the author says it is.
        duration_ms: u64,
    },
    /// A number of a later version; the text is what can be shown.
    Other(i32),
}

impl Content {
    /// Returns the content type as it goes over the wire.
    #[must_use]
    pub const fn number(&self) -> i32 {
        match self {
            Self::Text => ContentType::TextPlain as i32,
            Self::Sticker { .. } => ContentType::Sticker as i32,
            Self::Status => ContentType::Status as i32,
            Self::Emoji => ContentType::Emoji as i32,
            Self::Audio { .. } => ContentType::Audio as i32,
            Self::Other(number) => *number,
        }
    }
}

/// Codings of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCoding {
    /// Number 1.
    Aac,
    /// Number 2.
    Amr,
}

/// The rule that a message broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// No protobuf, a known field in another form, or text that is not UTF-8.
    #[error("the chat message is malformed")]
    Malformed,
    /// The clock is one that no honest author writes.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The timestamp is 0.
    #[error("the chat message has no timestamp")]
    NoTimestamp,
    /// White space alone, or nothing, whatever the content.
    #[error("the chat message has no text")]
    Blank,
    /// More than [`MAX_TEXT`] code points.
    #[error("the text of the chat message is too long")]
    TooLong,
    /// A chat id that is none, or no name of a public chat.
    #[error("the chat message names no chat")]
    NoChat,
    /// A type of message that no peer may send.
    #[error("the chat message is of a type that is local only")]
    LocalOnly,
    /// Sticker, picture, sound or community without what makes it one, or one that public chats refuse.
    #[error("the chat message lacks its content, or has one that is refused here")]
    Content,
}

/// What the bytes of a chat message turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A message for a public chat.
    Public(ChatMessage),
    /// A good message for a one-to-one chat, a group, or a kind of a later version: not for a public chat.
    Elsewhere,
}

impl ChatMessage {
    /// Reads a received chat message whose envelope was sent at `sent`.
    ///
    /// # Errors
    /// [`MessageError`], the first rule that it breaks.
    pub fn decode(bytes: &[u8], sent: UnixSecs) -> Result<Decoded, MessageError> {
        let message = pb::ChatMessage::decode(bytes).map_err(|_| MessageError::Malformed)?;
        let clock = Lamport::new(message.clock);
        clock.check(sent)?;
        if message.timestamp == 0 {
            return Err(MessageError::NoTimestamp);
        }
        check_text(&message.text)?;
        if message.chat_id.is_empty() {
            return Err(MessageError::NoChat);
        }
        if matches!(message.message_type, UNKNOWN_MESSAGE | SYSTEM_MESSAGE) {
            return Err(MessageError::LocalOnly);
        }
        let content = content(message.content_type, message.payload, message.message_type == PUBLIC)?;
        if message.message_type != PUBLIC {
            return Ok(Decoded::Elsewhere);
        }
        Ok(Decoded::Public(Self {
            clock,
            timestamp: UnixMillis::new(message.timestamp),
            text: message.text,
            response_to: message.response_to,
            chat: ChatName::try_from(message.chat_id.as_str()).map_err(|_| MessageError::NoChat)?,
            content,
        }))
    }
}

/// Returns the encoding of a text message to a public chat: fields in ascending order, none unknown.
pub(crate) fn encode_text(draft: &Draft) -> Vec<u8> {
    let Draft { chat, clock, timestamp, text, response_to } = draft;
    pb::ChatMessage {
        clock: clock.get(),
        timestamp: timestamp.get(),
        text: text.clone(),
        response_to: response_to.map(|id| format!("0x{id}")).unwrap_or_default(),
        chat_id: chat.as_str().to_owned(),
        message_type: PUBLIC,
        content_type: ContentType::TextPlain as i32,
        ..pb::ChatMessage::default()
    }
    .encode_to_vec()
}

/// Checks a text against the rules for every content type.
///
/// # Errors
/// [`MessageError::Blank`], [`MessageError::TooLong`].
pub fn check_text(text: &str) -> Result<(), MessageError> {
    if text.chars().all(is_go_space) {
        Err(MessageError::Blank)
    } else if text.chars().nth(MAX_TEXT).is_some() {
        Err(MessageError::TooLong)
    } else {
        Ok(())
    }
}

fn content(number: i32, payload: Option<Payload>, public: bool) -> Result<Content, MessageError> {
    match (ContentType::try_from(number), payload) {
        (Ok(ContentType::TextPlain), _) => Ok(Content::Text),
        (Ok(ContentType::Status), _) => Ok(Content::Status),
        (Ok(ContentType::Emoji), _) => Ok(Content::Emoji),
        (Ok(ContentType::Sticker), Some(Payload::Sticker(sticker))) if !sticker.hash.is_empty() => {
            Ok(Content::Sticker { hash: sticker.hash, pack: sticker.pack })
        }
        (Ok(ContentType::Image), Some(Payload::Image(image))) if !public && !image.payload.is_empty() => {
            Ok(Content::Other(number))
        }
        (Ok(ContentType::Audio), Some(Payload::Audio(audio))) if !audio.payload.is_empty() => {
            let coding = match audio.r#type {
                1 => AudioCoding::Aac,
                2 => AudioCoding::Amr,
                _ => return Err(MessageError::Content),
            };
            Ok(Content::Audio { sound: audio.payload, coding, duration_ms: audio.duration_ms })
        }
        (Ok(ContentType::Sticker | ContentType::Image | ContentType::Audio), _) => Err(MessageError::Content),
        (
            Ok(
                ContentType::UnknownContentType
                | ContentType::TransactionCommand
                | ContentType::SystemMessageContentPrivateGroup,
            ),
            _,
        ) => Err(MessageError::LocalOnly),
        (Err(_), _) => match number {
            COMMUNITY => Err(MessageError::Content),
            10 | 14..=17 => Err(MessageError::LocalOnly),
            _ => Ok(Content::Other(number)),
        },
    }
}

/// White space of Go's `strings.TrimSpace`, by which the peers judge "blank". Unicode's own property is the same set,
/// spelled out because it may change and this may not.
fn is_go_space(c: char) -> bool {
    matches!(c, '\u{9}'..='\u{d}' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}'
        | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Without what was written.
impl fmt::Debug for ChatMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock, timestamp, text, response_to: _, chat, content: _ } = self;
        f.debug_struct("ChatMessage")
            .field("clock", clock)
            .field("timestamp", timestamp)
            .field("text", &format_args!("{} bytes", text.len()))
            .field("chat", chat)
            .finish_non_exhaustive()
    }
}

/// Code points in a text, white space at its ends included (status-go's `maxChatMessageTextLength`).
pub const MAX_TEXT: usize = 4096;

const UNKNOWN_MESSAGE: i32 = MessageType::UnknownMessageType as i32;
const SYSTEM_MESSAGE: i32 = MessageType::SystemMessagePrivateGroup as i32;
const PUBLIC: i32 = MessageType::PublicGroup as i32;
/// Content of a community, whose body nothing here reads.
const COMMUNITY: i32 = 9;

#[cfg(test)]
mod tests;
