//! RDATA as text and as bytes, both ways, by one description for each type.
//!
//! [`parse()`] reads the words of a master file, [`write()`] writes them, [`is_well_formed`] checks what came over the network. Types without a
//! description, and any type on request, have the form of RFC 3597.

mod address_prefix;
mod coding;
mod gateway;
mod location;
mod parse;
mod service;
mod write;

pub use coding::{base32hex, base64, hex, unbase32hex, unbase64, unhex};
pub use parse::{RdataError, name, parse, seconds};
pub use write::write;

use crate::wire::{Name, Rtype};

/// A piece of RDATA, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// A number of 8 bits.
    U8,
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// Seconds, in text also with units (`1h30m`).
    Seconds,
    /// A time of day as seconds since 1970 modulo 2³², in text `YYYYMMDDHHmmSS` (RFC 4034 3.2).
    Moment,
    /// A domain name, its case kept.
    Name,
    /// A domain name, lower-cased: where CoreDNS does so.
    LowerName,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// A type's mnemonic.
    Type,
    /// A DNSSEC algorithm, in text a number or a mnemonic (RFC 8624).
    Algorithm,
    /// A kind of certificate (RFC 4398 2.1).
    CertificateType,
    /// A character string (RFC 1035 3.3).
    Text,
    /// A character string that may be missing.
    OptionalText,
    /// One or more character strings, to the end.
    Texts,
    /// Text without a length, to the end (CAA, URI).
    LongText,
    /// A property's name: letters and digits behind a length (CAA).
    Tag,
    /// Bytes to the end, in text base 64, and never none.
    Base64,
    /// Bytes to the end, in text hexadecimal; with at least so many of them.
    Hex(usize),
    /// Bytes behind a length of 8 bits, in text hexadecimal or `-` for none.
    ShortHex,
    /// Bytes behind a length of 8 bits, in text base 32 (RFC 5155 3.3).
    ShortBase32,
    /// Four groups of 16 bits, in text hexadecimal between colons (RFC 6742).
    Groups,
    /// So many bytes, in text hexadecimal between hyphens (RFC 7043).
    Hyphens(usize),
    /// A set of types, to the end (RFC 4034 4.1.2).
    Types,
    /// Size, precision and place (RFC 1876).
    Location,
    /// Lists of address prefixes (RFC 3123).
    Prefixes,
    /// Gateway type, algorithm, gateway and key of an IPsec tunnel (RFC 4025).
    IpsecGateway,
    /// Discovery flag, type and relay (RFC 8777).
    Relay,
    /// Host identity, public key and rendezvous servers (RFC 8005).
    HostIdentity,
    /// Parameters of a service (RFC 9460 2.2).
    Parameters,
}

/// The pieces of RDATA of a type; `None` for types that are written as RFC 3597 has it.
const fn fields(rtype: Rtype) -> Option<&'static [Field]> {
    use Field::*;
    Some(match rtype {
        Rtype::A => &[V4],
        Rtype::AAAA => &[V6],
        Rtype::NS | Rtype::CNAME => &[LowerName],
        Rtype::MD
        | Rtype::MF
        | Rtype::MB
        | Rtype::MG
        | Rtype::MR
        | Rtype::PTR
        | Rtype::DNAME
        | Rtype::NSAP_PTR => &[Name],
        Rtype::SOA => &[LowerName, LowerName, U32, Seconds, Seconds, Seconds, Seconds],
        Rtype::MX => &[U16, LowerName],
        Rtype::TXT | Rtype::SPF | Rtype::AVC | Rtype::NINFO | Rtype::RESINFO => &[Texts],
        Rtype::SRV => &[U16, U16, U16, Name],
        Rtype::HINFO => &[Text, Text],
        Rtype::MINFO | Rtype::RP | Rtype::TALINK => &[Name, Name],
        Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::LP => &[U16, Name],
        Rtype::X25 | Rtype::UINFO => &[Text],
        Rtype::ISDN => &[Text, OptionalText],
        Rtype::PX => &[U16, Name, Name],
        Rtype::GPOS => &[Text, Text, Text],
        Rtype::LOC => &[Location],
        Rtype::NAPTR => &[U16, U16, Text, Text, Text, Name],
        Rtype::CERT => &[CertificateType, U16, Algorithm, Base64],
        Rtype::APL => &[Prefixes],
        Rtype::DS | Rtype::CDS | Rtype::DLV | Rtype::TA => &[U16, Algorithm, U8, Hex(1)],
        Rtype::SSHFP => &[U8, U8, Hex(1)],
        Rtype::IPSECKEY => &[U8, IpsecGateway],
        Rtype::RRSIG | Rtype::SIG => &[Type, Algorithm, U8, U32, Moment, Moment, U16, Name, Base64],
        Rtype::NSEC => &[Name, Types],
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::KEY | Rtype::RKEY => &[U16, U8, Algorithm, Base64],
        Rtype::DHCID | Rtype::OPENPGPKEY => &[Base64],
        Rtype::NSEC3 => &[U8, U8, U16, ShortHex, ShortBase32, Types],
        Rtype::NSEC3PARAM => &[U8, U8, U16, ShortHex],
        Rtype::TLSA | Rtype::SMIMEA => &[U8, U8, U8, Hex(1)],
        Rtype::HIP => &[HostIdentity],
        Rtype::CSYNC => &[U32, U16, Types],
        Rtype::ZONEMD => &[U32, U8, U8, Hex(12)],
        Rtype::SVCB | Rtype::HTTPS => &[U16, LowerName, Parameters],
        Rtype::NID | Rtype::L64 => &[U16, Groups],
        Rtype::L32 => &[U16, V4],
        Rtype::EUI48 => &[Hyphens(6)],
        Rtype::EUI64 => &[Hyphens(8)],
        Rtype::URI => &[U16, U16, LongText],
        Rtype::CAA => &[U8, Tag, LongText],
        Rtype::AMTRELAY => &[U8, Relay],
        Rtype::EID | Rtype::NIMLOC => &[Hex(1)],
        Rtype::UID | Rtype::GID => &[U32],
        _ => return None,
    })
}

