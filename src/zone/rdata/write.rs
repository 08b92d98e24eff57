//! RDATA as the text of a master file.

use super::coding::{base32hex, base64, hex};
use super::{
    CERTIFICATES, Field, address_prefix, field_len, fields, gateway, is_well_formed, location, service,
};
use crate::wire::Rtype;
use crate::wire::name::write_text;

/// Writes `rdata`, its names uncompressed, behind `out`; what is not as its type says is written as RFC 3597 has it.
pub fn write(rtype: Rtype, rdata: &[u8], out: &mut Vec<u8>) {
    let Some(fields) = fields(rtype).filter(|_| is_well_formed(rtype, rdata)) else {
        out.extend_from_slice(format!("\\# {}", rdata.len()).as_bytes());
        if !rdata.is_empty() {
            out.push(b' ');
            hex(rdata, out);
        }
        return;
    };
    let mut rest = rdata;
    for (number, field) in fields.iter().enumerate() {
        let (bytes, after) = rest.split_at(field_len(*field, rest).unwrap_or(0));
        rest = after;
        // These write the blanks in front of what they have, which may be nothing.
        let is_list = matches!(field, Field::Types | Field::Parameters);
        let is_missing = bytes.is_empty() && *field != Field::LongText;
        if number > 0 && !is_list && !is_missing {
            out.push(b' ');
        }
        write_field(*field, bytes, out);
    }
}

fn write_field(field: Field, bytes: &[u8], out: &mut Vec<u8>) {
    let number = || bytes.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    match field {
        Field::U8 | Field::U16 | Field::U32 | Field::Seconds | Field::Algorithm => {
            out.extend_from_slice(number().to_string().as_bytes());
        }
        Field::CertificateType => match CERTIFICATES.iter().find(|(kind, _)| u32::from(*kind) == number()) {
            Some((_, name)) => out.extend_from_slice(name.as_bytes()),
            None => out.extend_from_slice(number().to_string().as_bytes()),
        },
        Field::Moment => out.extend_from_slice(moment(number()).as_bytes()),
        Field::Name | Field::LowerName => write_text(bytes, out),
        Field::V4 => out.extend_from_slice(std::net::Ipv4Addr::from_bits(number()).to_string().as_bytes()),
        Field::V6 => {
            if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
                out.extend_from_slice(std::net::Ipv6Addr::from(octets).to_string().as_bytes());
            }
        }
        Field::Type => out.extend_from_slice(Rtype(number() as u16).to_string().as_bytes()),
        Field::Text => quote(bytes.get(1..).unwrap_or_default(), out),
        Field::OptionalText => {
            if let Some(text) = bytes.get(1..) {
                quote(text, out);
            }
        }
        Field::Texts => {
            let mut rest = bytes;
            while let Some((&len, after)) = rest.split_first() {
                if rest.len() < bytes.len() {
                    out.push(b' ');
                }
                let (text, after) = after.split_at(usize::from(len).min(after.len()));
                quote(text, out);
                rest = after;
            }
        }
        Field::LongText => quote(bytes, out),
        Field::Tag => out.extend_from_slice(bytes.get(1..).unwrap_or_default()),
        Field::Base64 => base64(bytes, out),
        Field::Hex(_) => hex(bytes, out),
        Field::ShortHex if bytes.len() <= 1 => out.push(b'-'),
        Field::ShortHex => hex(&bytes[1..], out),
        Field::ShortBase32 => base32hex(bytes.get(1..).unwrap_or_default(), out),
        Field::Groups => {
            for (number, group) in bytes.chunks(2).enumerate() {
                if number > 0 {
                    out.push(b':');
                }
                let text = group.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
                out.extend_from_slice(format!("{text:04x}").as_bytes());
            }
        }
        Field::Hyphens(_) => {
            for (number, byte) in bytes.iter().enumerate() {
                if number > 0 {
                    out.push(b'-');
                }
                out.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
        }
        Field::Types => {
            for rtype in super::types_of(bytes) {
                out.push(b' ');
                out.extend_from_slice(rtype.to_string().as_bytes());
            }
        }
        Field::Location => out.extend(location::write(bytes).unwrap_or_default().bytes()),
        Field::Prefixes => out.extend(address_prefix::write(bytes).bytes()),
        Field::IpsecGateway => gateway::write_ipsec(bytes, out),
        Field::Relay => gateway::write_relay(bytes, out),
        Field::HostIdentity => gateway::write_host(bytes, out),
        Field::Parameters => service::write(bytes, out),
    }
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Writes text as it stands between quotation marks (RFC 1035 5.1).
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\{byte:03}").as_bytes()),
        }
    }
}

/// A time of day as `YYYYMMDDHHmmSS` (RFC 4034 3.2). The bits that are missing are taken to be those of the years 1970 to 2106.
fn moment(seconds: u32) -> String {
    let days = i64::from(seconds / 86_400);
    let mut year = 1970 + days / 366;
    while super::parse::days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month =
        (1..=12).rev().find(|month| super::parse::days_since_1970(year, *month, 1) <= days).unwrap_or(1);
    let day = days - super::parse::days_since_1970(year, month, 1) + 1;
    let second = seconds % 86_400;
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}
