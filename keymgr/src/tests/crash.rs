//! One export is stopped at each step that its records take on the disk, and each step fails once.
//!
//! The rule that all of these hold the manager to: whoever has a key, of them the log tells; and an intent without an outcome
//! reads "treat as exported".

use std::path::Path;
use std::sync::Arc;

use audit::{OpenError, What};

use super::faulty::{Faulty, FileBroker, Folder, How};
use super::*;
use crate::daemon::DaemonError;
use crate::disk::{Disk, os};
use crate::policy::CHAT_PURPOSE;
use crate::store::FileStore;

/// A session in which one key is exported; returns whether somebody has it.
fn session(broker: &mut FileBroker) -> bool {
    let (_, caller) = one_time();
    let exported = broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)).is_ok();
    broker.settle();
    broker.lock();
    exported
}

fn unlock(broker: &mut FileBroker) {
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
}

/// How many steps a session takes on the disk, its unlocking not counted.
fn steps(folder: &Folder) -> usize {
    let folder = folder.copy();
    let disk = Faulty::new(How::Abort);
    let mut broker = folder.broker(&(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
    unlock(&mut broker);
    disk.arm(usize::MAX);
    assert!(session(&mut broker));
    // Intent and outcome, the signature, the mirror's two, the last signature: write, sync and the head beside.
    assert_eq!(disk.steps(), 6 * 3);
    disk.steps()
}

/// The manager starts again, after what its owner is told to do, and nobody has a key of which the log does not tell.
fn restart(folder: &Folder, somebody_has_it: bool, what: &str) {
    let log = folder.log();
    let mut broker = match folder.broker(&os()) {
        Ok(broker) => broker,
        Err(DaemonError::LogBad { source: OpenError::Bad { bad, good_bytes }, .. }) => {
            assert_eq!(bad.what, What::CutOff, "{what}: only a line that was not finished is bad");
            std::fs::File::options().write(true).open(&log).unwrap().set_len(good_bytes).unwrap();
            folder.broker(&os()).unwrap()
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let report = audit::verify(std::fs::read(&log).unwrap().as_slice(), FileStore::remembered(&log).unwrap()).unwrap();
    assert!(report.is_consistent(), "{what}");
    let left: Vec<_> = report.left.iter().filter(|(key, _)| key.form == audit::verify::Form::Private).collect();
    match left.as_slice() {
        [] => assert!(!somebody_has_it, "{what}: somebody has a key of which the log does not tell"),
        [(_, left)] => {
            assert!(left.times == 1 || !somebody_has_it, "{what}: somebody has a key without an outcome");
            assert_eq!(left.times + left.unknown, 1, "{what}: an intent without an outcome reads as exported");
        }
        more => panic!("{what}: {} keys", more.len()),
    }
    unlock(&mut broker);
    assert!(session(&mut broker), "{what}: it goes on");
    drop(broker);
    folder.lines();
}

#[test]
fn attack_a_power_cut_at_any_step_of_an_export_leaves_no_key_without_a_record() {
    let folder = Folder::enrolled();
    let steps = steps(&folder);
    for parts in [0, 2, 4] {
        for at in 0..steps {
            let folder = folder.copy();
            let disk = Faulty::new(How::PowerCut(parts));
            let mut broker = folder.broker(&(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
            unlock(&mut broker);
            disk.arm(at);
            let somebody_has_it = session(&mut broker);
            assert_eq!(somebody_has_it, at >= 5, "step {at}");
            drop(broker);
            restart(&folder, somebody_has_it, &format!("step {at}, {parts} of 4 parts"));
        }
    }
}

#[test]
fn attack_an_error_of_the_disk_at_any_step_of_an_export_leaves_no_key_without_a_record() {
    const ENOSPC: i32 = 28;
    const EIO: i32 = 5;
    const EDQUOT: i32 = 122;
    let folder = Folder::enrolled();
    let steps = steps(&folder);
    for errno in [ENOSPC, EIO, EDQUOT] {
        for at in 0..steps {
            let folder = folder.copy();
            let disk = Faulty::new(How::Fails(errno));
            let mut broker = folder.broker(&(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
            unlock(&mut broker);
            disk.arm(at);
            let somebody_has_it = session(&mut broker);
            assert_eq!(somebody_has_it, !matches!(at, 0 | 1 | 3 | 4), "step {at}");
            drop(broker);
            restart(&folder, somebody_has_it, &format!("errno {errno} at step {at}"));
        }
    }
}

/// A disk that does not sync may hold the line or not: nothing more is written before the log was read again.
#[test]
fn attack_a_disk_that_does_not_sync_ends_the_records_until_the_next_start() {
    let folder = Folder::enrolled();
    for at in [1, 4] {
        let folder = folder.copy();
        let disk = Faulty::new(How::Fails(5));
        let mut broker = folder.broker(&(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
        unlock(&mut broker);
        disk.arm(at);
        assert!(!session(&mut broker));
        // The disk says that it is well again. It said so before.
        let error = broker.unlock(unlocking(PIN), &why("unlock")).unwrap_err();
        assert_eq!(error.fault(), proto::rpc::Fault::LogUnwritable);
        assert!(error.to_string().contains("start the key manager again"), "{error}");
        drop(broker);
        restart(&folder, false, &format!("no sync at {at}"));
    }
}

const CHILD: &str = "CARDINAL_TEST_STOPS";

/// The process itself stops, at each write and each sync of one export.
#[test]
fn attack_a_manager_that_stops_at_any_step_of_an_export_leaves_no_key_without_a_record() {
    if let Some(order) = std::env::var_os(CHILD) {
        let order = order.into_string().unwrap();
        let (at, folder) = order.split_once(' ').unwrap();
        return stops(Path::new(folder), at.parse().unwrap());
    }
    let folder = Folder::enrolled();
    let name = "tests::crash::attack_a_manager_that_stops_at_any_step_of_an_export_leaves_no_key_without_a_record";
    for at in 0..steps(&folder) {
        let folder = folder.copy();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, format!("{at} {}", folder.path.display()))
            .output()
            .unwrap();
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(output.status.signal(), Some(6), "step {at}: {}", String::from_utf8_lossy(&output.stdout));
        let somebody_has_it = folder.path.join("exported").exists();
        assert_eq!(somebody_has_it, at > 5, "step {at}");
        restart(&folder, somebody_has_it, &format!("stopped at {at}"));
    }
}

fn stops(folder: &Path, at: usize) {
    let disk = Faulty::new(How::Abort);
    let mut broker = Folder::at(folder).broker(&(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
    unlock(&mut broker);
    disk.arm(at);
    let (_, caller) = one_time();
    if broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)).is_ok() {
        std::fs::write(folder.join("exported"), "").unwrap();
    }
    broker.settle();
    broker.lock();
}
