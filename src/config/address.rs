//! What the keys of a server block mean: `[SCHEME://]ZONE[:PORT]`, with reverse zones written as CIDR.

use super::diagnostic::{Diagnostic, Result};
use super::go;
use super::source::Span;
use super::tree::{ServerBlock, Word};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Port of plain DNS when neither the key nor the command line names one (RFC 1035 4.2).
pub const DNS_PORT: u16 = 53;

/// Longest zone name a key may have, in bytes of its text.
const ZONE_LENGTH_MAX: usize = 255;

/// How a listener speaks DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Classic DNS over UDP and TCP.
    Dns,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over QUIC (RFC 9250).
    Quic,
    /// CoreDNS's gRPC service.
    Grpc,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over HTTP/3.
    Https3,
    /// Known to CoreDNS's parser, but nothing serves it.
    Unix,
}

impl Scheme {
    /// Every scheme, in the order in which prefixes are tried.
    pub const ALL: [Self; 7] =
        [Self::Tls, Self::Dns, Self::Quic, Self::Grpc, Self::Https3, Self::Https, Self::Unix];

    /// The name in front of `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
            Self::Unix => "unix",
        }
    }

    /// The port of a key without one; `dns_port` is that of the command line and counts for plain DNS alone.
    pub const fn default_port(self, dns_port: u16) -> u16 {
        match self {
            Self::Dns => dns_port,
            Self::Tls | Self::Quic => 853,
            Self::Grpc | Self::Https | Self::Https3 => 443,
            Self::Unix => 0,
        }
    }

    /// Takes the scheme off the front of a text; plain DNS if there is none. Case counts.
    pub fn split(text: &str) -> (Self, &str) {
        Self::ALL
            .into_iter()
            .find_map(|scheme| {
                let rest = text.strip_prefix(scheme.as_str())?.strip_prefix("://")?;
                Some((scheme, rest))
            })
            .unwrap_or((Self::Dns, text))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One zone on one port: what a key of a server block comes to.
#[derive(Clone, Debug)]
pub struct Address {
    /// How it is spoken.
    pub scheme: Scheme,
    /// The zone: lower case, fully qualified.
    pub zone: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// The key it comes from.
    pub span: Span,
}

impl fmt::Display for Address {
    /// As CoreDNS names it: `dns://example.org.:53`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.zone, self.port)
    }
}

/// The addresses of a server block, in order: one for each key, several for a CIDR between label boundaries.
///
/// # Errors
/// Every key that is no address. CoreDNS's text, which has no place and begins with `error inspecting server blocks: `.
pub fn addresses(block: &ServerBlock, dns_port: u16) -> std::result::Result<Vec<Address>, Vec<Diagnostic>> {
    let mut addresses = Vec::new();
    let mut errors = Vec::new();
    for key in &block.keys {
        match key_addresses(key, dns_port) {
            Ok(found) => addresses.extend(found),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(addresses) } else { Err(errors) }
}

fn key_addresses(key: &Word, dns_port: u16) -> Result<Vec<Address>> {
    let refuse = |message: String| {
        let mut error = Diagnostic::bare(key.span, message).help("a key is [SCHEME://]ZONE[:PORT]");
        error.prefix = "error inspecting server blocks: ".to_owned();
        error
    };
    // CoreDNS serves them. No name that anybody asks for has them: the file is damaged, or no text.
    if let Some((at, odd)) = key.text.chars().enumerate().find(|(_, c)| is_no_text(*c)) {
        let error = refuse(format!("zone is not a valid domain name: {}", go::quote(&key.text)));
        let what = match odd {
            char::REPLACEMENT_CHARACTER => "no UTF-8".to_owned(),
            odd => format!("the control character U+{:04X}", u32::from(odd)),
        };
        return Err(error.help(format!("character {} is {what}: is the file damaged?", at + 1)));
    }
    let (scheme, rest) = Scheme::split(&key.text);
    let host = ZoneAndPort::parse(rest).map_err(refuse)?;
    for zone in &host.zones {
        // A name that only fits without its last dot is refused as well.
        ZoneAndPort::parse(&fully_qualified(zone)).map_err(refuse)?;
    }
    let port = match host.port {
        None => scheme.default_port(dns_port),
        Some(port) => u16::try_from(port).map_err(|_| {
            Diagnostic::bare(key.span, format!("address {port}: invalid port")).help("a port is 0 to 65535")
        })?,
    };
    let address = |zone: &String| Address { scheme, zone: normal_name(zone), port, span: key.span };
    Ok(host.zones.iter().map(address).collect())
}

/// Whether a character is none that stands in a text: a control character that is no white space, or what is put in the place of bytes
/// that are no UTF-8.
pub(super) fn is_no_text(c: char) -> bool {
    c == char::REPLACEMENT_CHARACTER || c.is_control() && !c.is_whitespace()
}

/// A text taken apart into the zones it names (several for a CIDR between label boundaries) and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneAndPort {
    /// The zones as written, or as made from a CIDR; never empty.
    pub zones: Vec<String>,
    /// The number after the last colon, in or out of the range of ports.
    pub port: Option<i64>,
}

