//! Places with stable small numbers.

/// The number that stands for no place.
pub(super) const NONE: u32 = u32::MAX;

/// A growing row of places. A place keeps its number until it is freed, and is then used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    /// The first free place, or [`NONE`].
    free: u32,
    len: usize,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// The next free place, or [`NONE`].
    Free(u32),
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), free: NONE, len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free == NONE {
            self.places.push(Place::Taken(value));
            return (self.places.len() - 1) as u32;
        }
        let key = self.free;
        let place = &mut self.places[key as usize];
        if let Place::Free(next) = *place {
            self.free = next;
        }
        *place = Place::Taken(value);
        key
    }

    pub(super) fn get(&self, key: u32) -> Option<&T> {
        match self.places.get(key as usize) {
            Some(Place::Taken(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        match self.places.get_mut(key as usize) {
            Some(Place::Taken(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, key: u32) -> Option<T> {
        let place = self.places.get_mut(key as usize)?;
        if matches!(place, Place::Free(_)) {
            return None;
        }
        let Place::Taken(value) = std::mem::replace(place, Place::Free(self.free)) else { return None };
        self.free = key;
        self.len -= 1;
        if self.len == 0 && self.places.len() > SHRINK_ABOVE {
            // A burst is over: its memory goes back.
            *self = Self::new();
        }
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.places.iter().enumerate().filter_map(|(key, place)| match place {
            Place::Taken(value) => Some((key as u32, value)),
            Place::Free(_) => None,
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.places.iter_mut().enumerate().filter_map(|(key, place)| match place {
            Place::Taken(value) => Some((key as u32, value)),
            Place::Free(_) => None,
        })
    }
}

/// An empty slab with more places than this gives its memory back.
const SHRINK_ABOVE: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_places_are_used_again() {
        let mut slab = Slab::new();
        let keys: Vec<u32> = (0..4).map(|n| slab.insert(n)).collect();
        assert_eq!((slab.remove(keys[1]), slab.remove(keys[1]), slab.remove(NONE)), (Some(1), None, None));
        slab.remove(keys[2]);
        assert_eq!((slab.insert(9), slab.insert(8), slab.insert(7)), (keys[2], keys[1], 4));
        assert_eq!(slab.len(), 5);
        assert_eq!(slab.iter().map(|(_, &n)| n).collect::<Vec<_>>(), [0, 8, 9, 3, 7]);
        assert_eq!((slab.get(keys[1]), slab.get(99)), (Some(&8), None));
    }

    #[test]
    fn an_emptied_slab_gives_its_memory_back() {
        let mut slab = Slab::new();
        let keys: Vec<u32> = (0..3_000).map(|n| slab.insert(n)).collect();
        keys.iter().for_each(|&key| assert!(slab.remove(key).is_some()));
        assert_eq!((slab.len(), slab.places.capacity()), (0, 0));
    }
}
