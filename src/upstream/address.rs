//! Addresses of upstreams as a configuration writes them, and whether one of them is ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};

/// Splits the zone off `host` (`fe80::1%eth0`, `[fe80::1%eth0]:53`, `tls://9.9.9.9%dns.quad9.net`), keeping scheme, brackets and port
/// where they are. The zone is empty if there is none.
pub fn split_zone(host: &str) -> (String, &str) {
    let (scheme, rest) =
        host.split_once("://").map_or(("", host), |(_, rest)| host.split_at(host.len() - rest.len()));
    let Some((head, zone)) = rest.rsplit_once('%') else { return (host.to_owned(), "") };
    let close = if head.starts_with('[') { "]" } else { "" };
    let (zone, port) = match zone.rfind(':') {
        Some(colon) => zone.split_at(colon),
        None => (zone, ""),
    };
    (format!("{scheme}{head}{close}{port}"), zone.trim_end_matches(']'))
}

/// `ip` with the zone of a link-local address: the name of an interface, or its number.
///
/// # Errors
/// If there is no such interface.
pub fn with_zone(ip: IpAddr, port: u16, zone: &str) -> Result<SocketAddr, String> {
    match ip {
        IpAddr::V6(v6) if !zone.is_empty() => {
            let scope = interface_number(zone).ok_or_else(|| format!("no such network interface: {zone}"))?;
            Ok(SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope)))
        }
        ip => Ok(SocketAddr::new(ip, port)),
    }
}

fn interface_number(zone: &str) -> Option<u32> {
    if let Ok(number) = zone.parse() {
        return Some(number);
    }
    // The zone becomes part of a path.
    let is_name = !zone.contains(['/', '\0']) && zone != "." && zone != "..";
    let text = is_name.then(|| std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")))?;
    text.ok()?.trim().parse().ok()
}

/// True if a query to `upstream` would come back to one of `listeners`: the same port, and an address that such a listener is bound to.
pub fn is_ours(upstream: SocketAddr, listeners: &[SocketAddr]) -> bool {
    listeners.iter().any(|listener| {
        listener.port() == upstream.port()
            && (listener.ip() == upstream.ip()
                || (listener.ip().is_unspecified()
                    && upstream.ip() != DOCKERS_RESOLVER
                    && covers(listener.ip(), upstream.ip())
                    && is_of_this_machine(upstream.ip())))
    })
}

/// Where containers on networks that people made find Docker's resolver. What is sent to its port 53 is sent on to another port, so a
/// listener on all addresses does not hear it.
const DOCKERS_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// An address that no machine has: one for documentation (RFC 5737 3).
const NOBODYS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 255);

/// A wildcard listener of IPv6 hears IPv4 too.
const fn covers(wildcard: IpAddr, ip: IpAddr) -> bool {
    wildcard.is_ipv6() || ip.is_ipv4()
}

/// True if `ip` is an address of this machine.
pub fn is_of_this_machine(ip: IpAddr) -> bool {
    // The kernel lets a socket be bound to these alone; but to any address at all where it is told so, or where it has none yet.
    ip.is_loopback()
        || ip.is_unspecified()
        || (UdpSocket::bind((ip, 0)).is_ok() && UdpSocket::bind((NOBODYS, 0)).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_split_off_wherever_they_stand() {
        for (host, want) in [
            ("192.0.2.1", ("192.0.2.1", "")),
            ("fe80::1%eth0", ("fe80::1", "eth0")),
            ("[fe80::1%eth0]:53", ("[fe80::1]:53", "eth0")),
            ("[fe80::1%eth0]", ("[fe80::1]", "eth0")),
            ("dns://[fe80::1%eth0]:53", ("dns://[fe80::1]:53", "eth0")),
            ("tls://9.9.9.9%dns.quad9.net", ("tls://9.9.9.9", "dns.quad9.net")),
            ("tls://9.9.9.9%dns.quad9.net:853", ("tls://9.9.9.9:853", "dns.quad9.net")),
        ] {
            let (rest, zone) = split_zone(host);
            assert_eq!((rest.as_str(), zone), want);
        }
    }

    #[test]
    fn a_zone_is_an_interface() {
        let ip = "fe80::1".parse().unwrap();
        let SocketAddr::V6(address) = with_zone(ip, 53, "lo").unwrap() else { panic!("IPv6") };
        assert_eq!(address.scope_id(), 1);
        assert!(with_zone(ip, 53, "7").is_ok());
        for zone in ["nosuch0", "../lo", ".."] {
            assert_eq!(with_zone(ip, 53, zone), Err(format!("no such network interface: {zone}")));
        }
        let v4 = "192.0.2.1".parse().unwrap();
        assert_eq!(with_zone(v4, 53, "x"), Ok("192.0.2.1:53".parse().unwrap()));
    }

    #[test]
    fn asking_ourselves_is_noticed() {
        let check = |upstream: &str, listener: &str, want: bool| {
            let (upstream, listener) = (upstream.parse().unwrap(), listener.parse().unwrap());
            assert_eq!(is_ours(upstream, &[listener]), want, "{upstream} at {listener}");
        };
        check("127.0.0.1:53", "[::]:53", true);
        check("127.0.0.53:53", "0.0.0.0:53", true);
        check("127.0.0.11:53", "[::]:53", false);
        check("127.0.0.11:53", "127.0.0.11:53", true);
        check("[::1]:53", "[::]:53", true);
        check("[::1]:53", "0.0.0.0:53", false);
        check("127.0.0.1:53", "[::]:1053", false);
        check("192.0.2.1:53", "[::]:53", false);
        check("127.0.0.53:53", "127.0.0.1:53", false);
        check("127.0.0.1:53", "127.0.0.1:53", true);
    }
}
