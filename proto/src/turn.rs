//! What a protocol machine is lent for one call.

use rand_core::CryptoRng;

use crate::time::{Instant, UnixMillis};

/// Both clocks and the dice, lent to a machine for one call of its `handle`.
///
/// Every machine of `wire` and `chat` has the same shape: `handle(&mut self, &mut Turn, Input)` never fails, blocks or
/// sends; `poll(&mut self) -> Option<Output>` is drained to `None` after each `handle`, in order; `wake_at(&self)` says
/// by when `handle(Input::Tick)` is due.
pub struct Turn<'a> {
    /// The monotonic clock, for timers.
    pub now: Instant,
    /// The wall clock, for what goes on the wire.
    pub unix: UnixMillis,
    /// The dice.
    pub rng: &'a mut dyn CryptoRng,
}
