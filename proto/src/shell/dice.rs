//! The dice: the operating system's.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The operating system's random numbers.
///
/// Linux answers from a generator that cannot fail once it is seeded; a system without one can run none of our
/// programs, so failure is a panic.
pub type Dice = UnwrapErr<SysRng>;

/// Returns the dice.
#[must_use]
pub const fn dice() -> Dice {
    UnwrapErr(SysRng)
}
