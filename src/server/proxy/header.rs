//! The header of the PROXY protocol, versions 1 (a line of text) and 2 (binary), as HAProxy's document `proxy-protocol.txt` has it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest header of version 1, its line end included (2.1).
pub const V1_BYTES_MAX: usize = 107;

/// Bytes of version 2 that come before its addresses (2.2).
pub const V2_BYTES_FIXED: usize = 16;

/// The largest length field of version 2 that is taken: room for addresses and a client's certificate. The document allows 65,535, which
/// anybody could make a server hold.
pub const V2_LENGTH_MAX: usize = 4_096;

const V1_SIGNATURE: &[u8] = b"PROXY";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole header.
    Header(Header),
    /// No header, whatever may follow.
    Absent,
    /// The beginning of a header, cut short here.
    Incomplete(Cut),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes, behind which the message begins.
    pub len: usize,
    /// 1 or 2.
    pub version: u8,
    /// How the client speaks to the proxy.
    pub family: Family,
    /// True if the proxy speaks for itself, as for a health check: the client is the peer (`LOCAL`, `UNKNOWN`).
    pub is_local: bool,
    /// The client's address and the one it asked; `None` where the header has none that means something here.
    pub addresses: Option<Addresses>,
}

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client; an IPv4-mapped address counts as its IPv4 address.
    pub source: SocketAddr,
    /// The address it was after.
    pub destination: SocketAddr,
}

/// The address family and protocol byte of version 2 (2.2); version 1 knows [`Self::UNSPECIFIED`] and TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family(pub u8);

impl Family {
    /// Neither is known.
    pub const UNSPECIFIED: Self = Self(0x00);
    /// TCP over IPv4.
    pub const TCP4: Self = Self(0x11);
    /// UDP over IPv4.
    pub const UDP4: Self = Self(0x12);
    /// TCP over IPv6.
    pub const TCP6: Self = Self(0x21);
    /// UDP over IPv6.
    pub const UDP6: Self = Self(0x22);
    const UNIX_STREAM: Self = Self(0x31);
    const UNIX_DATAGRAM: Self = Self(0x32);

    /// True for UDP.
    pub const fn is_udp(self) -> bool {
        matches!(self, Self::UDP4 | Self::UDP6)
    }

    /// Bytes its addresses and ports take; `None` for a family that does not exist.
    const fn address_bytes(self) -> Option<usize> {
        match self {
            Self::UNSPECIFIED => Some(0),
            Self::TCP4 | Self::UDP4 => Some(12),
            Self::TCP6 | Self::UDP6 => Some(36),
            Self::UNIX_STREAM | Self::UNIX_DATAGRAM => Some(216),
            _ => None,
        }
    }
}

/// Where a header is cut short. Shown in CoreDNS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Within the signature: it may be no header at all.
    Signature,
    /// Within the line of version 1.
    Line,
    /// Before the version and command of version 2.
    Command,
    /// Before the family.
    Family,
    /// Within the length; true if its first byte is there.
    Length(bool),
    /// Within the addresses; true if some of their bytes are there.
    Addresses(bool),
    /// Behind the addresses; true if some bytes of what follows them are there.
    Extensions(bool),
    /// Within what `LOCAL` says and nobody reads.
    Local,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "proxyproto: proxy protocol signature not present",
            Self::Line => "proxyproto: can't read version 1 header",
            Self::Command => "proxyproto: can't read proxy protocol version and command: EOF",
            Self::Family => "proxyproto: can't read address family or protocol: EOF",
            Self::Length(false) => "proxyproto: can't read length: EOF",
            Self::Length(true) => "proxyproto: can't read length: unexpected EOF",
            Self::Addresses(false) => "proxyproto: invalid address: EOF",
            Self::Addresses(true) => "proxyproto: invalid address: unexpected EOF",
            Self::Extensions(false) => "proxyproto: invalid length",
            Self::Extensions(true) => "unexpected EOF",
            Self::Local => "proxyproto: invalid length: EOF",
        })
    }
}

/// Why bytes that begin as a header are none; the sender is at fault. Shown in CoreDNS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The line of version 1 is longer than [`V1_BYTES_MAX`].
    LineTooLong,
    /// It ends in a line feed alone.
    LineEnd,
    /// It begins with `PROXY` and goes on with something else.
    Line,
    /// It does not have the words it needs.
    Words,
    /// An address is none of its family.
    Address,
    /// A port is none.
    Port,
    /// Version 2 has an unknown version or command.
    Command,
    /// It has a family that does not exist, or none where there must be one.
    Family,
    /// Its length is too small for its addresses, or above [`V2_LENGTH_MAX`].
    Length,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineTooLong => "proxyproto: version 1 header must be 107 bytes or less",
            Self::LineEnd => "proxyproto: version 1 header is invalid, must end with \\r\\n",
            Self::Line => "proxyproto: can't read version 1 header",
            Self::Words => "proxyproto: can't read address family or protocol",
            Self::Address => "proxyproto: invalid address",
            Self::Port => "proxyproto: invalid port number",
            Self::Command => "proxyproto: unsupported proxy protocol version and command",
            Self::Family => "proxyproto: unsupported address family and protocol",
            Self::Length => "proxyproto: invalid length",
        })
    }
}

impl std::error::Error for HeaderError {}

