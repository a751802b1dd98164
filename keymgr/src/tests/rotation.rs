//! A log that goes on in another file: when, and what a crash leaves behind.

use std::sync::Arc;

use audit::Event;

use super::faulty::{Faulty, FileBroker, Folder, How};
use super::*;
use crate::disk::{Disk, os};
use crate::log_files::older_files;
use crate::policy::CHAT_PURPOSE;

fn use_it(broker: &mut FileBroker) {
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    let (_, caller) = one_time();
    broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)).unwrap();
    broker.settle();
    broker.lock();
}

#[test]
fn a_log_goes_on_in_another_file_when_it_is_long_enough() {
    let folder = Folder { longest_log: 20_000, ..Folder::enrolled() };
    for _ in 0..3 {
        let mut broker = folder.broker(&os()).unwrap();
        for _ in 0..4 {
            use_it(&mut broker);
        }
    }
    let older = older_files(&folder.log()).unwrap();
    assert!(older.len() >= 3, "{older:?}");
    let lines = folder.lines();
    assert_eq!(
        older.last().unwrap().last + 1,
        crate::archive::first_line(std::fs::read(folder.log()).unwrap().as_slice()).unwrap().unwrap().seq
    );
    for file in &older {
        assert!(std::fs::metadata(&file.path).unwrap().len() < 30_000);
    }
    // Each file says which manager writes, under which rules.
    let begins: Vec<u64> =
        lines.iter().filter(|line| matches!(line.event, Event::LogContinued { .. })).map(|line| line.seq).collect();
    assert_eq!(begins.len(), older.len());
    for seq in begins {
        assert!(matches!(lines.iter().find(|line| line.seq == seq + 1).unwrap().event, Event::LogOpened(_)));
    }
    // Every head that was signed is that of its line, also of files that were put away.
    let spool = std::fs::read_to_string(folder.path.join("spool/heads.jsonl")).unwrap();
    assert!(spool.lines().count() > 24);
    for entry in spool.lines() {
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        let head: Head = entry["head"].as_str().unwrap().parse().unwrap();
        let line = lines.iter().find(|line| Some(line.seq) == entry["line"].as_u64()).unwrap();
        assert_eq!((line.prev, line.seq), (head.hash, head.entries + 1));
    }
    // What left before is told by each of them, so none is passed over.
    assert!(crate::daemon::history(&folder.log()).is_ok());
    let (middle, away) = (&older[1].path, folder.path.join("away"));
    std::fs::rename(middle, &away).unwrap();
    let error = crate::daemon::history(&folder.log()).err().unwrap().to_string();
    assert!(
        error.contains("bring it back") && error.contains(&format!("{}-{}", older[1].first, older[1].last)),
        "{error}"
    );
    let mut bytes = std::fs::read(&away).unwrap();
    bytes[100] ^= 1;
    std::fs::write(middle, bytes).unwrap();
    assert!(matches!(crate::daemon::history(&folder.log()), Err(StateError::Damaged { .. })));
    std::fs::remove_file(middle).unwrap();
    // What pins.toml tells stands in no older file that is read at a start; without it they are.
    std::fs::remove_file(folder.path.join("pins.toml")).unwrap();
    let error = folder.broker(&os()).err().unwrap();
    assert!(error.to_string().contains("pins"), "{error}");
}

/// A card speaks of a line in a file that was put away.
#[test]
fn a_cards_memory_is_compared_with_older_files_too() {
    let mut folder = Folder::enrolled();
    use_it(&mut folder.broker(&os()).unwrap());
    folder.longest_log = 1;
    let mut broker = folder.broker(&os()).unwrap();
    for _ in 0..3 {
        broker.settle();
    }
    assert!(older_files(&folder.log()).unwrap().len() >= 3);
    drop(broker);
    folder.longest_log = u64::MAX;
    use_it(&mut folder.broker(&os()).unwrap());
}

/// A file that was archived away is no other manager: the owner brings it back, or goes on without it.
#[test]
fn a_card_that_speaks_of_a_file_which_is_gone_is_no_second_manager() {
    for brings_it_back in [true, false] {
        speaks_of_a_file_which_is_gone(brings_it_back);
    }
}

