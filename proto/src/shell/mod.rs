//! What the programs share on their way to the operating system: files, folders, locks, dice, the wall clock, and the
//! privacy of their memory.
//!
//! Packages without input and output of their own never turn the feature `shell` on.

pub mod clock;
mod dice;
pub mod file;
pub mod folder;
pub mod lock;
pub mod memory;
#[cfg(feature = "rpc")]
pub mod stop;

pub use dice::{Dice, dice};
pub use lock::{Lock, LockError};
#[cfg(feature = "rpc")]
pub use stop::Stop;
