//! The monotonic clock: TTLs and durations come from it, so that setting the machine's time changes neither, and what the machine slept
//! through is over when it wakes.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::net::clock::since_boot;

/// A moment: nanoseconds since about when the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time from `earlier` to this moment; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanoseconds_since(earlier))
    }

    /// As [`Self::since`], as a number.
    pub const fn nanoseconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

thread_local! {
    /// Where this thread's clock was stopped by [`stop`]; zero while it runs.
    static STOPPED_AT: Cell<u64> = const { Cell::new(0) };
    /// How far this thread's clock was moved by [`advance`].
    static AHEAD: Cell<u64> = const { Cell::new(0) };
    /// How many seconds this thread's wall clock was set ahead by [`set_wall_ahead`].
    static WALL_AHEAD: Cell<i64> = const { Cell::new(0) };
}

/// The present moment. Costs a system clock reading: the server does it once a batch and keeps it in the query.
pub fn now() -> Mono {
    let base = match STOPPED_AT.get() {
        // One second more than the machine has run, so that "long ago" can be written.
        0 => since_boot() + 1_000_000_000,
        at => at,
    };
    Mono(base + AHEAD.get())
}

/// Seconds since 1970 by the machine's clock, which may be set: only for what is dated, such as signatures.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock for the chain")]
pub fn unix_seconds() -> u64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    seconds.saturating_add_signed(WALL_AHEAD.get())
}

/// Moves the clock of this thread ahead: for tests of what happens when time passes.
pub fn advance(by: Duration) {
    AHEAD.set(AHEAD.get() + by.as_nanos() as u64);
}

/// Stops the clock of this thread for good: from now on only [`advance`] moves it. For tests that count seconds.
pub fn stop() {
    STOPPED_AT.set(since_boot() + 1_000_000_000);
}

/// Sets this thread's wall clock ahead by `seconds`, behind if they are negative: for tests of what happens when the machine's time is set.
pub fn set_wall_ahead(seconds: i64) {
    WALL_AHEAD.set(seconds);
}
