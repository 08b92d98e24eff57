//! From a zone to its next version, by the records that come and go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::builder::sort_and_forget_repeated;
use super::node::{Node, RecordOf, records_of};
use super::table::{NewNode, Table};
use super::{BuildError, Facts, Zone, nsec3};
use crate::wire::{Name, NameHasher, Rtype};

/// A record that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Its owner, lower-cased and uncompressed.
    pub owner: Box<[u8]>,
    /// Its type.
    pub rtype: Rtype,
    /// Its TTL, seconds; of no meaning for one that goes.
    pub ttl: u32,
    /// Its RDATA, names in it uncompressed.
    pub rdata: Box<[u8]>,
}

/// Why changes do not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// A record that is to go is not there.
    NotThere(Box<Name>, Rtype),
    /// A record that is to come is there already.
    ThereAlready(Box<Name>, Rtype),
    /// What the zone comes to cannot be served.
    Build(BuildError),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere(name, rtype) => write!(f, "{name} {rtype} is to go, but is not there"),
            Self::ThereAlready(name, rtype) => write!(f, "{name} {rtype} is to come, but is there already"),
            Self::Build(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EditError {}

/// Changes of a zone under way.
pub struct Edit<'z> {
    zone: &'z Zone,
    /// Changed owners: what they will have. The key is in the order of names, which does not matter.
    owners: BTreeMap<Box<[u8]>, Vec<Change>>,
}

/// What becomes of a node.
struct Next<'a> {
    records: Option<&'a [Change]>,
    children: i64,
}

impl<'z> Edit<'z> {
    /// Begins to change `zone`.
    pub const fn of(zone: &'z Zone) -> Self {
        Self { zone, owners: BTreeMap::new() }
    }

    /// Takes a record away.
    ///
    /// # Errors
    /// [`EditError::NotThere`]; nothing is then changed.
    pub fn remove(&mut self, change: &Change) -> Result<(), EditError> {
        let records = self.records(change)?;
        let is_it = |record: &Change| (record.rtype, &record.rdata) == (change.rtype, &change.rdata);
        let Some(at) = records.iter().position(is_it) else {
            return Err(EditError::NotThere(Box::new(name_of(&change.owner)), change.rtype));
        };
        records.remove(at);
        Ok(())
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`EditError::ThereAlready`], and [`BuildError::OutOfZone`]; nothing is then changed.
    pub fn add(&mut self, change: Change) -> Result<(), EditError> {
        let records = self.records(&change)?;
        let is_it = |record: &Change| (record.rtype, &record.rdata) == (change.rtype, &change.rdata);
        if records.iter().any(is_it) {
            return Err(EditError::ThereAlready(Box::new(name_of(&change.owner)), change.rtype));
        }
        records.push(change);
        Ok(())
    }

    /// What the owner of `change` has by now.
    fn records(&mut self, change: &Change) -> Result<&mut Vec<Change>, EditError> {
        let owner = &change.owner;
        if !name_of(owner).is_under(self.zone.origin.as_bytes()) {
            return Err(EditError::Build(BuildError::OutOfZone));
        }
        Ok(self.owners.entry(owner.clone()).or_insert_with(|| {
            let hash = NameHasher::process().hash(owner);
            let nodes = [self.zone.table.get(owner, hash), self.zone.nsec3_table.get(owner, hash)];
            nodes.iter().flatten().flat_map(|node| changes_of(node)).collect()
        }))
    }

