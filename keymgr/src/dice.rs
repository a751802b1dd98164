//! The dice: the operating system's.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// Returns the operating system's random numbers.
///
/// Linux answers from a generator that cannot fail once it is seeded; a system without one cannot run a key manager, so
/// failure is a panic.
#[must_use]
pub(crate) const fn dice() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
