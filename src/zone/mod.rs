//! One model of a zone (RFC 9499 "zone"), whatever its records come from.
//!
//! ```text
//!  master file ─┐                                   ┌─▶ lookup: question ─▶ answer, referral, denial
//!  transfer ────┼─▶ Builder ─▶ Zone: table, order ──┼─▶ all records, for transfers
//!  changes ─────┘      ▲                            │
//!                      └──────────── Edit ◀─────────┘   what did not change is shared
//! ```
//!
//! A [`Zone`] never changes. Its records are encoded as they are sent, in pages by the hash of their owner names (table.rs); who changes a zone
//! makes the next one beside it, and both share the pages in which nothing changed. No I/O, no clock.

mod builder;
mod denial;
mod edit;
mod key;
mod lookup;
pub mod master_file;
mod node;
mod nsec3;
mod order;
pub mod rdata;
mod set;
mod soa;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use builder::{BuildError, Builder};
pub use edit::{Change, Edit, EditError, difference};
pub use key::Key;
pub use lookup::{Answer, End, Message, Owner, Paused, Question};
pub use node::{Node, RecordOf, Rrset, Rrsets, encoded, records_of};
pub use set::ZoneSet;
pub use soa::{Soa, compare_serials};

use crate::wire::{Name, NameHasher, Rtype, label_count};
use denial::Denial;
use order::Order;
use soa::Negative;
use table::Table;

/// All records of a zone at one serial.
#[derive(Clone)]
pub struct Zone {
    origin: Name,
    /// The nodes that queries find.
    table: Table,
    /// The owners of NSEC3 records, which queries do not find (RFC 5155 7.2.8).
    nsec3_table: Table,
    soa: Soa,
    negative: Negative,
    cuts: Depths,
    wildcards: u32,
    denial: Denial,
    records: usize,
}

impl Zone {
    /// The zone of these tables.
    fn of(origin: Name, table: Table, nsec3_table: Table) -> Result<Self, BuildError> {
        let (soa, negative) = Self::read_soa(&origin, &table)?;
        let mut facts = Facts::default();
        for node in table.nodes() {
            facts.count(&node, &origin, 1);
        }
        let nsec3_records: usize = nsec3_table.nodes().map(|node| records_of(&node).count()).sum();
        let denial = Denial::of(&origin, &table, &nsec3_table);
        Ok(Self {
            origin,
            soa,
            negative,
            cuts: facts.cuts,
            wildcards: facts.wildcards as u32,
            denial,
            records: facts.records as usize + nsec3_records,
            table,
            nsec3_table,
        })
    }

    fn read_soa(origin: &Name, table: &Table) -> Result<(Soa, Negative), BuildError> {
        let apex = table.get(origin.as_bytes(), origin.hash_with(NameHasher::process()));
        let rrset = apex.and_then(|apex| apex.rrset(Rtype::SOA)).ok_or(BuildError::NoSoa)?;
        if rrset.count > 1 {
            return Err(BuildError::SeveralSoas);
        }
        let soa = Soa::of(&rrset).ok_or(BuildError::BadSoa)?;
        Ok((soa, Negative::of(&rrset, &soa)))
    }

    /// The name of the zone's apex.
    pub const fn origin(&self) -> &Name {
        &self.origin
    }

    /// What the SOA record says.
    pub const fn soa(&self) -> &Soa {
        &self.soa
    }

    /// The number of records.
    pub const fn len(&self) -> usize {
        self.records
    }

    /// Whether there are no records; a zone has at least its SOA record.
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes that the records and their index take.
    pub fn len_bytes(&self) -> usize {
        self.table.len_bytes() + self.nsec3_table.len_bytes()
    }

    /// The node of `name`, a lower-cased wire form, wherever it stands: also below a cut.
    pub fn node(&self, name: &[u8]) -> Option<Node<'_>> {
        self.table.get(name, NameHasher::process().hash(name))
    }

    /// The apex.
    pub fn apex(&self) -> Option<Node<'_>> {
        self.node(self.origin.as_bytes())
    }

    /// All nodes that have records, those of NSEC3 records last, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.table.nodes().chain(self.nsec3_table.nodes()).filter(|node| !node.is_empty())
    }

    /// All nodes that have records, in canonical order (RFC 4034 6.1).
    pub fn nodes_in_order(&self) -> Vec<Node<'_>> {
        let mut nodes: Vec<Node<'_>> = self.nodes().collect();
        nodes.sort_by_cached_key(|node| Key::of(node.name()));
        nodes
    }

    /// Asks for the memory that a look-up of a name of that hash will begin with, two queries ahead; see [`Self::fetch_node`].
    #[inline]
    pub fn fetch_slot(&self, hash: u64) {
        self.table.fetch_slot(hash);
    }

    /// Asks for the memory of the likely node of that hash, one query ahead.
    #[inline]
    pub fn fetch_node(&self, hash: u64) {
        self.table.fetch_node(hash);
    }

    /// This zone, holding what it has in common with `older` only once in memory.
    #[must_use]
    pub fn sharing(mut self, older: &Self) -> Self {
        self.table.share(&older.table);
        self.nsec3_table.share(&older.nsec3_table);
        self
    }
}

/// What is counted over all nodes of a zone.
#[derive(Clone, Default)]
struct Facts {
    cuts: Depths,
    wildcards: i64,
    records: i64,
}

impl Facts {
    /// Counts `node` so many times: 1 to add it, -1 to take it away.
    fn count(&mut self, node: &Node<'_>, origin: &Name, times: i64) {
        for rrset in node.rrsets() {
            self.records += times * (i64::from(rrset.count) + i64::from(rrset.signature_count));
        }
        if node.name().starts_with(b"\x01*") {
            self.wildcards += times;
        }
        let is_cut = node.rrset(Rtype::NS).is_some() && node.name() != origin.as_bytes();
        if is_cut || node.rrset(Rtype::DNAME).is_some() {
            self.cuts.count(label_count(node.name()), times);
        }
    }
}

/// At which depths, in labels, names hide what is below them: zone cuts and DNAME records.
#[derive(Clone, Default)]
struct Depths {
    mask: u128,
    /// How many at each depth, where there are any.
    counts: Vec<(u8, i64)>,
}

impl Depths {
    fn count(&mut self, depth: usize, times: i64) {
        let depth = depth as u8;
        match self.counts.iter_mut().find(|(at, _)| *at == depth) {
            Some((_, count)) => *count += times,
            None => self.counts.push((depth, times)),
        }
        self.mask =
            self.counts.iter().filter(|(_, count)| *count > 0).fold(0, |mask, (at, _)| mask | 1 << at);
    }
}

/// The names of a set, for [`Order`].
type Keys = BTreeSet<Vec<u8>>;
