//! `$GENERATE`: entries that differ in a number.

use std::fmt::Write;

use super::lexer::Word;

/// Entries that one directive makes at most, as in CoreDNS.
const STEPS_MAX: i64 = 65_536;

/// The digits that a number is written with at most.
const WIDTH_MAX: usize = 255;

/// The numbers of `from-to[/step]`.
pub(super) fn range(text: &[u8]) -> Option<impl Iterator<Item = i64> + use<>> {
    let text = std::str::from_utf8(text).ok()?;
    let (range, step) = text.split_once('/').unwrap_or((text, "1"));
    let (from, to) = range.split_once('-')?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i64>().ok()).flatten().filter(|number| *number <= i64::from(u32::MAX))
    };
    let (from, to, step) = (number(from)?, number(to)?, number(step).filter(|step| *step > 0)?);
    let steps = (to - from) / step + 1;
    (from <= to && steps <= STEPS_MAX).then(|| (0..steps).map(move |count| from + count * step))
}

/// Writes the entry for `number`.
///
/// # Errors
/// The word of the template that is wrong, and why.
pub(super) fn line(
    template: &[Word<'_>],
    number: i64,
    out: &mut Vec<u8>,
) -> Result<(), (usize, &'static str)> {
    for (place, word) in template.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        if word.is_quoted {
            out.push(b'"');
        }
        fill(word.text, number, out).map_err(|message| (place, message))?;
        if word.is_quoted {
            out.push(b'"');
        }
    }
    out.push(b'\n');
    Ok(())
}

fn fill(text: &[u8], number: i64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [b'$', after @ ..]) => {
                out.push(b'$');
                rest = after;
            }
            (b'\\', [next, after @ ..]) => {
                out.extend_from_slice(&[byte, *next]);
                rest = after;
            }
            (b'$', [b'$', after @ ..]) => {
                out.push(b'$');
                rest = after;
            }
            (b'$', [b'{', after @ ..]) => {
                let end = after.iter().position(|byte| *byte == b'}').ok_or("${ is never closed by }")?;
                write_number(&after[..end], number, out)?;
                rest = &after[end + 1..];
            }
            (b'$', _) => out.extend_from_slice(number.to_string().as_bytes()),
            _ => out.push(byte),
        }
    }
    Ok(())
}

/// `offset[,width[,base]]`.
fn write_number(modifier: &[u8], number: i64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected ${offset[,width[,base]]}, the base one of d, o, x, X, n, N";
    let text = std::str::from_utf8(modifier).map_err(|_| EXPECTED)?;
    let mut parts = text.split(',').map(str::trim);
    let offset: i64 = parts.next().and_then(|offset| offset.parse().ok()).ok_or(EXPECTED)?;
    let width: usize = parts.next().map_or(Ok(0), str::parse).map_err(|_| EXPECTED)?;
    let base = parts.next().unwrap_or("d");
    if parts.next().is_some() || width > WIDTH_MAX {
        return Err(EXPECTED);
    }
    let value = number.checked_add(offset).and_then(|value| u64::try_from(value).ok());
    let value = value.ok_or("the number is less than 0 with this offset")?;
    let mut text = String::new();
    let written = match base {
        "d" => write!(text, "{value:0width$}"),
        "o" => write!(text, "{value:0width$o}"),
        "x" => write!(text, "{value:0width$x}"),
        "X" => write!(text, "{value:0width$X}"),
        // Digits from the last to the first with dots between them, for names below ip6.arpa; the width counts the dots.
        "n" | "N" => {
            let digits = width.div_ceil(2).max(1);
            let plain = if base == "n" { format!("{value:0digits$x}") } else { format!("{value:0digits$X}") };
            let reversed: Vec<String> = plain.chars().rev().map(String::from).collect();
            text.push_str(&reversed.join("."));
            Ok(())
        }
        _ => return Err(EXPECTED),
    };
    written.map_err(|_| EXPECTED)?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}