fn speaks_of_a_file_which_is_gone(brings_it_back: bool) {
    let mut folder = Folder::enrolled();
    use_it(&mut folder.broker(&os()).unwrap());
    folder.longest_log = 1;
    let mut broker = folder.broker(&os()).unwrap();
    for _ in 0..2 {
        broker.settle();
    }
    let (file, away) = (older_files(&folder.log()).unwrap()[0].path.clone(), folder.path.join("away"));
    std::fs::rename(&file, &away).unwrap();
    let unlock = |broker: &mut FileBroker| broker.unlock(unlocking(PIN), &why("unlock")).map(drop);
    let error = unlock(&mut broker).unwrap_err();
    assert_eq!(error.fault(), proto::rpc::Fault::StateMissing, "{error}");
    let words = error.to_string();
    assert!(words.contains(&file.display().to_string()) && words.contains("cardinal audit adopt"), "{words}");
    if brings_it_back {
        std::fs::rename(&away, &file).unwrap();
    } else {
        broker.adopt(&Target::default(), &why("audit adopt")).unwrap();
    }
    unlock(&mut broker).unwrap();
    for file in std::fs::read_dir(&folder.path).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name == "away" || name.starts_with("export.log") && !name.ends_with(".head") {
            let text = std::fs::read(folder.path.join(&name)).unwrap();
            let tells = |line: &audit::Line| matches!(line.event, Event::SecondWriter(_));
            let bad = audit::read(text.as_slice(), |line| assert!(!tells(line), "{name}")).unwrap();
            assert_eq!(bad, None);
        }
    }
}

/// It stops at once, as at a power cut, with a loan of which an older file tells.
#[test]
fn a_manager_that_could_not_end_its_loans_says_so_at_its_next_start() {
    let mut folder = Folder::enrolled();
    folder.longest_log = 1;
    let mut broker = folder.broker(&os()).unwrap();
    broker.lend(&Target::default(), 600, &why("gpg")).unwrap();
    for _ in 0..2 {
        broker.settle();
    }
    let gone = folder.copy();
    drop(broker);
    let told = |folder: &Folder| {
        let takes_back =
            |line: &&audit::Line| matches!(&line.event, Event::Owner(owner) if owner.deed == audit::Deed::TakesBack);
        folder.lines().iter().filter(takes_back).map(|line| line.event.to_string()).collect::<Vec<_>>()
    };
    assert!(told(&gone).is_empty());
    let mut broker = gone.broker(&os()).unwrap();
    let ended = told(&gone);
    assert!(ended.len() == 1 && ended[0].contains("the key manager was stopped"), "{ended:?}");
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    drop(broker);
    drop(gone.broker(&os()).unwrap());
    assert_eq!(told(&gone), ended, "once");
}

fn rotate(folder: &Folder, disk: &Arc<Faulty>, at: usize) {
    let mut broker = folder.broker(&(Arc::clone(disk) as Arc<dyn Disk>)).unwrap();
    disk.arm(at);
    broker.settle();
    drop(broker);
}

#[test]
fn attack_a_crash_at_any_step_of_a_rotation_is_made_good_at_the_next_start() {
    let base = Folder { longest_log: 1, ..Folder::enrolled() };
    let count = {
        let (folder, disk) = (base.copy(), Faulty::new(How::Abort));
        rotate(&folder, &disk, usize::MAX);
        assert_eq!(older_files(&folder.log()).unwrap().len(), 1);
        disk.steps()
    };
    assert!(count >= 9, "remove, create, write, sync, folder, rename, folder, rename, folder, and a line: {count}");
    let faults = [How::PowerCut(0), How::PowerCut(2), How::PowerCut(4), How::Fails(28), How::Fails(5)];
    for how in faults {
        for at in 0..count {
            let folder = base.copy();
            let before = folder.lines().len();
            rotate(&folder, &Faulty::new(how), at);
            let mut broker = match folder.broker(&os()) {
                Ok(broker) => broker,
                // The line after the rotation was cut off, as any other.
                Err(crate::daemon::DaemonError::LogBad {
                    source: audit::OpenError::Bad { bad: audit::Bad { what: audit::What::CutOff, .. }, good_bytes },
                    path,
                }) => {
                    std::fs::File::options().write(true).open(path).unwrap().set_len(good_bytes).unwrap();
                    folder.broker(&os()).unwrap()
                }
                Err(error) => panic!("{how:?} at step {at}: {error}"),
            };
            use_it(&mut broker);
            drop(broker);
            assert!(folder.lines().len() > before, "{how:?} at step {at}");
            assert!(!folder.path.join("export.log.new").exists(), "{how:?} at step {at}");
        }
    }
}

/// An error that passes does not end the records: they go on in the file that was not put away.
#[test]
fn a_rotation_that_fails_leaves_the_log_going_on_where_it_is() {
    let base = Folder { longest_log: 1, ..Folder::enrolled() };
    for at in 0..8 {
        let (folder, disk) = (base.copy(), Faulty::new(How::Fails(28)));
        let mut broker = folder.broker(&(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
        disk.arm(at);
        broker.settle();
        use_it(&mut broker);
        drop(broker);
        folder.lines();
        assert!(!older_files(&folder.log()).unwrap().is_empty(), "step {at}: the next try succeeds");
    }
}
