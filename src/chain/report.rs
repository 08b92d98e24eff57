//! What is counted of queries and their responses, under the labels of a listener, a zone and a view.
//!
//! A series is made when it first counts, as CoreDNS's are: until then it is not on the page. After that to count is to look at a handle
//! and to add to a cell of the worker; for what is like something that was counted lately, to add alone (recent.rs).

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::OnceLock;

use super::recent::{self, Likeness};
use super::{Labels, Query, Response, State, Transport};
use crate::metrics::{Counter, Here, Histogram, names};
use crate::wire::{Rcode, Rtype};

/// The `coredns_dns_*` series with one set of labels.
pub struct Report {
    labels: &'static Labels,
    /// By the place in the chain; what has no place was written by the server.
    plugins: Box<[&'static str]>,
    durations: OnceLock<Histogram>,
    dnssec_ok: OnceLock<Counter>,
    sizes: [OnceLock<Sizes>; TRANSPORTS.len()],
    /// By transport and family.
    requests: [OnceLock<Box<[OnceLock<Counter>; TYPES]>>; TRANSPORTS.len() * FAMILIES.len()],
    /// By response code, then by plugin, the last being none.
    responses: Box<[OnceLock<Counter>]>,
}

struct Sizes {
    requests: Histogram,
    responses: Histogram,
}

impl Report {
    /// Nothing counted yet. `plugins` are the names of the chain.
    pub fn new(labels: &'static Labels, plugins: &[&'static str]) -> Self {
        Self {
            labels,
            plugins: plugins.into(),
            durations: OnceLock::new(),
            dnssec_ok: OnceLock::new(),
            sizes: Default::default(),
            requests: Default::default(),
            responses: (0..RCODES * (plugins.len() + 1)).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Counts what a chain made of `query` in `took` nanoseconds. A failure that the server will write counts with its code, without plugin
    /// and size, as CoreDNS's does; one that it will not, as NOERROR.
    pub fn count(&self, query: &Query, response: &Response, took: u64) {
        self.add(query, Made::of(response), took);
    }

    /// As [`Self::count`] of the report with these labels, if the calling worker counted the like of it lately; says whether it did. This is
    /// the way of nearly all queries.
    #[inline]
    pub fn count_known(labels: &'static Labels, query: &Query, response: &Response, took: u64) -> bool {
        recent::count(labels, query, Made::of(response), took)
    }

    /// Counts a query that came to no chain, or whose chain broke: the answer of `size` bytes is the server's own.
    pub fn count_dropped(&self, query: &Query, rcode: Rcode, size: usize) {
        let made = Made { size, ..Made::nothing(rcode) };
        if !recent::count(self.labels, query, made, 0) {
            self.add(query, made, 0);
        }
    }

    /// Counts, and has the worker remember where.
    fn add(&self, query: &Query, made: Made, took: u64) {
        let here = Here::new();
        let Labels { server, zone, view } = *self.labels;
        let transport = query.transport as usize;
        let dnssec_ok = query
            .dnssec_ok()
            .then(|| self.dnssec_ok.get_or_init(|| names::DNS_DO_REQUESTS.with([server, zone, view])));
        let requests = self.requests(transport, usize::from(is_ipv6(query.peer)), query.qtype());
        let durations = self.durations.get_or_init(|| names::DNS_REQUEST_DURATION.with([server, zone, view]));
        let sizes = self.sizes[transport].get_or_init(|| {
            let labels = [server, zone, view, TRANSPORTS[transport].as_str()];
            Sizes {
                requests: names::DNS_REQUEST_SIZE.with(labels),
                responses: names::DNS_RESPONSE_SIZE.with(labels),
            }
        });
        let responses = self.responses(made);

        dnssec_ok.inspect(|counter| counter.inc_here(here));
        requests.inc_here(here);
        durations.observe_here(here, took);
        sizes.responses.observe_here(here, made.size as u64);
        sizes.requests.observe_here(here, query.uncompressed_size() as u64);
        responses.inc_here(here);

        let cells = || {
            Some(recent::Cells {
                requests: requests.own(here)?,
                dnssec_ok: match dnssec_ok {
                    Some(counter) => Some(counter.own(here)?),
                    None => None,
                },
                responses: responses.own(here)?,
                durations: durations.own(here)?,
                request_sizes: sizes.requests.own(here)?,
                response_sizes: sizes.responses.own(here)?,
            })
        };
        if let Some(cells) = cells() {
            recent::remember(here, Likeness::of(self.labels, query, made), cells);
        }
    }

    fn requests(&self, transport: usize, family: usize, qtype: Rtype) -> &Counter {
        let by_type = self.requests[transport * FAMILIES.len() + family].get_or_init(Box::default);
        by_type[type_index(qtype)].get_or_init(|| self.request_counter(transport, family, qtype))
    }

    fn responses(&self, made: Made) -> Cow<'_, Counter> {
        let place = made.place.unwrap_or(self.plugins.len()).min(self.plugins.len());
        let code = usize::from(made.rcode.0);
        match self.responses.get(code * (self.plugins.len() + 1) + place) {
            Some(counter) if code < RCODES => {
                Cow::Borrowed(counter.get_or_init(|| self.response_counter(made.rcode, place)))
            }
            // Rare enough to look for its series each time.
            _ => Cow::Owned(self.response_counter(made.rcode, place)),
        }
    }

    #[cold]
    fn request_counter(&self, transport: usize, family: usize, qtype: Rtype) -> Counter {
        let Labels { server, zone, view } = *self.labels;
        let qtype = if type_index(qtype) == OTHER { None } else { qtype.mnemonic() };
        let labels =
            [server, zone, view, TRANSPORTS[transport].as_str(), FAMILIES[family], qtype.unwrap_or("other")];
        names::DNS_REQUESTS.with(labels)
    }

    #[cold]
    fn response_counter(&self, rcode: Rcode, place: usize) -> Counter {
        let Labels { server, zone, view } = *self.labels;
        let plugin = self.plugins.get(place).copied().unwrap_or_default();
        names::DNS_RESPONSES.with([server, zone, view, &rcode.to_string(), plugin])
    }
}

/// What was made of a query, as far as it is counted.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) rcode: Rcode,
    /// The plugin that did, and its place; empty and `None` if none did.
    pub(super) by: &'static str,
    place: Option<usize>,
    /// Bytes of the response, with all names written out.
    pub(super) size: usize,
}