impl ZoneAndPort {
    /// Reads `ZONE[:PORT]`, without a scheme.
    ///
    /// What follows the last colon counts as a port only if it is a number; otherwise the colon belongs to the zone.
    ///
    /// # Errors
    /// CoreDNS's text: trailing colon, too long, no domain name, a CIDR that could be mistaken.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let (mut zone, mut port) = (text, None);
        match text.rsplit_once(':') {
            Some((_, "")) => return Err(format!("expecting data after last colon: {}", go::quote(text))),
            Some((before, number)) => {
                if let Ok(number) = go::atoi(number) {
                    (zone, port) = (before, Some(number));
                }
            }
            None if text.is_empty() => return Err("expecting data after last colon: \"\"".to_owned()),
            None => {}
        }
        if zone.len() > ZONE_LENGTH_MAX {
            return Err(format!("specified zone is too long: {} > {ZONE_LENGTH_MAX}", zone.len()));
        }
        if !is_domain_name(zone) {
            return Err(format!("zone is not a valid domain name: {zone}"));
        }
        let Some(network) = Cidr::parse(zone) else {
            return Ok(Self { zones: vec![zone.to_owned()], port });
        };
        if zone.starts_with(':') || (zone.starts_with('0') && zone.contains(':')) {
            return Err(format!("invalid CIDR {zone}"));
        }
        Ok(Self { zones: network.reverse_zones(), port })
    }
}

/// An address with a prefix length, host bits cleared. An IPv4-mapped IPv6 network is the IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The first address of the network.
    pub network: IpAddr,
    /// Bits that all its addresses share: 0 to 32, or to 128 for IPv6.
    pub prefix: u8,
}

impl Cidr {
    /// Reads `ADDRESS/LENGTH`; host bits may be set and are cleared.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        // Digits only (no sign), at most as many as fit; leading zeros are fine.
        let prefix = length.bytes().all(|b| b.is_ascii_digit()).then(|| length.parse::<u8>().ok())??;
        Self::new(address, prefix)
    }

    /// The network of that prefix around the address; `None` for a prefix longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.checked_sub(u32::from(prefix))?).unwrap_or(0);
                Some(Self { network: Ipv4Addr::from_bits(v4.to_bits() & mask).into(), prefix })
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.checked_sub(u32::from(prefix))?).unwrap_or(0);
                let network = Ipv6Addr::from_bits(v6.to_bits() & mask);
                match network.to_ipv4_mapped() {
                    Some(v4) if prefix >= 96 => Some(Self { network: v4.into(), prefix: prefix - 96 }),
                    _ => Some(Self { network: network.into(), prefix }),
                }
            }
        }
    }

    /// Whether the address is in the network. An IPv4-mapped address counts as its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address.to_canonical(), self.prefix) == Some(*self)
    }

    /// The reverse zones (RFC 1035 3.5, RFC 3596 2.5) that together are the network: one if the prefix ends between
    /// labels, else those of the next longer prefix that does, 2 to 128 (IPv4) or 2 to 8 (IPv6).
    pub fn reverse_zones(&self) -> Vec<String> {
        let label_bits: u8 = if self.network.is_ipv4() { 8 } else { 4 };
        let labels = self.prefix.div_ceil(label_bits);
        let zones = 1_u8 << (labels * label_bits - self.prefix);
        (0..zones).map(|index| self.reverse_zone(labels, label_bits, index)).collect()
    }

    /// The reverse zone of so many labels whose last label is `index` above that of the network.
    fn reverse_zone(&self, labels: u8, label_bits: u8, index: u8) -> String {
        let (bits, width, suffix) = match self.network {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32, "in-addr.arpa."),
            IpAddr::V6(v6) => (v6.to_bits(), 128, "ip6.arpa."),
        };
        let mut zone = String::new();
        for label in (0..labels).rev() {
            let shift = width - u32::from(label + 1) * u32::from(label_bits);
            let mut value = (bits >> shift) & ((1 << label_bits) - 1);
            if label + 1 == labels {
                value += u128::from(index);
            }
            zone += &if label_bits == 8 { format!("{value}.") } else { format!("{value:x}.") };
        }
        zone + suffix
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Whether the text is a domain name in presentation format (RFC 1035 5.1), as generously as CoreDNS takes it: any
/// characters, `\DDD` and `\X` escapes, labels up to 63 and the whole up to 255 bytes on the wire.
pub fn is_domain_name(text: &str) -> bool {
    if text.is_empty() {
        return false;
    }
    if text == "." {
        return true;
    }
    let text = fully_qualified(text);
    let bytes = text.as_bytes();
    let (mut wire_length, mut label_length, mut index) = (0_usize, 0_usize, 0);
    while let Some(&byte) = bytes.get(index) {
        match byte {
            b'.' => {
                if label_length == 0 || label_length > 63 {
                    return false;
                }
                wire_length += 1 + label_length;
                label_length = 0;
                index += 1;
            }
            b'\\' => {
                let digits = bytes.get(index + 1..index + 4).filter(|d| d.iter().all(u8::is_ascii_digit));
                let escape_length = if digits.is_some() { 4 } else { 2 };
                if index + escape_length > bytes.len() || digits.is_some_and(|d| d > b"255".as_slice()) {
                    return false;
                }
                label_length += 1;
                index += escape_length;
            }
            _ => {
                label_length += 1;
                index += 1;
            }
        }
    }
    // The root label takes the last byte of 255.
    label_length == 0 && wire_length < 255
}

