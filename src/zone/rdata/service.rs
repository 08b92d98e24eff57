//! The parameters of SVCB and HTTPS records (RFC 9460 2.1, 7; RFC 9461 5; RFC 9540 4; RFC 9848).

use super::coding::{base64, unbase64};
use super::parse::{RdataError, Words, decimal, unescape, v4, v6};
use super::write::escape;

/// Keys that have names, by their numbers.
const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const OHTTP: u16 = 8;

fn key_of(text: &[u8]) -> Option<u16> {
    let named = KEYS.iter().position(|key| key.as_bytes() == text);
    let numbered = || {
        let digits = text.strip_prefix(b"key")?;
        // No zero in front (RFC 9460 2.1), and the last number is none.
        let plain = digits == b"0" || digits.first() != Some(&b'0');
        decimal(digits).filter(|_| plain).and_then(|number| u16::try_from(number).ok())
    };
    named.map(|number| number as u16).or_else(numbered).filter(|key| *key != u16::MAX)
}

/// Reads parameters to the end of the words; they may come in any order, each once.
pub(super) fn parse(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut parameters: Vec<(u16, Vec<u8>)> = Vec::new();
    while let Some(word) = words.next_if_any() {
        let split = word.text.iter().position(|byte| *byte == b'=');
        let (key, mut value) = match split {
            Some(at) => (&word.text[..at], Some(&word.text[at + 1..])),
            None => (word.text, None),
        };
        let Some(key) = key_of(key).filter(|_| !word.is_quoted) else {
            return words.wrong("a parameter: its key, such as alpn or key123, then = and its value");
        };
        // A value in quotation marks is a word of its own, right behind.
        if value == Some(b"")
            && let Some(next) = words.peek().filter(|next| {
                next.is_quoted
                    && (next.line, next.column) == (word.line, word.column + word.text.len() as u32)
            })
        {
            value = Some(next.text);
            words.next_if_any();
        }
        if parameters.iter().any(|(other, _)| *other == key) {
            return words.wrong("each key once");
        }
        match encode(key, value) {
            Ok(bytes) if bytes.len() <= usize::from(u16::MAX) => parameters.push((key, bytes)),
            Ok(_) => return words.wrong("a value of up to 65535 bytes"),
            Err(expected) => return words.wrong(expected),
        }
    }
    parameters.sort_unstable();
    let start = out.len();
    for (key, value) in &parameters {
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value);
    }
    if !is_well_formed(&out[start..]) {
        return words.wrong("mandatory keys that are there, and alpn beside no-default-alpn");
    }
    Ok(())
}

fn encode(key: u16, value: Option<&[u8]>) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    let mut plain = Vec::new();
    if !unescape(value.unwrap_or_default(), &mut plain) {
        return Err("an escape of three digits up to 255, or of one character");
    }
    match key {
        MANDATORY => {
            let keys: Option<Vec<u16>> = plain.split(|byte| *byte == b',').map(key_of).collect();
            let mut keys = keys.ok_or("keys with commas between them")?;
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair[0] == pair[1]) || keys.contains(&MANDATORY) {
                return Err("each mandatory key once, and not mandatory itself");
            }
            bytes.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        }
        ALPN => {
            const EXPECTED: &str = "protocols of 1 to 255 bytes with commas between them, such as h2,h3";
            for item in items(&plain) {
                bytes.push(u8::try_from(item.len()).ok().filter(|len| *len > 0).ok_or(EXPECTED)?);
                bytes.extend_from_slice(&item);
            }
        }
        NO_DEFAULT_ALPN | OHTTP if value.is_some_and(|value| !value.is_empty()) => return Err("no value"),
        NO_DEFAULT_ALPN | OHTTP => {}
        PORT => {
            let port = decimal(&plain).and_then(|port| u16::try_from(port).ok());
            bytes.extend_from_slice(&port.ok_or("a port: a number from 0 to 65535")?.to_be_bytes());
        }
        IPV4_HINT => {
            for address in plain.split(|byte| *byte == b',') {
                bytes.extend(v4(address).ok_or("IPv4 addresses with commas between them")?.octets());
            }
        }
        IPV6_HINT => {
            for address in plain.split(|byte| *byte == b',') {
                bytes.extend(v6(address).ok_or("IPv6 addresses with commas between them")?.octets());
            }
        }
        ECH => {
            if plain.is_empty() || !unbase64(&plain, &mut bytes) {
                return Err("a configuration list in base 64");
            }
        }
        _ => bytes = plain,
    }
    Ok(bytes)
}

