//! Seccomp: which system calls are refused, with `EPERM`, in every thread.
//!
//! A list of what is denied, on top of which the service's unit lists what is allowed: the manager also runs outside of a
//! unit, with whatever libraries the system has.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// Why system calls are not restricted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unrestricted {
    #[error("no filter for this processor: {0}")]
    Filter(#[from] BackendError),
    #[error("the kernel does not take it: {0}")]
    Kernel(#[from] seccompiler::Error),
}

/// Restricts every thread of this process.
pub(super) fn restrict() -> Result<(), Unrestricted> {
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    apply(rules()?, denied)?;
    // Its flags are behind a pointer that no filter can follow; the C library falls back to clone, whose flags are seen.
    apply(everywhere([libc::SYS_clone3]), SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))
}

fn apply(rules: BTreeMap<i64, Vec<SeccompRule>>, denied: SeccompAction) -> Result<(), Unrestricted> {
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter_all_threads(&program)?)
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules = everywhere(DENIED.iter().copied());
    let local = u64::from(libc::AF_UNIX.unsigned_abs());
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let masked = SeccompCmpOp::MaskedEq(thread);
    let some = [
        // The domain of a socket.
        (libc::SYS_socket, SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, local)?),
        // A thread is started, another process is not.
        (libc::SYS_clone, SeccompCondition::new(0, SeccompCmpArgLen::Dword, masked, 0)?),
    ];
    for (call, condition) in some {
        let rule = SeccompRule::new(vec![condition])?;
        for number in numbers(call) {
            rules.insert(number, vec![rule.clone()]);
        }
    }
    Ok(rules)
}

fn everywhere(calls: impl IntoIterator<Item = i64>) -> BTreeMap<i64, Vec<SeccompRule>> {
    calls.into_iter().flat_map(numbers).map(|number| (number, Vec::new())).collect()
}

/// Returns the numbers of a system call: x86-64 has a second table, for programs with short pointers, that the kernel tells
/// by a bit of the number.
fn numbers(call: i64) -> impl Iterator<Item = i64> {
    [Some(call), cfg!(target_arch = "x86_64").then_some(call | X32)].into_iter().flatten()
}

const X32: i64 = 0x4000_0000;

/// What is denied whatever its arguments.
#[rustfmt::skip]
const DENIED: &[i64] = &[
    // Another program.
    libc::SYS_execve, libc::SYS_execveat,
    // A look into other processes, or a hand in them.
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_pidfd_getfd, libc::SYS_kcmp,
    libc::SYS_process_madvise,
    // A way around this filter: it does what system calls do.
    libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register,
    // Parts of the kernel that a manager of cards has nothing to do with, and where its bugs are found.
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_add_key, libc::SYS_request_key,
    libc::SYS_keyctl, libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root,
    libc::SYS_chroot, libc::SYS_open_tree, libc::SYS_move_mount, libc::SYS_fsopen, libc::SYS_open_by_handle_at,
    libc::SYS_kexec_load, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_reboot,
    libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_adjtimex,
    libc::SYS_personality, libc::SYS_quotactl, libc::SYS_acct,
    #[cfg(target_arch = "x86_64")] libc::SYS_fork,
    #[cfg(target_arch = "x86_64")] libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")] libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")] libc::SYS_ioperm,
    // The numbers that these have in the second table of x86-64 (`X32` is added to them).
    #[cfg(target_arch = "x86_64")] 520, // execve
    #[cfg(target_arch = "x86_64")] 545, // execveat
    #[cfg(target_arch = "x86_64")] 521, // ptrace
    #[cfg(target_arch = "x86_64")] 539, // process_vm_readv
    #[cfg(target_arch = "x86_64")] 540, // process_vm_writev
];