impl Made {
    #[inline]
    fn of(response: &Response) -> Self {
        match response.state() {
            State::Written => Self {
                rcode: response.rcode().unwrap_or_default(),
                by: response.by(),
                place: response.place(),
                size: response.uncompressed_size(),
            },
            State::Failed(rcode) if rcode.is_written_by_server() => Self::nothing(rcode),
            State::Failed(_) | State::Empty | State::Dropped => Self::nothing(Rcode::NOERROR),
        }
    }

    /// By no plugin, and of no size.
    const fn nothing(rcode: Rcode) -> Self {
        Self { rcode, by: "", place: None, size: 0 }
    }
}

/// Whether `peer` counts as IPv6. A socket for both families shows IPv4 addresses in mapped form.
#[inline]
pub(super) fn is_ipv6(peer: SocketAddr) -> bool {
    match peer {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(peer) => peer.ip().to_ipv4_mapped().is_none(),
    }
}

/// The place of a type among those that have a label of their own.
#[inline]
pub(super) fn type_index(qtype: Rtype) -> usize {
    let Ok(number) = u8::try_from(qtype.0) else { return OTHER };
    usize::from(TYPE_INDEX[usize::from(number)])
}

const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::Tcp];
const FAMILIES: [&str; 2] = ["1", "2"];
/// NOERROR to REFUSED; other codes are rare.
const RCODES: usize = 6;

/// The types that CoreDNS shows; all others are `other`.
const SHOWN: [Rtype; 19] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::CNAME,
    Rtype::DNSKEY,
    Rtype::DS,
    Rtype::MX,
    Rtype::NSEC3,
    Rtype::NSEC,
    Rtype::NS,
    Rtype::PTR,
    Rtype::RRSIG,
    Rtype::SOA,
    Rtype::SRV,
    Rtype::TXT,
    Rtype::HTTPS,
    Rtype::SVCB,
    Rtype::IXFR,
    Rtype::AXFR,
    Rtype::ANY,
];
const TYPES: usize = SHOWN.len() + 1;
const OTHER: usize = SHOWN.len();

