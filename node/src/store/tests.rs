//! The store as a whole, on real files.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chat::{Change, ChatName, Content, Draft, InstallationId, Lamport, Message, Seen, State};
use proto::{ChatKey, Digest, MessageId, Secret, UnixMillis, UnixSecs};

use super::database::{Database, Opening, StoreKey};
use super::{Line, Location, Store, StoreError, schema};

fn key(byte: u8) -> StoreKey {
    StoreKey::derive(&Secret::fill(|room| *room = [byte; 32]))
}

fn owner(byte: u8) -> ChatKey {
    ChatKey::from(k256::SecretKey::from_slice(&[byte; 32]).unwrap().public_key())
}

fn installation() -> InstallationId {
    InstallationId::try_from("an installation").unwrap()
}

fn open_as(path: &Path, key_byte: u8, owner_byte: u8, may_create: bool) -> Result<Database, StoreError> {
    let (key, owner, installation) = (&key(key_byte), &owner(owner_byte), &installation());
    Database::open(&Opening { path, key, owner, installation, may_create })
}

fn room(name: &str) -> ChatName {
    ChatName::try_from(name).unwrap()
}

fn message(chat: &str, n: u8, text: &str) -> Box<Message> {
    Box::new(Message {
        seen: Seen { id: MessageId::from([n; 32]), content: Digest::from([n; 32]) },
        author: owner(7),
        own: false,
        signed: true,
        chat: room(chat),
        clock: Lamport::new(1000 + u64::from(n)),
        timestamp: UnixMillis::new(1),
        received: UnixMillis::new(2),
        sent: UnixSecs::new(3),
        text: text.to_owned(),
        // Some are answers, and one of those names no message.
        response_to: match n % 3 {
            0 => String::new(),
            1 => format!("0x{}", "cd".repeat(32)),
            _ => "0xcd".repeat(9999),
        },
        content: Content::Text,
        wrapper: vec![n; 40],
    })
}

fn received(n: u8, text: &str) -> Change {
    Change::Received(message("demo", n, text))
}

fn lines(numbers: &[u8], text: &str) -> Vec<Line> {
    numbers.iter().map(|n| Line::from(&*message("demo", *n, text))).collect()
}

#[test]
fn what_was_written_is_there_after_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    let mut store = open_as(&path, 1, 1, true).unwrap();
    // They come in another order than theirs.
    for n in [3, 1, 5, 2, 4] {
        store.apply(&received(n, "hello")).unwrap();
    }
    store.close().unwrap();

    let store = open_as(&path, 1, 1, false).unwrap();
    assert!(store.history("demo", 10).unwrap() == lines(&[1, 2, 3, 4, 5], "hello"));
    assert!(store.history("demo", 2).unwrap() == lines(&[4, 5], "hello"));
    assert!(store.history("other", 10).unwrap().is_empty());
    assert_eq!(store.installation().unwrap(), installation());
}

#[test]
fn the_rows_give_back_the_state_that_the_changes_led_to() {
    let draft = |n| Draft {
        chat: room("demo"),
        clock: Lamport::new(n),
        timestamp: UnixMillis::new(n),
        text: "x".to_owned(),
        response_to: (n % 2 == 0).then(|| MessageId::from([n as u8; 32])),
    };
    let mut own = message("demo", 9, "mine");
    own.own = true;
    let changes = [
        Change::Joined(room("demo")),
        Change::Joined(room("left")),
        Change::Left(room("left")),
        received(4, "a"),
        Change::Received(message("left", 5, "b")),
        Change::Received(message("demo", 1, "earlier than the clock")),
        Change::Drafted(draft(1007)),
        Change::Drafted(draft(1008)),
        Change::Abandoned { chat: room("demo"), clock: Lamport::new(1007) },
        Change::Drafted(draft(1009)),
        Change::Signed(own),
        Change::Signed(message("demo", 10, "settled")),
        Change::Settled(MessageId::from([10; 32])),
        // A log may be folded twice.
        received(4, "a"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut folded = State::default();
    for (n, change) in changes.iter().enumerate() {
        let mut store = open_as(&path, 1, 1, n == 0).unwrap();
        store.apply(change).unwrap();
        folded.apply(change);
        store.close().unwrap();
        assert!(open_as(&path, 1, 1, false).unwrap().state().unwrap() == folded, "after change {n}");
    }
    assert_eq!((folded.drafts.len(), folded.unsent.len(), folded.chats.len()), (1, 1, 2));
}

#[test]
fn nothing_that_was_written_can_be_read_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    let mut store = open_as(&path, 1, 1, true).unwrap();
    store.apply(&received(1, "the word that must not show")).unwrap();
    store.close().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|w| w == b"must not show the" || w == b"SQLite format 3\0"));
        assert!(!bytes.windows(8).any(|w| w == b"the word"));
    }
}

