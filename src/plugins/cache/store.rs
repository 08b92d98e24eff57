//! The two stores, and which of them answers.
//!
//! CoreDNS looks among the denials first. Nearly all hits are positive, so here the positive answers come first, and what is stored sees to it
//! that the outcome is the same: a denial that arrives while a positive answer is kept casts a shadow over it for as long as it counts
//! itself, and a positive answer that arrives removes the denial. SERVFAIL casts no shadow: a failure never hides an answer.
//!
//! **Room.** CoreDNS counts answers; their number is the capacity here too, but an answer of more than [`UNIT_BYTES`] counts as several, so
//! that memory is bounded, by capacity times the unit and about as much again for the tables around it. Which answers stay is
//! decided by how often they were asked for (TinyLFU): a flood of names that nobody asks for again does not displace the others. Answers leave
//! when they can no longer be served.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use moka::notification::RemovalCause;

use super::entry::Entry;
use super::key::{Key, KeyRef, Prehashed};
use super::metrics::Kind;
use crate::chain::Mono;
use crate::wire::Rcode;

/// Bytes of an answer that count as one of the capacity.
pub(super) const UNIT_BYTES: usize = 512;

type Table = moka::sync::Cache<Key, Arc<Entry>, Prehashed>;

/// Positive answers and denials. Knows nothing of the rest of the configuration but what is said to [`Stores::new`], so that it could
/// outlive an instance.
pub(super) struct Stores {
    success: Store,
    denial: Store,
    policy: Policy,
}

/// A table that is made when the first answer is kept: empty it takes 40 KiB, and of a thousand blocks few may be asked.
struct Store {
    table: OnceLock<Table>,
    kind: Kind,
    capacity: u64,
    policy: Policy,
}

impl Store {
    const fn new(kind: Kind, capacity: u64, policy: Policy) -> Self {
        Self { table: OnceLock::new(), kind, capacity, policy }
    }

    fn get(&self, key: &KeyRef<'_>) -> Option<Arc<Entry>> {
        self.table.get()?.get(key)
    }

    fn insert(&self, key: Key, entry: Arc<Entry>) {
        self.table.get_or_init(|| table(self.kind, self.capacity, self.policy)).insert(key, entry);
    }

    fn invalidate(&self, key: &KeyRef<'_>) {
        if let Some(table) = self.table.get() {
            table.invalidate(key);
        }
    }

    /// Puts the table in order, and says how many answers it has.
    fn count(&self) -> u64 {
        let Some(table) = self.table.get() else { return 0 };
        table.run_pending_tasks();
        table.entry_count()
    }
}

/// What of the configuration decides which answer counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// How long after its expiry an answer may be served, seconds.
    pub(super) stale_up_to: u32,
    /// Whether a positive answer wins over a newer denial.
    pub(super) prefer_positive: bool,
}

/// An answer that was found.
pub(super) struct Found {
    pub(super) entry: Arc<Entry>,
    ttl: i64,
}

/// An answer that counts.
#[derive(Clone, Copy)]
pub(super) struct Hit<'a> {
    pub(super) entry: &'a Arc<Entry>,
    /// Seconds the entry is still fresh; zero or less: it is stale, but may be served.
    pub(super) ttl: i64,
}

impl Found {
    /// The same, by reference.
    pub(super) const fn as_hit(&self) -> Hit<'_> {
        Hit { entry: &self.entry, ttl: self.ttl }
    }
}

impl Policy {
    /// `entry` if it may be served at `now`.
    #[inline]
    pub(super) fn serve(self, entry: &Arc<Entry>, now: Mono) -> Option<Hit<'_>> {
        let ttl = entry.ttl(now);
        (ttl > -i64::from(self.stale_up_to)).then_some(Hit { entry, ttl })
    }
}

impl Stores {
    /// Stores with room for so many answers of ordinary size.
    pub(super) fn new(success_capacity: u64, denial_capacity: u64, policy: Policy) -> Self {
        Self {
            success: Store::new(Kind::Success, success_capacity, policy),
            denial: Store::new(Kind::Denial, denial_capacity, policy),
            policy,
        }
    }

