//! From records in any order to a zone.

use std::fmt;

use super::node::RecordOf;
use super::table::{NewNode, Table, page_number};
use super::{Zone, nsec3};
use crate::memory::{Memory, PLACE_MAX, Slots};
use crate::wire::{Name, NameHasher, Rtype};

/// Most bytes of names, and of RDATA, of one zone.
const ARENA_LEN_MAX: usize = 1 << 31;

/// Records of an RRset at most: a message counts them in 16 bits.
const RRSET_RECORDS_MAX: usize = u16::MAX as usize;

/// Collects the records of one zone.
pub struct Builder {
    origin: Name,
    names: Owners,
    nsec3_names: Owners,
    records: Vec<Posting>,
    rdata: Vec<u8>,
    memory: Memory,
}

/// The owner names that came so far.
struct Owners {
    slots: Slots,
    /// Each behind its length.
    bytes: Vec<u8>,
    /// For each where it stands, and its hash.
    places: Vec<(u32, u64)>,
    /// The one found last: the records of a name mostly stand together.
    last: u32,
}

/// A record with numbers in place of what it has with others.
#[derive(Clone, Copy)]
struct Posting {
    /// The number of the owner name; those of the NSEC3 chain are counted apart.
    owner: u32,
    rdata_start: u32,
    ttl: u32,
    rtype: Rtype,
    rdata_len: u16,
}

/// Why a zone cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// There is no SOA record at the origin.
    NoSoa,
    /// There is more than one SOA record at the origin.
    SeveralSoas,
    /// A record's owner is not in the zone.
    OutOfZone,
    /// The SOA record is shorter than one.
    BadSoa,
    /// The zone is larger than the tables can hold.
    TooLarge,
    /// An RRset has more records than a message can count.
    RrsetTooLarge(Box<Name>, Rtype),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSoa => f.write_str("there is no SOA record at the origin"),
            Self::SeveralSoas => f.write_str("there is more than one SOA record at the origin"),
            Self::OutOfZone => f.write_str("the owner is not in the zone"),
            Self::BadSoa => f.write_str("the SOA record is cut short"),
            Self::TooLarge => f.write_str("the zone is too large: over 2 GiB of names or of data"),
            Self::RrsetTooLarge(name, rtype) => {
                write!(f, "{name} {rtype} has more than {RRSET_RECORDS_MAX} records")
            }
        }
    }
}

impl std::error::Error for BuildError {}

impl Builder {
    /// For a zone at `origin` of about as many records as `expected`.
    pub fn new(origin: &Name, expected: usize) -> Self {
        let memory = Memory::suiting(expected);
        let owners = |expected, memory: Memory| Owners {
            slots: Slots::with_capacity(expected, memory),
            bytes: memory.vec(0),
            places: memory.vec(expected),
            last: PLACE_MAX,
        };
        Self {
            origin: origin.clone(),
            names: owners(expected, memory),
            nsec3_names: owners(0, Memory::Plain),
            records: memory.vec(expected),
            rdata: memory.vec(0),
            memory,
        }
    }

    /// The origin of the zone.
    pub const fn origin(&self) -> &Name {
        &self.origin
    }

    /// How many records came so far.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no record came yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a record of class IN; names in `rdata` are uncompressed and, where RFC 4034 6.2 wants it, lower-cased.
    ///
    /// # Errors
    /// [`BuildError::OutOfZone`] and [`BuildError::TooLarge`]; the record is then not added.
    pub fn add(&mut self, owner: &Name, rtype: Rtype, ttl: u32, rdata: &[u8]) -> Result<(), BuildError> {
        if !owner.is_under(self.origin.as_bytes()) {
            return Err(BuildError::OutOfZone);
        }
        let room = ARENA_LEN_MAX.saturating_sub(self.rdata.len().max(self.names.bytes.len()));
        if room < rdata.len() + 256 || rdata.len() > usize::from(u16::MAX) {
            return Err(BuildError::TooLarge);
        }
        let is_nsec3 = nsec3::is_of_the_chain(rtype, rdata);
        let names = if is_nsec3 { &mut self.nsec3_names } else { &mut self.names };
        let owner = names.number(owner) | if is_nsec3 { NSEC3 } else { 0 };
        let rdata_start = self.rdata.len() as u32;
        self.rdata.extend_from_slice(rdata);
        self.records.push(Posting { owner, rdata_start, ttl, rtype, rdata_len: rdata.len() as u16 });
        Ok(())
    }

