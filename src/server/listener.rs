//! What a listener is: an address, a way to speak, and the routing table behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::chain::Router;

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
    pub(super) router: ArcSwap<Router>,
    pub(super) limits: ArcSwap<TcpLimits>,
    /// Set once nothing new is served here: connections that are still open end behind what they have asked by then.
    pub(super) closed: AtomicBool,
}

impl ListenerState {
    /// True if datagrams may come to any address, so that each must say to which it came.
    pub(super) fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}
