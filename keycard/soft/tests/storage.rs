//! The card's file: what survives, what is refused, and what a failing disk does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::{Client, DURESS, INIT, KEYCARD, LOAD_ABANDON, PIN, dice};
use softcard::{Model, SoftCard, StateError};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("card.json");
    (folder, path)
}

fn create(path: &Path) -> Client {
    let mut client = Client::new(SoftCard::create(path, Model::V4_0, dice(1)).unwrap());
    client.select(&KEYCARD);
    client.open();
    client
}

fn load(path: &Path) -> Client {
    let mut client = Client::new(SoftCard::load(path, dice(2)).unwrap());
    client.select(&KEYCARD);
    client.open();
    client
}

/// The error of a card that must not load.
fn refused(path: &Path) -> StateError {
    SoftCard::load(path, dice(2)).err().unwrap()
}

/// Stands in the way of the temporary file, as a full disk would.
fn block_writing(path: &Path) -> PathBuf {
    let temporary = path.with_extension("json.new");
    fs::create_dir(&temporary).unwrap();
    temporary
}

#[test]
fn a_card_comes_back_with_everything_it_had() {
    let (_folder, path) = folder();
    let mut client = create(&path);
    let identity = client.card.identity();
    client.ok(INIT);
    client.verify(PIN);
    client.ok(LOAD_ABANDON);
    client.verify(DURESS);
    let chat = client.export(0, "m/43'/60'/1581'/0'/0").data;
    assert_eq!(client.try_pin(b"999999"), 0x63c2);
    drop(client);

    let mut client = load(&path);
    assert_eq!(client.card.identity(), identity);
    assert_eq!(client.export(1, "m").sw, 0x6985, "validation does not outlive the process");
    assert_eq!(client.try_pin(b"999999"), 0x63c1, "tries do");
    client.verify(DURESS);
    assert_eq!(client.export(0, "m/43'/60'/1581'/0'/0").data, chat);
}

#[test]
fn the_file_is_for_the_owner_only_and_stands_alone() {
    let (folder, path) = folder();
    create(&path).ok(INIT);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["card.json", "card.json.lock"]);
}

#[test]
fn a_missing_file_is_no_fresh_card() {
    let (folder, path) = folder();
    assert!(matches!(refused(&path), StateError::Missing { .. }));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");
    assert!(SoftCard::create(&folder.path().join("no/such/folder"), Model::V4_0, dice(1)).is_err());
}

#[test]
fn a_file_cut_anywhere_is_damaged() {
    let (_folder, path) = folder();
    create(&path).ok(INIT);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(refused(&path), StateError::Damaged { .. }), "cut at {length}");
        assert_eq!(fs::read(&path).unwrap(), &whole[..length], "left as found");
    }
    fs::write(&path, [whole.clone(), vec![b' '; 20_000]].concat()).unwrap();
    assert!(matches!(refused(&path), StateError::Damaged { .. }), "too long");
    fs::write(&path, whole).unwrap();
    load(&path);
}

#[test]
fn a_file_with_any_byte_changed_is_damaged() {
    let (_folder, path) = folder();
    let mut client = create(&path);
    client.ok(INIT);
    client.verify(PIN);
    client.ok(LOAD_ABANDON);
    drop(client);
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() - 1 {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert!(matches!(refused(&path), StateError::Damaged { .. }), "changed at {place}");
    }
}

