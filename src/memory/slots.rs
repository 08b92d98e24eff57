//! An open-addressing table from hashes to places in an arena: eight bytes a slot.

use super::Memory;
use crate::net::ahead::fetch;

/// Each slot holds half of a hash and a place; what stands at the place, and whether it is what one looks for, the owner
/// knows.
#[derive(Default)]
pub struct Slots {
    /// 0 for an empty slot, else the tag in the upper half and the place plus one in the lower.
    slots: Vec<u64>,
    filled: usize,
    memory: Memory,
}

/// The largest place that fits.
pub const PLACE_MAX: u32 = u32::MAX - 1;

impl Slots {
    /// An empty table for `count` places.
    pub fn with_capacity(count: usize, memory: Memory) -> Self {
        Self { slots: memory.zeroed(capacity_for(count)), filled: 0, memory }
    }

    /// The place under `hash` for which `is_it` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let tag = tag(hash);
        let mut at = home(tag, self.slots.len());
        loop {
            // `at` stays below the length, and half of the slots are empty, so the search ends.
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            let place = slot as u32 - 1;
            if (slot >> 32) as u32 == tag && is_it(place) {
                return Some(place);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    /// Asks for the memory where [`Self::find`] will begin.
    #[inline]
    pub fn look_ahead(&self, hash: u64) {
        if let Some(slot) = self.first(hash) {
            fetch(std::slice::from_ref(slot));
        }
    }

    /// A place that is probably the one under `hash`: that of the slot where [`Self::find`] will begin.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<u32> {
        self.first(hash).and_then(|slot| (*slot as u32).checked_sub(1))
    }

    #[inline]
    fn first(&self, hash: u64) -> Option<&u64> {
        self.slots.get(home(tag(hash), self.slots.len()))
    }

    /// Adds a place, at most [`PLACE_MAX`], that [`Self::find`] did not find.
    pub fn insert(&mut self, hash: u64, place: u32) {
        if capacity_for(self.filled + 1) > self.slots.len() {
            self.rehash(self.slots.len() * 2);
        }
        self.put(u64::from(tag(hash)) << 32 | u64::from(place + 1));
        self.filled += 1;
    }

    /// Gives each place a new one.
    pub fn move_places(&mut self, mut moved: impl FnMut(u32) -> u32) {
        for slot in self.slots.iter_mut().filter(|slot| **slot != 0) {
            *slot = *slot & !u64::from(u32::MAX) | u64::from(moved(*slot as u32 - 1) + 1);
        }
    }

    /// Gives back slots that will not be needed if nothing is added any more.
    pub fn shrink(&mut self) {
        let needed = capacity_for(self.filled);
        if self.slots.len() > needed + needed / 8 {
            self.rehash(needed);
        }
    }

    fn rehash(&mut self, capacity: usize) {
        let old = std::mem::replace(&mut self.slots, self.memory.zeroed(capacity.max(8)));
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            self.put(slot);
        }
    }

    fn put(&mut self, slot: u64) {
        let mut at = home((slot >> 32) as u32, self.slots.len());
        while self.slots[at] != 0 {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        self.slots[at] = slot;
    }
}

/// At most half of the slots are filled: most names that are asked for are not here, and a search for one of those ends at the first empty
/// slot.
fn capacity_for(count: usize) -> usize {
    count * 2
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Where the search for `tag` begins: its share of the table, so that any length will do.
fn home(tag: u32, len: usize) -> usize {
    ((u64::from(tag) * len as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_however_the_table_grew() {
        // Multiplying spreads the hashes; the last digit makes neighbours share a tag.
        let hash = |n: u32| u64::from(n / 2).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for capacity in [0, 1, 1000] {
            let mut slots = Slots::with_capacity(capacity, Memory::Plain);
            for n in 0..1000 {
                assert_eq!(slots.find(hash(n), |place| place == n), None);
                slots.insert(hash(n), n);
            }
            slots.shrink();
            slots.move_places(|place| place * 2);
            for n in 0..1000 {
                assert_eq!(slots.find(hash(n), |place| place == n * 2), Some(n * 2));
            }
            assert_eq!(slots.find(hash(2000), |_| true), None);
        }
        assert_eq!(Slots::default().find(1, |_| true), None);
    }
}
