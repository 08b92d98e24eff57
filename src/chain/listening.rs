//! What the plugins of a block say about the listeners that the block is served on.
//!
//! A listener is shared by all blocks with its scheme, address and port, so what one of them says counts for all; `instance` brings
//! together what several say.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Cidr, Span};

/// A setting, and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// What was said.
    pub value: T,
    /// The word that says it.
    pub place: Span,
}

/// What one block wants of its listeners; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerWishes {
    /// How long a new connection may take to send its first message (`timeouts`).
    pub read_timeout: Option<Said<Duration>>,
    /// How long a client may take to receive what is written to it (`timeouts`).
    pub write_timeout: Option<Said<Duration>>,
    /// How long a connection may be without a query afterwards (`timeouts`).
    pub idle_timeout: Option<Said<Duration>>,
    /// Queries on one connection, after which it is closed; `Some` of `None`: expressly without limit (`timeouts`).
    pub queries_max: Option<Said<Option<u32>>>,
    /// SocketCount for each protocol of the listener (`multisocket`).
    pub sockets: Option<Said<SocketCount>>,
    /// Whether answers and queries are dropped while the listener cannot send (`shed`).
    pub sheds: bool,
    /// Whose PROXY headers are believed (`proxyproto`); `None`: nobody's, as nobody is expected to send one.
    pub proxies: Option<Said<Arc<ProxyPolicy>>>,
}

/// How many sockets a listener has for each of its protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketCount {
    /// One for each worker.
    #[default]
    OfWorkers,
    /// So many, spread over the workers.
    Exactly(u16),
}

/// What becomes of PROXY headers, by who sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyPolicy {
    /// Networks whose headers are believed; empty: [`Self::others`] goes for everybody.
    pub allowed: Vec<Cidr>,
    /// How everybody else is treated.
    pub others: ProxyTreatment,
    /// How long and of how many peers of one UDP socket the last header is remembered for datagrams without one; `None`: not at all.
    pub sessions: Option<SessionLimits>,
}

/// How one peer's PROXY headers are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyTreatment {
    /// A header says who the client is; without one it is the peer.
    Use,
    /// A header is taken off and not believed.
    Ignore,
    /// Whoever sends a header is not served.
    Reject,
    /// Headers are not looked for: what looks like one is part of the message.
    Skip,
}

/// The bounds of remembered headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long a header is remembered behind its last use, above zero.
    pub lifetime: Duration,
    /// Peers that are remembered at once, at least 1; over it the one that was silent longest is forgotten.
    pub peers_max: usize,
}

impl ProxyPolicy {
    /// How `peer` is treated.
    pub fn treatment(&self, peer: IpAddr) -> ProxyTreatment {
        if self.allowed.iter().any(|network| network.contains(peer)) {
            ProxyTreatment::Use
        } else {
            self.others
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_allowed_is_believed_and_everybody_else_is_treated_as_said() {
        let policy = |networks: &[&str], others| ProxyPolicy {
            allowed: networks.iter().map(|text| Cidr::parse(text).unwrap()).collect(),
            others,
            sessions: None,
        };
        let check = |policy: &ProxyPolicy, peer: &str, want| {
            assert_eq!(policy.treatment(peer.parse().unwrap()), want, "{peer}");
        };
        let some = policy(&["192.0.2.0/25", "2001:db8::/32"], ProxyTreatment::Reject);
        check(&some, "192.0.2.127", ProxyTreatment::Use);
        check(&some, "::ffff:192.0.2.1", ProxyTreatment::Use);
        check(&some, "192.0.2.128", ProxyTreatment::Reject);
        check(&some, "2001:db8:ffff::1", ProxyTreatment::Use);
        check(&some, "2001:db9::1", ProxyTreatment::Reject);
        check(&policy(&[], ProxyTreatment::Skip), "192.0.2.1", ProxyTreatment::Skip);
    }
}
