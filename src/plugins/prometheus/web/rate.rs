//! How often requests are let through: a token bucket, as Go's.

use std::time::Duration;

use crate::chain::Mono;

/// A rate: one request each `interval`, and `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// More than zero.
    pub(super) interval: Duration,
    /// Zero lets nothing through.
    pub(super) burst: u32,
}

/// What is left of a rate; full at first.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    rate: Option<Rate>,
    /// Time that has been saved up: each `interval` of it is a request.
    saved: Duration,
    at: Mono,
}

impl Bucket {
    /// Whether one more request at `now` is within `rate`, and takes it if so.
    pub(super) fn take(&mut self, rate: Rate, now: Mono) -> bool {
        let most = rate.interval.saturating_mul(rate.burst);
        if self.rate != Some(rate) {
            *self = Self { rate: Some(rate), saved: most, at: now };
        }
        self.saved = self.saved.saturating_add(now.since(self.at)).min(most);
        self.at = now;
        let left = self.saved.checked_sub(rate.interval);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}