    /// The finished zone.
    ///
    /// # Errors
    /// What keeps it from being served.
    pub fn finish(mut self) -> Result<Zone, BuildError> {
        let mut children = self.add_empty_non_terminals();
        let (nodes, nsec3_nodes) = (self.names.places.len(), self.nsec3_names.places.len());
        children.resize(nodes, 0);
        let table = self.table(&self.names, 0, &children, nodes)?;
        let nsec3_table = self.table(&self.nsec3_names, NSEC3, &vec![0; nsec3_nodes], nsec3_nodes)?;
        drop((self.records, self.rdata, self.names, self.nsec3_names));
        Zone::of(self.origin, table, nsec3_table)
    }

    /// Makes known the names between the origin and those that have records; returns how many children each has.
    fn add_empty_non_terminals(&mut self) -> Vec<u32> {
        self.names.number(&self.origin);
        let origin_labels = self.origin.label_count();
        let mut children: Vec<u32> = self.memory.zeroed(self.names.places.len());
        // Names that are added here get their own ancestors in their turn.
        let mut number = 0;
        while let Some(&(place, _)) = self.names.places.get(number) {
            number += 1;
            let Some(name) = self.names.name(place) else { continue };
            if crate::wire::label_count(name) <= origin_labels {
                continue;
            }
            let Ok((parent, _)) = Name::parse_plain(name, 1 + usize::from(name[0])) else { continue };
            let parent = self.names.number(&parent) as usize;
            if parent >= children.len() {
                children.resize(parent + 1, 0);
            }
            children[parent] += 1;
        }
        children
    }

    /// A table of the names of `owners`, whose numbers have the mark `kind`.
    fn table(&self, owners: &Owners, kind: u32, children: &[u32], nodes: usize) -> Result<Table, BuildError> {
        let mut table = Table::empty(nodes);
        let shift = table.shift();
        let page_of = |number: u32| page_number(owners.places[number as usize].1, shift);
        // Names by page, then records by name: two counting sorts.
        let by_page =
            Grouped::new(self.memory, table.page_count(), nodes as u32, |number| Some(page_of(number)));
        let by_owner = Grouped::new(self.memory, nodes, self.records.len() as u32, |record| {
            let owner = self.records[record as usize].owner;
            (owner & NSEC3 == kind).then_some((owner & !NSEC3) as usize)
        });
        let mut records: Vec<RecordOf<'_>> = Vec::new();
        let mut ends: Vec<usize> = Vec::new();
        for page in 0..table.page_count() {
            let members = by_page.of(page);
            records.clear();
            ends.clear();
            for &member in members {
                let start = records.len();
                records.extend(by_owner.of(member as usize).iter().map(|r| self.record(*r as usize)));
                let len = sort_and_forget_repeated(&mut records[start..]);
                records.truncate(start + len);
                if let Some(set) = too_large(&records[start..]) {
                    let name = owners.name(owners.places[member as usize].0).unwrap_or_default();
                    let name = Name::parse_plain(name, 0).map(|(name, _)| name).unwrap_or_default();
                    return Err(BuildError::RrsetTooLarge(Box::new(name), set));
                }
                ends.push(records.len());
            }
            let mut nodes: Vec<NewNode<'_>> = members
                .iter()
                .enumerate()
                .map(|(index, &member)| {
                    let (place, hash) = owners.places[member as usize];
                    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
                    NewNode {
                        name: owners.name(place).unwrap_or_default(),
                        hash,
                        children: children[member as usize],
                        records: &records[start..ends[index]],
                    }
                })
                .collect();
            // In one order whatever the source's, so that equal pages have equal bytes.
            nodes.sort_unstable_by_key(|node| node.name);
            table.set_page(page, &nodes);
        }
        Ok(table)
    }

