//! An upstream as all workers see it: how to reach it, how it fares, what is counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::health::{Health, Probe};
use super::local::{Exchanging, Local};
use super::{Act, ErrorKind, ExchangeError, Transport, WorkerLocal, clock};
use crate::metrics::{Counter, Histogram, names};
use crate::wire::Rcode;

/// How to reach an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// The plugin it belongs to, as metrics name it.
    pub proxy_name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// The address of ours to ask from; the kernel's choice if not given.
    pub source_address: Option<IpAddr>,
    /// How long an idle socket or connection is kept.
    pub expire: Duration,
    /// How old a socket or connection may get; zero for no limit.
    pub max_age: Duration,
    /// How many idle sockets, and how many idle connections, a worker keeps; zero for its own limits.
    pub max_idle_conns: usize,
    /// How long to wait for a reply once the query is sent.
    pub read_timeout: Duration,
    /// How its health is probed.
    pub probe: Probe,
}

impl UpstreamConfig {
    /// CoreDNS's defaults for the upstream at `address`.
    pub fn new(proxy_name: &'static str, address: SocketAddr) -> Self {
        Self {
            proxy_name,
            address,
            source_address: None,
            expire: Duration::from_secs(10),
            max_age: Duration::ZERO,
            max_idle_conns: 0,
            read_timeout: Duration::from_secs(2),
            probe: Probe::default(),
        }
    }
}

/// A DNS server that queries are passed on to. Shared by all workers, each of which has sockets of its own; they are closed soon after the
/// last handle is dropped.
pub struct Upstream {
    shared: Arc<Shared>,
    locals: WorkerLocal<Local>,
}

pub(super) struct Shared {
    pub(super) config: UpstreamConfig,
    pub(super) health: Health,
    /// A moving average of the time a connection takes, nanoseconds.
    dial_time: AtomicU64,
    /// The [`Upstream`] is gone: probes end.
    closed: AtomicBool,
    ignored: AtomicU64,
    pub(super) udp_hits: Counter,
    pub(super) udp_misses: Counter,
    pub(super) tcp_hits: Counter,
    pub(super) tcp_misses: Counter,
    pub(super) probe_failures: Counter,
    durations: [OnceLock<Histogram>; RCODES],
    /// The address in words, the label of metrics.
    to: String,
}

/// Response codes with a histogram of their own: those that have names; the last place is for the others.
const RCODES: usize = 25;

impl Upstream {
    /// The upstream of `config`. Nothing is opened before the first exchange.
    pub fn new(config: UpstreamConfig) -> Arc<Self> {
        let to = address_text(config.address);
        let name = config.proxy_name;
        let shared = Shared {
            health: Health::new(),
            dial_time: AtomicU64::new(DIAL_TIMEOUT_MAX.as_nanos() as u64 / 2),
            closed: AtomicBool::new(false),
            ignored: AtomicU64::new(0),
            udp_hits: names::PROXY_CONN_CACHE_HITS.with([name, &to, "udp"]),
            udp_misses: names::PROXY_CONN_CACHE_MISSES.with([name, &to, "udp"]),
            tcp_hits: names::PROXY_CONN_CACHE_HITS.with([name, &to, "tcp"]),
            tcp_misses: names::PROXY_CONN_CACHE_MISSES.with([name, &to, "tcp"]),
            probe_failures: names::PROXY_HEALTHCHECK_FAILURES.with([name, &to]),
            durations: [const { OnceLock::new() }; RCODES],
            to,
            config,
        };
        Arc::new(Self { shared: Arc::new(shared), locals: WorkerLocal::new() })
    }

    /// Sends `query`, a message of one question, and waits for its reply, `patience` in all and not longer for the reply alone than
    /// [`UpstreamConfig::read_timeout`]. The query is sent with an ID of its own; the reply comes with the query's.
    ///
    /// Call it on a worker, in a tokio `LocalRuntime`. The query is taken at once and goes out with all others of the turn
    /// ([`super::flush`]); dropping the future takes it back.
    pub fn exchange(&self, query: &[u8], transport: Transport, patience: Duration) -> Exchanging {
        self.start(query, (transport, false), patience)
    }

    /// As [`Self::exchange`], but what is sent is shared with no equal query: for one that may come back to us, and would wait for itself.
    pub fn exchange_alone(&self, query: &[u8], transport: Transport, patience: Duration) -> Exchanging {
        self.start(query, (transport, true), patience)
    }

