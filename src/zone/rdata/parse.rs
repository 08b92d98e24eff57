//! RDATA from the words of a master file.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::coding::{unbase32hex, unbase64, unhex};
use super::{ALGORITHMS, CERTIFICATES, Field, address_prefix, fields, gateway, location, service};
use crate::wire::{Name, Rtype};
use crate::zone::master_file::Word;

/// What is wrong with a word, or with what should stand behind the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdataError {
    /// The number of the word among those of the RDATA; their count if one is missing.
    pub word: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for RdataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

/// The words of RDATA, as they are taken one after the other.
pub(super) struct Words<'a, 'w> {
    words: &'w [Word<'a>],
    at: usize,
    pub(super) origin: &'w Name,
}

impl<'a> Words<'a, '_> {
    /// The next word.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn next(&mut self, expected: &'static str) -> Result<Word<'a>, RdataError> {
        let word = self.words.get(self.at).copied().ok_or(RdataError { word: self.at, expected })?;
        self.at += 1;
        Ok(word)
    }

    /// The next word, if there is one.
    pub(super) fn next_if_any(&mut self) -> Option<Word<'a>> {
        let word = self.words.get(self.at).copied();
        self.at += usize::from(word.is_some());
        word
    }

    /// The next word, left where it is.
    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.at).copied()
    }

    /// That the word taken last is wrong.
    pub(super) fn wrong<T>(&self, expected: &'static str) -> Result<T, RdataError> {
        Err(RdataError { word: self.at.saturating_sub(1), expected })
    }

    /// A number up to `max`.
    pub(super) fn number(&mut self, max: u32, expected: &'static str) -> Result<u32, RdataError> {
        let word = self.next(expected)?;
        match decimal(word.text).filter(|number| *number <= max) {
            Some(number) => Ok(number),
            None => self.wrong(expected),
        }
    }

    /// A domain name.
    pub(super) fn name(&mut self, lower: bool, out: &mut Vec<u8>) -> Result<(), RdataError> {
        const EXPECTED: &str = "a domain name";
        let word = self.next(EXPECTED)?;
        if !name(word.text, self.origin, lower, out) {
            return self.wrong(EXPECTED);
        }
        Ok(())
    }
}

