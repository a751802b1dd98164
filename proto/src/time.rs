//! Points in time, each with its unit. This is the one file that converts between them.

use std::time::Duration;

/// A reading of the monotonic clock: time since an arbitrary beginning that the shell chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// Returns the instant that lies `since_start` after the clock's beginning.
    #[must_use]
    pub const fn from_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Returns the time since the clock's beginning.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Returns the instant `later` after this one; the far end of time when it would overflow.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// Returns how long ago `earlier` was; nothing when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

macro_rules! unix {
    ($name:ident, $doc:expr) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u64);

        impl $name {
            /// Returns this count since 1970 as a point in time.
            #[must_use]
            pub const fn new(count: u64) -> Self {
                Self(count)
            }

            /// Returns the count since 1970.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }
    };
}

unix!(UnixSecs, "Seconds since 1970 UTC: envelope expiry, MVDS.");
unix!(UnixMillis, "Milliseconds since 1970 UTC: the wall clock, chat clocks.");

impl UnixMillis {
    /// Returns the whole seconds, rounded down.
    #[must_use]
    pub const fn to_secs(self) -> UnixSecs {
        UnixSecs(self.0 / 1000)
    }

    /// Returns the point `later` after this one, saturating.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl UnixSecs {
    /// Returns the same point in milliseconds, saturating.
    #[must_use]
    pub const fn to_millis(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(1000))
    }
}
