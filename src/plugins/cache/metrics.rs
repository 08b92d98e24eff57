//! The series of the cache: one set for each listener and view, found on a hit without hashing a string.

use std::sync::Arc;

use crate::chain::PerListener;
use crate::metrics::{Counter, Gauge, names};

/// Which of the two stores, as the label `type` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Positive answers and referrals.
    Success,
    /// Names and types that do not exist, and failures.
    Denial,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denial => "denial",
        }
    }
}

/// The series of one listener and view.
pub(super) struct Series {
    /// Queries looked up.
    pub(super) requests: Counter,
    hits: [Counter; 2],
    evictions: [Counter; 2],
    entries: [Gauge; 2],
    /// Queries not found.
    pub(super) misses: Counter,
    /// Refreshes started before the answer expired, or after it was served stale.
    pub(super) prefetches: Counter,
    /// Responses not kept because their question is another.
    pub(super) drops: Counter,
    /// Queries answered with an expired answer.
    pub(super) served_stale: Counter,
}

impl Series {
    fn new(server: &'static str, view: &'static str, zones: &str) -> Self {
        let of_kind = |kind: Kind| [server, kind.as_str(), zones, view];
        let both = [of_kind(Kind::Success), of_kind(Kind::Denial)];
        let all = [server, zones, view];
        Self {
            requests: names::CACHE_REQUESTS.with(all),
            hits: both.map(|labels| names::CACHE_HITS.with(labels)),
            evictions: both.map(|labels| names::CACHE_EVICTIONS.with(labels)),
            entries: both.map(|labels| names::CACHE_ENTRIES.scoped(labels)),
            misses: names::CACHE_MISSES.with(all),
            prefetches: names::CACHE_PREFETCH.with(all),
            drops: names::CACHE_DROPS.with(all),
            served_stale: names::CACHE_SERVED_STALE.with(all),
        }
    }

    /// Queries answered from that store.
    pub(super) fn hits(&self, kind: Kind) -> &Counter {
        &self.hits[kind as usize]
    }

    /// Answers that left that store to make room, by who had stored them.
    pub(super) fn evictions(&self, kind: Kind) -> &Counter {
        &self.evictions[kind as usize]
    }
}

/// All series of a cache: one set for each listener and view that asks.
pub(super) struct Metrics {
    zones: String,
    listeners: PerListener<Arc<Series>>,
}

impl Metrics {
    /// No series yet; `zones` is the label of that name.
    pub(super) const fn new(zones: String) -> Self {
        Self { zones, listeners: PerListener::new() }
    }

    /// The series for `server` and `view`, which live as long as the process ([`crate::chain::intern`]); made where they are new.
    pub(super) fn of(&self, server: &'static str, view: &'static str) -> &Arc<Series> {
        self.listeners.get(server, view, |server, view| Arc::new(Series::new(server, view, &self.zones)))
    }

    /// Sets the gauges: every listener shares the one cache.
    pub(super) fn set_entries(&self, success: u64, denial: u64) {
        for series in self.listeners.all() {
            series.entries[Kind::Success as usize].set(success as f64);
            series.entries[Kind::Denial as usize].set(denial as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_and_view_has_series_of_its_own() {
        let metrics = Metrics::new("each.test.".to_owned());
        let first = Arc::clone(metrics.of("dns://:53", ""));
        assert!(!Arc::ptr_eq(&first, metrics.of("dns://:54", "")));
        assert!(!Arc::ptr_eq(&first, metrics.of("dns://:53", "inside")));
        assert!(Arc::ptr_eq(&first, metrics.of("dns://:53", "")));
        metrics.of("dns://:54", "").hits(Kind::Denial).inc();
        metrics.set_entries(3, 4);
        let page = crate::metrics::render();
        for line in [
            r#"coredns_cache_hits_total{server="dns://:54",type="denial",zones="each.test.",view=""} 1"#,
            r#"coredns_cache_entries{server="dns://:53",type="success",zones="each.test.",view="inside"} 3"#,
            r#"coredns_cache_entries{server="dns://:54",type="denial",zones="each.test.",view=""} 4"#,
        ] {
            assert!(page.contains(line), "{line}");
        }
    }

    #[test]
    fn the_row_lists_what_is_filled() {
        use crate::metrics::Describe;
        let all: [&dyn Describe; 8] = [
            &names::CACHE_ENTRIES,
            &names::CACHE_HITS,
            &names::CACHE_EVICTIONS,
            &names::CACHE_REQUESTS,
            &names::CACHE_MISSES,
            &names::CACHE_PREFETCH,
            &names::CACHE_DROPS,
            &names::CACHE_SERVED_STALE,
        ];
        assert_eq!(all.map(Describe::name), crate::plugins::cache::SPEC.metrics);
    }
}
