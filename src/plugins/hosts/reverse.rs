//! Addresses in the names of reverse zones (RFC 1035 3.5, RFC 3596 2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::Name;

/// The address that `name` stands for: four octets below `in-addr.arpa`, or thirty-two nibbles below `ip6.arpa`, and nothing
/// more. An IPv4-mapped address is the IPv4 address.
pub(super) fn address(name: &Name) -> Option<IpAddr> {
    let wire = name.as_bytes();
    if wire.ends_with(b"\x07in-addr\x04arpa\0") && name.label_count() == 6 {
        let mut octets = [0; 4];
        for (octet, label) in octets.iter_mut().rev().zip(name.labels()) {
            *octet = self::octet(label)?;
        }
        return Some(Ipv4Addr::from(octets).into());
    }
    if wire.ends_with(b"\x03ip6\x04arpa\0") && name.label_count() == 34 {
        let mut bits = 0u128;
        for (place, label) in (0..32).zip(name.labels()) {
            let [digit] = *label else { return None };
            bits |= u128::from(char::from(digit).to_digit(16)?) << (4 * place);
        }
        return Some(IpAddr::from(Ipv6Addr::from(bits)).to_canonical());
    }
    None
}

/// A decimal number up to 255 without leading zeros.
fn octet(label: &[u8]) -> Option<u8> {
    if label.len() > 3 || !label.iter().all(u8::is_ascii_digit) || (label.len() > 1 && label[0] == b'0') {
        return None;
    }
    str::from_utf8(label).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_addresses_and_nothing_else() {
        let check = |text: &str, want: Option<&str>| {
            let found = address(&Name::from_text(text).unwrap());
            assert_eq!(found, want.map(|address| address.parse().unwrap()), "{text}");
        };
        check("1.0.0.10.in-addr.arpa", Some("10.0.0.1"));
        check("255.255.255.255.IN-ADDR.ARPA", Some("255.255.255.255"));
        for text in [
            "0.0.10.in-addr.arpa",
            "1.1.0.0.10.in-addr.arpa",
            "01.0.0.10.in-addr.arpa",
            "256.0.0.10.in-addr.arpa",
            "+1.0.0.10.in-addr.arpa",
            "1.0.0.x.in-addr.arpa",
            "in-addr.arpa",
            "1.0.0.10.in-addr.arpa.example",
            r"1.0.0\.0.10.x.in-addr.arpa",
        ] {
            check(text, None);
        }
        let nibbles = |n: usize| "0.".repeat(n);
        check(&format!("1.{}ip6.arpa", nibbles(31)), Some("::1"));
        check(&format!("B.a.{}8.b.d.0.1.0.0.2.ip6.arpa", nibbles(22)), Some("2001:db8::ab"));
        check(&format!("1.0.0.0.0.0.a.0.f.f.f.f.{}ip6.arpa", nibbles(20)), Some("10.0.0.1"));
        check(&format!("1.{}ip6.arpa", nibbles(30)), None);
        check(&format!("1.{}ip6.arpa", nibbles(32)), None);
        check(&format!("g.{}ip6.arpa", nibbles(31)), None);
        check(&format!("00.{}ip6.arpa", nibbles(31)), None);
    }
}
