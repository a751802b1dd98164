//! Messages as they are shown.

use proto::{ChatKey, MessageId, UnixMillis, UnixSecs};
use rusqlite::Row;

use super::columns::{bad_column, bytes, count};
use super::database::Database;
use super::error::StoreError;

/// A message as it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: MessageId,
    /// The public chat it was written in.
    pub chat: String,
    /// Who wrote it.
    pub author: ChatKey,
    /// Whether that is us.
    pub own: bool,
    /// Its place in the chat (Lamport clock); ties go by id.
    pub clock: u64,
    /// When it was written, says its author.
    pub timestamp: UnixMillis,
    /// When it came here, or was written here.
    pub received: UnixMillis,
    /// When its envelope was sent, or it was signed here.
    pub sent: UnixSecs,
    /// What it says.
    pub text: String,
    /// The message that it answers, if it names one.
    pub response_to: Option<MessageId>,
    /// What it is besides its text: a `ChatMessage.ContentType`.
    pub content_type: i32,
}

impl From<&chat::Message> for Line {
    fn from(message: &chat::Message) -> Self {
        Self {
            id: message.seen.id,
            chat: message.chat.as_str().to_owned(),
            author: message.author,
            own: message.own,
            clock: message.clock.get(),
            timestamp: message.timestamp,
            received: message.received,
            sent: message.sent,
            text: message.text.clone(),
            response_to: answered(message),
            content_type: message.content.number(),
        }
    }
}

/// Returns the message that one answers. What authors write there has no bound; only an id is kept.
pub(super) fn answered(message: &chat::Message) -> Option<MessageId> {
    let digits = message.response_to.strip_prefix("0x")?;
    let mut bytes = [0; MessageId::LEN];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(MessageId::from(bytes))
}

impl Database {
    /// Returns the latest messages of a chat in its order: clock, then id.
    pub(super) fn history(&self, chat: &str, limit: u32) -> Result<Vec<Line>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare(
                "SELECT id, chat, author, own, clock, timestamp, received, text, sent, response_to, content_type FROM messages
                 WHERE chat = ?1 ORDER BY clock DESC, id DESC LIMIT ?2",
            )?;
            let mut lines = select.query_map((chat, limit), line)?.collect::<rusqlite::Result<Vec<_>>>()?;
            lines.reverse();
            Ok(lines)
        })
    }

    /// Returns how many messages there are.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        self.read(|connection| connection.query_row("SELECT count(*) FROM messages", [], |row| count(row, 0)))
    }
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let author: [u8; 33] = bytes(row, 2)?;
    Ok(Line {
        id: MessageId::from(bytes(row, 0)?),
        chat: row.get(1)?,
        author: ChatKey::try_from(author.as_slice()).map_err(|error| bad_column(2, error))?,
        own: row.get(3)?,
        clock: count(row, 4)?,
        timestamp: UnixMillis::new(count(row, 5)?),
        received: UnixMillis::new(count(row, 6)?),
        text: row.get(7)?,
        sent: UnixSecs::new(count(row, 8)?),
        response_to: row.get::<_, Option<[u8; MessageId::LEN]>>(9)?.map(MessageId::from),
        content_type: row.get(10)?,
    })
}
