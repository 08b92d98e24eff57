//! LOC: where something is (RFC 1876).

use super::parse::{RdataError, Words, decimal};

/// The equator and the prime meridian, in thousandths of a second of arc.
const ORIGIN: i64 = 1 << 31;

/// The reference spheroid's surface, in centimetres above the lowest altitude.
const SEA_LEVEL_CM: i64 = 10_000_000;

/// Latitude, longitude, altitude, and then size and precisions if they are not the usual ones (RFC 1876 3).
pub(super) fn parse(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let latitude = angle(words, 90, b'N', b'S')?;
    let longitude = angle(words, 180, b'E', b'W')?;
    const ALTITUDE: &str = "an altitude in metres, such as 10m or -2.5m";
    let word = words.next(ALTITUDE)?;
    let Some(altitude) =
        centimetres(word.text).map(|cm| cm + SEA_LEVEL_CM).and_then(|cm| u32::try_from(cm).ok())
    else {
        return words.wrong(ALTITUDE);
    };
    // 1 m, 10 km and 10 m.
    let mut sizes = [0x12, 0x16, 0x13];
    for size in &mut sizes {
        let Some(word) = words.next_if_any() else { break };
        let Some(read) = centimetres(word.text).and_then(power) else {
            return words.wrong("a length in metres, up to 90000000m");
        };
        *size = read;
    }
    out.push(0);
    out.extend_from_slice(&sizes);
    for number in [latitude, longitude, altitude] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

/// Degrees, minutes and seconds up to the letter for the direction.
fn angle(words: &mut Words<'_, '_>, max: u32, plus: u8, minus: u8) -> Result<u32, RdataError> {
    const EXPECTED: &str = "degrees, minutes and seconds, then N or S, and in the same way E or W";
    let mut parts = [0i64; 3];
    for place in 0..4 {
        let word = words.next(EXPECTED)?;
        let letter = word.text.first().map(u8::to_ascii_uppercase).filter(|_| word.text.len() == 1);
        if let Some(letter) = letter.filter(|letter| place > 0 && [plus, minus].contains(letter)) {
            let [degrees, minutes, thousandths] = parts;
            let sum = (degrees * 60 + minutes) * 60_000 + thousandths;
            if sum > i64::from(max) * 3_600_000 {
                return words
                    .wrong("an angle of at most 90 degrees to the north or south, 180 to the east or west");
            }
            return Ok((ORIGIN + if letter == plus { sum } else { -sum }) as u32);
        }
        let read = match place {
            0 => decimal(word.text).filter(|degrees| *degrees <= max).map(i64::from),
            1 => decimal(word.text).filter(|minutes| *minutes < 60).map(i64::from),
            2 => scaled(word.text, 3).filter(|thousandths| (0..60_000).contains(thousandths)),
            _ => None,
        };
        match read {
            Some(number) => parts[place] = number,
            None => return words.wrong(EXPECTED),
        }
    }
    words.wrong(EXPECTED)
}

/// A decimal fraction in units of a power of ten.
fn scaled(text: &[u8], digits: usize) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = decimal(parts.next()?)?;
    let fraction = parts.next().unwrap_or(b"");
    if fraction.len() > digits {
        return None;
    }
    let mut number = i64::from(whole);
    for place in 0..digits {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        number = number * 10 + i64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(if negative { -number } else { number })
}

fn centimetres(text: &[u8]) -> Option<i64> {
    scaled(text.strip_suffix(b"m").or(text.strip_suffix(b"M")).unwrap_or(text), 2)
}

/// A length as a digit and a power of ten, rounded down.
fn power(centimetres: i64) -> Option<u8> {
    let mut base = u64::try_from(centimetres).ok().filter(|cm| *cm <= 9_000_000_000)?;
    let mut exponent = 0;
    while base > 9 {
        base /= 10;
        exponent += 1;
    }
    Some((base as u8) << 4 | exponent)
}

/// Version 0, and lengths of digits (RFC 1876 2).
pub(super) fn is_well_formed(rdata: &[u8]) -> bool {
    let is_length = |byte: &u8| byte >> 4 <= 9 && byte & 15 <= 9;
    rdata.len() == 16 && rdata[0] == 0 && rdata[1..4].iter().all(is_length)
}

pub(super) fn write(rdata: &[u8]) -> Option<String> {
    let &[0, size, horizontal, vertical, ref numbers @ ..] = rdata else { return None };
    let (numbers, []) = numbers.as_chunks::<4>() else { return None };
    let [latitude, longitude, altitude] = numbers else { return None };
    let angle = |number: [u8; 4], plus: char, minus: char| {
        let offset = i64::from(u32::from_be_bytes(number)) - ORIGIN;
        let (thousandths, direction) = (offset.abs(), if offset < 0 { minus } else { plus });
        let (minutes, thousandths) = (thousandths / 60_000, thousandths % 60_000);
        format!(
            "{} {} {}.{:03} {direction}",
            minutes / 60,
            minutes % 60,
            thousandths / 1000,
            thousandths % 1000
        )
    };
    let metres = |cm: i64| {
        let sign = if cm < 0 { "-" } else { "" };
        match (cm.abs() / 100, cm.abs() % 100) {
            (whole, 0) => format!("{sign}{whole}m"),
            (whole, rest) => format!("{sign}{whole}.{rest:02}m"),
        }
    };
    let length = |byte: u8| metres(i64::from(byte >> 4) * 10i64.pow(u32::from(byte & 15)));
    Some(format!(
        "{} {} {} {} {} {}",
        angle(*latitude, 'N', 'S'),
        angle(*longitude, 'E', 'W'),
        metres(i64::from(u32::from_be_bytes(*altitude)) - SEA_LEVEL_CM),
        length(size),
        length(horizontal),
        length(vertical)
    ))
}