/// Reads the RDATA of `rtype` from `words` behind `out`; names without a dot at the end are below `origin`.
///
/// # Errors
/// The first word that is wrong; what stands behind `out` is then of no use.
pub fn parse(rtype: Rtype, words: &[Word<'_>], origin: &Name, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let start = out.len();
    let mut words = Words { words, at: 0, origin };
    let is_generic = words.peek().is_some_and(|word| word.text == b"\\#" && !word.is_quoted);
    match fields(rtype).filter(|_| !is_generic) {
        Some(fields) => {
            for field in fields {
                parse_field(*field, &mut words, out)?;
            }
        }
        None => generic(rtype, &mut words, out)?,
    }
    if words.next_if_any().is_some() {
        return words.wrong("the end of the record");
    }
    if out.len() - start > usize::from(u16::MAX) {
        return words.wrong("no more than 65535 bytes");
    }
    Ok(())
}

/// RFC 3597 5: `\# length digits`.
fn generic(rtype: Rtype, words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    const MARK: &str = r"\# and the length of the data, since the type is not known";
    if words.next(MARK)?.text != b"\\#" {
        return words.wrong(MARK);
    }
    let len = words.number(u16::MAX.into(), "the length of the data in bytes")? as usize;
    let start = out.len();
    while let Some(word) = words.next_if_any() {
        if !unhex(word.text, out) {
            return words.wrong("hexadecimal digits, an even number of them in each word");
        }
    }
    if out.len() - start != len {
        return words.wrong("as many bytes as the length says");
    }
    super::fold_names(rtype, &mut out[start..]);
    if !super::is_well_formed(rtype, &out[start..]) {
        return words.wrong("data of the record's type");
    }
    Ok(())
}

fn parse_field(field: Field, words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    match field {
        Field::U8 => out.push(words.number(255, "a number from 0 to 255")? as u8),
        Field::U16 => {
            let number = words.number(65_535, "a number from 0 to 65535")?;
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        Field::U32 => {
            let number = words.number(u32::MAX, "a number from 0 to 4294967295")?;
            out.extend_from_slice(&number.to_be_bytes());
        }
        Field::Seconds => {
            const EXPECTED: &str = "a time in seconds, such as 3600 or 1h30m";
            let Some(seconds) = seconds(words.next(EXPECTED)?.text) else { return words.wrong(EXPECTED) };
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        Field::Moment => {
            const EXPECTED: &str = "a time as YYYYMMDDHHmmSS, or in seconds since 1970";
            let Some(moment) = moment(words.next(EXPECTED)?.text) else { return words.wrong(EXPECTED) };
            out.extend_from_slice(&moment.to_be_bytes());
        }
        Field::Name => words.name(false, out)?,
        Field::LowerName => words.name(true, out)?,
        Field::V4 => {
            const EXPECTED: &str = "an IPv4 address";
            let Some(address) = v4(words.next(EXPECTED)?.text) else { return words.wrong(EXPECTED) };
            out.extend_from_slice(&address.octets());
        }
        Field::V6 => {
            const EXPECTED: &str = "an IPv6 address";
            let Some(address) = v6(words.next(EXPECTED)?.text) else { return words.wrong(EXPECTED) };
            out.extend_from_slice(&address.octets());
        }
        Field::Type => {
            const EXPECTED: &str = "a record type";
            let Some(rtype) = rtype(words.next(EXPECTED)?.text) else { return words.wrong(EXPECTED) };
            out.extend_from_slice(&rtype.0.to_be_bytes());
        }
        Field::Algorithm => {
            const EXPECTED: &str = "the number or the mnemonic of an algorithm";
            let word = words.next(EXPECTED)?;
            let Some(number) = mnemonic(word.text, ALGORITHMS, 255) else { return words.wrong(EXPECTED) };
            out.push(number as u8);
        }
        Field::CertificateType => {
            const EXPECTED: &str = "the number or the mnemonic of a kind of certificate";
            let word = words.next(EXPECTED)?;
            let Some(number) = mnemonic(word.text, CERTIFICATES, 65_535) else {
                return words.wrong(EXPECTED);
            };
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        Field::Text => {
            let word = words.next("a character string")?;
            text(&word, words, out)?;
        }
        Field::OptionalText => {
            if let Some(word) = words.next_if_any() {
                text(&word, words, out)?;
            }
        }
        Field::Texts => {
            let mut word = Some(words.next("a character string")?);
            while let Some(one) = word {
                text(&one, words, out)?;
                word = words.next_if_any();
            }
        }
        Field::LongText => {
            let word = words.next("a text")?;
            if !unescape(word.text, out) {
                return words.wrong("an escape of three digits up to 255, or of one character");
            }
        }
        Field::Tag => {
            const EXPECTED: &str = "the name of a property: letters and digits";
            let word = words.next(EXPECTED)?;
            let len = word.text.len();
            if len == 0 || len > 255 || !word.text.iter().all(u8::is_ascii_alphanumeric) {
                return words.wrong(EXPECTED);
            }
            out.push(len as u8);
            out.extend_from_slice(word.text);
        }
        Field::Base64 => {
            const EXPECTED: &str = "data in base 64";
            let mut joined = words.next(EXPECTED)?.text.to_vec();
            while let Some(word) = words.next_if_any() {
                joined.extend_from_slice(word.text);
            }
            if !unbase64(&joined, out) {
                return words.wrong(EXPECTED);
            }
        }
        Field::Hex(least) => {
            const EXPECTED: &str = "hexadecimal digits";
            let mut joined = words.next(EXPECTED)?.text.to_vec();
            while let Some(word) = words.next_if_any() {
                joined.extend_from_slice(word.text);
            }
            let start = out.len();
            if !unhex(&joined, out) || out.len() - start < least {
                return words.wrong(EXPECTED);
            }
        }
        Field::ShortHex => {
            const EXPECTED: &str = "up to 510 hexadecimal digits, or -";
            let word = words.next(EXPECTED)?;
            let digits = if word.text == b"-" { b"" } else { word.text };
            short(out, |out| unhex(digits, out)).ok_or(()).or_else(|()| words.wrong(EXPECTED))?;
        }
        Field::ShortBase32 => {
            const EXPECTED: &str = "a hash in base 32";
            let word = words.next(EXPECTED)?;
            let read = short(out, |out| !word.text.is_empty() && unbase32hex(word.text, out));
            read.ok_or(()).or_else(|()| words.wrong(EXPECTED))?;
        }
        Field::Groups => {
            const EXPECTED: &str = "four groups of hexadecimal digits, such as 14:4fff:ff20:ee64";
            let word = words.next(EXPECTED)?;
            if !groups(word.text, b':', 4, 2, out) {
                return words.wrong(EXPECTED);
            }
        }
        Field::Hyphens(len) => {
            const EXPECTED: &str = "pairs of hexadecimal digits, such as 00-00-5e-00-53-2a";
            let word = words.next(EXPECTED)?;
            if !groups(word.text, b'-', len, 1, out) {
                return words.wrong(EXPECTED);
            }
        }
        Field::Types => {
            let mut types = Vec::new();
            while let Some(word) = words.next_if_any() {
                let Some(rtype) = rtype(word.text) else { return words.wrong("a record type") };
                types.push(rtype);
            }
            super::type_set(types.into_iter(), out);
        }
        Field::Location => location::parse(words, out)?,
        Field::Prefixes => address_prefix::parse(words, out)?,
        Field::IpsecGateway => gateway::parse_ipsec(words, out)?,
        Field::Relay => gateway::parse_relay(words, out)?,
        Field::HostIdentity => gateway::parse_host(words, out)?,
        Field::Parameters => service::parse(words, out)?,
    }
    Ok(())
}

/// Writes what `write` writes behind a length of 8 bits.
fn short(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<()> {
    let start = out.len();
    out.push(0);
    if !write(out) {
        return None;
    }
    out[start] = u8::try_from(out.len() - start - 1).ok()?;
    Some(())
}

fn text(word: &Word<'_>, words: &Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let read = short(out, |out| unescape(word.text, out));
    read.ok_or(()).or_else(|()| words.wrong("a character string of up to 255 bytes"))
}

/// Reads `\.` and `\DDD` escapes (RFC 1035 5.1); false if one is broken.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) -> bool {
    if !text.contains(&b'\\') {
        out.extend_from_slice(text);
        return true;
    }
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match *rest {
            [a, b, c, ..] if [a, b, c].iter().all(u8::is_ascii_digit) => {
                let value = [a, b, c].iter().fold(0u32, |value, d| value * 10 + u32::from(d - b'0'));
                let Ok(value) = u8::try_from(value) else { return false };
                out.push(value);
                rest = &rest[3..];
            }
            [digit, ..] if digit.is_ascii_digit() => return false,
            [other, ref after @ ..] => {
                out.push(other);
                rest = after;
            }
            [] => return false,
        }
    }
    true
}

/// Reads a domain name behind `out`, below `origin` if it has no dot at its end; `@` is the origin. False if it is none.
pub fn name(text: &[u8], origin: &Name, lower: bool, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if text == b"@" {
        out.extend_from_slice(origin.as_bytes());
        return true;
    }
    if text == b"." {
        out.push(0);
        return true;
    }
    let mut length_at = out.len();
    out.push(0);
    let mut rest = text;
    let mut absolute = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'.' => {
                if out.len() == length_at + 1 {
                    return false;
                }
                length_at = out.len();
                out.push(0);
                absolute = rest.is_empty();
                continue;
            }
            b'\\' => {
                let taken = if rest.first().is_some_and(u8::is_ascii_digit) { 3 } else { 1 };
                let mut escape = [b'\\'; 4];
                let Some(digits) = rest.get(..taken) else { return false };
                escape[1..=taken].copy_from_slice(digits);
                if !unescape(&escape[..=taken], out) {
                    return false;
                }
                rest = &rest[taken..];
            }
            _ => out.push(byte),
        }
        let len = out.len() - length_at - 1;
        if len > 63 {
            return false;
        }
        out[length_at] = len as u8;
    }
    if !absolute {
        if out.len() == length_at + 1 {
            return false;
        }
        out.extend_from_slice(origin.as_bytes());
    }
    if lower {
        out[start..].make_ascii_lowercase();
    }
    out.len() - start <= 255
}

/// A number in decimal digits.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    let mut number = 0u32;
    for byte in text {
        number =
            number.checked_mul(10)?.checked_add(u32::from(byte.checked_sub(b'0').filter(|d| *d < 10)?))?;
    }
    Some(number)
}

