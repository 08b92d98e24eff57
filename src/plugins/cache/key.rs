//! Under what an answer is kept: the question, and the two bits of the query that change the answer (DO, CD).

use std::hash::{BuildHasher, Hash, Hasher};

use moka::Equivalent;

use crate::chain::Query;
use crate::wire::Flags;

/// The key of an entry. Who asks and the AD bit are not part of it.
#[derive(Debug)]
pub(super) struct Key {
    hash: u64,
    rest: Rest,
    name: Box<[u8]>,
}

/// The key of a query, for look-ups: borrowed, so that a hit allocates nothing.
#[derive(Clone, Copy)]
pub(super) struct KeyRef<'a> {
    hash: u64,
    rest: Rest,
    name: &'a [u8],
}

/// Type, class, and DO and CD, in one number.
pub(super) type Rest = u64;

const DO: Rest = 1 << 32;
const CD: Rest = 1 << 33;

impl<'a> KeyRef<'a> {
    /// The key of `query`.
    pub(super) fn of(query: &'a Query) -> Self {
        let mut rest = Rest::from(query.qtype().0) << 16 | Rest::from(query.qclass().0);
        if query.dnssec_ok() {
            rest |= DO;
        }
        if query.flags().has(Flags::CD) {
            rest |= CD;
        }
        Self { hash: mix(query.hash(), rest), rest, name: query.name().as_bytes() }
    }

    /// The hash of all of it.
    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// The name, lower-cased, on the wire.
    pub(super) const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// What is not the name.
    pub(super) const fn rest(&self) -> Rest {
        self.rest
    }

    /// The key to keep an entry under.
    pub(super) fn to_key(self) -> Key {
        Key { hash: self.hash, rest: self.rest, name: self.name.into() }
    }
}

impl Key {
    /// The length of the name, bytes.
    pub(super) fn name_len(&self) -> usize {
        self.name.len()
    }
}

/// The name's hash with the rest of the key folded in. The name's hash is seeded (see [`crate::wire::NameHasher`]), so that nobody outside
/// can choose keys that collide.
fn mix(name: u64, rest: Rest) -> u64 {
    // Odd constants without structure (the fractional parts of the golden ratio and of the square root of 2).
    let spread = rest.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let product = u128::from(name ^ spread) * 0x6A09_E667_F3BC_C909_u128;
    (product as u64) ^ (product >> 64) as u64
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.rest == other.rest && self.name == other.name
    }
}

impl Eq for Key {}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && self.rest == key.rest && *self.name == *key.name
    }
}

/// Takes the hash that keys have already.
#[derive(Clone, Copy, Default)]
pub(super) struct Prehashed;

/// The hasher of [`Prehashed`].
#[derive(Default)]
pub(super) struct Passing(u64);

impl BuildHasher for Prehashed {
    type Hasher = Passing;
    fn build_hasher(&self) -> Passing {
        Passing::default()
    }
}

impl Hasher for Passing {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        // Keys write one u64; anything else still gets a hash.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;
    use crate::wire::Rtype;

    #[test]
    fn keys_differ_in_all_that_changes_the_answer_and_in_nothing_else() {
        let plain = testing::query("example.org", Rtype::A);
        let key = KeyRef::of(&plain).to_key();
        let same = testing::query("EXAMPLE.org", Rtype::A);
        assert!(KeyRef::of(&same).equivalent(&key));
        let mut asks_ad = testing::query("example.org", Rtype::A);
        asks_ad.set_flags(asks_ad.flags().with(Flags::AD, true));
        assert!(KeyRef::of(&asks_ad).equivalent(&key));

        let mut checking_disabled = testing::query("example.org", Rtype::A);
        checking_disabled.set_flags(checking_disabled.flags().with(Flags::CD, true));
        let with_do = testing::query_of(&testing::query_wire("example.org", Rtype::A, Some((1232, true))));
        let mut of_chaos = testing::query_wire("example.org", Rtype::A, None);
        *of_chaos.last_mut().unwrap() = 3;
        let of_chaos = testing::query_of(&of_chaos);
        for other in [
            testing::query("example.com", Rtype::A),
            testing::query("example.org", Rtype::AAAA),
            checking_disabled,
            with_do,
            of_chaos,
        ] {
            let other = KeyRef::of(&other);
            assert!(!other.equivalent(&key));
            assert_ne!(other.hash, key.hash);
        }
    }
}