/// Brings the names in `rdata`, which are uncompressed, into the case that zones keep them in.
pub fn fold_names(rtype: Rtype, rdata: &mut [u8]) {
    let Some(fields) = fields(rtype).filter(|fields| fields.contains(&Field::LowerName)) else { return };
    let mut at = 0;
    for field in fields {
        let Some(len) = field_len(*field, rdata.get(at..).unwrap_or_default()) else { return };
        if *field == Field::LowerName {
            // Length bytes are at most 63 and thus no letters.
            rdata[at..at + len].make_ascii_lowercase();
        }
        at += len;
    }
}

/// Whether `rdata`, its names uncompressed, is what its type says.
pub fn is_well_formed(rtype: Rtype, rdata: &[u8]) -> bool {
    let Some(fields) = fields(rtype) else { return true };
    let mut at = 0;
    for field in fields {
        match field_len(*field, rdata.get(at..).unwrap_or_default()) {
            Some(len) => at += len,
            None => return false,
        }
    }
    at == rdata.len()
}

/// How many bytes at the front of `rdata` a field takes; `None` if it is none.
fn field_len(field: Field, rdata: &[u8]) -> Option<usize> {
    let fixed = |len: usize| (rdata.len() >= len).then_some(len);
    let short = || Some(1 + usize::from(*rdata.first()?)).filter(|len| *len <= rdata.len());
    match field {
        Field::U8 | Field::Algorithm => fixed(1),
        Field::U16 | Field::Type | Field::CertificateType => fixed(2),
        Field::U32 | Field::Seconds | Field::Moment | Field::V4 => fixed(4),
        Field::Groups => fixed(8),
        Field::V6 => fixed(16),
        Field::Hyphens(len) => fixed(len),
        Field::Name | Field::LowerName => Name::parse_plain(rdata, 0).ok().map(|(_, end)| end),
        Field::Text | Field::ShortHex => short(),
        Field::ShortBase32 => short().filter(|len| *len > 1),
        Field::Tag => {
            let tag = rdata.get(1..short()?)?;
            (!tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric)).then_some(1 + tag.len())
        }
        Field::OptionalText if rdata.is_empty() => Some(0),
        Field::OptionalText => short(),
        Field::Texts => {
            let mut at = 0;
            while at < rdata.len() {
                at += field_len(Field::Text, &rdata[at..])?;
            }
            (at > 0).then_some(at)
        }
        Field::LongText => Some(rdata.len()),
        Field::Base64 => (!rdata.is_empty()).then_some(rdata.len()),
        Field::Hex(least) => (rdata.len() >= least).then_some(rdata.len()),
        Field::Types => types(rdata).all(|window| window.is_some()).then_some(rdata.len()),
        Field::Location => location::is_well_formed(rdata).then_some(rdata.len()),
        Field::Prefixes => address_prefix::is_well_formed(rdata).then_some(rdata.len()),
        Field::IpsecGateway => gateway::ipsec_is_well_formed(rdata).then_some(rdata.len()),
        Field::Relay => gateway::relay_is_well_formed(rdata).then_some(rdata.len()),
        Field::HostIdentity => gateway::host_is_well_formed(rdata).then_some(rdata.len()),
        Field::Parameters => service::is_well_formed(rdata).then_some(rdata.len()),
    }
}

/// The windows of a set of types: number and bits; `None` where the bytes are none (RFC 4034 4.1.2).
fn types(rdata: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    let mut rest = rdata;
    let mut before = None;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let window = match *rest {
            [window, len @ 1..=32, ref bits @ ..] if bits.len() >= usize::from(len) => {
                let (bits, after) = bits.split_at(usize::from(len));
                rest = after;
                Some((window, bits)).filter(|_| before.is_none_or(|before| window > before))
            }
            _ => None,
        };
        before = window.map(|(window, _)| window);
        if window.is_none() {
            rest = &[];
        }
        Some(window)
    })
}

/// A set of types as RDATA has it.
pub fn type_set(types: impl Iterator<Item = Rtype>, out: &mut Vec<u8>) {
    let mut numbers: Vec<u16> = types.map(|rtype| rtype.0).collect();
    numbers.sort_unstable();
    for window in numbers.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; 32];
        for number in window {
            bits[usize::from(number & 0xFF) / 8] |= 0x80 >> (number & 7);
        }
        let len = 1 + usize::from(window.last().map_or(0, |last| last & 0xFF)) / 8;
        out.extend_from_slice(&[(window[0] >> 8) as u8, len as u8]);
        out.extend_from_slice(&bits[..len]);
    }
}

/// The types of a set in RDATA.
pub fn types_of(rdata: &[u8]) -> impl Iterator<Item = Rtype> {
    types(rdata).flatten().flat_map(|(window, bits)| {
        bits.iter().enumerate().flat_map(move |(byte, bits)| {
            let numbers = (0..8u16).filter(move |bit| bits & (0x80 >> bit) != 0);
            numbers.map(move |bit| Rtype(u16::from(window) << 8 | (byte as u16 * 8 + bit)))
        })
    })
}

/// Numbers of DNSSEC algorithms that have mnemonics.
const ALGORITHMS: &[(u8, &str)] = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// Kinds of certificates that have mnemonics.
const CERTIFICATES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];

#[cfg(test)]
mod tests;
