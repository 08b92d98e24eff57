//! In front of the stores: each worker's own table of what it served lately, so that most hits touch nothing that another worker writes.
//!
//! The stores note each look-up (which answers stay depends on it), in a queue that all workers share. Here a hit only
//! reads: the worker's table, and the entry. An entry that leaves its store, or is replaced there, is marked as retired,
//! and no front serves it from then on; a positive answer that a newer denial hides is marked too. So what is served is what the
//! stores would have found.
//!
//! The stores still have to know what is popular. A slot tells them of its entry whenever so many other queries found nothing
//! meanwhile that their answers might displace it: often in a flood of names, hardly ever when nearly all is found.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::Shared;
use super::entry::Entry;
use super::key::KeyRef;
use super::metrics::Kind;
use super::store::{Hit, Policy, Stores, UNIT_BYTES};
use crate::chain::{Ahead, Mono};
use crate::net::ahead::fetch;

/// Slots of a front when it is made. Most caches of a configuration with many are asked for few names.
const SLOTS_MIN: usize = 64;

/// Slots of a front at most, twice the answers of a store of the default capacity. With entries of [`UNIT_BYTES`] at most, what a front can
/// hold on to that has left the stores is bounded by some 26 MiB a worker.
const SLOTS_MAX: usize = 1 << 15;

/// Slots that are looked through for one key: as many as share a cache line.
const WAYS: usize = 4;

/// After so many insertions a thread looks for fronts of caches that are gone.
const LOOK_FOR_DEAD_AFTER: usize = 64;

/// The part of a store's capacity that may be asked for in vain before a front tells it of a hit again.
const TOUCH_PART: u64 = 4;

/// One worker's front of one cache.
pub(super) struct Front {
    /// A power of two of them; twice as many, up to a limit, as soon as one overflows.
    sets: Vec<Set>,
    sets_max: usize,
    /// Queries that found nothing, here or in the stores.
    misses: u32,
    /// After so many of them, the stores are told of a hit here again.
    touch_after: u32,
    policy: Policy,
    /// The set to look through for retired entries next.
    hand: usize,
}

#[derive(Default)]
#[repr(align(64))]
struct Set([Slot; WAYS]);

#[derive(Default)]
struct Slot {
    entry: Option<Arc<Entry>>,
    /// The upper half of the key's hash: most others are told apart without a look at the entry.
    tag: u32,
    /// [`Front::misses`] when the stores last knew of it.
    touched: u32,
}

thread_local! {
    /// The fronts of this thread, by the numbers of their caches.
    static FRONTS: RefCell<Vec<Option<Own>>> = const { RefCell::new(Vec::new()) };
}

struct Own {
    /// Whose front it is. As long as this is held, no other cache has its address.
    of: Weak<Shared>,
    front: Front,
}

impl Front {
    /// What `act` makes of this thread's front of `shared`; it must not use another front. `None` where the cache has none.
    #[inline]
    pub(super) fn with<T>(shared: &Arc<Shared>, act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        // Which answer counts under that policy is more than a look at the entry.
        if shared.stores.policy().prefer_positive {
            return None;
        }
        FRONTS.with_borrow_mut(|fronts| {
            let own = fronts.get_mut(shared.number.get())?.as_mut()?;
            own.is_of(shared).then(|| act(&mut own.front))
        })
    }

    /// Puts an answer that the stores gave into this thread's front of `shared`, which is made where there is none yet.
    pub(super) fn put(shared: &Arc<Shared>, key: &KeyRef<'_>, entry: &Arc<Entry>) {
        if shared.stores.policy().prefer_positive || entry.bytes_len() > UNIT_BYTES {
            return;
        }
        FRONTS.with_borrow_mut(|fronts| {
            let number = shared.number.get();
            if !fronts.get(number).is_some_and(|own| own.as_ref().is_some_and(|own| own.is_of(shared))) {
                // At a reload: what the old configuration's caches held is let go as soon as the new one's are used.
                let_go_of_dead(fronts);
                fronts.resize_with(fronts.len().max(number + 1), || None);
                fronts[number] = Some(Own { of: Arc::downgrade(shared), front: Self::new(&shared.stores) });
            }
            let Some(Own { front, .. }) = &mut fronts[number] else { return };
            front.insert(key, entry);
            front.sweep();
            if front.hand.is_multiple_of(LOOK_FOR_DEAD_AFTER) {
                // Those that had queries in flight at that time.
                let_go_of_dead(fronts);
            }
        });
    }