    /// The answer to `key` that counts at `now`.
    pub(super) fn find(&self, key: &KeyRef<'_>, now: Mono) -> Option<Found> {
        let serve = |entry: &Arc<Entry>| {
            let ttl = self.policy.serve(entry, now)?.ttl;
            Some(Found { entry: Arc::clone(entry), ttl })
        };
        let positive = self.success.get(key);
        if let Some(entry) = &positive {
            if self.policy.prefer_positive {
                let good = if entry.answers { Some(entry) } else { entry.last_good.as_ref() };
                if let Some(found) = good.and_then(serve) {
                    return Some(found);
                }
            } else if !entry.is_shadowed(now)
                && let Some(found) = serve(entry)
            {
                return Some(found);
            }
        }
        let positive = || serve(positive.as_ref()?);
        match self.denial.get(key).and_then(|entry| serve(&entry)) {
            Some(denial) if denial.entry.rcode() == Rcode::SERVFAIL => positive().or(Some(denial)),
            Some(denial) => Some(denial),
            None => positive(),
        }
    }

    /// Lets the table know that an answer of it, to `key`, was served from elsewhere.
    pub(super) fn touch(&self, key: &KeyRef<'_>, kind: Kind) {
        match kind {
            Kind::Success => self.success.get(key),
            Kind::Denial => self.denial.get(key),
        };
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, key: KeyRef<'_>, entry: Entry) -> Arc<Entry> {
        match entry.kind {
            Kind::Success => self.keep_positive(key, entry),
            Kind::Denial => self.keep_denial(key, entry),
        }
    }

    /// What of the configuration decides which answer counts.
    pub(super) const fn policy(&self) -> Policy {
        self.policy
    }

    /// Answers of ordinary size that there is room for in each store, or in the smaller one.
    pub(super) fn capacity(&self) -> u64 {
        self.success.capacity.min(self.denial.capacity)
    }

    /// Keeps a positive answer, and forgets the denial if it takes its place.
    fn keep_positive(&self, key: KeyRef<'_>, mut entry: Entry) -> Arc<Entry> {
        if self.policy.prefer_positive && !entry.answers {
            entry.last_good = self.success.get(&key).and_then(|previous| {
                if previous.answers { Some(previous) } else { previous.last_good.clone() }
            });
        } else {
            self.denial.invalidate(&key);
        }
        let entry = Arc::new(entry);
        self.success.insert(key.to_key(), Arc::clone(&entry));
        entry
    }

    /// Keeps a denial or a failure.
    fn keep_denial(&self, key: KeyRef<'_>, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.denial.insert(key.to_key(), Arc::clone(&entry));
        if entry.rcode() != Rcode::SERVFAIL
            && let Some(positive) = self.success.get(&key)
        {
            positive.shadow(entry.stored() + served_for(&entry, self.policy));
        }
        entry
    }

    /// How many answers are kept, of each kind. Not for a worker: puts the tables in order first.
    pub(super) fn count(&self) -> (u64, u64) {
        (self.success.count(), self.denial.count())
    }
}

/// How long after it was stored `entry` may be served, its last good answer not counted.
fn served_for(entry: &Entry, policy: Policy) -> Duration {
    Duration::from_secs(u64::from(entry.lifetime()) + u64::from(policy.stale_up_to))
}

fn table(kind: Kind, capacity: u64, policy: Policy) -> Table {
    moka::sync::Cache::builder()
        .max_capacity(capacity)
        .weigher(|key: &Key, entry: &Arc<Entry>| units(key.name_len() + entry.bytes_len()))
        .expire_after(Expiry(policy))
        .eviction_listener(move |_, entry: Arc<Entry>, cause| {
            // Called for each entry that leaves, whatever the cause: the fronts are told.
            entry.retire();
            if cause == RemovalCause::Size {
                entry.series.evictions(kind).inc();
            }
        })
        .build_with_hasher(Prehashed)
}

/// What an entry of so many bytes counts.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).max(1)
}

/// When an entry leaves by itself: when it can no longer be served. The tables use a clock of their own, which runs like ours.
struct Expiry(Policy);

impl Expiry {
    fn remaining(&self, entry: &Entry) -> Option<Duration> {
        let own = served_for(entry, self.0);
        let good = entry.last_good.as_ref().map_or(Duration::ZERO, |good| {
            let end = good.stored() + served_for(good, self.0);
            end.since(entry.stored())
        });
        Some(own.max(good))
    }
}

impl moka::Expiry<Key, Arc<Entry>> for Expiry {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        self.remaining(entry)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Arc<Entry>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.remaining(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_answer_counts_one() {
        for (bytes, count) in [(0, 1), (40, 1), (512, 1), (513, 2), (65_535 + 512, 129)] {
            assert_eq!(units(bytes), count, "{bytes} bytes");
        }
    }
}
