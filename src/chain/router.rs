//! Which block a name belongs to, on one listener.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::{Block, Labels, Metadata, Query, Report, intern, intern_labels};
use crate::wire::{Class, Name, NameHasher, Rtype};

/// The routing table of one listener: its zones, and for each the blocks that may serve it (several with views).
pub struct Router {
    /// The listener as metrics name it, such as `dns://:53`.
    pub server: &'static str,
    /// Of queries for which no block is chosen yet.
    nowhere: &'static Labels,
    /// Zones by the hash of their name; equal hashes are told apart by the name.
    zones: HashMap<u64, Vec<Zone>, BuildHasherDefault<Hashed>>,
    /// Label counts of zones that exist, longest first: only these ancestors are looked up.
    depths: Vec<u8>,
    root: Option<Zone>,
    other_classes: bool,
    /// Whether all blocks recover from panics.
    pub debug: bool,
    /// Whether panics are logged with their stack.
    pub stacktrace: bool,
    /// What counts queries that come to no chain, or whose chain breaks; `None`: nobody would see it.
    pub dropped: Option<Report>,
}

/// A zone and its candidates.
struct Zone {
    name: Name,
    candidates: Vec<Candidate>,
}

struct Candidate {
    block: Arc<Block>,
    labels: &'static Labels,
    filter: Option<Filter>,
}

/// Decides whether a view takes a query.
pub type Filter = Arc<dyn Fn(&Query) -> bool + Send + Sync>;

/// Passes hashes through that are good already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only u64 keys are hashed already");
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

impl Router {
    /// An empty table for the listener `server`.
    pub fn new(server: &'static str) -> Self {
        Self {
            server,
            nowhere: intern_labels(Labels { server, zone: "", view: "" }),
            zones: HashMap::default(),
            depths: Vec::new(),
            root: None,
            other_classes: false,
            debug: false,
            stacktrace: false,
            dropped: None,
        }
    }

    /// Adds a candidate for `zone` behind those it has. `view` is empty and `filter` `None` without a view.
    pub fn add(&mut self, zone: &Name, block: &Arc<Block>, view: &'static str, filter: Option<Filter>) {
        self.other_classes |= block.other_classes;
        self.debug |= block.debug;
        self.stacktrace |= block.stacktrace;
        let labels = Labels { server: self.server, zone: intern(&zone.to_string()), view };
        let candidate = Candidate { block: Arc::clone(block), labels: intern_labels(labels), filter };
        let make = || Zone { name: zone.clone(), candidates: Vec::new() };
        let entry = if zone.is_root() {
            self.root.get_or_insert_with(make)
        } else {
            let depth = zone.label_count() as u8;
            if !self.depths.contains(&depth) {
                self.depths.push(depth);
                self.depths.sort_unstable_by(|a, b| b.cmp(a));
            }
            let chained = self.zones.entry(zone.hash_with(NameHasher::process())).or_default();
            match chained.iter().position(|z| z.name == *zone) {
                Some(at) => &mut chained[at],
                None => {
                    chained.push(make());
                    let last = chained.len() - 1;
                    &mut chained[last]
                }
            }
        };
        entry.candidates.push(candidate);
    }

    /// The block that serves `query`, whose labels for server, zone and view are set by the way; `None`: nobody does, the answer is REFUSED.
    ///
    /// The longest zone wins; a zone none of whose views takes the query gives way to shorter ones. QTYPE DS belongs to the parent: the shortest
    /// zone but the root wins, as in CoreDNS, unless a zone on the way has an empty block. A class other than IN is served only if a block of the listener asked for it.
    pub fn route(this: &Arc<Self>, query: &mut Query) -> Option<Arc<Block>> {
        this.find(query).cloned()
    }

    /// As [`Self::route`], without counting a reference: the way of a hit.
    pub fn find<'a>(&'a self, query: &mut Query) -> Option<&'a Arc<Block>> {
        query.labels = self.nowhere;
        if query.qclass() != Class::IN && !self.other_classes {
            return None;
        }
        let mut for_ds = None;
        for &depth in &self.depths {
            let labels = query.name().label_count();
            if usize::from(depth) > labels {
                continue;
            }
            let hash = if usize::from(depth) == labels {
                query.hash()
            } else {
                NameHasher::process().hash(query.name().ancestor(usize::from(depth)))
            };
            let Some(chained) = self.zones.get(&hash) else { continue };
            let suffix = query.name().ancestor(usize::from(depth));
            let Some(zone) = chained.iter().find(|z| z.name.as_bytes() == suffix) else { continue };
            if let Some(found) = zone.choose(query) {
                // A block in which nothing handles queries refuses all of its zone, whatever shorter zone there is.
                if query.qtype() != Rtype::DS || found.block.is_empty() {
                    return found.enter(query);
                }
                for_ds = Some(found);
            }
        }
        if let Some(found) = for_ds {
            return found.enter(query);
        }
        let root = self.root.as_ref()?;
        root.choose(query)?.enter(query)
    }
}

