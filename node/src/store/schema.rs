//! The tables, as the list of steps that lead to them. A step that was released is never changed.

use rusqlite::{Connection, TransactionBehavior};

/// Each step takes the store from version `index` to `index + 1` (`PRAGMA user_version`).
pub(super) const MIGRATIONS: &[&str] = &[
    // 1: public chats. A message's number is the order in which it came; its two names are each unique.
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE chats (
         name TEXT PRIMARY KEY,
         joined INTEGER NOT NULL,
         clock INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE messages (
         number INTEGER PRIMARY KEY,
         id BLOB NOT NULL UNIQUE,
         content BLOB NOT NULL UNIQUE,
         chat TEXT NOT NULL,
         author BLOB NOT NULL,
         own INTEGER NOT NULL,
         clock INTEGER NOT NULL,
         timestamp INTEGER NOT NULL,
         received INTEGER NOT NULL,
         text TEXT NOT NULL
     ) STRICT;
     CREATE INDEX messages_in_order ON messages (chat, clock, id);
     CREATE TABLE drafts (
         chat TEXT NOT NULL,
         clock INTEGER NOT NULL,
         timestamp INTEGER NOT NULL,
         text TEXT NOT NULL,
         PRIMARY KEY (chat, clock)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE unsent (
         id BLOB PRIMARY KEY,
         chat TEXT NOT NULL,
         wrapper BLOB NOT NULL
     ) STRICT, WITHOUT ROWID;",
    // 2: answers, the time of the envelope, and what a message is besides its text (1: text alone).
    "ALTER TABLE messages ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE messages ADD COLUMN response_to BLOB;
     ALTER TABLE messages ADD COLUMN content_type INTEGER NOT NULL DEFAULT 1;
     ALTER TABLE drafts ADD COLUMN response_to BLOB;",
];

/// The version that [`MIGRATIONS`] lead to.
pub(super) fn latest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Returns the version of the store; 0 for an empty file.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Takes the store to the latest version, one transaction a step.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let from = usize::try_from(version(connection)?).unwrap_or(usize::MAX);
    for (index, step) in steps.iter().enumerate().skip(from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}
