//! Exchanging messages with upstreams: the DNS servers that queries are passed on to.
//!
//! ```text
//!  plugin ──exchange(query)──► Upstream ──► this worker's Local ──► InFlight: equal questions share one exchange
//!    ▲                        (shared:      (no locks)         │
//!    │                         health,                         ├─ UdpSockets: few sockets on random ports, many queries each,
//!    │                         counters)                       │              sent and read in batches
//!    └────── Reply or ExchangeError ◄──────────────────────────┴─ TcpConnections: pooled and pipelined
//! ```
//!
//! - [`Upstream`] is shared by all workers; [`WorkerLocal`] gives each of them its own sockets, tables and connections.
//! - Messages pass through as bytes. A reply counts only if it comes from the connected peer, with our ID, QR and our
//!   question ([RFC 5452 9.1](https://www.rfc-editor.org/rfc/rfc5452#section-9.1)); all else is counted and ignored, and the wait goes on.
//! - Everything is bounded: sockets, queries per socket, connections, queries per connection, waiters; over the bound an exchange fails at
//!   once with [`ErrorKind::Overloaded`].
//! - [`Health`] is CoreDNS's: probes start with a failure and end with the first success.
//! - [`resolv_conf`], [`lookup`] and [`address`] find out which upstreams are meant, while a configuration is read.
//!
//! This room may read the clock and the kernel's random numbers; what is logic takes both as arguments.

pub mod address;
mod clock;
mod deadlines;
mod error;
mod frames;
mod health;
mod inflight;
mod local;
pub mod lookup;
mod policy;
mod random;
mod reply;
pub mod resolv_conf;
mod rtt;
mod shared;
mod slab;
mod tcp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod udp;
mod worker;
mod worker_local;

pub use error::{Act, ErrorKind, ExchangeError};
pub use health::{Health, Probe};
pub use inflight::Reply;
pub use local::Exchanging;
pub use policy::{Order, Policy, UPSTREAMS_MAX};
pub use random::Random;
pub use shared::{Upstream, UpstreamConfig};
pub use worker::flush;
pub use worker_local::{WorkerLocal, sweep as sweep_worker_locals};

/// The transport of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams; replies may be truncated.
    Udp,
    /// A stream of messages with lengths (RFC 7766).
    Tcp,
}

impl Transport {
    /// `udp` or `tcp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}
