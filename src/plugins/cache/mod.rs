#![doc = include_str!("README.md")]

mod alias;
mod config;
mod entry;
mod front;
mod key;
mod metrics;
mod number;
mod refresh;
mod store;
mod ttl;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use config::{CacheConfig, StaleMode};
use entry::{Entry, Facts};
use front::Front;
use key::KeyRef;
use metrics::{Kind, Metrics, Series};
use number::Number;
use store::{Hit, Policy, Stores};
use ttl::Examined;

use crate::chain::{Ahead, Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step, clock};
use crate::config::Diagnostic;
use crate::metrics::{ScrapeHook, before_scrape};
use crate::wire::{Flags, patch};

/// The plugin's row.
pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "cache",
    summary: "keeps answers for as long as they may be kept, and serves them again",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &[
        "coredns_cache_entries",
        "coredns_cache_hits_total",
        "coredns_cache_evictions_total",
        "coredns_cache_requests_total",
        "coredns_cache_misses_total",
        "coredns_cache_prefetch_total",
        "coredns_cache_drops_total",
        "coredns_cache_served_stale_total",
    ],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let directive = setup.directives[0];
    let config = CacheConfig::read(directive, |words| setup.origins(words))?;
    let mark = setup.mark()?;
    Ok(vec![Arc::new(Cache::new(config, mark))])
}

/// The handler.
struct Cache {
    shared: Arc<Shared>,
    /// Where a query remembers what was done to it.
    mark: usize,
    _entries: ScrapeHook,
}

/// What tasks that outlive a query hold too.
struct Shared {
    /// Where each thread finds its front of this cache.
    number: Number,
    config: CacheConfig,
    stores: Stores,
    metrics: Metrics,
    /// Refreshes under way.
    refreshes: AtomicUsize,
}

/// The query was looked up in vain, and its response is to be looked at.
const MISSED: u64 = 1;
/// From this bit on a mark holds the query's flags. What is made of them for or by plugins below stays below, as in CoreDNS, whose cache hands a copy
/// of the query down.
const FLAGS_AT: u32 = 16;

impl Cache {
    fn new(config: CacheConfig, mark: usize) -> Self {
        let policy = Policy {
            stale_up_to: config.stale_up_to(),
            prefer_positive: config.stale.as_ref().is_some_and(|stale| stale.prefer_positive),
        };
        let shared = Arc::new(Shared {
            number: Number::new(),
            stores: Stores::new(config.success.capacity, config.denial.capacity, policy),
            metrics: Metrics::new(config.zones_label.clone()),
            refreshes: AtomicUsize::new(0),
            config,
        });
        let counted = Arc::clone(&shared);
        let entries = before_scrape(move || {
            let (success, denial) = counted.stores.count();
            counted.metrics.set_entries(success, denial);
        });
        Self { shared, mark, _entries: entries }
    }
}

impl Plugin for Cache {
    fn on_query(&self, cx: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        let flags = query.flags();
        let passed = u64::from(flags.0) << FLAGS_AT;
        query.set_mark(self.mark, passed);
        let shared = &self.shared;
        if !shared.config.covers(query.name()) || ttl::is_meta(query) {
            return Step::Next;
        }
        let series = shared.metrics.of(query.labels.server, query.labels.view);
        series.requests.inc();
        let step = Front::with(shared, |front| {
            let hit = front.get(&KeyRef::of(query), query.now, &shared.stores)?;
            Some(shared.answer(cx, query, response, hit, series))
        });
        if let Some(step) = step.flatten() {
            return step;
        }
        let Some(found) = shared.stores.find(&KeyRef::of(query), query.now) else {
            series.misses.inc();
            Front::with(shared, Front::note_miss);
            query.set_mark(self.mark, passed | MISSED);
            // What comes back is for clients that ask for AD too.
            query.set_flags(flags.with(Flags::AD, true));
            return Step::Next;
        };
        Front::put(shared, &KeyRef::of(query), &found.entry);
        shared.answer(cx, query, response, found.as_hit(), series)
    }

    fn on_response(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) {
        let mark = query.mark(self.mark);
        query.set_flags(Flags((mark >> FLAGS_AT) as u16));
        if mark & MISSED == 0 {
            return;
        }
        let shared = &self.shared;
        if let Some(examined) = shared.examine(query, response) {
            let series = shared.metrics.of(query.labels.server, query.labels.view);
            let wildcard = query.metadata().and_then(|labels| labels.get(WILDCARD));
            shared.settle(query, response, &examined, series, wildcard);
        }
        if response.is_written() {
            refresh::clear_unwanted_ad(query, response);
        }
    }

