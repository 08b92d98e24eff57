//! A set of networks, asked for an address by halving: lists of networks are long where they come from a provider of lists.

use std::net::IpAddr;

use crate::config::Cidr;

/// Addresses as ranges that do not touch, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// All addresses of `networks`.
    pub(super) fn new(networks: &[Cidr]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.network {
                IpAddr::V4(first) => {
                    let host_bits = u32::MAX.checked_shr(u32::from(network.prefix)).unwrap_or(0);
                    v4.push((first.to_bits(), first.to_bits() | host_bits));
                }
                IpAddr::V6(first) => {
                    let host_bits = u128::MAX.checked_shr(u32::from(network.prefix)).unwrap_or(0);
                    v6.push((first.to_bits(), first.to_bits() | host_bits));
                }
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether `address` is in one of them. An IPv4-mapped address counts as its IPv4 address.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.v6, address.to_bits()),
        }
    }
}

/// The ranges in order, those that overlap made one.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut apart: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match apart.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => apart.push((first, last)),
        }
    }
    apart.into()
}

fn is_in<T: Copy + Ord>(ranges: &[(T, T)], value: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= value);
    behind.checked_sub(1).is_some_and(|at| value <= ranges[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(&texts.iter().map(|text| Cidr::parse(text).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn an_address_is_in_its_networks_and_no_other() {
        let set = networks(&["10.0.0.0/8", "192.0.2.7/32", "192.0.2.9/32", "2001:db8::/32", "::1/128"]);
        let check = |address: &str, inside: bool| {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        };
        for inside in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "192.0.2.9", "2001:db8::", "::1"] {
            check(inside, true);
        }
        check("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true);
        check("::ffff:10.1.2.3", true);
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.8", "0.0.0.0", "::", "::2", "2001:db9::"] {
            check(outside, false);
        }
    }

    #[test]
    fn networks_within_networks_are_one() {
        let set = networks(&["10.1.0.0/16", "10.0.0.0/8", "10.2.3.4/32", "11.0.0.0/8"]);
        assert_eq!(set.v4.len(), 2);
        assert!(set.contains("10.200.0.1".parse().unwrap()) && set.contains("11.0.0.1".parse().unwrap()));
        assert!(!set.contains("12.0.0.0".parse().unwrap()));
    }

    #[test]
    fn everything_is_a_network_too() {
        let set = networks(&["0.0.0.0/0"]);
        assert!(set.contains("0.0.0.0".parse().unwrap()) && set.contains("255.255.255.255".parse().unwrap()));
        assert!(!set.contains("::1".parse().unwrap()));
        assert!(!networks(&[]).contains("192.0.2.1".parse().unwrap()));
    }
}
