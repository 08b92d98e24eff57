//! Addresses as the kernel hands them over, kept raw until somebody wants to read them.
#![allow(unsafe_code, reason = "socket addresses are C unions; each cast is argued where it stands")]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address a datagram came from, as the kernel wrote it: to answer it is to hand it back unread.
#[derive(Clone, Copy)]
pub struct Peer {
    pub(super) raw: libc::sockaddr_in6,
    pub(super) len: u32,
}

impl Peer {
    pub(super) const fn unspecified() -> Self {
        Self {
            raw: libc::sockaddr_in6 {
                sin6_family: 0,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
                sin6_scope_id: 0,
            },
            len: size_of::<libc::sockaddr_in6>() as u32,
        }
    }

    /// The address in readable form. An IPv4 client of a dual-stack socket is shown as IPv4.
    pub fn address(&self) -> SocketAddr {
        if i32::from(self.raw.sin6_family) == libc::AF_INET {
            // SAFETY: the family says that the kernel wrote a sockaddr_in here; it is smaller than sockaddr_in6 and
            // both have the alignment of u32.
            let v4 = unsafe { &*(&raw const self.raw).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            return SocketAddr::from((ip, u16::from_be(v4.sin_port)));
        }
        let ip = Ipv6Addr::from(self.raw.sin6_addr.s6_addr);
        let port = u16::from_be(self.raw.sin6_port);
        match ip.to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, port)),
            None => SocketAddr::V6(std::net::SocketAddrV6::new(
                ip,
                port,
                self.raw.sin6_flowinfo,
                self.raw.sin6_scope_id,
            )),
        }
    }

    /// A key that is equal for equal peers and cheap to compute; unequal peers may share it.
    pub(super) fn sketch(&self) -> u32 {
        let a = &self.raw.sin6_addr.s6_addr;
        let tail = u32::from_ne_bytes([a[12], a[13], a[14], a[15]]);
        (tail
            ^ self.raw.sin6_flowinfo.rotate_left(7)
            ^ (u32::from(self.raw.sin6_port) << 16 | u32::from(self.raw.sin6_port)))
        .wrapping_mul(0x9E37_79B1)
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        let used = self.len as usize;
        self.len == other.len && self.bytes()[..used] == other.bytes()[..used]
    }

    fn bytes(&self) -> &[u8; size_of::<libc::sockaddr_in6>()] {
        // SAFETY: sockaddr_in6 is plain old data without padding (28 bytes of integers), all of it initialised.
        unsafe { &*(&raw const self.raw).cast() }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let mut peer = Self::unspecified();
        match address {
            SocketAddr::V4(v4) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_in fits into sockaddr_in6 and needs no stricter alignment.
                unsafe { (&raw mut peer.raw).cast::<libc::sockaddr_in>().write(raw) };
                peer.len = size_of::<libc::sockaddr_in>() as u32;
            }
            SocketAddr::V6(v6) => {
                peer.raw.sin6_family = libc::AF_INET6 as u16;
                peer.raw.sin6_port = v6.port().to_be();
                peer.raw.sin6_flowinfo = v6.flowinfo();
                peer.raw.sin6_addr.s6_addr = v6.ip().octets();
                peer.raw.sin6_scope_id = v6.scope_id();
            }
        }
        peer
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

/// The address of ours that a datagram was sent to, learnt from `IPV6_PKTINFO` or `IP_PKTINFO` on a wildcard socket;
/// an answer that carries it leaves from the same address (RFC 2181 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddr {
    /// The destination address of the query, IPv4 shown as IPv4.
    pub ip: IpAddr,
    /// The interface it came in by; used only for link-local addresses.
    pub interface: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_through_its_raw_form() {
        for text in ["192.0.2.1:53", "[2001:db8::1]:5353", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Peer::from(address).address(), address);
        }
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.7]:99".parse().unwrap();
        assert_eq!(Peer::from(mapped).address().to_string(), "192.0.2.7:99");
    }
}
