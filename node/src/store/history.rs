//! Messages as they are shown.

use proto::{ChatKey, MessageId, UnixMillis};
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
    /// What it says.
    pub text: String,
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
            text: message.text.clone(),
        }
    }
}

impl Database {
    /// Returns the latest messages of a chat in its order: clock, then id.
    pub(super) fn history(&self, chat: &str, limit: u32) -> Result<Vec<Line>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare(
                "SELECT id, chat, author, own, clock, timestamp, received, text FROM messages
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
    })
}
