//! What a listener is: an address, a way to speak, and the routing table behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::chain::{ProxyPolicy, Router, SocketCount};
use crate::metrics::Counter;
use crate::metrics::names::SHED_DROPPED;

/// The protocol a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Classic DNS: UDP and TCP.
    Dns,
    /// DNS over TCP alone: a `tls://` listener whose block has no `tls`, which CoreDNS serves in plain text.
    PlainTls,
}

impl Scheme {
    /// As a key of a Corefile names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::PlainTls => "tls",
        }
    }

    /// Whether it takes datagrams.
    pub const fn has_udp(self) -> bool {
        matches!(self, Self::Dns)
    }
}

/// A listener as a configuration wants it.
#[derive(Clone)]
pub struct ListenerSpec {
    /// What it speaks.
    pub scheme: Scheme,
    /// Where; the unspecified IPv6 address stands for all addresses of both families.
    pub address: SocketAddr,
    /// Which block a name belongs to here.
    pub router: Arc<Router>,
    /// Limits on its TCP side.
    pub limits: TcpLimits,
    /// How many sockets it has for each protocol.
    pub sockets: SocketCount,
    /// Whether answers and queries are dropped, and counted, while they cannot be sent (`shed`).
    pub sheds: bool,
    /// Whose PROXY headers are believed; `None`: none are looked for.
    pub proxies: Option<Arc<ProxyPolicy>>,
}

impl ListenerSpec {
    /// A listener of which nothing but that is said.
    pub fn new(scheme: Scheme, address: SocketAddr, router: Arc<Router>) -> Self {
        Self {
            scheme,
            address,
            router,
            limits: TcpLimits::default(),
            sockets: SocketCount::default(),
            sheds: false,
            proxies: None,
        }
    }
}

/// Limits on TCP connections (`timeouts`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// How long a new connection may take to send its first message.
    pub read_timeout: Duration,
    /// How long a client may take to receive what is written to it.
    pub write_timeout: Duration,
    /// How long a connection may be without a query afterwards.
    pub idle_timeout: Duration,
    /// Queries on one connection, after which it is closed; `None`: no limit.
    pub queries_max: Option<u32>,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            read_timeout: Duration::from_secs(3),
            write_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            queries_max: None,
        }
    }
}

/// A listener that is being served: what a reload exchanges while the sockets stay.
pub(super) struct ListenerState {
    /// The address as bound, port included.
    pub(super) address: SocketAddr,
    pub(super) serving: ArcSwap<Serving>,
    /// Set once nothing new is served here: connections that are still open end behind what they have asked by then.
    pub(super) closed: AtomicBool,
}

/// What one configuration says of a listener; one piece, so that a batch looks it up once.
pub(super) struct Serving {
    pub(super) router: Arc<Router>,
    pub(super) limits: TcpLimits,
    pub(super) shed: Option<ShedCounts>,
    pub(super) proxies: Option<Arc<ProxyPolicy>>,
}

/// What is counted where `shed` is on.
pub(super) struct ShedCounts {
    /// Queries that were dropped before any plugin saw them, or that nothing was left to wait with.
    pub(super) queries: Counter,
    /// Answers that did not leave.
    pub(super) responses: Counter,
}

impl Serving {
    pub(super) fn of(spec: &ListenerSpec) -> Self {
        let count = |reason| SHED_DROPPED.with([spec.router.server, reason]);
        let counts = || ShedCounts { queries: count("query"), responses: count("response") };
        Self {
            router: Arc::clone(&spec.router),
            limits: spec.limits,
            shed: spec.sheds.then(counts),
            proxies: spec.proxies.clone(),
        }
    }
}

impl ListenerState {
    /// True if datagrams may come to any address, so that each must say to which it came.
    pub(super) fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}
