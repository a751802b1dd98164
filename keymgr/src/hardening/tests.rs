//! What is taken from a process cannot be given back, so each of these tests runs once more in a process of its own.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;

use super::*;

const MARK: &str = "CARDINAL_TEST_HARDENED";

/// Runs the test with this name alone, in another process, in this directory.
fn alone(name: &str, dir: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1", "--nocapture"])
        .arg(format!("hardening::tests::{name}"))
        .env(MARK, dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn marked() -> Option<PathBuf> {
    std::env::var_os(MARK).map(Into::into)
}

fn in_force(hardening: &Hardening, name: &str) -> bool {
    hardening.measures().iter().any(|measure| measure.name == name && measure.missing.is_none())
}

#[test]
fn attack_a_manager_that_was_taken_over_reaches_no_network_and_starts_no_program() {
    let Some(dir) = marked() else {
        let dir = tempfile::tempdir().unwrap();
        return alone("attack_a_manager_that_was_taken_over_reaches_no_network_and_starts_no_program", dir.path());
    };
    let before = std::thread::spawn(std::thread::park);
    let hardening = Hardening::apply(&Places { written: vec![dir], read: Vec::new() });
    assert!(in_force(&hardening, "system-calls") && in_force(&hardening, "no-new-privileges"), "{hardening:?}");
    let denied = |error: std::io::Error, what: &str| {
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{what}: {error}");
    };
    let everywhere = move || {
        denied(TcpListener::bind("127.0.0.1:0").unwrap_err(), "listen");
        denied(TcpStream::connect("127.0.0.1:1").unwrap_err(), "connect");
        denied(UdpSocket::bind("[::1]:0").unwrap_err(), "datagrams");
        denied(Command::new("/bin/true").status().unwrap_err(), "a program");
        let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()).unwrap();
        let taken = rustix::process::pidfd_getfd(&own, 0, rustix::process::PidfdGetfdFlags::empty());
        assert_eq!(taken.unwrap_err(), rustix::io::Errno::PERM);
        UnixStream::pair().unwrap();
        UnixDatagram::unbound().unwrap();
    };
    everywhere();
    std::thread::spawn(everywhere).join().unwrap();
    before.thread().unpark();
    before.join().unwrap();
}

#[test]
fn attack_a_manager_that_was_taken_over_writes_nowhere_but_in_its_folders() {
    let Some(dir) = marked() else {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("own")).unwrap();
        fs::write(dir.path().join("other"), "x").unwrap();
        return alone("attack_a_manager_that_was_taken_over_writes_nowhere_but_in_its_folders", dir.path());
    };
    let own = dir.join("own");
    let hardening = Hardening::apply(&Places { written: vec![own.clone()], read: vec![dir.join("missing")] });
    if !in_force(&hardening, "files") {
        // The kernel has no landlock: then it must have been said.
        assert!(hardening.missing().is_some_and(|why| why.contains("files: ")));
        return;
    }
    fs::write(own.join("a"), "1").unwrap();
    fs::rename(own.join("a"), own.join("b")).unwrap();
    assert_eq!(fs::read(own.join("b")).unwrap(), b"1");
    fs::remove_file(own.join("b")).unwrap();
    fs::read("/etc/passwd").unwrap();
    for kind in [
        fs::write(dir.join("new"), "x").unwrap_err(),
        fs::write(dir.join("other"), "x").unwrap_err(),
        fs::read(dir.join("other")).unwrap_err(),
        fs::remove_file(dir.join("other")).unwrap_err(),
        fs::rename(dir.join("other"), own.join("other")).unwrap_err(),
        fs::write("/etc/cardinal-test", "x").unwrap_err(),
    ] {
        assert!(
            matches!(kind.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::CrossesDevices),
            "{kind}"
        );
    }
}

#[test]
fn memory_is_locked_or_the_reason_is_said_and_either_way_the_manager_works() {
    let name = "memory_is_locked_or_the_reason_is_said_and_either_way_the_manager_works";
    let Some(_) = marked() else {
        let dir = tempfile::tempdir().unwrap();
        return alone(name, dir.path());
    };
    let hardening = Hardening::apply(&Places::default());
    // Threads with their stacks, and a buffer larger than the usual bound on locked memory.
    let threads: Vec<_> = (0..16).map(|_| std::thread::spawn(|| vec![1_u8; 1 << 20].len())).collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 16 << 20);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim() != "0 kB";
    assert_eq!(in_force(&hardening, "locked-memory"), locked, "{hardening:?}");
    assert!(locked || hardening.missing().is_some_and(|why| why.contains("LimitMEMLOCK=infinity")), "{hardening:?}");
}

#[test]
fn attack_a_manager_that_was_taken_over_has_none_of_roots_rights() {
    let Some(dir) = marked() else {
        let dir = tempfile::tempdir().unwrap();
        return alone("attack_a_manager_that_was_taken_over_has_none_of_roots_rights", dir.path());
    };
    let other = dir.join("other");
    fs::write(&other, "x").unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let hardening = Hardening::apply(&Places { written: vec![dir], read: Vec::new() });
    assert!(in_force(&hardening, "no-capabilities"), "{hardening:?}");
    // Of this thread and of those that it starts; a test's own first thread may be another.
    let status = std::thread::spawn(|| fs::read_to_string("/proc/thread-self/status").unwrap()).join().unwrap();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        let has = status.lines().find_map(|line| line.strip_prefix(set)).unwrap().trim();
        assert_eq!(has, "0000000000000000", "{set}");
    }
    assert!(fs::read(&other).is_err(), "only root reads a file that nobody may read");
}
