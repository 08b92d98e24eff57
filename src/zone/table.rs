//! The nodes of a zone by the hash of their names, in pages that versions of the zone share.
//!
//! ```text
//!  pages: │ Arc │ Arc │ Arc │ …           a page for each value of the hash's upper bits
//!            └──▶ page: │slots, 4│ tag, place │ tag, place │ … │ node │ node │ …
//! ```
//!
//! A look-up touches the list of pages, a slot and a node. A change writes the pages it touches anew and shares the rest.

use std::sync::Arc;

use super::node::{self, Node, RecordOf, records_of};
use crate::net::ahead::fetch;
use crate::wire::NameHasher;

/// Nodes of a page, on average, when a table is built.
const PAGE_NODES: usize = 32;

/// Bytes of a slot: a tag and a place.
const SLOT_LEN: usize = 8;

/// Bytes of a page before its slots.
const PAGE_HEADER_LEN: usize = 4;

/// Bytes of a node that are asked for ahead.
const NODE_LEN_USUAL: usize = 96;

/// Nodes that do not change any more.
#[derive(Clone)]
pub(super) struct Table {
    /// A power of two of them.
    pages: Vec<Arc<[u8]>>,
    /// How far a hash is shifted to have the number of its page; 64 for a single page.
    shift: u32,
    nodes: usize,
}

impl Table {
    /// A table for about `nodes` nodes, without any.
    pub(super) fn empty(nodes: usize) -> Self {
        let bits = nodes.div_ceil(PAGE_NODES).next_power_of_two().trailing_zeros().min(24);
        Self { pages: vec![page(&[]); 1 << bits], shift: 64 - bits, nodes: 0 }
    }

    /// How many pages there are.
    pub(super) fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// How far a hash is shifted to have the number of its page, for [`page_number`].
    pub(super) const fn shift(&self) -> u32 {
        self.shift
    }

    /// The page that a name of that hash stands in.
    #[inline]
    pub(super) fn page_of(&self, hash: u64) -> usize {
        page_number(hash, self.shift)
    }

    /// Whether both have the same page there, as the same memory or as the same bytes.
    pub(super) fn shares_page(&self, other: &Self, number: usize) -> bool {
        match (self.pages.get(number), other.pages.get(number)) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one == two,
            (one, two) => one.is_none() && two.is_none(),
        }
    }

    /// Takes the pages of `other` where they hold the same bytes.
    pub(super) fn share(&mut self, other: &Self) {
        if self.pages.len() == other.pages.len() {
            for (mine, theirs) in self.pages.iter_mut().zip(&other.pages) {
                if !Arc::ptr_eq(mine, theirs) && mine == theirs {
                    *mine = Arc::clone(theirs);
                }
            }
        }
    }

    /// How many pages this and `other` hold in the same memory.
    #[cfg(test)]
    pub(super) fn shared_with(&self, other: &Self) -> usize {
        self.pages.iter().zip(&other.pages).filter(|(one, two)| Arc::ptr_eq(one, two)).count()
    }

    /// The node of `name`, a lower-cased wire form with that hash.
    #[inline]
    pub(super) fn get(&self, name: &[u8], hash: u64) -> Option<Node<'_>> {
        let page = self.pages.get(self.page_of(hash))?;
        let mask = slot_count(page)?.checked_sub(1)?;
        let tag = hash as u32;
        let mut at = tag as usize & mask;
        loop {
            // Half of the slots are empty, so the search ends.
            let (slot_tag, place) = slot(page, at)?;
            if place == 0 {
                return None;
            }
            if slot_tag == tag {
                let node = Node::read(page.get(place as usize..)?)?;
                if node.name() == name {
                    return Some(node);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Asks for the slot of that hash, so that [`Self::fetch_node`] finds it.
    #[inline]
    pub(super) fn fetch_slot(&self, hash: u64) {
        let Some(page) = self.pages.get(self.page_of(hash)) else { return };
        // The number of slots stands in the page itself; a wrong guess costs a line.
        let Some(mask) = slot_count(page).and_then(|count| count.checked_sub(1)) else { return };
        let start = PAGE_HEADER_LEN + (hash as u32 as usize & mask) * SLOT_LEN;
        fetch(page.get(start..start + SLOT_LEN).unwrap_or_default());
    }

    /// Asks for the node that is likely the one of that hash.
    #[inline]
    pub(super) fn fetch_node(&self, hash: u64) {
        let Some(page) = self.pages.get(self.page_of(hash)) else { return };
        let Some(mask) = slot_count(page).and_then(|count| count.checked_sub(1)) else { return };
        let Some((_, place)) = slot(page, hash as u32 as usize & mask) else { return };
        let rest = page.get(place as usize..).unwrap_or_default();
        fetch(rest.get(..NODE_LEN_USUAL).unwrap_or(rest));
    }

    /// All nodes, page by page.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        (0..self.pages.len()).flat_map(|number| self.nodes_of(number))
    }

    /// The nodes of a page, in the order in which they were written.
    pub(super) fn nodes_of(&self, number: usize) -> impl Iterator<Item = Node<'_>> {
        let page: &[u8] = self.pages.get(number).map_or(&[], |page| page);
        let mut places: Vec<u32> = (0..slot_count(page).unwrap_or(0))
            .filter_map(|at| Some(slot(page, at)?.1))
            .filter(|place| *place != 0)
            .collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| Node::read(page.get(place as usize..)?))
    }

    /// Puts another page in the place of that one.
    pub(super) fn set_page(&mut self, number: usize, nodes: &[NewNode<'_>]) {
        let before = self.nodes_of(number).count();
        if let Some(slot) = self.pages.get_mut(number) {
            *slot = page(nodes);
            self.nodes = self.nodes + nodes.len() - before;
        }
    }

    /// Whether pages have become so full that it would pay to have more of them.
    pub(super) fn is_crowded(&self) -> bool {
        self.nodes > 4 * PAGE_NODES * self.pages.len()
    }

    /// The same nodes in as many pages as suit them.
    pub(super) fn spread(&self) -> Self {
        let hasher = NameHasher::process();
        let mut table = Self::empty(self.nodes);
        let mut members: Vec<Vec<Node<'_>>> = vec![Vec::new(); table.pages.len()];
        for node in self.nodes() {
            members[table.page_of(hasher.hash(node.name()))].push(node);
        }
        for (number, mut members) in members.into_iter().enumerate() {
            members.sort_unstable_by_key(|node| node.name());
            let records: Vec<Vec<RecordOf<'_>>> =
                members.iter().map(|node| records_of(node).collect()).collect();
            let nodes: Vec<NewNode<'_>> = members
                .iter()
                .zip(&records)
                .map(|(node, records)| NewNode {
                    name: node.name(),
                    hash: hasher.hash(node.name()),
                    children: node.children(),
                    records,
                })
                .collect();
            table.set_page(number, &nodes);
        }
        table
    }

    /// Bytes of all pages.
    pub(super) fn len_bytes(&self) -> usize {
        self.pages.iter().map(|page| page.len()).sum()
    }
}

