//! The counts of a block by the labels of its queries, found by the places of the labels' texts: each text is kept once in the process.

use std::sync::OnceLock;
use std::time::Duration;

use crate::chain::{Labels, Query, Report, Response};
use crate::wire::{Name, Rtype};

/// Open addressing over all labels that the block's queries can have; a report is made when it first counts.
pub(super) struct Reports {
    slots: Box<[Option<Slot>]>,
    plugins: Box<[&'static str]>,
    /// If the block has several zones, their names, longest first: DS queries come by their parent's.
    zones: Box<[(Name, &'static str)]>,
}

struct Slot {
    labels: Labels,
    report: OnceLock<Box<Report>>,
}

impl Reports {
    pub(super) fn new(labels: &[Labels], plugins: &[&'static str]) -> Self {
        // At most half full, so that a look ends soon; never empty, so that it ends.
        let mut slots: Vec<Option<Slot>> = Vec::new();
        slots.resize_with((2 * labels.len()).next_power_of_two().max(2), || None);
        let mask = slots.len() - 1;
        let mut zones: Vec<(Name, &'static str)> = Vec::new();
        for labels in labels {
            let mut at = hash(labels.server, labels.zone) & mask;
            while slots[at].as_ref().is_some_and(|slot| slot.labels != *labels) {
                at = (at + 1) & mask;
            }
            slots[at].get_or_insert_with(|| Slot { labels: *labels, report: OnceLock::new() });
            if !zones.iter().any(|(_, zone)| *zone == labels.zone)
                && let Ok(name) = Name::from_text(labels.zone)
            {
                zones.push((name, labels.zone));
            }
        }
        if zones.len() == 1 {
            zones.clear();
        }
        zones.sort_by_key(|(name, _)| std::cmp::Reverse(name.label_count()));
        Self { slots: slots.into(), plugins: plugins.into(), zones: zones.into() }
    }

    /// Counts `query` and what became of it under its labels. The zone is the longest of the block's that the name is in, also for DS
    /// queries, which are routed by their parent's.
    #[inline]
    pub(super) fn count(&self, query: &Query, response: &Response, took: Duration) {
        match self.find(query) {
            Ok(report) => report.count(query, response, took),
            Err(labels) => self.count_unknown(labels, query, response, took),
        }
    }

    /// The counts under the labels of `query`, or these labels if nobody told of them.
    #[inline]
    fn find(&self, query: &Query) -> Result<&Report, Labels> {
        let Query { server, mut zone, view, .. } = *query;
        if query.qtype() == Rtype::DS {
            let longest = self.zones.iter().find(|(name, _)| query.name().is_under(name.as_bytes()));
            zone = longest.map_or(zone, |(_, zone)| zone);
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(server, zone);
        while let Some(slot) = &self.slots[at & mask] {
            if same(slot.labels.server, server) && same(slot.labels.zone, zone) && slot.labels.view == view {
                return Ok(slot.report.get_or_init(|| Box::new(Report::new(slot.labels, &self.plugins))));
            }
            at = at.wrapping_add(1);
        }
        Err(Labels { server, zone, view })
    }

    /// Counts by looking for each series.
    #[cold]
    fn count_unknown(&self, labels: Labels, query: &Query, response: &Response, took: Duration) {
        Report::new(labels, &self.plugins).count(query, response, took);
    }
}

/// Whether two labels are one text: each is kept once, so that their places tell. Not for the empty one, which is nowhere.
#[inline]
fn same(a: &'static str, b: &'static str) -> bool {
    std::ptr::eq(a.as_ptr(), b.as_ptr())
}

#[inline]
fn hash(server: &'static str, zone: &'static str) -> usize {
    // Texts lie in pages of their own sizes; the upper half of a product depends on all bits.
    let mixed = (server.as_ptr() as u64).rotate_left(32) ^ zone.as_ptr() as u64;
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{intern, testing};

    #[test]
    fn each_set_of_labels_has_a_report_of_its_own() {
        let servers = ["dns://:53", "dns://127.0.0.1:53"].map(intern);
        let zones: Vec<&'static str> = (0..64).map(|n| intern(&format!("z{n}.reports.test."))).collect();
        let mut labels = Vec::new();
        for server in servers {
            for zone in &zones {
                labels.extend(["", "v"].map(|view| Labels { server, zone, view: intern(view) }));
            }
        }
        let reports = Reports::new(&labels, &[]);
        let mut seen = std::collections::HashSet::new();
        for labels in &labels {
            let mut query = testing::query("a.test.", Rtype::A);
            (query.server, query.zone, query.view) = (labels.server, labels.zone, labels.view);
            let report = reports.find(&query).unwrap();
            assert!(seen.insert(std::ptr::from_ref(report)), "{labels:?} has another's report");
            assert!(std::ptr::eq(report, reports.find(&query).unwrap()));
        }
    }

    #[test]
    fn ds_queries_count_for_the_longest_zone() {
        let server = intern("dns://:53");
        let zone = |zone| Labels { server, zone: intern(zone), view: "" };
        let labels = [zone("reports-ds.test."), zone("sub.reports-ds.test.")];
        let reports = Reports::new(&labels, &[]);
        let at = |qtype, zone: &'static str| {
            let mut query = testing::query("sub.reports-ds.test.", qtype);
            (query.server, query.zone) = (server, zone);
            std::ptr::from_ref(reports.find(&query).unwrap())
        };
        let sub = at(Rtype::A, labels[1].zone);
        assert_eq!(at(Rtype::DS, labels[0].zone), sub);
        assert_ne!(at(Rtype::A, labels[0].zone), sub);
    }

    #[test]
    fn labels_that_nobody_told_of_are_counted_too() {
        let reports = Reports::new(&[], &[]);
        let mut query = testing::query("a.test.", Rtype::A);
        (query.server, query.zone) = ("dns://:53", "unknown.reports.test.");
        reports.count(&query, &Response::default(), Duration::ZERO);
        let labels = ["dns://:53", "unknown.reports.test.", "", "udp", "1", "A"];
        assert_eq!(crate::metrics::names::DNS_REQUESTS.with(labels).get(), 1);
    }
}
