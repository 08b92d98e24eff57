//! The PROXY protocol, by which a load balancer tells who its client is (`proxyproto`).
//!
//! [`header`] reads a header; [`stream`] takes it off the beginning of a connection, whatever is spoken behind it, and [`datagrams`] off
//! each datagram. Whose headers are believed is said by [`ProxyPolicy`](crate::chain::ProxyPolicy).

pub(super) mod datagrams;
pub mod header;
mod sessions;
pub(super) mod stream;