/// Looks for a header at the beginning of `bytes`.
///
/// # Errors
/// [`HeaderError`] if they begin as one and are none.
pub fn parse(bytes: &[u8]) -> Result<Found, HeaderError> {
    if let Some(rest) = bytes.strip_prefix(V1_SIGNATURE) {
        return line(rest);
    }
    if let Some(rest) = bytes.strip_prefix(V2_SIGNATURE) {
        return binary(rest);
    }
    let may_be = !bytes.is_empty() && (V1_SIGNATURE.starts_with(bytes) || V2_SIGNATURE.starts_with(bytes));
    Ok(if may_be { Found::Incomplete(Cut::Signature) } else { Found::Absent })
}

/// Version 1, behind its signature (2.1).
fn line(rest: &[u8]) -> Result<Found, HeaderError> {
    let rest_max = V1_BYTES_MAX - V1_SIGNATURE.len();
    let Some(end) = rest.iter().take(rest_max).position(|&byte| byte == b'\n') else {
        let is_cut = rest.len() < rest_max;
        return if is_cut { Ok(Found::Incomplete(Cut::Line)) } else { Err(HeaderError::LineTooLong) };
    };
    let Some(line) = rest[..end].strip_suffix(b"\r") else { return Err(HeaderError::LineEnd) };
    let mut header = Header {
        len: V1_SIGNATURE.len() + end + 1,
        version: 1,
        family: Family::UNSPECIFIED,
        is_local: true,
        addresses: None,
    };
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let &[b"", family, ..] = &words[..] else {
        return Err(if words[0].is_empty() { HeaderError::Words } else { HeaderError::Line });
    };
    header.family = match family {
        // Whatever follows is to be ignored.
        b"UNKNOWN" => return Ok(Found::Header(header)),
        b"TCP4" => Family::TCP4,
        b"TCP6" => Family::TCP6,
        _ => return Err(HeaderError::Words),
    };
    let &[_, _, source, destination, source_port, destination_port] = &words[..] else {
        return Err(HeaderError::Words);
    };
    let (source, destination) = (ip(header.family, source)?, ip(header.family, destination)?);
    let (source_port, destination_port) = (port(source_port)?, port(destination_port)?);
    header.is_local = false;
    header.addresses = Some(addresses(source, source_port, destination, destination_port));
    Ok(Found::Header(header))
}

fn ip(family: Family, word: &[u8]) -> Result<IpAddr, HeaderError> {
    let text = std::str::from_utf8(word).map_err(|_| HeaderError::Address)?;
    let ip = if family == Family::TCP4 {
        text.parse::<Ipv4Addr>().map(IpAddr::V4)
    } else {
        text.parse::<Ipv6Addr>().map(IpAddr::V6)
    };
    ip.map_err(|_| HeaderError::Address)
}

/// One to five digits, without a leading zero.
fn port(word: &[u8]) -> Result<u16, HeaderError> {
    let is_number = matches!(word, [b'0'] | [b'1'..=b'9', ..]) && word.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(word).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok()).ok_or(HeaderError::Port)
}

/// Version 2, behind its signature (2.2).
fn binary(rest: &[u8]) -> Result<Found, HeaderError> {
    let is_local = match rest.first() {
        None => return Ok(Found::Incomplete(Cut::Command)),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(HeaderError::Command),
    };
    let Some(&family) = rest.get(1) else { return Ok(Found::Incomplete(Cut::Family)) };
    let family = Family(family);
    let Some(address_bytes) = family.address_bytes() else { return Err(HeaderError::Family) };
    if family == Family::UNSPECIFIED && !is_local {
        return Err(HeaderError::Family);
    }
    let Some(&[high, low]) = rest.get(2..4) else {
        return Ok(Found::Incomplete(Cut::Length(rest.len() > 2)));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // What LOCAL says of addresses is skipped, and need not be any.
    if length > V2_LENGTH_MAX || (length < address_bytes && !is_local) {
        return Err(HeaderError::Length);
    }
    let there = &rest[4..];
    let Some(block) = there.get(..length) else {
        let some = !there.is_empty();
        return Ok(Found::Incomplete(match there.len().checked_sub(address_bytes) {
            _ if is_local => Cut::Local,
            None => Cut::Addresses(some),
            Some(behind) => Cut::Extensions(behind > 0),
        }));
    };
    let header = Header {
        len: V2_BYTES_FIXED + length,
        version: 2,
        family,
        is_local,
        addresses: if is_local { None } else { address_block(family, block) },
    };
    Ok(Found::Header(header))
}

/// The addresses at the beginning of `block`; `None` for a family that has none of the Internet.
fn address_block(family: Family, block: &[u8]) -> Option<Addresses> {
    let u16_at = |at: usize| Some(u16::from_be_bytes(block.get(at..at + 2)?.try_into().ok()?));
    let v4_at = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(block.get(at..at + 4)?).ok()?));
    let v6_at = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(block.get(at..at + 16)?).ok()?));
    match family {
        Family::TCP4 | Family::UDP4 => Some(addresses(v4_at(0)?, u16_at(8)?, v4_at(4)?, u16_at(10)?)),
        Family::TCP6 | Family::UDP6 => Some(addresses(v6_at(0)?, u16_at(32)?, v6_at(16)?, u16_at(34)?)),
        _ => None,
    }
}

fn addresses(source: IpAddr, source_port: u16, destination: IpAddr, destination_port: u16) -> Addresses {
    Addresses {
        source: SocketAddr::new(source.to_canonical(), source_port),
        destination: SocketAddr::new(destination.to_canonical(), destination_port),
    }
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
