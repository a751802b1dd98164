//! The state of the chat engine as rows: each change is written as a whole, and the rows give the state back.

use chat::seen::SeenSet;
use chat::{Change, Chat, ChatName, Draft, Lamport, Message, Seen, State, Unsent};
use proto::{Digest, MessageId, UnixMillis};
use rusqlite::{Connection, Row, Transaction};

use super::columns::{Count, bad_column, bytes, count};
use super::database::Database;
use super::error::StoreError;
use super::history::answered;

impl Database {
    /// Makes a change, or nothing of it.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        let keep = self.keep;
        self.write(|transaction| match change {
            Change::Joined(name) => set_joined(transaction, name, true),
            Change::Left(name) => set_joined(transaction, name, false),
            Change::Drafted(draft) => {
                insert_draft(transaction, draft)?;
                lift(transaction, &draft.chat, draft.clock)
            }
            Change::Abandoned { chat, clock } => delete_draft(transaction, chat, *clock),
            Change::Signed(message) => {
                delete_draft(transaction, &message.chat, message.clock)?;
                insert_message(transaction, message, keep)?;
                insert_unsent(transaction, message)
            }
            Change::Settled(id) => transaction.execute("DELETE FROM unsent WHERE id = ?1", [id.as_bytes()]).map(drop),
            Change::Received(message) => insert_message(transaction, message, keep),
        })
    }

    /// Returns the state that the changes have led to.
    pub(super) fn state(&self) -> Result<State, StoreError> {
        self.read(|connection| {
            let mut state = State::default();
            collect(connection, "SELECT name, joined, clock FROM chats", |row| {
                let chat = Chat { joined: row.get(1)?, clock: clock(row, 2)? };
                state.chats.insert(chat_name(row, 0)?, chat);
                Ok(())
            })?;
            collect(connection, "SELECT chat, clock, timestamp, text, response_to FROM drafts", |row| {
                let draft = Draft {
                    chat: chat_name(row, 0)?,
                    clock: clock(row, 1)?,
                    timestamp: UnixMillis::new(count(row, 2)?),
                    text: row.get(3)?,
                    response_to: row.get::<_, Option<[u8; MessageId::LEN]>>(4)?.map(MessageId::from),
                };
                state.drafts.insert((draft.chat.clone(), draft.clock), draft);
                Ok(())
            })?;
            collect(connection, "SELECT id, chat, wrapper FROM unsent", |row| {
                let unsent = Unsent { chat: chat_name(row, 1)?, wrapper: row.get(2)? };
                state.unsent.insert(MessageId::from(bytes(row, 0)?), unsent);
                Ok(())
            })?;
            let latest = format!(
                "SELECT id, content FROM
                     (SELECT number, id, content FROM messages ORDER BY number DESC LIMIT {})
                 ORDER BY number",
                SeenSet::LIMIT
            );
            collect(connection, &latest, |row| {
                let seen = Seen { id: MessageId::from(bytes(row, 0)?), content: Digest::from(bytes(row, 1)?) };
                state.seen.insert(seen);
                Ok(())
            })?;
            Ok(state)
        })
    }
}

fn collect(
    connection: &Connection,
    select: &str,
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare(select)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn set_joined(transaction: &Transaction<'_>, name: &ChatName, joined: bool) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO chats VALUES (?1, ?2, 0) ON CONFLICT (name) DO UPDATE SET joined = excluded.joined",
            (name.as_str(), joined),
        )
        .map(drop)
}

fn lift(transaction: &Transaction<'_>, name: &ChatName, clock: Lamport) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO chats VALUES (?1, FALSE, ?2)
             ON CONFLICT (name) DO UPDATE SET clock = max(clock, excluded.clock)",
            (name.as_str(), Count(clock.get())),
        )
        .map(drop)
}

fn insert_draft(transaction: &Transaction<'_>, draft: &Draft) -> rusqlite::Result<()> {
    let Draft { chat, clock, timestamp, text, response_to } = draft;
    let response_to = response_to.as_ref().map(MessageId::as_bytes);
    transaction
        .execute(
            "INSERT OR REPLACE INTO drafts VALUES (?1, ?2, ?3, ?4, ?5)",
            (chat.as_str(), Count(clock.get()), Count(timestamp.get()), text, response_to),
        )
        .map(drop)
}

fn delete_draft(transaction: &Transaction<'_>, chat: &ChatName, clock: Lamport) -> rusqlite::Result<()> {
    transaction
        .execute("DELETE FROM drafts WHERE chat = ?1 AND clock = ?2", (chat.as_str(), Count(clock.get())))
        .map(drop)
}

fn insert_unsent(transaction: &Transaction<'_>, message: &Message) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT OR REPLACE INTO unsent VALUES (?1, ?2, ?3)",
            (message.seen.id.as_bytes(), message.chat.as_str(), &message.wrapper),
        )
        .map(drop)
}

/// Keeps what a person sees of a message, and its names. The wrapper is kept only while it is still to be sent: what
/// strangers put into it besides the text has no bound of ours.
fn insert_message(transaction: &Transaction<'_>, message: &Message, keep: u32) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR IGNORE INTO messages
         (id, content, chat, author, own, clock, timestamp, received, text, sent, response_to, content_type)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        (
            message.seen.id.as_bytes(),
            message.seen.content.as_bytes(),
            message.chat.as_str(),
            message.author.to_compressed(),
            message.own,
            Count(message.clock.get()),
            Count(message.timestamp.get()),
            Count(message.received.get()),
            &message.text,
            Count(message.sent.get()),
            answered(message).as_ref().map(MessageId::as_bytes),
            message.content.number(),
        ),
    )?;
    lift(transaction, &message.chat, message.clock)?;
    transaction
        .execute(
            "DELETE FROM messages WHERE number IN (
                 SELECT number FROM messages WHERE chat = ?1 ORDER BY clock DESC, id DESC LIMIT -1 OFFSET ?2)",
            (message.chat.as_str(), keep),
        )
        .map(drop)
}

fn clock(row: &Row<'_>, column: usize) -> rusqlite::Result<Lamport> {
    count(row, column).map(Lamport::new)
}

fn chat_name(row: &Row<'_>, column: usize) -> rusqlite::Result<ChatName> {
    let text: String = row.get(column)?;
    ChatName::try_from(text.as_str()).map_err(|error| bad_column(column, error))
}
