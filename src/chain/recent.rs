//! What a worker counted lately: all cells that one query and its response add to, behind one look.
//!
//! Nearly all queries are like one that came before: of the same zone, type and transport, with the same code from the same plugin. Each worker
//! has a small table of such likenesses; a query that is like none there is counted by its [`Report`](super::Report), which puts it in.

use std::cell::Cell;

use super::report::{Made, is_ipv6, type_index};
use super::{Labels, Query};
use crate::metrics::{Here, OwnCounter, OwnHistogram, names};

/// What queries that are counted in the same cells have in common.
#[derive(Clone, Copy)]
pub(super) struct Likeness {
    /// By its place: there is one of each.
    labels: &'static Labels,
    /// By its place, too: a plugin whose name lies in several is counted in the same cells by several likenesses.
    by: *const u8,
    /// Type, code, transport, family and DO, and the length of `by`, since no name is nowhere.
    facts: u64,
}

impl Likeness {
    #[inline]
    pub(super) fn of(labels: &'static Labels, query: &Query, made: Made) -> Self {
        let facts = [
            (query.transport as u64, 1),
            (u64::from(is_ipv6(query.peer)), 1),
            (u64::from(query.dnssec_ok()), 1),
            (type_index(query.qtype()) as u64, 5),
            (u64::from(made.rcode.0), 16),
            (made.by.len() as u64, 16),
        ];
        Self {
            labels,
            by: made.by.as_ptr(),
            facts: facts.into_iter().fold(0, |packed, (fact, bits)| packed << bits | fact),
        }
    }

    /// Its place in the table.
    #[inline]
    fn place(&self) -> usize {
        let texts = std::ptr::from_ref(self.labels).addr() ^ self.by.addr().rotate_left(32);
        let mixed = (texts as u64).wrapping_add(self.facts).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (u64::BITS - PLACES.ilog2())) as usize
    }
}

/// The cells of one worker for what is alike.
#[derive(Clone, Copy)]
pub(super) struct Cells {
    pub(super) requests: OwnCounter,
    pub(super) dnssec_ok: Option<OwnCounter>,
    pub(super) responses: OwnCounter,
    pub(super) durations: OwnHistogram,
    pub(super) request_sizes: OwnHistogram,
    pub(super) response_sizes: OwnHistogram,
}

impl Cells {
    #[inline]
    fn count(&self, query: &Query, size: usize, took: u64) {
        self.requests.inc();
        if let Some(dnssec_ok) = self.dnssec_ok {
            dnssec_ok.inc();
        }
        self.responses.inc();
        self.durations.observe(&names::DURATIONS, took);
        self.request_sizes.observe(&names::SIZES, query.uncompressed_size() as u64);
        self.response_sizes.observe(&names::SIZES, size as u64);
    }
}

/// Counts `query` and what was made of it in `took` nanoseconds if the calling worker counted its like before and remembers; says whether it did.
#[inline]
pub(super) fn count(labels: &'static Labels, query: &Query, made: Made, took: u64) -> bool {
    let likeness = Likeness::of(labels, query, made);
    RECENT.with(|recent| {
        let place = &recent.places[likeness.place() % PLACES];
        if !place.is(likeness) || recent.whose.get() != Here::new() {
            return false;
        }
        let Some(cells) = place.cells.get() else { return false };
        cells.count(query, made.size, took);
        true
    })
}

/// Remembers the cells of `likeness`, which belong to the calling thread as the worker `here`.
#[cold]
pub(super) fn remember(here: Here, likeness: Likeness, cells: Cells) {
    RECENT.with(|recent| {
        if recent.whose.replace(here) != here {
            recent.places.iter().for_each(|place| place.cells.set(None));
        }
        let Likeness { labels, by, facts } = likeness;
        let place = &recent.places[likeness.place() % PLACES];
        place.labels.set(Some(labels));
        place.by.set(by);
        place.facts.set(facts);
        place.cells.set(Some(cells));
    });
}

/// A thread's table.
struct Recent {
    /// The worker that the cells belong to: a thread may stop being it, and another become it.
    whose: Cell<Here>,
    places: [Place; PLACES],
}

/// A likeness and its cells.
struct Place {
    labels: Cell<Option<&'static Labels>>,
    by: Cell<*const u8>,
    facts: Cell<u64>,
    cells: Cell<Option<Cells>>,
}

impl Place {
    const fn empty() -> Self {
        Self {
            labels: Cell::new(None),
            by: Cell::new(std::ptr::null()),
            facts: Cell::new(0),
            cells: Cell::new(None),
        }
    }

    #[inline]
    fn is(&self, likeness: Likeness) -> bool {
        self.labels.get().is_some_and(|labels| std::ptr::eq(labels, likeness.labels))
            && self.by.get() == likeness.by
            && self.facts.get() == likeness.facts
    }
}

thread_local! {
    // Nothing but zeros until it is used: threads that are no workers never touch it.
    static RECENT: Recent =
        const { Recent { whose: Cell::new(Here::nobody()), places: [const { Place::empty() }; PLACES] } };
}

/// Enough for the common types of 64 zones, most of the time; a power of two. 24 KiB.
const PLACES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::query;
    use crate::chain::{Report, Response, intern_labels};
    use crate::metrics::enter_worker;
    use crate::wire::{Rcode, Rtype};

    fn answer(query: &Query, by: &'static str, rcode: Rcode) -> Response {
        let mut response = Response::default();
        response.start(query, false, rcode);
        response.set_by(by, 0);
        response
    }

    #[test]
    fn what_a_worker_remembers_counts_as_what_it_does_not() {
        std::thread::spawn(|| {
            let labels = intern_labels(Labels { server: "dns://:53", zone: "recent.test.", view: "" });
            let report = Report::new(labels, &["whoami"]);
            let asked = query("a.recent.test.", Rtype::A);
            let response = answer(&asked, "whoami", Rcode::NOERROR);
            let took = 5000;
            let is_known =
                |query: &Query, response: &Response| Report::count_known(labels, query, response, took);
            report.count(&asked, &response, took);
            assert!(!is_known(&asked, &response), "this thread is no worker yet");
            {
                let _worker = enter_worker(940);
                assert!(!is_known(&asked, &response));
                report.count(&asked, &response, took);
                assert!(is_known(&asked, &response));
                assert!(!is_known(&asked, &answer(&asked, "whoami", Rcode::NXDOMAIN)));
                assert!(!is_known(&asked, &answer(&asked, "", Rcode::NOERROR)));
                assert!(!is_known(&query("a.recent.test.", Rtype::AAAA), &response));
            }
            assert!(!is_known(&asked, &response), "its cells may be another's by now");
            let Labels { server, zone, view } = *labels;
            assert_eq!(names::DNS_REQUESTS.with([server, zone, view, "udp", "1", "A"]).get(), 3);
            assert_eq!(names::DNS_RESPONSES.with([server, zone, view, "NOERROR", "whoami"]).get(), 3);
            let durations = names::DNS_REQUEST_DURATION.with([server, zone, view]);
            assert_eq!((durations.count(), durations.sum()), (3, 15_000));
            let sizes = names::DNS_RESPONSE_SIZE.with([server, zone, view, "udp"]);
            assert_eq!((sizes.count(), sizes.sum()), (3, 3 * response.uncompressed_size() as u64));
        })
        .join()
        .unwrap();
    }
}
