//! Several zones, and which of them a name is in.

use std::collections::HashMap;

use crate::wire::{Name, NameHasher};

/// Values by the origins of zones; a name belongs to the longest.
#[derive(Clone)]
pub struct ZoneSet<T> {
    /// By the hash of the origin; equal hashes are told apart by the name.
    zones: HashMap<u64, Vec<(Name, T)>, foldhash::fast::FixedState>,
    /// Label counts of origins that exist, longest first.
    depths: Vec<u8>,
}

impl<T> Default for ZoneSet<T> {
    fn default() -> Self {
        Self { zones: HashMap::default(), depths: Vec::new() }
    }
}

impl<T> ZoneSet<T> {
    /// Puts `value` in the place of what stands at `origin`, which is returned.
    pub fn insert(&mut self, origin: &Name, value: T) -> Option<T> {
        let depth = origin.label_count() as u8;
        if !self.depths.contains(&depth) {
            self.depths.push(depth);
            self.depths.sort_unstable_by(|a, b| b.cmp(a));
        }
        let chained = self.zones.entry(origin.hash_with(NameHasher::process())).or_default();
        match chained.iter_mut().find(|(name, _)| name == origin) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                chained.push((origin.clone(), value));
                None
            }
        }
    }

    /// Takes out what stands at `origin`.
    pub fn remove(&mut self, origin: &Name) -> Option<T> {
        let hash = origin.hash_with(NameHasher::process());
        let chained = self.zones.get_mut(&hash)?;
        let at = chained.iter().position(|(name, _)| name == origin)?;
        let (_, value) = chained.swap_remove(at);
        if chained.is_empty() {
            self.zones.remove(&hash);
        }
        let depth = origin.label_count();
        if !self.iter().any(|(name, _)| name.label_count() == depth) {
            self.depths.retain(|other| usize::from(*other) != depth);
        }
        Some(value)
    }

    /// What stands at `origin` itself.
    pub fn get(&self, origin: &Name) -> Option<&T> {
        self.at(origin.as_bytes(), origin.hash_with(NameHasher::process()))
    }

    /// What stands at the longest origin that `name`, of that hash, is at or below.
    #[inline]
    pub fn find(&self, name: &Name, hash: u64) -> Option<&T> {
        let labels = name.label_count();
        self.depths.iter().map(|depth| usize::from(*depth)).filter(|depth| *depth <= labels).find_map(
            |depth| {
                if depth == labels {
                    return self.at(name.as_bytes(), hash);
                }
                let suffix = name.ancestor(depth);
                self.at(suffix, NameHasher::process().hash(suffix))
            },
        )
    }

    fn at(&self, origin: &[u8], hash: u64) -> Option<&T> {
        let chained = self.zones.get(&hash)?;
        chained.iter().find(|(name, _)| name.as_bytes() == origin).map(|(_, value)| value)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &T)> {
        self.zones.values().flatten().map(|(name, value)| (name, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.zones.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_origin_wins() {
        let name = |text: &str| Name::from_text(text).unwrap();
        let mut set = ZoneSet::default();
        for origin in ["example.", "sub.example.", "a.b.example.", "other."] {
            assert_eq!(set.insert(&name(origin), origin), None);
        }
        assert_eq!(set.insert(&name("OTHER."), "other."), Some("other."));
        let find = |set: &ZoneSet<&'static str>, text: &str| {
            set.find(&name(text), name(text).hash_with(NameHasher::process())).copied()
        };
        for (asked, want) in [
            ("example.", Some("example.")),
            ("x.example.", Some("example.")),
            ("x.sub.example.", Some("sub.example.")),
            ("sub.example.", Some("sub.example.")),
            ("b.example.", Some("example.")),
            ("a.b.example.", Some("a.b.example.")),
            ("notexample.", None),
            (".", None),
        ] {
            assert_eq!(find(&set, asked), want, "{asked}");
        }
        assert_eq!(set.remove(&name("a.b.example.")), Some("a.b.example."));
        assert_eq!(set.remove(&name("a.b.example.")), None);
        assert_eq!(find(&set, "a.b.example."), Some("example."));
        assert_eq!((set.len(), set.depths.clone()), (3, vec![2, 1]));
        set.insert(&Name::root(), ".");
        assert_eq!(find(&set, "nowhere."), Some("."));
    }
}
