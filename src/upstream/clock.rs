//! The clock of deadlines.

use std::time::Instant;

/// The present moment by the clock of the runtime's timers, so that whoever stops or moves that one in a test moves deadlines with it. It
/// stands still while the machine sleeps (`CLOCK_MONOTONIC`): what was sent before gets the rest of its time after.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