/// All types that are shown have numbers below 256.
const TYPE_INDEX: [u8; 256] = {
    let mut index = [OTHER as u8; 256];
    let mut i = 0;
    while i < SHOWN.len() {
        index[SHOWN[i].0 as usize] = i as u8;
        i += 1;
    }
    index
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::intern_labels;
    use crate::chain::testing::{query, query_of, query_wire};
    use crate::metrics::render;
    use crate::wire::{Class, Section};

    fn report(zone: &'static str) -> Report {
        Report::new(intern_labels(Labels { server: "dns://:53", zone, view: "v" }), &["prometheus", "whoami"])
    }

    /// The series of `zone` on the page, without the buckets, each cut behind its name and up to what differs.
    fn page(zone: &str) -> Vec<String> {
        let labels = format!("server=\"dns://:53\",zone=\"{zone}\",view=\"v\"");
        let of_zone = |line: &&str| line.contains(&labels) && !line.contains("_bucket");
        render()
            .lines()
            .filter(of_zone)
            .map(|line| line.replace(&labels, "").replace("coredns_dns_", "").replace("{,", "{"))
            .collect()
    }

    #[test]
    fn a_query_counts_under_its_labels_and_others_are_not_shown() {
        let mut asked = query("a.example.", Rtype::AAAA);
        let mut response = Response::default();
        response.start(&asked, false, Rcode::NXDOMAIN);
        response.push(Section::Answer, None, Rtype::A, Class::IN, 1, &[192, 0, 2, 1]);
        response.set_by("whoami", 1);
        let report = report("one.");
        report.count(&asked, &response, 3_000_000);
        asked.peer = "[2001:db8::1]:53".parse().unwrap();
        report.count(&asked, &response, 1_000_000);
        asked.peer = "[::ffff:192.0.2.1]:53".parse().unwrap();
        report.count(&asked, &response, 0);
        assert_eq!(
            page("one."),
            [
                "request_duration_seconds_sum{} 0.004",
                "request_duration_seconds_count{} 3",
                "request_size_bytes_sum{proto=\"udp\"} 81",
                "request_size_bytes_count{proto=\"udp\"} 3",
                "requests_total{proto=\"udp\",family=\"1\",type=\"AAAA\"} 2",
                "requests_total{proto=\"udp\",family=\"2\",type=\"AAAA\"} 1",
                "response_size_bytes_sum{proto=\"udp\"} 156",
                "response_size_bytes_count{proto=\"udp\"} 3",
                "responses_total{rcode=\"NXDOMAIN\",plugin=\"whoami\"} 3",
            ]
        );
    }

    #[test]
    fn failures_have_their_code_and_no_plugin() {
        let mut asked = query_of(&query_wire("a.", Rtype(65_280), Some((1232, true))));
        asked.transport = Transport::Tcp;
        let report = report("two.");
        let mut response = Response::default();
        for rcode in [Rcode::SERVFAIL, Rcode::REFUSED, Rcode::NXDOMAIN] {
            response.fail(rcode, None);
            response.set_by("whoami", 1);
            report.count(&asked, &response, 0);
        }
        response.drop_silently();
        report.count(&asked, &response, 0);
        response.start(&asked, false, Rcode(4000));
        report.count(&asked, &response, 0);
        report.count_dropped(&asked, Rcode::REFUSED, 12);
        let page = page("two.");
        let has = |line: &str| assert!(page.iter().any(|l| l == line), "{line} in {page:#?}");
        has("do_requests_total{} 6");
        has("requests_total{proto=\"tcp\",family=\"1\",type=\"other\"} 6");
        has("responses_total{rcode=\"SERVFAIL\",plugin=\"\"} 1");
        has("responses_total{rcode=\"REFUSED\",plugin=\"\"} 2");
        has("responses_total{rcode=\"NOERROR\",plugin=\"\"} 2");
        has("responses_total{rcode=\"RCODE4000\",plugin=\"\"} 1");
    }

    #[test]
    fn the_types_that_are_shown_have_names() {
        for (i, qtype) in SHOWN.iter().enumerate() {
            assert_eq!(type_index(*qtype), i);
            assert!(qtype.mnemonic().is_some());
        }
        assert_eq!(type_index(Rtype(99)), OTHER);
        assert_eq!(type_index(Rtype(257)), OTHER);
    }
}
