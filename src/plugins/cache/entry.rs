//! One answer as it is kept: encoded, so that to serve it is to copy and patch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::key::{KeyRef, Rest};
use super::metrics::{Kind, Series};
use crate::chain::{Mono, Query, Response};
use crate::wire::{Flags, HEADER_LEN, compose, header, patch};

/// An answer in a store. What changes while it is kept are numbers that are their own truth, so relaxed atomics do.
pub(super) struct Entry {
    /// The message without OPT record, its TTLs the lifetime, its question in lower case; behind it the offsets of the TTLs, two bytes
    /// each, so that one piece of memory is read.
    bytes: Box<[u8]>,
    message_len: u32,
    /// The message's size with all names written out, bytes.
    uncompressed: u32,
    /// What of its key is not the name.
    rest: Rest,
    /// AA, RA, AD and the code of every answer made of it.
    flags: Flags,
    /// The store it is in.
    pub(super) kind: Kind,
    /// Whether it answers the question, rather than saying anything else.
    pub(super) answers: bool,
    /// Whether it has left its store.
    retired: AtomicBool,
    /// Whether a refresh is under way.
    refreshing: AtomicBool,
    /// Seconds it is fresh, 1 or more.
    lifetime: u32,
    /// Since when.
    stored: Mono,
    /// A denial that is newer than this positive answer counts until then, see [`super::store`].
    shadowed_until: AtomicU64,
    /// The wildcard that it was made of, for the `zone/wildcard` label.
    pub(super) wildcard: Option<Box<str>>,
    /// The last answer that did answer the question, if this one took its place and does not.
    pub(super) last_good: Option<Arc<Self>>,
    /// Where its eviction is counted.
    pub(super) series: Arc<Series>,
    /// No refresh before, because the last one failed.
    retry_at: AtomicU64,
    /// Hits without a gap, for prefetching.
    hits: AtomicU32,
    last_hit: AtomicU64,
}

/// What [`Entry::new`] needs to know beside the response.
pub(super) struct Facts {
    /// The store it is for.
    pub(super) kind: Kind,
    /// See [`Entry::answers`].
    pub(super) answers: bool,
    /// Seconds it is fresh, 1 or more.
    pub(super) lifetime: u32,
    /// Since when.
    pub(super) stored: Mono,
}

impl Entry {
    /// Keeps `response` to the question of `key`; its TTLs at `ttl_offsets` are set to the lifetime already.
    pub(super) fn new(
        key: &KeyRef<'_>,
        response: &Response,
        ttl_offsets: &[u16],
        facts: Facts,
        series: Arc<Series>,
    ) -> Self {
        let message = response.wire();
        let mut bytes = Vec::with_capacity(message.len() + 2 * ttl_offsets.len());
        bytes.extend_from_slice(message);
        if let Some(name) = bytes.get_mut(HEADER_LEN..HEADER_LEN + key.name().len()) {
            name.copy_from_slice(key.name());
        }
        bytes.extend(ttl_offsets.iter().flat_map(|offset| offset.to_ne_bytes()));
        let kept = Flags::RA | Flags::AD | 15;
        Self {
            bytes: bytes.into(),
            message_len: message.len() as u32,
            uncompressed: response.uncompressed_size() as u32,
            // Some stub resolvers throw away what is not authoritative, so CoreDNS says AA of everything it has kept.
            flags: Flags(response.flags().0 & kept | Flags::AA),
            rest: key.rest(),
            kind: facts.kind,
            answers: facts.answers,
            retired: AtomicBool::new(false),
            refreshing: AtomicBool::new(false),
            lifetime: facts.lifetime,
            stored: facts.stored,
            shadowed_until: AtomicU64::new(0),
            wildcard: None,
            last_good: None,
            series,
            retry_at: AtomicU64::new(0),
            hits: AtomicU32::new(0),
            last_hit: AtomicU64::new(0),
        }
    }

    /// True if it is the answer to `key`.
    #[inline]
    pub(super) fn is_of(&self, key: &KeyRef<'_>) -> bool {
        let name = key.name();
        self.rest == key.rest() && self.bytes.get(HEADER_LEN..HEADER_LEN + name.len()) == Some(name)
    }