    /// The zone as it is with all changes made.
    ///
    /// # Errors
    /// What keeps it from being served, as for a zone that is built anew.
    pub fn finish(self) -> Result<Zone, EditError> {
        let zone = self.zone;
        let mut parts: [BTreeMap<&[u8], Vec<Change>>; 2] = [BTreeMap::new(), BTreeMap::new()];
        for (owner, records) in &self.owners {
            let of_chain = |record: &&Change| nsec3::is_of_the_chain(record.rtype, &record.rdata);
            let (chain, plain) = records.iter().partition::<Vec<_>, _>(of_chain);
            let hash = NameHasher::process().hash(owner);
            if !plain.is_empty() || zone.table.get(owner, hash).is_some() {
                parts[0].insert(owner, plain.into_iter().cloned().collect());
            }
            if !chain.is_empty() || zone.nsec3_table.get(owner, hash).is_some() {
                parts[1].insert(owner, chain.into_iter().cloned().collect());
            }
        }
        let tree = Tree { table: &zone.table, apex: zone.origin.as_bytes() };
        let next = tree.next(&parts[0], true);
        let next_nsec3 = Tree { table: &zone.nsec3_table, ..tree }.next(&parts[1], false);
        let table = written(&zone.table, &next)?;
        let nsec3_table = written(&zone.nsec3_table, &next_nsec3)?;
        let (soa, negative) = Zone::read_soa(&zone.origin, &table).map_err(EditError::Build)?;
        let mut facts =
            Facts { cuts: zone.cuts.clone(), wildcards: zone.wildcards.into(), records: zone.records as i64 };
        let mut new = Zone {
            origin: zone.origin.clone(),
            soa,
            negative,
            cuts: zone.cuts.clone(),
            wildcards: 0,
            denial: zone.denial.clone(),
            records: 0,
            table,
            nsec3_table,
        };
        let nodes: Vec<(Option<Node<'_>>, Option<Node<'_>>)> = [(&next, 0), (&next_nsec3, 1)]
            .into_iter()
            .flat_map(|(next, part)| next.keys().map(move |name| (name, part)))
            .map(|(name, part)| {
                let hash = NameHasher::process().hash(name);
                if part == 0 {
                    (zone.table.get(name, hash), new.table.get(name, hash))
                } else {
                    (zone.nsec3_table.get(name, hash), new.nsec3_table.get(name, hash))
                }
            })
            .collect();
        for (old, new) in &nodes {
            for (node, times) in [(old, -1), (new, 1)] {
                if let Some(node) = node {
                    facts.count(node, &zone.origin, times);
                }
            }
        }
        let denial = zone.denial.changed(&new, &nodes);
        drop(nodes);
        new.cuts = facts.cuts;
        new.wildcards = facts.wildcards.max(0) as u32;
        new.records = facts.records.max(0) as usize;
        new.denial = denial;
        Ok(new)
    }
}

/// The names of one table, and how they hang together.
#[derive(Clone, Copy)]
struct Tree<'a> {
    table: &'a Table,
    apex: &'a [u8],
}

impl<'a> Tree<'a> {
    /// What becomes of each node that changes, by the records that owners will have. With `connected`, names have all names between them and
    /// the apex above them.
    fn next<'c>(
        self,
        owners: &'c BTreeMap<&[u8], Vec<Change>>,
        connected: bool,
    ) -> HashMap<Vec<u8>, Next<'c>> {
        let mut next: HashMap<Vec<u8>, Next<'c>> = HashMap::new();
        for (owner, records) in owners {
            let there = self.exists(owner, &next);
            let entry = next.entry(owner.to_vec()).or_insert(Next { records: None, children: 0 });
            entry.records = Some(records);
            let stays = !records.is_empty() || self.children(owner, &next) > 0;
            match (there, stays || *owner == self.apex) {
                (false, true) if connected => self.connect(owner, &mut next),
                (true, false) if connected => self.disconnect(owner, &mut next),
                _ => {}
            }
        }
        next
    }

    fn node(self, name: &[u8]) -> Option<Node<'a>> {
        self.table.get(name, NameHasher::process().hash(name))
    }

    /// How many children `name` has by now.
    fn children(self, name: &[u8], next: &HashMap<Vec<u8>, Next<'_>>) -> i64 {
        self.node(name).map_or(0, |node| node.children().into()) + next.get(name).map_or(0, |n| n.children)
    }

    /// Whether `name` is there by now.
    fn exists(self, name: &[u8], next: &HashMap<Vec<u8>, Next<'_>>) -> bool {
        name == self.apex || self.children(name, next) > 0 || self.has_records(name, next)
    }

    fn has_records(self, name: &[u8], next: &HashMap<Vec<u8>, Next<'_>>) -> bool {
        match next.get(name).and_then(|next| next.records) {
            Some(records) => !records.is_empty(),
            None => self.node(name).is_some_and(|node| !node.is_empty()),
        }
    }

    /// `name` is new: its parent has one child more, and may be new itself.
    fn connect(self, name: &[u8], next: &mut HashMap<Vec<u8>, Next<'_>>) {
        let mut name = name;
        while name != self.apex {
            let Some(parent) = parent(name) else { return };
            let there = self.exists(parent, next);
            next.entry(parent.to_vec()).or_insert(Next { records: None, children: 0 }).children += 1;
            if there {
                return;
            }
            name = parent;
        }
    }

    /// `name` is gone: its parent has one child less, and may be gone itself.
    fn disconnect(self, name: &[u8], next: &mut HashMap<Vec<u8>, Next<'_>>) {
        let mut name = name;
        while name != self.apex {
            let Some(parent) = parent(name) else { return };
            next.entry(parent.to_vec()).or_insert(Next { records: None, children: 0 }).children -= 1;
            if self.exists(parent, next) {
                return;
            }
            name = parent;
        }
    }
}

