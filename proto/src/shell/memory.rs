//! The memory of a process that holds keys.

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Keeps this process's memory out of core files and away from debuggers of the same user.
///
/// # Errors
/// The system's; some of it may have been done.
pub fn keep_private() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Keeps all of this process's memory, what it has and what it gets, out of the swap. Pages are locked when they are first
/// used, so that this costs no memory.
///
/// It is done only without a bound on locked memory: with one, a thread's stack or a larger buffer could not be had later on.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] when `RLIMIT_MEMLOCK` bounds it, else the system's.
pub fn lock_all() -> io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    if limit.current.is_some() {
        let raised = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
        if raised.is_err() {
            let allowed = limit.maximum.unwrap_or_default();
            let message =
                format!("RLIMIT_MEMLOCK allows {allowed} bytes only; set it to infinity (LimitMEMLOCK=infinity)");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_private_process_leaves_no_core_and_cannot_be_attached_to() {
        keep_private().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}
