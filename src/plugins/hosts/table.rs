//! The names and addresses of one hosts file, both ways, in a few large pieces of memory.
//!
//! ```text
//!  slots ──place──► entries: … │len│name, wire form│IPv4s│IPv6s│addresses, in file order│ …
//!                                ▲
//!  slots ──number──► addresses   │ places of the names, in file order
//!                    starts ─────┴─► names
//! ```
//!
//! A look-up touches a slot and an entry. Everything is bytes and offsets of 32 bits: about 70 bytes for a line with one name,
//! both directions included.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::chain::Ahead;
use crate::memory::{Memory, PLACE_MAX, Slots};
use crate::net::ahead::fetch;
use crate::wire::{Name, NameHasher};

/// Bytes of an entry that are asked for ahead.
const ENTRY_LEN_USUAL: usize = 65;

/// Most bytes the entries of one table may take: some thirty million names. What is beyond is not served.
const ENTRIES_LEN_MAX: usize = 1 << 30;

/// A table that does not change any more.
#[derive(Default)]
pub(super) struct Table {
    slots: Slots,
    entries: Vec<u8>,
    v4: Reverse<4>,
    v6: Reverse<16>,
    has_wildcards: bool,
    records: usize,
}

/// The addresses of a name, in file order; empty if there are none of a family.
#[derive(Clone, Copy, Default)]
pub(super) struct Addresses<'a> {
    /// IPv4, four bytes each.
    pub(super) v4: &'a [u8],
    /// IPv6, sixteen bytes each.
    pub(super) v6: &'a [u8],
}

impl Table {
    /// The addresses of `name`, a lower-cased wire form with that hash under [`NameHasher::process`]. A wildcard is found by its own name
    /// only.
    #[inline]
    pub(super) fn addresses(&self, name: &[u8], hash: u64) -> Addresses<'_> {
        let mut found = Addresses::default();
        self.slots.find(hash, |place| match self.name_at(place) {
            Some((at, rest)) if at == name => {
                found = split(rest).unwrap_or_default();
                true
            }
            _ => false,
        });
        found
    }

    /// Asks for the memory that [`Self::addresses`] will look at for that hash.
    #[inline]
    pub(super) fn look_ahead(&self, hash: u64, ahead: Ahead) {
        match ahead {
            Ahead::Two => self.slots.look_ahead(hash),
            Ahead::One => {
                let place = self.slots.likely(hash).unwrap_or_default() as usize;
                // An entry of an ordinary name, and where it may cross into the next line.
                let rest = self.entries.get(place..).unwrap_or_default();
                fetch(rest.get(..ENTRY_LEN_USUAL).unwrap_or(rest));
            }
        }
    }

    /// Whether a look-up of a wildcard can find anything.
    pub(super) const fn has_wildcards(&self) -> bool {
        self.has_wildcards
    }

    /// The names of `address`, in file order, as wire forms.
    pub(super) fn names(&self, address: IpAddr) -> impl Iterator<Item = &[u8]> {
        let places = match address {
            IpAddr::V4(v4) => self.v4.find(v4.octets()),
            IpAddr::V6(v6) => self.v6.find(v6.octets()),
        };
        places.iter().filter_map(|&place| Some(self.name_at(place)?.0))
    }

    /// The number of records in both directions.
    pub(super) const fn records(&self) -> usize {
        self.records
    }

    fn name_at(&self, place: u32) -> Option<(&[u8], &[u8])> {
        let (&len, rest) = self.entries.get(place as usize..)?.split_first()?;
        rest.split_at_checked(len.into())
    }
}

/// The addresses behind an entry's name.
fn split(rest: &[u8]) -> Option<Addresses<'_>> {
    let (v4, rest) = count(rest)?;
    let (v6, rest) = count(rest)?;
    let (v4, rest) = rest.split_at_checked(v4 * 4)?;
    Some(Addresses { v4, v6: rest.get(..v6 * 16)? })
}

/// A number in groups of seven bits, the lowest first.
fn count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (&byte, group) in bytes.iter().zip(0..5) {
        number |= usize::from(byte & 0x7F) << (7 * group);
        if byte < 0x80 {
            return Some((number, &bytes[group + 1..]));
        }
    }
    None
}