    /// Its store has it no longer: nobody may serve it any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    /// True after [`Self::retire`].
    #[inline]
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Seconds it is fresh for at `now`; zero or less: so long expired. The last second counts as a whole one.
    #[inline]
    pub(super) const fn ttl(&self, now: Mono) -> i64 {
        self.lifetime as i64 - now.since(self.stored).as_secs() as i64
    }

    /// Seconds it is fresh for in all.
    pub(super) const fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// Since when.
    pub(super) const fn stored(&self) -> Mono {
        self.stored
    }

    /// The code of the answers made of it.
    pub(super) const fn rcode(&self) -> crate::wire::Rcode {
        self.flags.rcode()
    }

    /// Bytes that it occupies beside its fixed size.
    pub(super) fn bytes_len(&self) -> usize {
        self.bytes.len() + self.last_good.as_ref().map_or(0, |good| good.bytes_len())
    }

    /// Writes the answer to `query`, whose question this entry is of; all records get `ttl`.
    pub(super) fn write_to(&self, query: &Query, ttl: u32, response: &mut Response) {
        let (message, offsets) = self.bytes.split_at(self.message_len as usize);
        response.set_encoded(message, self.uncompressed);
        let authentic_wanted = query.dnssec_ok() || query.flags().has(Flags::AD);
        let asked = compose::reply_flags(query.flags());
        let flags =
            Flags(asked.0 | self.flags.0).with(Flags::AD, authentic_wanted && self.flags.has(Flags::AD));
        let wire = response.wire_mut();
        header::set_id(wire, query.id());
        flags.write(wire);
        patch::copy_question_case(wire, query.wire(), query.question_end());
        if ttl != self.lifetime {
            for offset in offsets.as_chunks().0 {
                let at = usize::from(u16::from_ne_bytes(*offset));
                if let Some(place) = wire.get_mut(at..at + 4) {
                    place.copy_from_slice(&ttl.to_be_bytes());
                }
            }
        }
    }

    /// True if a newer denial counts rather than this positive answer.
    #[inline]
    pub(super) fn is_shadowed(&self, now: Mono) -> bool {
        now.0 < self.shadowed_until.load(Relaxed)
    }

    /// Lets a newer denial count until `until`.
    pub(super) fn shadow(&self, until: Mono) {
        self.shadowed_until.store(until.0, Relaxed);
    }

    /// Counts a hit and returns how many there were without a gap of more than `gap`.
    pub(super) fn hit(&self, now: Mono, gap: Duration) -> u32 {
        // Two workers at once may lose a hit: it is a measure of popularity, not a count.
        let last = Mono(self.last_hit.swap(now.0, Relaxed));
        let hits = if last < now - gap { 1 } else { self.hits.load(Relaxed).saturating_add(1) };
        self.hits.store(hits, Relaxed);
        hits
    }

    /// Takes over the popularity of the answer that this one replaces.
    pub(super) fn inherit_hits(&self, from: &Self, now: Mono) {
        self.hits.store(from.hits.load(Relaxed), Relaxed);
        self.last_hit.store(now.0, Relaxed);
    }

    /// True if the caller is to refresh it, and to say [`Self::end_refresh`] then: nobody else does, and with a `recheck` the last failure
    /// is so long ago.
    pub(super) fn begin_refresh(&self, now: Mono, recheck: Duration) -> bool {
        if !recheck.is_zero() && now.0 < self.retry_at.load(Relaxed) {
            return false;
        }
        // Acquire, with the Release below: who may refresh sees the retry time that the last one left.
        use std::sync::atomic::Ordering::Acquire;
        self.refreshing.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    /// A refresh has ended, well if `refreshed`.
    pub(super) fn end_refresh(&self, now: Mono, recheck: Duration, refreshed: bool) {
        let retry_at = if refreshed || recheck.is_zero() { Mono(0) } else { now + recheck };
        self.retry_at.store(retry_at.0, Relaxed);
        self.refreshing.store(false, std::sync::atomic::Ordering::Release);
    }
}
