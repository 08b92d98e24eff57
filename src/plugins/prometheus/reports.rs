//! The counts of a block by the labels of its queries, found by the places of the labels' texts: each text is kept once in the process.

use std::sync::OnceLock;

use crate::chain::{Labels, Query, Report, Response, intern_labels};
use crate::wire::{Name, Rtype};

/// Open addressing over all labels that the block's queries can have; a report is made when it first counts.
pub(super) struct Reports {
    slots: Box<[Option<Slot>]>,
    plugins: Box<[&'static str]>,
    /// If the block has several zones, their names, longest first: DS queries come by their parent's.
    zones: Box<[(Name, &'static str)]>,
}

struct Slot {
    labels: &'static Labels,
    report: OnceLock<Box<Report>>,
}

impl Reports {
    pub(super) fn new(labels: &[Labels], plugins: &[&'static str]) -> Self {
        // At most half full, so that a look ends soon; never empty, so that it ends.
        let mut slots: Vec<Option<Slot>> = Vec::new();
        slots.resize_with((2 * labels.len()).next_power_of_two().max(2), || None);
        let mask = slots.len() - 1;
        let mut zones: Vec<(Name, &'static str)> = Vec::new();
        for &labels in labels {
            let mut at = hash(labels) & mask;
            while slots[at].as_ref().is_some_and(|slot| *slot.labels != labels) {
                at = (at + 1) & mask;
            }
            slots[at].get_or_insert_with(|| Slot { labels: intern_labels(labels), report: OnceLock::new() });
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

    /// Counts `query` and what became of it in `took` nanoseconds under its labels. The zone is the longest of the block's that the name is
    /// in, also for DS queries, which are routed by their parent's.
    #[inline]
    pub(super) fn count(&self, query: &Query, response: &Response, took: u64) {
        let labels = if query.qtype() == Rtype::DS { self.of_longest_zone(query) } else { query.labels };
        if Report::count_known(labels, query, response, took) {
            return;
        }
        match self.find(*labels) {
            Some(slot) => slot.report(&self.plugins).count(query, response, took),
            // Nobody told of them: looks for each series.
            None => Report::new(labels, &self.plugins).count(query, response, took),
        }
    }

    fn of_longest_zone(&self, query: &Query) -> &'static Labels {
        let longest = self.zones.iter().find(|(name, _)| query.name().is_under(name.as_bytes()));
        let slot = longest.and_then(|&(_, zone)| self.find(Labels { zone, ..*query.labels }));
        slot.map_or(query.labels, |slot| slot.labels)
    }

    /// What is kept for these labels; `None` if nobody told of them.
    fn find(&self, labels: Labels) -> Option<&Slot> {
        let mask = self.slots.len() - 1;
        let mut at = hash(labels);
        while let Some(slot) = &self.slots[at & mask] {
            if *slot.labels == labels {
                return Some(slot);
            }
            at = at.wrapping_add(1);
        }
        None
    }
}

impl Slot {
    fn report(&self, plugins: &[&'static str]) -> &Report {
        self.report.get_or_init(|| Box::new(Report::new(self.labels, plugins)))
    }
}

/// Texts are kept once, so that their places tell them apart.
fn hash(labels: Labels) -> usize {
    // Texts lie in pages of their own sizes; the upper half of a product depends on all bits.
    let mixed = (labels.server.as_ptr() as u64).rotate_left(32) ^ labels.zone.as_ptr() as u64;
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
            let report = std::ptr::from_ref(reports.find(*labels).unwrap().report(&[]));
            assert!(seen.insert(report), "{labels:?} has another's report");
            assert!(std::ptr::eq(report, reports.find(*labels).unwrap().report(&[])));
        }
    }

    #[test]
    fn ds_queries_count_for_the_longest_zone() {
        let server = intern("dns://:53");
        let zone = |zone| Labels { server, zone: intern(zone), view: "" };
        let labels = [zone("reports-ds.test."), zone("sub.reports-ds.test.")];
        let reports = Reports::new(&labels, &[]);
        let of = |labels| {
            let mut query = testing::query("sub.reports-ds.test.", Rtype::DS);
            query.labels = intern_labels(labels);
            reports.of_longest_zone(&query)
        };
        assert_eq!(of(labels[0]), &labels[1]);
        assert_eq!(of(labels[1]), &labels[1]);
        let unknown = Labels { view: "unknown", ..labels[0] };
        assert_eq!(of(unknown), &unknown);
    }

    #[test]
    fn labels_that_nobody_told_of_are_counted_too() {
        let reports = Reports::new(&[], &[]);
        let mut query = testing::query("a.test.", Rtype::A);
        let labels = Labels { server: "dns://:53", zone: "unknown.reports.test.", view: "" };
        query.labels = intern_labels(labels);
        reports.count(&query, &Response::default(), 0);
        let labels = ["dns://:53", "unknown.reports.test.", "", "udp", "1", "A"];
        assert_eq!(crate::metrics::names::DNS_REQUESTS.with(labels).get(), 1);
    }
}