fn push_count(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// From addresses of `N` bytes to the names that have them.
struct Reverse<const N: usize> {
    slots: Slots,
    addresses: Vec<[u8; N]>,
    /// Where in `names` those of each address begin, and where the last ones end.
    starts: Vec<u32>,
    names: Vec<u32>,
}

impl<const N: usize> Default for Reverse<N> {
    fn default() -> Self {
        Self { slots: Slots::default(), addresses: Vec::new(), starts: Vec::new(), names: Vec::new() }
    }
}

impl<const N: usize> Reverse<N> {
    fn new(memory: Memory) -> Self {
        Self { slots: Slots::with_capacity(0, memory), addresses: memory.vec(0), ..Self::default() }
    }

    fn number(&self, address: [u8; N]) -> Option<u32> {
        let hash = NameHasher::process().hash(&address);
        self.slots.find(hash, |number| self.addresses.get(number as usize) == Some(&address))
    }

    fn number_or_new(&mut self, address: [u8; N]) -> u32 {
        self.number(address).unwrap_or_else(|| {
            let number = self.addresses.len() as u32;
            self.addresses.push(address);
            self.slots.insert(NameHasher::process().hash(&address), number);
            number
        })
    }

    /// The places of the names of `address`.
    fn find(&self, address: [u8; N]) -> &[u32] {
        let Some(number) = self.number(address).map(|n| n as usize) else { return &[] };
        match self.starts.get(number..number + 2) {
            Some(&[start, end]) => self.names.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// An address that a [`Builder`] knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AddressId(u32);

const V6: u32 = 1 << 31;
/// No address: the posting is a second one of its kind.
const NONE: AddressId = AddressId(u32::MAX);

/// Collects what a file says, line by line.
pub(super) struct Builder {
    /// Wire names in the order in which they came, each behind its length.
    names: Vec<u8>,
    slots: Slots,
    /// For each name where it stands in `names`.
    at: Vec<u32>,
    v4: Reverse<4>,
    v6: Reverse<16>,
    postings: Vec<Posting>,
    /// Bytes of entries there is still room for.
    room: usize,
    memory: Memory,
}

/// "This name has this address", as the file says it.
struct Posting {
    name: u32,
    address: AddressId,
}

impl Builder {
    /// For about as many names as `expected`.
    pub(super) fn new(expected: usize) -> Self {
        Self::with_room(expected, ENTRIES_LEN_MAX)
    }

    fn with_room(expected: usize, room: usize) -> Self {
        let memory = Memory::suiting(expected);
        Self {
            names: memory.vec(0),
            slots: Slots::with_capacity(expected, memory),
            at: memory.vec(expected),
            v4: Reverse::new(memory),
            v6: Reverse::new(memory),
            postings: memory.vec(expected),
            room,
            memory,
        }
    }

    /// Makes an address known. An IPv4-mapped one is the IPv4 address.
    pub(super) fn address(&mut self, address: IpAddr) -> AddressId {
        match address.to_canonical() {
            IpAddr::V4(v4) => AddressId(self.v4.number_or_new(v4.octets())),
            IpAddr::V6(v6) => AddressId(V6 | self.v6.number_or_new(v6.octets())),
        }
    }

    /// Adds "`name` has `address`". False if there is no room left.
    pub(super) fn add(&mut self, address: AddressId, name: &Name) -> bool {
        let hash = name.hash_with(NameHasher::process());
        let wire = name.as_bytes();
        let known = self.slots.find(hash, |number| {
            let at = self.at.get(number as usize).map_or(usize::MAX, |at| *at as usize + 1);
            self.names.get(at..).is_some_and(|names| names.starts_with(wire))
        });
        // A name has its length, its bytes and two counts; room for the larger address is taken in any case.
        let needed = 16 + if known.is_some() { 0 } else { 1 + wire.len() + 10 };
        let Some(room) = self.room.checked_sub(needed) else { return false };
        self.room = room;
        let name = known.unwrap_or_else(|| {
            let number = self.at.len() as u32;
            self.at.push(self.names.len() as u32);
            self.names.push(wire.len() as u8);
            self.names.extend_from_slice(wire);
            self.slots.insert(hash, number);
            number
        });
        self.postings.push(Posting { name, address });
        true
    }

    /// The finished table; with the way from addresses to names if `reverse`.
    pub(super) fn finish(mut self, reverse: bool) -> Table {
        let memory = self.memory;
        let grouped = Grouped::new(memory, self.at.len(), &self.postings, |posting| Some(posting.name));
        let mut entries = memory.vec(self.names.len() + self.at.len() * 2 + self.postings.len() * 4);
        let mut records = 0;
        let mut has_wildcards = false;
        let mut rest = &self.names[..];
        for (name, at) in self.at.iter_mut().enumerate() {
            *at = entries.len() as u32;
            let (entry, next) = rest.split_at(1 + usize::from(rest[0]));
            rest = next;
            entries.extend_from_slice(entry);
            has_wildcards |= is_wildcard(&entry[1..]);
            let mine = grouped.of(name);
            forget_repeated(mine, &mut self.postings);
            let addresses = || mine.iter().map(|&i| self.postings[i as usize].address).filter(|a| *a != NONE);
            let v6 = addresses().filter(|address| address.0 & V6 != 0).count();
            let v4 = addresses().count() - v6;
            records += v4 + v6;
            push_count(&mut entries, v4);
            push_count(&mut entries, v6);
            for address in addresses().filter(|address| address.0 & V6 == 0) {
                entries.extend_from_slice(&self.v4.addresses[address.0 as usize]);
            }
            for address in addresses().filter(|address| address.0 & V6 != 0) {
                entries.extend_from_slice(&self.v6.addresses[(address.0 & !V6) as usize]);
            }
        }
        drop((grouped, std::mem::take(&mut self.names)));
        memory.shrink(&mut entries);
        self.slots.move_places(|number| self.at[number as usize]);
        self.slots.shrink();
        let mut table = Table { slots: self.slots, has_wildcards, records, ..Table::default() };
        if reverse {
            let places = |posting: &Posting| {
                let place = self.at[posting.name as usize];
                let name = &entries[place as usize + 1..];
                (posting.address != NONE && !is_wildcard(name)).then_some((posting.address, place))
            };
            table.v4 = self.v4.finish(memory, &self.postings, |posting| {
                places(posting).filter(|(address, _)| address.0 & V6 == 0).map(|(a, place)| (a.0, place))
            });
            table.v6 = self.v6.finish(memory, &self.postings, |posting| {
                places(posting)
                    .filter(|(address, _)| address.0 & V6 != 0)
                    .map(|(a, place)| (a.0 & !V6, place))
            });
            table.records += table.v4.names.len() + table.v6.names.len();
        }
        table.entries = entries;
        table
    }
}

impl<const N: usize> Reverse<N> {
    /// Fills in the names: `of` says the number of the address and the place of the name that a posting stands for.
    fn finish(
        mut self,
        memory: Memory,
        postings: &[Posting],
        of: impl Fn(&Posting) -> Option<(u32, u32)>,
    ) -> Self {
        let Grouped { starts, mut order } = Grouped::new(memory, self.addresses.len(), postings, |posting| {
            of(posting).map(|(address, _)| address)
        });
        for place in &mut order {
            // Only postings that stand for something were grouped.
            *place = of(&postings[*place as usize]).map_or(PLACE_MAX, |(_, name)| name);
        }
        memory.shrink(&mut self.addresses);
        self.slots.shrink();
        Self { starts, names: order, ..self }
    }
}

/// The numbers of postings, sorted by what they belong to; in file order within.
struct Grouped {
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl Grouped {
    fn new(
        memory: Memory,
        groups: usize,
        postings: &[Posting],
        of: impl Fn(&Posting) -> Option<u32>,
    ) -> Self {
        let mut starts: Vec<u32> = memory.zeroed(groups + 1);
        let mut total = 0;
        for group in postings.iter().filter_map(&of) {
            starts[group as usize] += 1;
            total += 1;
        }
        let mut before = 0;
        for start in &mut starts {
            before += std::mem::replace(start, before);
        }
        // Each start moves to its group's end, which is where the next one begins.
        let mut order: Vec<u32> = memory.zeroed(total);
        for (number, posting) in (0u32..).zip(postings) {
            if let Some(group) = of(posting) {
                let next = &mut starts[group as usize];
                order[*next as usize] = number;
                *next += 1;
            }
        }
        starts.rotate_right(1);
        starts[0] = 0;
        Self { starts, order }
    }

    fn of(&self, group: usize) -> &[u32] {
        &self.order[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}

/// Takes the address out of each posting of one name that says what an earlier one said: an RRset has no two equal records
/// (RFC 2181 5).
fn forget_repeated(numbers: &[u32], postings: &mut [Posting]) {
    if numbers.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(numbers.len());
    for &number in numbers {
        let posting = &mut postings[number as usize];
        if !seen.insert(posting.address) {
            posting.address = NONE;
        }
    }
}

/// Whether the wire form `name` begins with the label `*`.
fn is_wildcard(name: &[u8]) -> bool {
    name.starts_with(b"\x01*")
}

#[cfg(test)]
#[path = "table_tests.rs"]
pub(super) mod tests;