/// The name with the dot at its end; a dot that is escaped is none.
pub fn fully_qualified(name: &str) -> String {
    let before_dot = name.strip_suffix('.');
    let escapes = before_dot.map(|before| before.len() - before.trim_end_matches('\\').len());
    match escapes {
        Some(count) if count % 2 == 0 => name.to_owned(),
        _ => format!("{name}."),
    }
}

/// The name fully qualified and in lower case: the form of every zone name of a configuration.
pub fn normal_name(name: &str) -> String {
    // One character stays one character, so that a few special letters do not change a label's length.
    let lower = |c: char| {
        let mut lower = c.to_lowercase();
        lower.next().unwrap_or(c)
    };
    fully_qualified(name).chars().map(lower).collect()
}

/// One zone on one port at one local address, of a block that is about to be served.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// The zone and the port.
    pub address: &'a Address,
    /// The local addresses of the block's `bind`; empty if it has none.
    pub bind: &'a [String],
    /// Whether the block is filtered by a `view`.
    pub has_view: bool,
}

/// Finds blocks that claim the same zone on the same listener.
///
/// Two unfiltered claims of the same zone, port and local address are a duplicate; a bound and an unbound one overlap,
/// as the unbound listener takes the queries of every address. A block with a `view` may share with others, but not overlap.
pub fn duplicate_claims<'a>(claims: impl IntoIterator<Item = Claim<'a>>) -> Vec<Diagnostic> {
    /// Scheme, zone, port, local address ("" for unbound).
    type Key<'a> = (Scheme, &'a str, u16, &'a str);
    let mut registered: HashMap<Key<'a>, Span> = HashMap::new();
    let mut last_of_zone: HashMap<Key<'a>, (&'a str, Span)> = HashMap::new();
    let mut errors = Vec::new();
    for claim in claims {
        let Address { scheme, ref zone, port, span } = *claim.address;
        let bind: Vec<&'a str> =
            if claim.bind.is_empty() { vec![""] } else { claim.bind.iter().map(String::as_str).collect() };
        for local in bind {
            let key = (scheme, zone.as_str(), port, local);
            let any = (scheme, zone.as_str(), port, "");
            let said = on_address(claim.address, local);
            let first = registered.get(&key).copied();
            let overlap = match first {
                Some(_) => None,
                None if local.is_empty() => last_of_zone.get(&any).copied(),
                None => registered.get(&any).map(|&span| ("", span)),
            };
            match (first, overlap) {
                (_, Some((other, first))) => {
                    let other = on_address(claim.address, other);
                    let message =
                        format!("cannot serve {said} - zone overlap listener capacity with {other}");
                    let error = Diagnostic::bare(span, message).note(first, "the other block");
                    errors.push(error.help("give both blocks a bind, or neither"));
                }
                (Some(first), None) if !claim.has_view => {
                    let message = format!("cannot serve {said} - it is already defined");
                    errors.push(Diagnostic::bare(span, message).note(first, "first defined here"));
                }
                (None, None) if !claim.has_view => {
                    registered.insert(key, span);
                    last_of_zone.insert(any, (local, span));
                }
                // Filtered blocks may share a zone: they are checked, but claim nothing.
                _ => {}
            }
        }
    }
    errors
}

fn on_address(address: &Address, local: &str) -> String {
    if local.is_empty() { address.to_string() } else { format!("{address} on {local}") }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
