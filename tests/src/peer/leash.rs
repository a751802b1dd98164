//! What holds a process group that we started, so that it can be ended from elsewhere too.
//!
//! The invariant: the group is never signalled once its leader has been reaped, because its number may then be another's.

use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// A hold on the process group of a program. All copies hold the same.
#[derive(Debug, Clone)]
pub struct Leash(Arc<Mutex<Hold>>);

#[derive(Debug)]
enum Hold {
    Running(Child),
    Reaped(ExitStatus),
    /// The kernel did not say how it ended.
    Lost,
}

impl Leash {
    /// Holds a program that was started as the leader of a process group.
    #[must_use]
    pub fn new(child: Child) -> Self {
        Self(Arc::new(Mutex::new(Hold::Running(child))))
    }

    /// Ends the program and all that it started, if that has not happened yet, and returns how it ended.
    pub fn pull(&self) -> Option<ExitStatus> {
        let mut hold = self.lock();
        if let Hold::Running(child) = &mut *hold {
            // Either it is there, or it is a zombie that only we can reap: the number is its own.
            let _gone = kill_process_group(Pid::from_child(child), Signal::KILL);
            *hold = child.wait().map_or(Hold::Lost, Hold::Reaped);
        }
        match *hold {
            Hold::Reaped(status) => Some(status),
            Hold::Running(_) | Hold::Lost => None,
        }
    }

    /// Waits until the program has ended by itself; says whether it has.
    #[must_use]
    pub fn wait(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while !self.has_ended() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(TICK);
        }
        true
    }

    fn has_ended(&self) -> bool {
        let Hold::Running(child) = &*self.lock() else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // It stays a zombie, so that its group can be ended before its number is given away.
        waitid(WaitId::Pid(Pid::from_child(child)), options).map_or(true, |ended| ended.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between two looks at a program that is ending.
const TICK: Duration = Duration::from_millis(2);