    fn record(&self, number: usize) -> RecordOf<'_> {
        let Posting { rdata_start, ttl, rtype, rdata_len, .. } = self.records[number];
        let start = rdata_start as usize;
        RecordOf { rtype, rdata: &self.rdata[start..start + usize::from(rdata_len)], ttl }
    }
}

/// Marks the owners of the NSEC3 chain.
const NSEC3: u32 = 1 << 31;

impl Owners {
    /// The number of `name`, which is made known if it is new.
    fn number(&mut self, name: &Name) -> u32 {
        let wire = name.as_bytes();
        if let Some((place, _)) = self.places.get(self.last as usize)
            && self.name(*place) == Some(wire)
        {
            return self.last;
        }
        let hash = NameHasher::process().hash(wire);
        let known = self.slots.find(hash, |number| {
            self.places.get(number as usize).and_then(|(place, _)| self.name(*place)) == Some(wire)
        });
        let number = known.unwrap_or_else(|| {
            let number = self.places.len() as u32;
            self.places.push((self.bytes.len() as u32, hash));
            self.bytes.push(wire.len() as u8);
            self.bytes.extend_from_slice(wire);
            self.slots.insert(hash, number);
            number
        });
        self.last = number;
        number
    }

    fn name(&self, place: u32) -> Option<&[u8]> {
        let (&len, rest) = self.bytes.get(place as usize..)?.split_first()?;
        rest.get(..usize::from(len))
    }
}

/// Brings the records of a name into the order of their sets, keeping that of the source within a set, and takes out those that are there
/// already (RFC 2181 5). Returns how many are left.
pub(super) fn sort_and_forget_repeated(records: &mut [RecordOf<'_>]) -> usize {
    if records.len() < 2 {
        return records.len();
    }
    records.sort_by_key(|record| (record.set(), record.rtype == Rtype::RRSIG));
    let mut kept = 0;
    let mut seen = std::collections::HashSet::new();
    let many = records.len() > 16;
    for number in 0..records.len() {
        let record = records[number];
        let repeated = if many {
            !seen.insert((record.rtype, record.rdata))
        } else {
            records[..kept].iter().any(|other| (other.rtype, other.rdata) == (record.rtype, record.rdata))
        };
        if !repeated {
            records[kept] = record;
            kept += 1;
        }
    }
    kept
}

pub(super) fn too_large(records: &[RecordOf<'_>]) -> Option<Rtype> {
    if records.len() <= RRSET_RECORDS_MAX {
        return None;
    }
    records
        .chunk_by(|a, b| a.set() == b.set())
        .find(|set| set.len() > RRSET_RECORDS_MAX)
        .map(|set| set[0].set())
}

/// Numbers sorted by the group they belong to; in their own order within.
struct Grouped {
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl Grouped {
    fn new(memory: Memory, groups: usize, members: u32, of: impl Fn(u32) -> Option<usize>) -> Self {
        let mut starts: Vec<u32> = memory.zeroed(groups + 1);
        let mut total = 0;
        for group in (0..members).filter_map(&of) {
            starts[group] += 1;
            total += 1;
        }
        let mut before = 0;
        for start in &mut starts {
            before += std::mem::replace(start, before);
        }
        // Each start moves to its group's end, which is where the next one begins.
        let mut order: Vec<u32> = memory.zeroed(total);
        for member in 0..members {
            if let Some(group) = of(member) {
                let next = &mut starts[group];
                order[*next as usize] = member;
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
