//! Messages, chats and clocks, as they are written and read back.

use std::collections::BTreeSet;

use proto::{ChatKey, MessageId, UnixMillis};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::database::Database;
use super::error::StoreError;

/// A message as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The public chat it was written in.
    pub chat: String,
    /// Who signed it.
    pub author: ChatKey,
    /// What it says.
    pub text: String,
    /// Its Lamport clock, which orders a chat.
    pub clock: UnixMillis,
    /// When it was written, says its author.
    pub timestamp: UnixMillis,
    /// When it came here, or was written here.
    pub received: UnixMillis,
    /// Whether we wrote it.
    pub own: bool,
}

/// One change that must be on the disk before anything that depends on it is sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// A public chat was joined.
    Joined(String),
    /// A public chat was left; its messages stay.
    Left(String),
    /// A message was accepted or written, and the chat's clock with it.
    Message(Message),
    /// A chat's clock moved on without a message.
    Clock(String, UnixMillis),
}

/// What a chat engine starts from.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Chat {
    /// The name.
    pub name: String,
    /// Its last clock, if it ever had one.
    pub clock: UnixMillis,
    /// Ids of the latest messages, oldest first: what came once is not taken again.
    pub seen: Vec<MessageId>,
}

impl Database {
    /// Makes all the changes, or none.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let grown: BTreeSet<&str> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Message(message) => Some(message.chat.as_str()),
                _ => None,
            })
            .collect();
        let keep = self.keep;
        self.write(|transaction| {
            changes.iter().try_for_each(|change| apply(transaction, change))?;
            grown.iter().try_for_each(|chat| prune(transaction, chat, keep))
        })
    }

    /// Returns the latest messages of a chat in its order: clock, then id.
    pub(super) fn history(&self, chat: &str, limit: u32) -> Result<Vec<Message>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare(
                "SELECT id, chat, author, text, clock, timestamp, received, own FROM messages
                 WHERE chat = ?1 ORDER BY clock DESC, id DESC LIMIT ?2",
            )?;
            let mut messages = select.query_map((chat, limit), message)?.collect::<rusqlite::Result<Vec<_>>>()?;
            messages.reverse();
            Ok(messages)
        })
    }

    /// Returns how many messages there are.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        self.read(|connection| connection.query_row("SELECT count(*) FROM messages", [], |row| unsigned(row, 0)))
    }

    /// Returns the joined chats, each with its clock and the ids of its latest `seen` messages.
    pub(super) fn chats(&self, seen: u32) -> Result<Vec<Chat>, StoreError> {
        self.read(|connection| {
            let mut names = connection.prepare("SELECT name FROM chats ORDER BY name")?;
            let mut clock = connection.prepare("SELECT clock FROM clocks WHERE chat = ?1")?;
            let mut ids = connection
                .prepare("SELECT id FROM messages WHERE chat = ?1 ORDER BY received DESC, id DESC LIMIT ?2")?;
            let names = names.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            names
                .into_iter()
                .map(|name| {
                    let clock = clock.query_row([&name], |row| unsigned(row, 0)).optional()?.unwrap_or(0);
                    let mut seen = ids
                        .query_map((&name, seen), |row| Ok(MessageId::from(row.get::<_, [u8; 32]>(0)?)))?
                        .collect::<rusqlite::Result<Vec<_>>>()?;
                    seen.reverse();
                    Ok(Chat { name, clock: UnixMillis::new(clock), seen })
                })
                .collect()
        })
    }
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Joined(chat) => {
            transaction.prepare("INSERT OR IGNORE INTO chats VALUES (?1)")?.execute([chat])?;
        }
        Change::Left(chat) => {
            transaction.prepare("DELETE FROM chats WHERE name = ?1")?.execute([chat])?;
        }
        Change::Clock(chat, clock) => advance(transaction, chat, *clock)?,
        Change::Message(message) => {
            let Message { id, chat, author, text, clock, timestamp, received, own } = message;
            transaction.prepare("INSERT OR IGNORE INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
                (
                    id.as_bytes(),
                    chat,
                    author.to_compressed(),
                    text,
                    signed(*clock),
                    signed(*timestamp),
                    signed(*received),
                    own,
                ),
            )?;
            advance(transaction, chat, *clock)?;
        }
    }
    Ok(())
}

fn advance(transaction: &Transaction<'_>, chat: &str, clock: UnixMillis) -> rusqlite::Result<()> {
    transaction
        .prepare(
            "INSERT INTO clocks VALUES (?1, ?2) ON CONFLICT (chat) DO UPDATE SET clock = max(clock, excluded.clock)",
        )?
        .execute((chat, signed(clock)))?;
    Ok(())
}

fn prune(transaction: &Transaction<'_>, chat: &str, keep: u32) -> rusqlite::Result<()> {
    transaction
        .prepare(
            "DELETE FROM messages WHERE id IN (
                 SELECT id FROM messages WHERE chat = ?1 ORDER BY clock DESC, id DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute((chat, keep))?;
    Ok(())
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let millis = |column| unsigned(row, column).map(UnixMillis::new);
    let author: Vec<u8> = row.get(2)?;
    Ok(Message {
        id: MessageId::from(row.get::<_, [u8; 32]>(0)?),
        chat: row.get(1)?,
        author: ChatKey::try_from(author.as_slice()).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Blob, Box::new(error))
        })?,
        text: row.get(3)?,
        clock: millis(4)?,
        timestamp: millis(5)?,
        received: millis(6)?,
        own: row.get(7)?,
    })
}

/// Integers of the database are signed: a clock beyond its range (year 292 million) is kept at the end of it.
fn signed(millis: UnixMillis) -> i64 {
    i64::try_from(millis.get()).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