/// The number of the page of a hash in a table that shifts so far.
#[inline]
pub(super) fn page_number(hash: u64, shift: u32) -> usize {
    hash.checked_shr(shift).unwrap_or(0) as usize
}

/// A node to be written: its records sorted by [`RecordOf::set`].
pub(super) struct NewNode<'a> {
    pub(super) name: &'a [u8],
    pub(super) hash: u64,
    pub(super) children: u32,
    pub(super) records: &'a [RecordOf<'a>],
}

/// A page of these nodes.
fn page(nodes: &[NewNode<'_>]) -> Arc<[u8]> {
    let slots = (nodes.len() * 2).next_power_of_two().max(2);
    let mut bytes = vec![0; PAGE_HEADER_LEN + slots * SLOT_LEN];
    bytes[..PAGE_HEADER_LEN].copy_from_slice(&(slots as u32).to_le_bytes());
    for node in nodes {
        let place = bytes.len() as u32;
        let tag = node.hash as u32;
        let mut at = tag as usize & (slots - 1);
        while slot(&bytes, at).is_some_and(|(_, place)| place != 0) {
            at = (at + 1) & (slots - 1);
        }
        let start = PAGE_HEADER_LEN + at * SLOT_LEN;
        bytes[start..start + 4].copy_from_slice(&tag.to_le_bytes());
        bytes[start + 4..start + 8].copy_from_slice(&place.to_le_bytes());
        node::write(&mut bytes, node.name, node.children, node.records);
    }
    bytes.into()
}

#[inline]
fn slot_count(page: &[u8]) -> Option<usize> {
    page.first_chunk::<4>().map(|count| u32::from_le_bytes(*count) as usize)
}

#[inline]
fn slot(page: &[u8], at: usize) -> Option<(u32, u32)> {
    let start = PAGE_HEADER_LEN + at * SLOT_LEN;
    let [t1, t2, t3, t4, p1, p2, p3, p4] = *page.get(start..)?.first_chunk::<SLOT_LEN>()?;
    Some((u32::from_le_bytes([t1, t2, t3, t4]), u32::from_le_bytes([p1, p2, p3, p4])))
}