#[test]
fn a_message_counts_once_under_either_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_as(&dir.path().join("s"), 1, 1, true).unwrap();
    let mut twin = message("demo", 2, "a");
    twin.seen.content = Digest::from([1; 32]);
    for change in [received(1, "a"), received(1, "a"), Change::Received(twin)] {
        store.apply(&change).unwrap();
    }
    assert_eq!(store.count().unwrap(), 1);
}

#[test]
fn the_store_of_another_identity_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    open_as(&path, 1, 1, true).unwrap().close().unwrap();
    assert!(matches!(open_as(&path, 1, 2, false), Err(StoreError::OtherKey { .. })), "same key, other owner");
    assert!(matches!(open_as(&path, 2, 1, false), Err(StoreError::OtherKey { .. })), "other key");
    assert!(matches!(open_as(&path, 2, 1, true), Err(StoreError::OtherKey { .. })), "and never made anew");
    assert!(open_as(&path, 1, 1, false).is_ok());
}

#[test]
fn nobody_else_can_read_the_file_and_what_lies_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let _open = open_as(&dir.path().join("store"), 1, 1, true).unwrap();
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.len() > 1, "the log of what is written lies beside it");
    for file in files {
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn a_missing_store_is_an_error_and_not_a_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    assert!(matches!(open_as(&path, 1, 1, false), Err(StoreError::Missing { .. })));
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(open_as(&path, 1, 1, false), Err(StoreError::Damaged { .. })));
    assert!(std::fs::read(&path).unwrap().is_empty(), "and it is left as it is");
}

