//! One SQLCipher file: its key, its opening, and whose it is.
//!
//! ```text
//! key(32) || salt(16) = HKDF-SHA256(ikm = database private key, no salt, info = "cardinal-node store/1")
//! PRAGMA key = "x'<key><salt>'"
//! ```
//!
//! The card's key is uniform already, so there is nothing to stretch: the raw-key form of SQLCipher. The salt, which
//! stands in clear at the beginning of the file, is derived too: a file that does not open and begins with another
//! salt was made with another card, one that begins with ours is damaged.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chat::InstallationId;
use hkdf::Hkdf;
use proto::{ChatKey, Secret};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::schema;

/// The key of a store and the salt that its file begins with.
pub struct StoreKey(Secret<48>);

impl StoreKey {
    /// Returns the key that belongs to a database private key.
    #[must_use]
    pub fn derive(database: &Secret<32>) -> Self {
        Self(Secret::fill(|room| {
            // 48 bytes are two blocks of SHA-256, far below HKDF's limit of 255.
            let expanded = Hkdf::<Sha256>::new(None, database.expose()).expand(b"cardinal-node store/1", room);
            debug_assert!(expanded.is_ok());
        }))
    }

    fn salt(&self) -> &[u8] {
        self.0.expose().split_at(32).1
    }

    fn pragma(&self) -> Zeroizing<String> {
        let mut digits = Zeroizing::new([0; 96]);
        let encoded = hex::encode_to_slice(self.0.expose(), digits.as_mut_slice());
        debug_assert!(encoded.is_ok());
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str("PRAGMA key = \"x'");
        text.extend(digits.iter().copied().map(char::from));
        text.push_str("'\"");
        text
    }
}

/// Whose store it is, and under which conditions it may be made.
pub(super) struct Opening<'a> {
    /// The file.
    pub(super) path: &'a Path,
    /// Its key.
    pub(super) key: &'a StoreKey,
    /// The identity whose messages it keeps.
    pub(super) owner: &'a ChatKey,
    /// The installation id to write into a new store.
    pub(super) installation: &'a InstallationId,
    /// Whether it may be made when there is none.
    pub(super) may_create: bool,
}

/// An open store. It belongs to one thread.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// Messages kept of one chat, the latest by clock: strangers write in public chats, and must not fill the disk.
    pub(super) keep: u32,
}

impl Database {
    pub(super) fn open(opening: &Opening<'_>) -> Result<Self, StoreError> {
        let path = opening.path.to_owned();
        if !opening.may_create && !path.exists() {
            return Err(StoreError::Missing { path });
        }
        let failed = |source| StoreError::of(opening.path, source);
        let mut database = Self { connection: unlock(opening)?, path, keep: KEPT };
        let connection = &mut database.connection;
        let known = schema::latest();
        let found = schema::version(connection).map_err(failed)?;
        if found > known {
            return Err(StoreError::Newer { path: database.path, found, known });
        }
        if found == 0 && !opening.may_create {
            return Err(StoreError::Damaged { path: database.path, what: "it is empty" });
        }
        // Nothing is written before here. Temporary tables stay in memory: a file of them would not be encrypted.
        // One process, one connection.
        connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
            )
            .map_err(failed)?;
        schema::migrate(connection, schema::MIGRATIONS).map_err(failed)?;
        database.claim(opening)?;
        Ok(database)
    }

    /// Writes the owner into a new store; refuses the store of another one.
    fn claim(&mut self, opening: &Opening<'_>) -> Result<(), StoreError> {
        let ours = opening.owner.to_compressed();
        match self.setting(CHAT_KEY)? {
            Some(theirs) if theirs == ours => Ok(()),
            Some(_) => Err(StoreError::OtherKey { path: self.path.clone() }),
            None if !opening.may_create => {
                Err(StoreError::Damaged { path: self.path.clone(), what: "it does not say whose it is" })
            }
            None => self.write(|transaction| {
                let mut insert = transaction.prepare("INSERT OR REPLACE INTO settings VALUES (?1, ?2)")?;
                insert.execute((INSTALLATION, opening.installation.as_str().as_bytes()))?;
                insert.execute((CHAT_KEY, ours))?;
                Ok(())
            }),
        }
    }

    /// Returns this installation's id.
    pub(super) fn installation(&self) -> Result<InstallationId, StoreError> {
        let text = self.setting(INSTALLATION)?.and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(|text| InstallationId::try_from(text.as_str()).ok())
            .ok_or_else(|| StoreError::Damaged { path: self.path.clone(), what: "it has no installation id" })
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0)).optional()
        })
    }

    /// Reads; the database's word is sorted by who can act.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        read(&self.connection).map_err(|source| StoreError::of(&self.path, source))
    }

    /// Writes all of it, synced to the disk, or nothing.
    pub(super) fn write<T>(
        &mut self,
        write: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let written = (|| {
            let transaction = self.connection.transaction()?;
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        written.map_err(|source| StoreError::of(&self.path, source))
    }

    /// Closes the file; the write-ahead log is folded into it.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.connection.close().map_err(|(_, source)| StoreError::of(&self.path, source))
    }
}

fn unlock(opening: &Opening<'_>) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::of(opening.path, source);
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if opening.may_create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
        // An empty file is a new database. SQLite would make it readable to all; its companions take this one's mode.
        // What hinders us here hinders SQLite too, and it says so better.
        drop(OpenOptions::new().append(true).create(true).mode(0o600).open(opening.path));
    }
    let connection = Connection::open_with_flags(opening.path, flags).map_err(failed)?;
    // The C library would write its troubles to stderr, with page numbers; ours come back as errors.
    connection.execute_batch("PRAGMA cipher_log_level = NONE; PRAGMA cipher_memory_security = ON;").map_err(failed)?;
    connection.execute_batch(&opening.key.pragma()).map_err(failed)?;
    match connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())) {
        Ok(()) => {}
        Err(source) => {
            return Err(match StoreError::of(opening.path, source) {
                StoreError::Damaged { path, .. } if begins_with_another_salt(opening) => StoreError::OtherKey { path },
                other => other,
            });
        }
    }
    Ok(connection)
}

fn begins_with_another_salt(opening: &Opening<'_>) -> bool {
    let mut begin = [0; 16];
    let read = File::open(opening.path).and_then(|mut file| file.read_exact(&mut begin));
    // A file too short for a salt, or an unencrypted one, was never anybody's store.
    read.is_ok() && begin != opening.key.salt() && &begin != b"SQLite format 3\0"
}

/// Compressed public key of the owner.
const CHAT_KEY: &str = "chat-key";
/// See [`Database::keep`]; some 20 MB of ordinary messages, months of a busy chat.
const KEPT: u32 = 20_000;
/// A UUID: this installation among the owner's devices.
const INSTALLATION: &str = "installation-id";