impl Zone {
    /// The first candidate that takes the query.
    fn choose(&self, query: &mut Query) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| {
            collect_metadata(&candidate.block, query);
            candidate.filter.as_ref().is_none_or(|filter| filter(query))
        })
    }
}

impl Candidate {
    fn enter(&self, query: &mut Query) -> Option<&Arc<Block>> {
        query.labels = self.labels;
        // A block in which nothing handles queries refuses them.
        (!self.block.is_empty()).then_some(&self.block)
    }
}

/// Collects the labels of `query` if the block asks for it. Sources are asked only for names that are covered; what plugins add on the way is kept
/// for every name, as CoreDNS does.
fn collect_metadata(block: &Block, query: &mut Query) {
    let Some(plan) = &block.metadata else { return };
    let mut labels = Metadata::default();
    if plan.zones.iter().any(|zone| query.name().is_under(zone.as_bytes())) {
        for source in &plan.sources {
            source.collect(query, &mut labels);
        }
    }
    query.set_metadata(labels);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{address, block, query};

    fn router(zones: &[&str]) -> Arc<Router> {
        let mut router = Router::new("dns://:53");
        let shared = block(vec![("whoami", address(1))]);
        for zone in zones {
            router.add(&zone.parse().unwrap(), &shared, "", None);
        }
        Arc::new(router)
    }

    fn check(zones: &[&str], name: &str, qtype: Rtype, want: Option<&str>) {
        let mut query = query(name, qtype);
        let found = router(zones).find(&mut query).is_some();
        assert_eq!(found.then_some(query.labels.zone), want, "{name} {qtype} in {zones:?}");
    }

    #[test]
    fn the_longest_zone_wins() {
        let zones = ["org", "example.org", "."];
        check(&zones, "a.example.org", Rtype::A, Some("example.org."));
        check(&zones, "EXAMPLE.org", Rtype::A, Some("example.org."));
        check(&zones, "badexample.org", Rtype::A, Some("org."));
        check(&zones, "org", Rtype::A, Some("org."));
        check(&zones, "com", Rtype::A, Some("."));
        check(&zones, ".", Rtype::A, Some("."));
        check(&zones[..2], "com", Rtype::A, None);
        check(&zones[..2], ".", Rtype::A, None);
    }

    #[test]
    fn ds_belongs_to_the_parent() {
        let zones = ["org", "example.org", "."];
        check(&zones, "example.org", Rtype::DS, Some("org."));
        check(&zones, "a.example.org", Rtype::DS, Some("org."));
        check(&zones, "com", Rtype::DS, Some("."));
    }

    #[test]
    fn an_empty_block_refuses_ds_of_its_zone_too() {
        let (full, empty) = (block(vec![("whoami", address(1))]), block(Vec::new()));
        let mut router = Router::new("dns://:53");
        for (zone, block) in [("org", &full), ("example.org", &empty), ("a.example.org", &full), (".", &full)]
        {
            router.add(&zone.parse().unwrap(), block, "", None);
        }
        let check = |name: &str, want: bool| {
            assert_eq!(router.find(&mut query(name, Rtype::DS)).is_some(), want, "{name}");
        };
        check("example.org", false);
        check("b.example.org", false);
        check("a.example.org", false);
        check("example2.org", true);
        check("org", true);
    }

    #[test]
    fn other_classes_are_served_only_where_asked_for() {
        let ask = |other_classes| {
            let mut builder = crate::chain::BlockBuilder::default();
            builder.push("whoami", address(1));
            builder.other_classes = other_classes;
            let mut router = Router::new("dns://:53");
            router.add(&Name::root(), &Arc::new(builder.build()), "", None);
            let mut wire = crate::chain::testing::query_wire("version.bind", Rtype::TXT, None);
            let end = wire.len();
            wire[end - 1] = 3;
            router.find(&mut crate::chain::testing::query_of(&wire)).is_some()
        };
        assert!(!ask(false));
        assert!(ask(true));
    }

    #[test]
    fn a_view_that_passes_gives_way_to_the_next_and_then_to_shorter_zones() {
        let shared = block(vec![("whoami", address(1))]);
        let mut router = Router::new("dns://:53");
        let zone: Name = "example.org".parse().unwrap();
        router.add(&zone, &shared, "v1", Some(Arc::new(|q: &Query| q.qtype() == Rtype::A)));
        router.add(&zone, &shared, "v2", Some(Arc::new(|q: &Query| q.qtype() == Rtype::AAAA)));
        router.add(&Name::root(), &shared, "", None);
        for (qtype, want) in [
            (Rtype::A, ("example.org.", "v1")),
            (Rtype::AAAA, ("example.org.", "v2")),
            (Rtype::TXT, (".", "")),
        ] {
            let mut query = query("www.example.org", qtype);
            assert!(router.find(&mut query).is_some());
            assert_eq!((query.labels.zone, query.labels.view), want);
        }
    }

    #[test]
    fn a_block_without_handlers_refuses() {
        let mut router = Router::new("dns://:53");
        router.add(&Name::root(), &block(Vec::new()), "", None);
        assert!(router.find(&mut query("a", Rtype::A)).is_none());
    }
}