/// Seconds, with units or without: `3600`, `1h30m`, `2W`.
pub fn seconds(text: &[u8]) -> Option<u32> {
    if let Some(number) = decimal(text) {
        return Some(number);
    }
    let mut total = 0u32;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = decimal(&rest[..digits])?;
        let unit = match rest.get(digits)?.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then_some(total)
}

/// A time of day (RFC 4034 3.2), modulo 2³².
fn moment(text: &[u8]) -> Option<u32> {
    if text.len() != 14 {
        return decimal(text);
    }
    let part = |range: std::ops::Range<usize>| decimal(text.get(range)?).map(i64::from);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    let fits =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    fits.then_some(seconds as u32)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March here, so that a leap day is the last of one.
pub(super) const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

pub(super) fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn v6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A type's mnemonic in any case, or `TYPE123`.
pub(super) fn rtype(text: &[u8]) -> Option<Rtype> {
    let text = std::str::from_utf8(text).ok()?;
    Rtype::from_text(text).or_else(|| Rtype::from_text(&text.to_ascii_uppercase()))
}

fn mnemonic<N: Copy + Into<u32>>(text: &[u8], table: &[(N, &str)], max: u32) -> Option<u32> {
    let named = table.iter().find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(text));
    named.map(|(number, _)| (*number).into()).or_else(|| decimal(text).filter(|number| *number <= max))
}

/// So many groups of so many bytes each, in hexadecimal digits.
fn groups(text: &[u8], between: u8, count: usize, bytes: usize, out: &mut Vec<u8>) -> bool {
    let mut found = 0;
    for group in text.split(|byte| *byte == between) {
        found += 1;
        let mut digits = vec![b'0'; (2 * bytes).saturating_sub(group.len())];
        digits.extend_from_slice(group);
        if group.is_empty() || digits.len() != 2 * bytes || !unhex(&digits, out) {
            return false;
        }
    }
    found == count
}