    fn start(&self, query: &[u8], how: (Transport, bool), patience: Duration) -> Exchanging {
        let local = self.locals.get_or_make(|| Local::new(Arc::clone(&self.shared)));
        local.start(query, how, clock::now(), patience)
    }

    /// How it was configured.
    pub fn config(&self) -> &UpstreamConfig {
        &self.shared.config
    }

    /// Its address as `IP:port`, as metrics and metadata show it.
    pub fn address_text(&self) -> &str {
        &self.shared.to
    }

    /// How it fares.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// An exchange has failed: probes it until it answers. Call it on a worker, in a tokio `LocalRuntime`; while it is being probed, by whichever
    /// worker, this does nothing.
    pub fn probe(&self) {
        super::health::start_probing(&self.shared);
    }

    /// Counts a reply with its code and the time it took.
    pub fn observe(&self, rcode: Rcode, took: Duration) {
        let Shared { durations, config, to, .. } = &*self.shared;
        let place = if rcode.mnemonic().is_some() { usize::from(rcode.0) } else { RCODES - 1 };
        let durations = durations.get(place).unwrap_or(&durations[RCODES - 1]);
        let histogram = durations.get_or_init(|| {
            let label = rcode.mnemonic().unwrap_or("other");
            names::PROXY_REQUEST_DURATION.with([config.proxy_name, to, label])
        });
        histogram.observe_duration(took);
    }

    /// The error for a reply that turned out to be no DNS message when it was looked at more closely than
    /// [`Self::exchange`] does.
    pub fn malformed_reply(&self, transport: Transport) -> ExchangeError {
        self.shared.error(ErrorKind::MalformedReply, Act::Read, transport, None)
    }

    /// Messages that came from the upstream and answered nothing that was asked: late, doubled, forged or garbled.
    pub fn ignored(&self) -> u64 {
        self.shared.ignored.load(Ordering::Relaxed)
    }

    /// This worker's side of the upstream.
    #[cfg(test)]
    pub(super) fn local(&self) -> Option<std::rc::Rc<Local>> {
        self.locals.get()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({})", self.shared.to)
    }
}

/// `address` without the zone of a link-local one.
fn address_text(mut address: SocketAddr) -> String {
    if let SocketAddr::V6(v6) = &mut address {
        v6.set_scope_id(0);
    }
    address.to_string()
}

impl Shared {
    pub(super) fn error(
        &self,
        kind: ErrorKind,
        act: Act,
        transport: Transport,
        local: Option<SocketAddr>,
    ) -> ExchangeError {
        ExchangeError { kind, act, transport, local, upstream: self.config.address }
    }

    pub(super) fn count_ignored(&self) {
        self.ignored.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How long to wait for a connection: twice what it took of late.
    pub(super) fn dial_timeout(&self) -> Duration {
        let average = Duration::from_nanos(self.dial_time.load(Ordering::Relaxed));
        if average < DIAL_TIMEOUT_MIN { DIAL_TIMEOUT_MIN } else { (average * 2).min(DIAL_TIMEOUT_MAX) }
    }

    /// Takes in how long a connection, or the failure to get one, took.
    pub(super) fn observe_dial(&self, took: Duration) {
        let took = took.as_nanos() as i64;
        // Two workers at once may lose one of two samples; the average survives that.
        let average = self.dial_time.load(Ordering::Relaxed) as i64;
        let next = average + (took - average) / DIAL_WEIGHT;
        self.dial_time.store(next.max(0) as u64, Ordering::Relaxed);
    }
}

const DIAL_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const DIAL_TIMEOUT_MAX: Duration = Duration::from_secs(30);
const DIAL_WEIGHT: i64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dial_timeout_follows_what_dialling_takes() {
        let upstream = Upstream::new(UpstreamConfig::new("test", "192.0.2.1:53".parse().unwrap()));
        let shared = &upstream.shared;
        assert_eq!(shared.dial_timeout(), DIAL_TIMEOUT_MAX);
        (0..40).for_each(|_| shared.observe_dial(Duration::from_secs(2)));
        assert!((Duration::from_secs(4)..Duration::from_millis(4_100)).contains(&shared.dial_timeout()));
        (0..40).for_each(|_| shared.observe_dial(Duration::from_millis(1)));
        assert_eq!(shared.dial_timeout(), DIAL_TIMEOUT_MIN);
    }

    #[test]
    fn a_zone_is_not_part_of_the_label() {
        let address = SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 3));
        assert_eq!(address_text(address), "[fe80::1]:53");
    }
}
