//! Ports for servers of tests that run side by side.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which the kernel takes the ports of clients, so that no client of another test has it.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// A port that this process has not handed out before and that was free for UDP and TCP a moment ago. Another process may still be
/// faster, so whoever starts a server on it tries again with the next one.
pub(crate) fn next_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Runs that are on their way at the same time begin at different places.
    let start = std::process::id().wrapping_mul(7919);
    for _ in 0..COUNT {
        let n = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (FIRST + n % COUNT) as u16;
        if is_free(port) {
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}

fn is_free(port: u16) -> bool {
    let anywhere: IpAddr =
        if has_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let address = SocketAddr::new(anywhere, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

/// True if this machine speaks IPv6 with itself.
pub(crate) fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
