//! The real programs, and the certainty that they end.
//!
//! The key manager and the node are built first, so that no test runs against yesterday's programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Returns the program, with its siblings freshly built next to it.
pub(crate) fn cardinal() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_cardinal"));
        let profile = program.parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.args(["build", "--quiet", "--locked", "--package=keymgr", "--package=node", "--bins"]);
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "cardinal-keymgr and cardinal-node do not build");
        for sibling in ["cardinal-keymgr", "cardinal-node"] {
            assert!(profile.join(sibling).exists(), "{sibling} is not next to {}", program.display());
        }
        program
    })
}

pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(Result::unwrap) {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap();
        all.extend(list.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    all
}

/// Waits, without guessing how long, until these processes are gone.
pub(crate) fn assert_gone(pids: &[u32]) {
    for pid in pids {
        let Ok(handle) = pidfd_open(Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap(), PidfdFlags::empty()) else {
            continue;
        };
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ready, 1, "process {pid} lives on");
    }
}
