//! Keys in order, in chunks that versions of a zone share: which name comes before one that does not exist.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Keys of a chunk when it is built.
const CHUNK_KEYS: usize = 64;

/// A set of byte strings, sorted.
#[derive(Clone, Default)]
pub(super) struct Order {
    /// None of them empty; each holds keys above all of those before it.
    chunks: Vec<Arc<Chunk>>,
}

struct Chunk {
    /// Where each key ends.
    ends: Box<[u32]>,
    bytes: Box<[u8]>,
}

impl Chunk {
    fn new(keys: &[&[u8]]) -> Self {
        let mut ends = Vec::with_capacity(keys.len());
        let mut bytes = Vec::with_capacity(keys.iter().map(|key| key.len()).sum());
        for key in keys {
            bytes.extend_from_slice(key);
            ends.push(bytes.len() as u32);
        }
        Self { ends: ends.into(), bytes: bytes.into() }
    }

    fn key(&self, number: usize) -> &[u8] {
        let start =
            number.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(number).map_or(start, |end| *end as usize);
        self.bytes.get(start..end).unwrap_or_default()
    }

    fn keys(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|number| self.key(number))
    }

    /// How many keys are at or before `key`.
    fn rank(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.key(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Order {
    /// The set of `keys`, which are sorted and different.
    pub(super) fn from_sorted(keys: &[&[u8]]) -> Self {
        debug_assert!(keys.is_sorted());
        Self { chunks: keys.chunks(CHUNK_KEYS).map(|chunk| Arc::new(Chunk::new(chunk))).collect() }
    }

    /// True without any key.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The last key at or before `key`; where there is none, the last of all: the order is a ring (RFC 4034 4.1.1, RFC 5155 1.3). `None` if
    /// the set is empty.
    pub(super) fn at_or_before(&self, key: &[u8]) -> Option<&[u8]> {
        let chunk = self.chunks.partition_point(|chunk| chunk.key(0) <= key);
        let found = match chunk.checked_sub(1) {
            Some(chunk) => self.chunks.get(chunk).map(|chunk| chunk.key(chunk.rank(key).saturating_sub(1))),
            None => self.chunks.last().map(|chunk| chunk.key(chunk.ends.len() - 1)),
        };
        debug_assert_eq!(found.is_none(), self.is_empty());
        found
    }

    /// All keys.
    #[cfg(test)]
    fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().flat_map(|chunk| chunk.keys())
    }

    /// This set without `removed` and with `added`; chunks in which nothing changed are shared.
    pub(super) fn changed(&self, removed: &BTreeSet<Vec<u8>>, added: &BTreeSet<Vec<u8>>) -> Self {
        if self.is_empty() {
            let keys: Vec<&[u8]> = added.iter().map(Vec::as_slice).collect();
            return Self::from_sorted(&keys);
        }
        let mut chunks = Vec::with_capacity(self.chunks.len());
        for (number, chunk) in self.chunks.iter().enumerate() {
            // What a chunk is responsible for: from its first key, the first chunk from the beginning, up to the next one's.
            let from = if number == 0 { &[][..] } else { chunk.key(0) };
            let to = self.chunks.get(number + 1).map(|next| next.key(0));
            let mut mine = range(removed, from, to).peekable();
            let mut new = range(added, from, to).peekable();
            if mine.peek().is_none() && new.peek().is_none() {
                chunks.push(Arc::clone(chunk));
                continue;
            }
            let mut keys: BTreeSet<&[u8]> = chunk.keys().collect();
            for key in mine {
                keys.remove(key);
            }
            keys.extend(new);
            let keys: Vec<&[u8]> = keys.into_iter().collect();
            // A chunk that has grown much is split, one that has shrunk to nothing is gone.
            let size = if keys.len() > 2 * CHUNK_KEYS { CHUNK_KEYS } else { keys.len().max(1) };
            chunks.extend(keys.chunks(size).map(|part| Arc::new(Chunk::new(part))));
        }
        Self { chunks }
    }
}

/// The keys of `set` from `from` up to, but without, `to`.
fn range<'a>(
    set: &'a BTreeSet<Vec<u8>>,
    from: &[u8],
    to: Option<&'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    let rest = set.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded));
    rest.map(Vec::as_slice).take_while(move |key| to.is_none_or(|to| *key < to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn the_key_before_is_found_around_the_ring() {
        let keys: Vec<Vec<u8>> = (1..=500).map(|n| bytes(n * 10)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let order = Order::from_sorted(&keys);
        for (asked, want) in
            [(10, 10), (11, 10), (19, 10), (20, 20), (645, 640), (5000, 5000), (9999, 5000), (9, 5000)]
        {
            assert_eq!(order.at_or_before(&bytes(asked)), Some(&bytes(want)[..]), "{asked}");
        }
        assert_eq!(order.keys().collect::<Vec<_>>(), keys);
        assert_eq!(Order::default().at_or_before(b"x"), None);
    }

    #[test]
    fn a_changed_set_is_the_same_as_one_made_anew() {
        let mut want: BTreeSet<Vec<u8>> = (0..300).map(|n| bytes(n * 7 % 1000)).collect();
        let keys: Vec<&[u8]> = want.iter().map(Vec::as_slice).collect();
        let mut order = Order::from_sorted(&keys);
        // A simple generator: which numbers go and come does not matter, only that they are many and spread.
        let mut state = 1u32;
        for _ in 0..40 {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes((state >> 16) % 1000)
            };
            let removed: BTreeSet<Vec<u8>> = (0..30).map(|_| next()).collect();
            let added: BTreeSet<Vec<u8>> = (0..30).map(|_| next()).collect();
            for key in &removed {
                want.remove(key);
            }
            want.extend(added.iter().cloned());
            order = order.changed(&removed, &added);
            assert!(order.keys().eq(want.iter().map(Vec::as_slice)));
        }
        let all = order.changed(&want, &BTreeSet::new());
        assert!(all.is_empty());
        let one: BTreeSet<Vec<u8>> = [bytes(5)].into();
        assert_eq!(all.changed(&want, &one).at_or_before(&bytes(1)), Some(&bytes(5)[..]));
    }
}