/// The items of a list with commas between them, in which `\,` and `\\` stand for themselves (RFC 9460 appendix A.1).
fn items(list: &[u8]) -> Vec<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut escaped = false;
    for &byte in list {
        match (escaped, byte) {
            (false, b'\\') => escaped = true,
            (false, b',') => items.push(Vec::new()),
            _ => {
                escaped = false;
                items.last_mut().into_iter().for_each(|item| item.push(byte));
            }
        }
    }
    items
}

/// The parameters in `rdata`; `None` where the bytes are none.
fn parameters(rdata: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = rdata;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let read = rest.split_first_chunk::<4>().and_then(|(&[k1, k2, l1, l2], after)| {
            let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes([l1, l2])))?;
            Some((u16::from_be_bytes([k1, k2]), value, after))
        });
        rest = read.map_or(&[], |(.., after)| after);
        Some(read.map(|(key, value, _)| (key, value)))
    })
}

pub(super) fn is_well_formed(rdata: &[u8]) -> bool {
    let Some(all) = parameters(rdata).collect::<Option<Vec<_>>>() else { return false };
    let has = |key: u16| all.iter().any(|(other, _)| *other == key);
    all.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && (!has(NO_DEFAULT_ALPN) || has(ALPN))
        && all.iter().all(|(key, value)| match *key {
            MANDATORY => {
                let (keys, rest) = value.as_chunks::<2>();
                let keys: Vec<u16> = keys.iter().map(|key| u16::from_be_bytes(*key)).collect();
                rest.is_empty()
                    && !keys.is_empty()
                    && keys.is_sorted_by(|a, b| a < b)
                    && keys.into_iter().all(has)
            }
            ALPN => is_list(value),
            NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
            PORT => value.len() == 2,
            IPV4_HINT => !value.is_empty() && value.len().is_multiple_of(4),
            IPV6_HINT => !value.is_empty() && value.len().is_multiple_of(16),
            _ => true,
        })
}

/// Whether `value` is a list of one or more strings that are not empty.
fn is_list(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some((&len, after)) = rest.split_first() {
        match after.get(usize::from(len)..) {
            Some(after) if len > 0 => rest = after,
            _ => return false,
        }
    }
    !value.is_empty()
}

/// Writes parameters, each behind a blank.
pub(super) fn write(rdata: &[u8], out: &mut Vec<u8>) {
    for (key, value) in parameters(rdata).flatten() {
        out.push(b' ');
        write_key(key, out);
        if value.is_empty() && matches!(key, NO_DEFAULT_ALPN | OHTTP) {
            continue;
        }
        out.extend_from_slice(b"=\"");
        let joined = |texts: Vec<String>| texts.join(",").into_bytes();
        match key {
            MANDATORY => {
                for (number, key) in value.as_chunks::<2>().0.iter().enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    write_key(u16::from_be_bytes(*key), out);
                }
            }
            ALPN => {
                let mut list = Vec::new();
                let mut rest = value;
                while let Some((&len, after)) = rest.split_first() {
                    if !list.is_empty() {
                        list.push(b',');
                    }
                    let (item, after) = after.split_at(usize::from(len).min(after.len()));
                    for &byte in item {
                        if matches!(byte, b',' | b'\\') {
                            list.push(b'\\');
                        }
                        list.push(byte);
                    }
                    rest = after;
                }
                escape(&list, out);
            }
            PORT => {
                let port = value.iter().fold(0u32, |port, byte| port << 8 | u32::from(*byte));
                out.extend_from_slice(port.to_string().as_bytes());
            }
            IPV4_HINT => out.extend(joined(
                value.as_chunks::<4>().0.iter().map(|a| std::net::Ipv4Addr::from(*a).to_string()).collect(),
            )),
            IPV6_HINT => out.extend(joined(
                value.as_chunks::<16>().0.iter().map(|a| std::net::Ipv6Addr::from(*a).to_string()).collect(),
            )),
            ECH => base64(value, out),
            _ => escape(value, out),
        }
        out.push(b'"');
    }
}

fn write_key(key: u16, out: &mut Vec<u8>) {
    match KEYS.get(usize::from(key)) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => out.extend_from_slice(format!("key{key}").as_bytes()),
    }
}
