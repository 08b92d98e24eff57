//! The names in a certificate: its subject alternative names (RFC 5280 4.2.1.6), read out of DER.

use std::net::{IpAddr, Ipv6Addr};

/// Names that are read of one certificate; one that has more is not a client's.
const NAMES_MAX: usize = 1_000;

/// The DNS names, mail addresses, URIs and IP addresses of `certificate`, as Go writes them; none of one that cannot be read.
pub fn names(certificate: &[u8]) -> Vec<String> {
    read(certificate).unwrap_or_default()
}

fn read(certificate: &[u8]) -> Option<Vec<String>> {
    let (certificate, _) = value(certificate, SEQUENCE)?;
    let (mut fields, _) = value(certificate, SEQUENCE)?;
    // What stands before the extensions needs no reading.
    let extensions = loop {
        let (tag, content, rest) = next(fields)?;
        if tag == EXTENSIONS {
            break content;
        }
        fields = rest;
    };
    let (mut extensions, _) = value(extensions, SEQUENCE)?;
    while !extensions.is_empty() {
        let (extension, rest) = value(extensions, SEQUENCE)?;
        extensions = rest;
        let (id, rest) = value(extension, OBJECT_IDENTIFIER)?;
        if id != SUBJECT_ALTERNATIVE_NAME {
            continue;
        }
        let (tag, content, rest) = next(rest)?;
        // Whether it is critical is said only if it is.
        let content = if tag == BOOLEAN { value(rest, OCTET_STRING)?.0 } else { content };
        return general_names(value(content, SEQUENCE)?.0);
    }
    Some(Vec::new())
}

fn general_names(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while !bytes.is_empty() && names.len() < NAMES_MAX {
        let (tag, content, rest) = next(bytes)?;
        bytes = rest;
        match tag {
            MAIL | DNS | URI => names.push(String::from_utf8(content.to_vec()).ok()?),
            ADDRESS => names.push(address(content)?.to_string()),
            _ => {}
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).to_canonical()),
    }
}

/// The content of the value at the beginning of `bytes`, which has to have this tag, and what stands behind it.
fn value(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = next(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag and content of the value at the beginning of `bytes`, and what stands behind it (X.690 8.1, 10.1).
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = match first {
        0..=0x7f => (usize::from(first), bytes),
        // Up to 2^32 bytes. 0x80 would be a length that is not told, which DER has not.
        0x81..=0x84 => {
            let (length, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), bytes)
        }
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    Some((tag, content, rest))
}

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[3] EXPLICIT` of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;