    fn sees_responses(&self) -> bool {
        true
    }

    fn look_ahead(&self, query: &Query, ahead: Ahead) {
        Front::with(&self.shared, |front| front.look_ahead(&KeyRef::of(query), ahead));
    }

    fn looks_ahead(&self) -> bool {
        true
    }
}

/// The label that says which wildcard an answer was made of.
const WILDCARD: &str = "zone/wildcard";

impl Shared {
    /// Answers from an entry, and has it refreshed where that is due.
    fn answer(
        self: &Arc<Self>,
        cx: &Cx<'_>,
        query: &mut Query,
        response: &mut Response,
        Hit { entry, ttl }: Hit<'_>,
        series: &Arc<Series>,
    ) -> Step {
        series.hits(entry.kind).inc();
        if let Some(wildcard) = entry.wildcard()
            && let Some(labels) = query.metadata_mut()
        {
            labels.set(WILDCARD, wildcard.to_owned());
        }
        let ttl = match (u32::try_from(ttl), &self.config.stale) {
            (Ok(ttl @ 1..), _) => {
                self.prefetch(cx, query, entry, ttl, series);
                if self.config.keep_ttl { entry.lifetime() } else { ttl }
            }
            (_, None) => 0,
            (_, Some(stale)) => {
                match stale.mode {
                    StaleMode::Immediate => self.refresh_later(cx, query, entry, series, Some(stale)),
                    StaleMode::Verify { timeout } => {
                        if let Some(later) = self.verify(cx, query, entry, series, stale, timeout) {
                            return Step::Later(later);
                        }
                    }
                }
                series.served_stale.inc();
                self.stale_ttl_of(entry)
            }
        };
        entry.write_to(query, ttl, response);
        Step::Respond
    }

    /// Counts a hit of a fresh entry, and has it refreshed if it is popular and soon to expire.
    fn prefetch(
        self: &Arc<Self>,
        cx: &Cx<'_>,
        query: &Query,
        entry: &Arc<Entry>,
        ttl: u32,
        series: &Arc<Series>,
    ) {
        let Some(prefetch) = &self.config.prefetch else { return };
        let hits = entry.hit(query.now, prefetch.gap);
        let last_part = (u64::from(entry.lifetime()) * u64::from(prefetch.percent)).div_ceil(100);
        if hits >= prefetch.amount && u64::from(ttl) <= last_part {
            self.refresh_later(cx, query, entry, series, None);
        }
    }

    /// The TTL to send of an entry that is expired.
    fn stale_ttl_of(&self, entry: &Entry) -> u32 {
        match self.config.stale.as_ref().map_or(0, |stale| stale.ttl) {
            0 if self.config.keep_ttl => entry.lifetime(),
            ttl => ttl,
        }
    }

    /// Looks through a response; `None`: there is none, or it is not understood and passes untouched.
    fn examine(&self, query: &Query, response: &Response) -> Option<Examined> {
        if !response.is_written() {
            return None;
        }
        ttl::examine(response.wire(), response.rcode()?, query, unix_time).ok()
    }

    /// Gives all records of a response its lifetime as TTL, so that no answer's TTL is less than one before, takes away what was between the
    /// server and its upstream alone (the OPT record's options), and keeps it if it is to be kept.
    fn settle(
        &self,
        query: &Query,
        response: &mut Response,
        examined: &Examined,
        series: &Arc<Series>,
        wildcard: Option<&str>,
    ) -> Option<Arc<Entry>> {
        let lifetime = examined.lifetime(&self.config);
        patch::set_ttls(response.wire_mut(), &examined.ttl_offsets, lifetime);
        response.set_options(None);
        response.measure();
        if !examined.keepable || lifetime == 0 {
            return None;
        }
        if !examined.fits {
            series.drops.inc();
            return None;
        }
        let kind = examined.store();
        let store = match kind {
            Kind::Success => &self.config.success,
            Kind::Denial => &self.config.denial,
        };
        if store.is_disabled_for(query.name()) {
            return None;
        }
        let key = KeyRef::of(query);
        let facts = Facts { kind, answers: examined.answers, lifetime, stored: clock::now(), wildcard };
        let entry = Entry::new(&key, response, &examined.ttl_offsets, facts, Arc::clone(series))?;
        Some(self.stores.keep(key, entry))
    }
}

/// The wall clock, for the dates of signatures alone: seconds since 1970, modulo 2^32 (RFC 4034 3.1.5).
fn unix_time() -> u32 {
    clock::unix_seconds() as u32
}
