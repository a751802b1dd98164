//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::UnixMillis;

/// Returns what the wall clock shows; 1970 when it is set to before that.
#[must_use]
pub fn unix() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
