//! `max_concurrent`: how many queries may be on their way at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chain::Failure;

/// The limit of one `forward`, shared by all workers.
#[derive(Debug)]
pub(super) struct Limit {
    /// Zero for no limit.
    max: u64,
    in_flight: AtomicU64,
}

/// A query that counts; it no longer does when this is dropped.
#[derive(Debug)]
pub(super) struct Ticket(Option<Arc<Limit>>);

impl Limit {
    pub(super) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { max, in_flight: AtomicU64::new(0) })
    }

    /// Counts a query.
    ///
    /// # Errors
    /// CoreDNS's words for one too many.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Ticket, Failure> {
        if self.max == 0 {
            return Ok(Ticket(None));
        }
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::new(format!("concurrent queries exceeded maximum {}", self.max)));
        }
        Ok(Ticket(Some(Arc::clone(self))))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(limit) = &self.0 {
            limit.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_refused_until_another_is_over() {
        let limit = Limit::new(2);
        let first = limit.enter().unwrap();
        let _second = limit.enter().unwrap();
        let refused = limit.enter().unwrap_err();
        assert_eq!(refused.to_string(), "concurrent queries exceeded maximum 2");
        drop(first);
        assert!(limit.enter().is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = Limit::new(0);
        let all: Vec<Ticket> = (0..10_000).map(|_| limit.enter().unwrap()).collect();
        assert_eq!(all.len(), 10_000);
    }
}