    fn new(stores: &Stores) -> Self {
        let capacity = usize::try_from(stores.capacity()).unwrap_or(SLOTS_MAX).min(SLOTS_MAX);
        let slots = (2 * capacity).next_power_of_two().clamp(SLOTS_MIN, SLOTS_MAX);
        Self {
            sets: (0..SLOTS_MIN / WAYS).map(|_| Set::default()).collect(),
            sets_max: slots / WAYS,
            misses: 0,
            touch_after: u32::try_from(stores.capacity() / TOUCH_PART).unwrap_or(u32::MAX),
            policy: stores.policy(),
            hand: 0,
        }
    }

    /// The answer to `key` that counts at `now`, if it is here; `stores` are told of it now and then.
    #[inline]
    pub(super) fn get(&mut self, key: &KeyRef<'_>, now: Mono, stores: &Stores) -> Option<Hit<'_>> {
        let set = self.set_of(key);
        self.sets[set].0.iter_mut().find_map(|slot| {
            let entry = slot.entry.as_ref().filter(|entry| slot.tag == tag(key) && entry.is_of(key))?;
            if entry.is_retired() || (entry.kind == Kind::Success && entry.is_shadowed(now)) {
                return None;
            }
            let hit = self.policy.serve(entry, now)?;
            if self.misses.wrapping_sub(slot.touched) >= self.touch_after {
                slot.touched = self.misses;
                stores.touch(key, entry.kind);
            }
            Some(hit)
        })
    }

    /// Asks for the memory that [`Self::get`] will look at.
    #[inline]
    pub(super) fn look_ahead(&self, key: &KeyRef<'_>, ahead: Ahead) {
        let set = &self.sets[self.set_of(key)];
        match ahead {
            Ahead::Two => fetch(std::slice::from_ref(set)),
            Ahead::One => {
                let mut slots = set.0.iter().filter(|slot| slot.tag == tag(key));
                if let Some(entry) = slots.find_map(|slot| slot.entry.as_ref()) {
                    entry.look_ahead();
                }
            }
        }
    }

    /// A query found nothing.
    pub(super) const fn note_miss(&mut self) {
        self.misses = self.misses.wrapping_add(1);
    }

    /// Puts `entry` into a slot: that of its key, or a free one, or one whose turn it is.
    fn insert(&mut self, key: &KeyRef<'_>, entry: &Arc<Entry>) {
        let set = self.set_of(key);
        let turn = self.hand % WAYS;
        let slots = &mut self.sets[set].0;
        let is = |slot: &Slot, what: fn(&Entry, &KeyRef<'_>) -> bool| {
            slot.entry.as_ref().is_none_or(|entry| what(entry, key))
        };
        let place = slots
            .iter()
            .position(|slot| slot.entry.is_some() && is(slot, Entry::is_of))
            .or_else(|| slots.iter().position(|slot| is(slot, |entry, _| entry.is_retired())));
        if place.is_none() && self.sets.len() < self.sets_max {
            self.grow();
            return self.insert(key, entry);
        }
        let slots = &mut self.sets[set].0;
        slots[place.unwrap_or(turn)] =
            Slot { entry: Some(Arc::clone(entry)), tag: tag(key), touched: self.misses };
    }

    /// Makes room for twice as many. What a set held goes into two, so each still has room for it.
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.sets);
        self.sets = (0..2 * old.len()).map(|_| Set::default()).collect();
        for slot in old.into_iter().flat_map(|set| set.0).filter(|slot| slot.entry.is_some()) {
            let set = slot.tag as usize & (self.sets.len() - 1);
            if let Some(free) = self.sets[set].0.iter_mut().find(|slot| slot.entry.is_none()) {
                *free = slot;
            }
        }
        self.hand = 0;
    }

    /// Lets go of the retired entries of the next set. As each insertion does so, they are gone after as many as there are sets.
    fn sweep(&mut self) {
        for slot in &mut self.sets[self.hand].0 {
            slot.entry.take_if(|entry| entry.is_retired());
        }
        self.hand = (self.hand + 1) % self.sets.len();
    }

    fn set_of(&self, key: &KeyRef<'_>) -> usize {
        tag(key) as usize & (self.sets.len() - 1)
    }
}

/// Drops the fronts of caches that are gone.
fn let_go_of_dead(fronts: &mut [Option<Own>]) {
    for own in fronts {
        own.take_if(|own| own.of.strong_count() == 0);
    }
}

impl Own {
    #[inline]
    fn is_of(&self, shared: &Arc<Shared>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(shared))
    }
}

const fn tag(key: &KeyRef<'_>) -> u32 {
    (key.hash() >> 32) as u32
}

#[cfg(test)]
impl Front {
    /// How many entries it holds.
    pub(super) fn len(&self) -> usize {
        self.sets.iter().flat_map(|set| &set.0).filter(|slot| slot.entry.is_some()).count()
    }

    /// How many caches have a front in this thread.
    pub(super) fn caches() -> usize {
        FRONTS.with_borrow(|fronts| fronts.iter().flatten().count())
    }
}
