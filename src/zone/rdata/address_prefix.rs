//! APL: lists of address prefixes (RFC 3123).

use super::parse::{RdataError, Words, decimal, v4, v6};

/// `[!]family:address/prefix`, any number of them.
pub(super) fn parse(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    while let Some(word) = words.next_if_any() {
        let Some(()) = item(word.text, out) else {
            return words.wrong("a prefix as [!]family:address/length, such as !1:192.0.2.0/28");
        };
    }
    Ok(())
}

fn item(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (negation, text) = text.strip_prefix(b"!").map_or((0, text), |rest| (0x80, rest));
    let colon = text.iter().position(|byte| *byte == b':')?;
    let slash = text.iter().rposition(|byte| *byte == b'/')?;
    let (family, address, length) =
        (&text[..colon], text.get(colon + 1..slash)?, decimal(&text[slash + 1..])?);
    let (family, mut octets) = match family {
        b"1" => (1u16, v4(address)?.octets().to_vec()),
        b"2" => (2, v6(address)?.octets().to_vec()),
        _ => return None,
    };
    let bits = octets.len() * 8;
    if length as usize > bits {
        return None;
    }
    // Zeros at the end are not sent (RFC 3123 4).
    while octets.last() == Some(&0) {
        octets.pop();
    }
    out.extend_from_slice(&family.to_be_bytes());
    out.extend_from_slice(&[length as u8, negation | octets.len() as u8]);
    out.extend_from_slice(&octets);
    Some(())
}

/// The prefixes in `rdata`: family, length, whether negated, and the address' octets; `None` where the bytes are none.
fn items(rdata: &[u8]) -> impl Iterator<Item = Option<(u16, u8, bool, &[u8])>> {
    let mut rest = rdata;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let read = rest.split_first_chunk::<4>().and_then(|(&[f1, f2, length, octets], after)| {
            let (address, after) = after.split_at_checked(usize::from(octets & 0x7F))?;
            Some(((u16::from_be_bytes([f1, f2]), length, octets & 0x80 != 0, address), after))
        });
        rest = read.map_or(&[], |(_, after)| after);
        Some(read.map(|(item, _)| item))
    })
}

pub(super) fn is_well_formed(rdata: &[u8]) -> bool {
    items(rdata).all(|item| match item {
        Some((1, length, _, address)) => length <= 32 && address.len() <= 4 && address.last() != Some(&0),
        Some((2, length, _, address)) => length <= 128 && address.len() <= 16 && address.last() != Some(&0),
        Some(_) | None => false,
    })
}

pub(super) fn write(rdata: &[u8]) -> String {
    let texts = items(rdata).flatten().map(|(family, length, negated, address)| {
        let mut octets = [0u8; 16];
        octets[..address.len().min(16)].copy_from_slice(&address[..address.len().min(16)]);
        let address = match family {
            1 => std::net::Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).to_string(),
            _ => std::net::Ipv6Addr::from(octets).to_string(),
        };
        format!("{}{family}:{address}/{length}", if negated { "!" } else { "" })
    });
    texts.collect::<Vec<_>>().join(" ")
}