#[test]
fn a_card_of_the_form_without_models_is_refused_by_name() {
    let (_folder, path) = folder();
    fs::write(&path, r#"{"format":"cardinal-softcard/1","sha256":"00","state":{"identity":"00","owner":null}}"#)
        .unwrap();
    assert!(matches!(refused(&path), StateError::Older { .. }));
}

#[test]
fn a_card_stays_the_model_it_was_made() {
    for model in Model::ALL {
        let (_folder, path) = folder();
        let identity = SoftCard::create(&path, model, dice(1)).unwrap().identity();
        let card = SoftCard::load(&path, dice(2)).unwrap();
        assert_eq!((card.model(), card.identity()), (model, identity));
        assert_eq!(identity.is_some(), model >= Model::V3_1);
    }
}

#[test]
fn a_card_is_open_once() {
    let (_folder, path) = folder();
    let client = create(&path);
    assert!(matches!(refused(&path), StateError::InUse { .. }));
    assert!(matches!(SoftCard::create(&path, Model::V4_0, dice(1)).err(), Some(StateError::InUse { .. })));
    drop(client);
    let client = load(&path);
    assert!(matches!(refused(&path), StateError::InUse { .. }));
    drop(client);
    assert!(matches!(SoftCard::create(&path, Model::V4_0, dice(1)).err(), Some(StateError::Exists { .. })));
    load(&path);
}

#[test]
fn what_a_crash_left_behind_is_in_nobody_s_way() {
    let (_folder, path) = folder();
    drop(create(&path));
    fs::write(path.with_extension("json.new"), "half of a").unwrap();
    let mut client = load(&path);
    client.ok(INIT);
    drop(client);
    assert_eq!(load(&path).try_pin(PIN), 0x9000);
}

#[test]
fn a_try_is_on_disk_before_the_answer_and_before_the_comparison() {
    let (_folder, path) = folder();
    let mut client = create(&path);
    client.ok(INIT);

    let obstacle = block_writing(&path);
    assert_eq!(client.try_pin(b"999999"), 0x6f00, "what cannot be counted is not compared");
    assert_eq!(client.try_pin(PIN), 0x6f00);
    assert!(matches!(client.card.fault(), Some(StateError::Io { .. })));
    assert_eq!(client.export(1, "m").sw, 0x6985);
    fs::remove_dir(obstacle).unwrap();
    assert_eq!(client.try_pin(b"999999"), 0x63c2);
    assert!(client.card.fault().is_none());

    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    assert_eq!(load(&copy).try_pin(b"999999"), 0x63c1, "the file has the try as soon as the answer is there");
}

/// KC-11: a blocked PIN is unblocked with the PUK, whose tries count like the PIN's.
#[test]
fn a_puk_try_is_on_disk_before_the_comparison() {
    let (_folder, path) = folder();
    let mut client = create(&path);
    client.ok(INIT);
    for tries in [0x63c2, 0x63c1, 0x63c0] {
        assert_eq!(client.try_pin(b"999999"), tries);
    }
    let right = "8022000012313233343536373839303132303030303030";
    let wrong = "8022000012393939393939393939393939303030303030";
    let obstacle = block_writing(&path);
    assert_eq!(client.send(right).sw, 0x6f00, "what cannot be counted is not compared");
    fs::remove_dir(obstacle).unwrap();
    assert_eq!(client.send(wrong).sw, 0x63c4);
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    assert_eq!(load(&copy).send(wrong).sw, 0x63c3);
    client.ok(right);
    assert_eq!(client.export(1, "m").sw, 0x6985, "validated, but there is no key");
    assert_eq!(client.ok("80f20000"), hex::decode("a309020103020105010100").unwrap());
}

#[test]
fn a_change_that_cannot_be_written_does_not_happen() {
    let (_folder, path) = folder();
    let mut client = create(&path);
    let obstacle = block_writing(&path);
    assert_eq!(client.send(INIT).sw, 0x6f00);
    fs::remove_dir(obstacle).unwrap();
    assert!(client.ok("80f20000").is_empty(), "still blank");
    client.ok(INIT);
    client.verify(PIN);
    client.ok(LOAD_ABANDON);
    let chat = client.export(0, "m/43'/60'/1581'/0'/0").data;

    let before = fs::read(&path).unwrap();
    let obstacle = block_writing(&path);
    for command in ["80d40000", "80d003001000112233445566778899aabbccddeeff"] {
        assert_eq!(client.send(command).sw, 0x6f00, "{command}");
    }
    let reply = client.plain(&[0x80, 0xfd, 0xaa, 0x55]);
    assert_eq!((reply.sw, reply.place), (0x6f00, common::Place::Inner), "a failed reset leaves the channel too");
    assert_eq!(client.export(0, "m/43'/60'/1581'/0'/0").data, chat, "the old key is there");
    fs::remove_dir(obstacle).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn errors_are_one_line_that_says_what_to_do() {
    let (_folder, path) = folder();
    let text = refused(&path).to_string();
    assert!(text.contains("card.json") && !text.contains('\n'), "{text}");
}