#[test]
fn a_damaged_file_is_named_as_such_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    open_as(&path, 1, 1, true).unwrap().close().unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(100)).unwrap();
    file.write_all(&[0xaa; 64]).unwrap();
    drop(file);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open_as(&path, 1, 1, false), Err(StoreError::Damaged { .. })));
    assert!(std::fs::read(&path).unwrap() == before);
    std::fs::write(&path, b"SQLite format 3\0 of somebody else, in clear").unwrap();
    assert!(matches!(open_as(&path, 1, 1, false), Err(StoreError::Damaged { .. })));
    std::fs::write(&path, b"short").unwrap();
    assert!(matches!(open_as(&path, 1, 1, false), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_damaged_page_in_the_middle_is_found_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut store = open_as(&path, 1, 1, true).unwrap();
    let text = "x".repeat(3000);
    for n in 1..=100 {
        store.apply(&received(n, &text)).unwrap();
    }
    store.close().unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 16..length / 4096 {
        file.seek(SeekFrom::Start(page * 4096 + 50)).unwrap();
        file.write_all(&[0x55; 8]).unwrap();
    }
    drop(file);
    let store = open_as(&path, 1, 1, false).unwrap();
    assert!(matches!(store.history("demo", 200), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_full_disk_refuses_the_change_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut store = open_as(&path, 1, 1, true).unwrap();
    store.apply(&received(1, "kept")).unwrap();
    let before = store.state().unwrap();
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.connection.query_row(&format!("PRAGMA max_page_count = {}", pages + 1), [], |_| Ok(())).unwrap();
    // The message takes more pages than there are, after its draft was taken away in the same change.
    let big = Change::Signed(message("demo", 2, &"x".repeat(16_000)));
    assert!(matches!(store.apply(&big), Err(StoreError::DiskFull { .. })));
    assert!(store.history("demo", 10).unwrap() == lines(&[1], "kept"));
    assert!(store.state().unwrap() == before, "all or nothing");
    store.connection.query_row("PRAGMA max_page_count = 100000", [], |_| Ok(())).unwrap();
    store.apply(&big).unwrap();
    assert_eq!(store.count().unwrap(), 2);
}

#[test]
fn the_store_of_a_newer_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let store = open_as(&path, 1, 1, true).unwrap();
    store.connection.pragma_update(None, "user_version", 99).unwrap();
    store.close().unwrap();
    assert!(matches!(open_as(&path, 1, 1, false), Err(StoreError::Newer { found: 99, .. })));
}

#[test]
fn migrations_run_once_each_and_a_failed_one_leaves_the_version_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_as(&dir.path().join("s"), 1, 1, true).unwrap();
    let connection = &mut store.connection;
    assert_eq!(schema::version(connection).unwrap(), schema::latest());
    let later = [schema::MIGRATIONS, &["CREATE TABLE extra (a INTEGER); INSERT INTO extra VALUES (1)", "not a step"]];
    assert!(schema::migrate(connection, &later.concat()).is_err());
    assert_eq!(schema::version(connection).unwrap(), schema::latest() + 1);
    assert!(schema::migrate(connection, &later.concat()).is_err());
    assert_eq!(connection.query_row("SELECT count(*) FROM extra", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_store_of_the_first_version_keeps_what_it_holds() {
    let path = Path::new("in memory").to_owned();
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection, &schema::MIGRATIONS[..1]).unwrap();
    connection
        .execute(
            "INSERT INTO messages (id, content, chat, author, own, clock, timestamp, received, text)
             VALUES (?1, ?1, 'demo', ?2, 0, 7, 8, 9, 'old')",
            ([1_u8; 32], owner(7).to_compressed()),
        )
        .unwrap();
    connection.execute("INSERT INTO drafts VALUES ('demo', 1, 2, 'unsigned')", []).unwrap();
    schema::migrate(&mut connection, schema::MIGRATIONS).unwrap();
    let store = Database { connection, path, keep: 5 };
    let lines = store.history("demo", 9).unwrap();
    assert_eq!((lines.len(), lines[0].text.as_str(), lines[0].response_to, lines[0].content_type), (1, "old", None, 1));
    assert_eq!(store.state().unwrap().drafts.len(), 1);
}

#[test]
fn a_chat_keeps_its_latest_messages_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_as(&dir.path().join("s"), 1, 1, true).unwrap();
    store.keep = 5;
    for n in 1..=8 {
        store.apply(&received(n, "x")).unwrap();
        store.apply(&Change::Received(message("other", n + 100, "y"))).unwrap();
    }
    assert!(store.history("demo", 100).unwrap() == lines(&[4, 5, 6, 7, 8], "x"));
    assert_eq!(store.count().unwrap(), 10);
}

#[tokio::test]
async fn the_thread_that_owns_the_file_answers_and_closes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let location = || Location {
        path: path.clone(),
        key: key(1),
        owner: owner(1),
        installation: installation(),
        may_create: true,
    };
    let store = Store::open(location()).await.unwrap();
    store.persist(received(1, "x")).await.unwrap();
    store.close().await.unwrap();
    let store = Store::open(location()).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
    let log = dir.path().join("s-wal");
    assert!(log.exists());
    drop(store);
    assert!(!log.exists(), "it was not waited for");
    let missing = Location { path: dir.path().join("none"), may_create: false, ..location() };
    assert!(matches!(Store::open(missing).await, Err(StoreError::Missing { .. })));
}
