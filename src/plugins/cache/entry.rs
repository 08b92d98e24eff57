//! One answer as it is kept: encoded, so that to serve it is to copy and patch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::key::{KeyRef, Rest};
use super::metrics::{Kind, Series};
use crate::chain::{Mono, Query, Response};
use crate::net::ahead::fetch;
use crate::wire::{Flags, HEADER_LEN, compose, header, patch};

/// Bytes of a message with its offsets that lie in the entry itself: an address or four of an ordinary name, or a denial with its SOA record.
const INLINE_BYTES: usize = 128;

/// An answer in a store. What changes while it is kept are numbers that are their own truth, so relaxed atomics do.
///
/// In the order of its fields: a hit among many names waits for memory more than for anything else, and reads an ordinary answer in two or
/// three cache lines. The counts of the [`Arc`] lie on a line of their own, before them.
#[repr(C, align(64))]
pub(super) struct Entry {
    /// What of its key is not the name.
    rest: Rest,
    /// Since when.
    stored: Mono,
    /// A denial that is newer than this positive answer counts until then, see [`super::store`].
    shadowed_until: AtomicU64,
    /// Seconds it is fresh, 1 or more.
    lifetime: u32,
    /// The message's size with all names written out, bytes.
    uncompressed: u32,
    message_len: u16,
    /// How many TTLs it has.
    ttls: u16,
    /// AA, RA, AD and the code of every answer made of it.
    flags: Flags,
    /// The store it is in.
    pub(super) kind: Kind,
    /// Whether it answers the question, rather than saying anything else.
    pub(super) answers: bool,
    /// Whether there is a wildcard to tell of.
    has_wildcard: bool,
    /// Whether it has left its store.
    retired: AtomicBool,
    /// Whether a refresh is under way.
    refreshing: AtomicBool,
    /// The message without OPT record, its TTLs the lifetime, its question in lower case; behind it the offsets of the TTLs, two bytes
    /// each. Unused if that is more.
    inline: [u8; INLINE_BYTES],
    /// The same, if it is more.
    boxed: Box<[u8]>,
    /// The wildcard that it was made of, for the `zone/wildcard` label.
    wildcard: Option<Box<str>>,
    /// The last answer that did answer the question, if this one took its place and does not.
    pub(super) last_good: Option<Arc<Self>>,
    /// Where its eviction is counted.
    pub(super) series: Arc<Series>,
    /// No refresh before, because the last one failed.
    retry_at: AtomicU64,
    /// Hits without a gap, for prefetching.
    last_hit: AtomicU64,
    hits: AtomicU32,
}

/// What [`Entry::new`] needs to know beside the response.
pub(super) struct Facts<'a> {
    /// The store it is for.
    pub(super) kind: Kind,
    /// See [`Entry::answers`].
    pub(super) answers: bool,
    /// Seconds it is fresh, 1 or more.
    pub(super) lifetime: u32,
    /// Since when.
    pub(super) stored: Mono,
    /// See [`Entry::wildcard`].
    pub(super) wildcard: Option<&'a str>,
}

impl Entry {
    /// Keeps `response` to the question of `key`; its TTLs at `ttl_offsets` are set to the lifetime already. A message is of 65,535 bytes at
    /// most; `None` for what is none.
    pub(super) fn new(
        key: &KeyRef<'_>,
        response: &Response,
        ttl_offsets: &[u16],
        facts: Facts<'_>,
        series: Arc<Series>,
    ) -> Option<Self> {
        let message = response.wire();
        let mut bytes = Vec::with_capacity(message.len() + 2 * ttl_offsets.len());
        bytes.extend_from_slice(message);
        bytes.get_mut(HEADER_LEN..HEADER_LEN + key.name().len())?.copy_from_slice(key.name());
        bytes.extend(ttl_offsets.iter().flat_map(|offset| offset.to_ne_bytes()));
        let mut inline = [0; INLINE_BYTES];
        if let Some(place) = inline.get_mut(..bytes.len()) {
            place.copy_from_slice(&bytes);
            bytes = Vec::new();
        }
        let kept = Flags::RA | Flags::AD | 15;
        Some(Self {
            rest: key.rest(),
            stored: facts.stored,
            shadowed_until: AtomicU64::new(0),
            lifetime: facts.lifetime,
            uncompressed: response.uncompressed_size() as u32,
            message_len: u16::try_from(message.len()).ok()?,
            ttls: u16::try_from(ttl_offsets.len()).ok()?,
            // Some stub resolvers throw away what is not authoritative, so CoreDNS says AA of everything it has kept.
            flags: Flags(response.flags().0 & kept | Flags::AA),
            kind: facts.kind,
            answers: facts.answers,
            has_wildcard: facts.wildcard.is_some(),
            retired: AtomicBool::new(false),
            refreshing: AtomicBool::new(false),
            inline,
            boxed: bytes.into(),
            wildcard: facts.wildcard.map(Box::from),
            last_good: None,
            series,
            retry_at: AtomicU64::new(0),
            last_hit: AtomicU64::new(0),
            hits: AtomicU32::new(0),
        })
    }

    /// Asks for the memory that a hit looks at.
    #[inline]
    pub(super) fn look_ahead(self: &Arc<Self>) {
        fetch(std::slice::from_ref(&**self));
    }

    /// The message and the offsets of its TTLs.
    #[inline]
    fn parts(&self) -> (&[u8], &[u8]) {
        let message_len = usize::from(self.message_len);
        let bytes = if self.boxed.is_empty() { &self.inline[..] } else { &self.boxed[..] };
        // Both lengths were taken of these bytes.
        let (message, rest) = bytes.split_at_checked(message_len).unwrap_or_default();
        (message, rest.get(..2 * usize::from(self.ttls)).unwrap_or_default())
    }

    /// True if it is the answer to `key`.
    #[inline]
    pub(super) fn is_of(&self, key: &KeyRef<'_>) -> bool {
        let name = key.name();
        self.rest == key.rest() && self.parts().0.get(HEADER_LEN..HEADER_LEN + name.len()) == Some(name)
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

    /// The wildcard that it was made of.
    #[inline]
    pub(super) fn wildcard(&self) -> Option<&str> {
        if self.has_wildcard { self.wildcard.as_deref() } else { None }
    }

    /// Bytes of its message, and of that of the last good answer.
    pub(super) fn bytes_len(&self) -> usize {
        let (message, offsets) = self.parts();
        message.len() + offsets.len() + self.last_good.as_ref().map_or(0, |good| good.bytes_len())
    }

    /// Writes the answer to `query`, whose question this entry is of; all records get `ttl`.
    pub(super) fn write_to(&self, query: &Query, ttl: u32, response: &mut Response) {
        let (message, offsets) = self.parts();
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
