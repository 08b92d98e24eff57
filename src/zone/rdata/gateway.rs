//! Records that name a gateway, a relay or servers: IPSECKEY (RFC 4025), AMTRELAY (RFC 8777), HIP (RFC 8005).

use super::coding::{base64, hex, unbase64, unhex};
use super::parse::{RdataError, Words, v4, v6};
use crate::wire::Name;
use crate::wire::name::write_text;

/// Reads a gateway of that type: none, an address of either family, or a name.
fn parse_gateway(kind: u8, words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    match kind {
        0 => {
            const EXPECTED: &str = "a dot, since there is no gateway";
            if words.next(EXPECTED)?.text != b"." { words.wrong(EXPECTED) } else { Ok(()) }
        }
        1 => {
            const EXPECTED: &str = "an IPv4 address";
            match v4(words.next(EXPECTED)?.text) {
                Some(address) => {
                    out.extend_from_slice(&address.octets());
                    Ok(())
                }
                None => words.wrong(EXPECTED),
            }
        }
        2 => {
            const EXPECTED: &str = "an IPv6 address";
            match v6(words.next(EXPECTED)?.text) {
                Some(address) => {
                    out.extend_from_slice(&address.octets());
                    Ok(())
                }
                None => words.wrong(EXPECTED),
            }
        }
        _ => words.name(false, out),
    }
}

/// How many bytes a gateway of that type takes at the front of `rdata`.
fn gateway_len(kind: u8, rdata: &[u8]) -> Option<usize> {
    match kind {
        0 => Some(0),
        1 => (rdata.len() >= 4).then_some(4),
        2 => (rdata.len() >= 16).then_some(16),
        3 => Name::parse_plain(rdata, 0).ok().map(|(_, end)| end),
        _ => None,
    }
}

fn write_gateway(kind: u8, gateway: &[u8], out: &mut Vec<u8>) {
    match (kind, gateway) {
        (1, &[a, b, c, d]) => out.extend(std::net::Ipv4Addr::new(a, b, c, d).to_string().bytes()),
        (2, bytes) => {
            if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
                out.extend(std::net::Ipv6Addr::from(octets).to_string().bytes());
            }
        }
        (3, name) => write_text(name, out),
        _ => out.push(b'.'),
    }
}

/// Gateway type, algorithm, gateway, key; behind the precedence.
pub(super) fn parse_ipsec(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let kind = words.number(3, "a gateway type from 0 to 3")? as u8;
    let algorithm = words.number(255, "an algorithm from 0 to 255")? as u8;
    out.extend_from_slice(&[kind, algorithm]);
    parse_gateway(kind, words, out)?;
    let mut joined = Vec::new();
    while let Some(word) = words.next_if_any() {
        joined.extend_from_slice(word.text);
    }
    if !unbase64(&joined, out) {
        return words.wrong("a key in base 64");
    }
    Ok(())
}

pub(super) fn ipsec_is_well_formed(rdata: &[u8]) -> bool {
    matches!(rdata, &[kind, _, ref rest @ ..] if gateway_len(kind, rest).is_some())
}

pub(super) fn write_ipsec(rdata: &[u8], out: &mut Vec<u8>) {
    let &[kind, algorithm, ref rest @ ..] = rdata else { return };
    let (gateway, key) = rest.split_at(gateway_len(kind, rest).unwrap_or(0));
    out.extend(format!("{kind} {algorithm} ").bytes());
    write_gateway(kind, gateway, out);
    if !key.is_empty() {
        out.push(b' ');
        base64(key, out);
    }
}

/// Discovery flag, type, relay; behind the precedence.
pub(super) fn parse_relay(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let discovery = words.number(1, "the discovery flag, 0 or 1")? as u8;
    let kind = words.number(3, "a relay type from 0 to 3")? as u8;
    out.push(discovery << 7 | kind);
    parse_gateway(kind, words, out)
}

pub(super) fn relay_is_well_formed(rdata: &[u8]) -> bool {
    matches!(rdata, &[flags, ref rest @ ..] if gateway_len(flags & 0x7F, rest) == Some(rest.len()))
}

pub(super) fn write_relay(rdata: &[u8], out: &mut Vec<u8>) {
    let &[flags, ref relay @ ..] = rdata else { return };
    out.extend(format!("{} {} ", flags >> 7, flags & 0x7F).bytes());
    write_gateway(flags & 0x7F, relay, out);
}

/// Algorithm, identity tag, key, rendezvous servers.
pub(super) fn parse_host(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let algorithm = words.number(255, "an algorithm from 0 to 255")? as u8;
    let (mut tag, mut key) = (Vec::new(), Vec::new());
    const TAG: &str = "an identity tag of up to 255 bytes in hexadecimal digits";
    if !unhex(words.next(TAG)?.text, &mut tag) || tag.is_empty() || tag.len() > 255 {
        return words.wrong(TAG);
    }
    const KEY: &str = "a public key in base 64, in one word";
    if !unbase64(words.next(KEY)?.text, &mut key) || key.is_empty() || key.len() > usize::from(u16::MAX) {
        return words.wrong(KEY);
    }
    out.extend_from_slice(&[tag.len() as u8, algorithm]);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&tag);
    out.extend_from_slice(&key);
    while words.peek().is_some() {
        words.name(false, out)?;
    }
    Ok(())
}

/// What HIP's RDATA is made of.
struct Host<'a> {
    algorithm: u8,
    tag: &'a [u8],
    key: &'a [u8],
    /// The names of rendezvous servers, one after the other.
    names: &'a [u8],
}

fn host_parts(rdata: &[u8]) -> Option<Host<'_>> {
    let (&[tag_len, algorithm, k1, k2], rest) = rdata.split_first_chunk::<4>()?;
    let (tag, rest) = rest.split_at_checked(tag_len.into())?;
    let (key, names) = rest.split_at_checked(u16::from_be_bytes([k1, k2]).into())?;
    (!tag.is_empty() && !key.is_empty()).then_some(Host { algorithm, tag, key, names })
}

pub(super) fn host_is_well_formed(rdata: &[u8]) -> bool {
    let Some(Host { names, .. }) = host_parts(rdata) else { return false };
    let mut at = 0;
    while at < names.len() {
        match Name::parse_plain(names, at) {
            Ok((_, end)) => at = end,
            Err(_) => return false,
        }
    }
    true
}

pub(super) fn write_host(rdata: &[u8], out: &mut Vec<u8>) {
    let Some(Host { algorithm, tag, key, mut names }) = host_parts(rdata) else { return };
    out.extend(format!("{algorithm} ").bytes());
    hex(tag, out);
    out.push(b' ');
    base64(key, out);
    while let Ok((_, end)) = Name::parse_plain(names, 0) {
        out.push(b' ');
        write_text(&names[..end], out);
        names = &names[end..];
    }
}
