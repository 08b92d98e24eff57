//! Headers in front of datagrams: each has its own, or none.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::header::{Cut, Family, Found, Header, HeaderError, parse};
use super::sessions::Sessions;
use crate::chain::{Mono, ProxyPolicy, ProxyTreatment};

/// The least time between two lines about dropped datagrams of one socket, nanoseconds: anybody can send such.
const WARNING_PAUSE_NS: u64 = 1_000_000_000;

/// Takes headers off the datagrams of one socket.
pub(in crate::server) struct Proxied {
    policy: Arc<ProxyPolicy>,
    sessions: Option<Sessions>,
    warnings: Warnings,
}

/// What a datagram is to be answered as.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Unwrapped<'a> {
    /// The message.
    pub(in crate::server) wire: &'a [u8],
    /// Who asks.
    pub(in crate::server) client: SocketAddr,
}

impl Proxied {
    fn new(policy: Arc<ProxyPolicy>) -> Self {
        let sessions = policy.sessions.map(Sessions::new);
        Self { policy, sessions, warnings: Warnings::default() }
    }

    /// Makes `proxied` follow `policy` from now on. What it remembers of peers stays if it is remembered in the same way.
    pub(in crate::server) fn follow(proxied: &mut Option<Self>, policy: Option<&Arc<ProxyPolicy>>) {
        match (proxied, policy) {
            (None, None) => {}
            (Some(old), Some(policy)) if Arc::ptr_eq(&old.policy, policy) => {}
            (Some(old), Some(policy)) if old.sessions.as_ref().map(Sessions::limits) == policy.sessions => {
                old.policy = Arc::clone(policy);
            }
            (proxied, policy) => *proxied = policy.map(|policy| Self::new(Arc::clone(policy))),
        }
    }

    /// The message of `datagram`, which `peer` sent, and its client. `None` if there is none to answer; that of a bad header is logged.
    pub(in crate::server) fn unwrap<'a>(
        &mut self,
        datagram: &'a [u8],
        peer: SocketAddr,
        now: Mono,
    ) -> Option<Unwrapped<'a>> {
        match self.try_unwrap(datagram, peer, now) {
            Ok(unwrapped) => unwrapped,
            Err(refusal) => {
                self.warnings.tell(peer, &refusal, now);
                None
            }
        }
    }

    /// The message of a datagram that [`Self::unwrap`] has taken.
    pub(in crate::server) fn message<'a>(&self, datagram: &'a [u8], peer: SocketAddr) -> &'a [u8] {
        match parse(datagram) {
            Ok(Found::Header(header)) if self.policy.treatment(peer.ip()) != ProxyTreatment::Skip => {
                datagram.get(header.len..).unwrap_or_default()
            }
            _ => datagram,
        }
    }

    fn try_unwrap<'a>(
        &mut self,
        datagram: &'a [u8],
        peer: SocketAddr,
        now: Mono,
    ) -> Result<Option<Unwrapped<'a>>, Refusal> {
        let treatment = self.policy.treatment(peer.ip());
        if treatment == ProxyTreatment::Skip {
            return Ok(Some(Unwrapped { wire: datagram, client: peer }));
        }
        let Some(header) = header(datagram)? else {
            let remembered = match (treatment, &mut self.sessions) {
                (ProxyTreatment::Use, Some(sessions)) => sessions.find(peer, now),
                _ => None,
            };
            return Ok(Some(Unwrapped { wire: datagram, client: remembered.unwrap_or(peer) }));
        };
        let wire = datagram.get(header.len..).unwrap_or_default();
        match treatment {
            ProxyTreatment::Reject => return Err(Refusal::Rejected),
            ProxyTreatment::Ignore | ProxyTreatment::Skip => {
                return Ok(Some(Unwrapped { wire, client: peer }));
            }
            ProxyTreatment::Use => {}
        }
        let source = header.addresses.map(|addresses| addresses.source);
        if let (Some(sessions), Some(source)) = (&mut self.sessions, source) {
            sessions.keep(peer, source, now);
        }
        // A header alone says who will ask.
        Ok((!wire.is_empty()).then(|| Unwrapped { wire, client: source.unwrap_or(peer) }))
    }
}

/// The header of a datagram, if it has one that datagrams may have.
fn header(datagram: &[u8]) -> Result<Option<Header>, Refusal> {
    let bytes = datagram.len();
    match parse(datagram) {
        Ok(Found::Absent | Found::Incomplete(Cut::Signature)) => Ok(None),
        Ok(Found::Incomplete(cut)) => Err(Refusal::Cut(bytes, cut)),
        Err(error) => Err(Refusal::Bad(bytes, error)),
        Ok(Found::Header(header)) if header.version != 2 => Err(Refusal::Version(header.version)),
        Ok(Found::Header(header)) if header.is_local || header.family.is_udp() => Ok(Some(header)),
        Ok(Found::Header(header)) => Err(Refusal::Family(header.family)),
    }
}

/// Why a datagram is dropped, in CoreDNS's words.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Cut(usize, Cut),
    Bad(usize, HeaderError),
    Version(u8),
    Family(Family),
    Rejected,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PARSING: &str = "parsing Proxy Protocol header (packet size:";
        match self {
            Self::Cut(bytes, cut) => write!(f, "{PARSING} {bytes}): {cut}"),
            Self::Bad(bytes, error) => write!(f, "{PARSING} {bytes}): {error}"),
            Self::Version(version) => {
                write!(f, "unsupported Proxy Protocol version {version} (only v2 supported for UDP)")
            }
            Self::Family(Family(family)) => {
                write!(f, "PROXY Protocol header is not UDP type (transport protocol: 0x{family:x})")
            }
            Self::Rejected => f.write_str("connection rejected by Proxy Protocol connection policy"),
        }
    }
}

/// Lines about dropped datagrams: the first at once, then one in a while, with the number of those that got none.
#[derive(Default)]
struct Warnings {
    /// When there may be a line again.
    next_ns: u64,
    untold: u64,
}

impl Warnings {
    fn tell(&mut self, peer: SocketAddr, refusal: &Refusal, now: Mono) {
        if let Some(line) = self.line(peer, refusal, now) {
            tracing::warn!("{line}");
        }
    }

    fn line(&mut self, peer: SocketAddr, refusal: &Refusal, now: Mono) -> Option<String> {
        if now.0 < self.next_ns {
            self.untold += 1;
            return None;
        }
        self.next_ns = now.0.saturating_add(WARNING_PAUSE_NS);
        let more = match std::mem::take(&mut self.untold) {
            0 => String::new(),
            untold => format!(" (and {untold} more since the last such line)"),
        };
        Some(format!("dropping invalid Proxy Protocol packet from {peer}: {refusal}{more}"))
    }
}

#[cfg(test)]
#[path = "datagrams_tests.rs"]
mod tests;
