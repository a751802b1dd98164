//! The dice: the operating system's.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The operating system's random numbers, as the machines want them.
///
/// Linux answers from a generator that cannot fail once it is seeded; a system without one cannot run a node, so
/// failure is a panic.
pub type Dice = UnwrapErr<SysRng>;

/// Returns the dice.
#[must_use]
pub const fn dice() -> Dice {
    UnwrapErr(SysRng)
}