/// `table` with these nodes changed; those that have neither records nor children are gone.
fn written(table: &Table, next: &HashMap<Vec<u8>, Next<'_>>) -> Result<Table, EditError> {
    let hasher = NameHasher::process();
    let mut new = table.clone();
    let pages: BTreeSet<usize> = next.keys().map(|name| table.page_of(hasher.hash(name))).collect();
    let mut by_page: BTreeMap<usize, Vec<&Vec<u8>>> = BTreeMap::new();
    for name in next.keys() {
        by_page.entry(table.page_of(hasher.hash(name))).or_default().push(name);
    }
    for page in pages {
        let mut nodes: Vec<(&[u8], u32, Vec<RecordOf<'_>>)> = Vec::new();
        for node in table.nodes_of(page).filter(|node| !next.contains_key(node.name())) {
            nodes.push((node.name(), node.children(), records_of(&node).collect()));
        }
        for name in by_page.get(&page).into_iter().flatten() {
            let Some(change) = next.get(*name) else { continue };
            let old = table.get(name, hasher.hash(name));
            let children = old.map_or(0, |node| i64::from(node.children())) + change.children;
            let mut records: Vec<RecordOf<'_>> = match change.records {
                Some(records) => records.iter().map(Change::record).collect(),
                None => old.iter().flat_map(|node| records_of(node)).collect(),
            };
            let len = sort_and_forget_repeated(&mut records);
            records.truncate(len);
            if let Some(set) = super::builder::too_large(&records) {
                return Err(EditError::Build(BuildError::RrsetTooLarge(Box::new(name_of(name)), set)));
            }
            if !records.is_empty() || children > 0 {
                nodes.push((name, children.max(0) as u32, records));
            }
        }
        // In one order however it came about, so that equal pages have equal bytes.
        nodes.sort_unstable_by_key(|(name, ..)| *name);
        let nodes: Vec<NewNode<'_>> = nodes
            .iter()
            .map(|(name, children, records)| NewNode {
                name,
                hash: hasher.hash(name),
                children: *children,
                records,
            })
            .collect();
        new.set_page(page, &nodes);
    }
    Ok(if new.is_crowded() { new.spread() } else { new })
}

impl Change {
    fn record(&self) -> RecordOf<'_> {
        RecordOf { rtype: self.rtype, rdata: &self.rdata, ttl: self.ttl }
    }
}

/// The records of a node, as changes.
pub(super) fn changes_of(node: &Node<'_>) -> impl Iterator<Item = Change> {
    let owner: Box<[u8]> = node.name().into();
    let records: Vec<RecordOf<'_>> = records_of(node).collect();
    let changes: Vec<Change> = records
        .iter()
        .map(|record| Change {
            owner: owner.clone(),
            rtype: record.rtype,
            ttl: record.ttl,
            rdata: record.rdata.into(),
        })
        .collect();
    changes.into_iter()
}

fn parent(name: &[u8]) -> Option<&[u8]> {
    let (&len, rest) = name.split_first()?;
    if len == 0 { None } else { rest.get(usize::from(len)..) }
}

fn name_of(wire: &[u8]) -> Name {
    Name::parse_plain(wire, 0).map(|(name, _)| name).unwrap_or_default()
}

/// What goes and what comes from `old` to `new`, two versions of one zone: only pages that differ are looked into.
pub fn difference(old: &Zone, new: &Zone) -> (Vec<Change>, Vec<Change>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for (one, two) in [(&old.table, &new.table), (&old.nsec3_table, &new.nsec3_table)] {
        if one.page_count() == two.page_count() {
            for page in (0..one.page_count()).filter(|page| !one.shares_page(two, *page)) {
                collect_difference(one.nodes_of(page), two.nodes_of(page), &mut gone, &mut come);
            }
        } else {
            collect_difference(one.nodes(), two.nodes(), &mut gone, &mut come);
        }
    }
    (gone, come)
}

fn collect_difference<'a>(
    old: impl Iterator<Item = Node<'a>>,
    new: impl Iterator<Item = Node<'a>>,
    gone: &mut Vec<Change>,
    come: &mut Vec<Change>,
) {
    let mut left: HashMap<&[u8], Node<'a>> = old.map(|node| (node.name(), node)).collect();
    for node in new {
        let Some(before) = left.remove(node.name()) else {
            come.extend(changes_of(&node));
            continue;
        };
        let was: BTreeSet<Change> = changes_of(&before).collect();
        let is: BTreeSet<Change> = changes_of(&node).collect();
        gone.extend(was.difference(&is).cloned());
        come.extend(is.difference(&was).cloned());
    }
    gone.extend(left.values().flat_map(changes_of));
}
