//! Values read and written as Go's standard library does, error texts included.
//!
//! CoreDNS hands most values to Go's `time`, `strconv` and `net`, and shows what these say when they refuse one. The
//! same texts here let an error message keep CoreDNS's wording to the letter.

use std::fmt::Write as _;
use std::time::Duration;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// The units of a duration and their nanoseconds. Both code points that look like a mu are taken.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", NANOSECONDS_PER_SECOND),
    ("m", 60 * NANOSECONDS_PER_SECOND),
    ("h", 3_600 * NANOSECONDS_PER_SECOND),
];

/// A duration that may be negative, as Go's are: nanoseconds in 64 bits, about 292 years either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration {
    /// Nanoseconds.
    pub nanoseconds: i64,
}

impl GoDuration {
    /// The duration, unless it is negative.
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds).ok().map(Duration::from_nanos)
    }

    /// Reads what Go's `time.ParseDuration` reads: `5s`, `1h30m`, `1.5h`, `-2ms`, a bare `0`.
    ///
    /// # Errors
    /// Go's text, such as `time: missing unit in duration "10"`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |what: &str| Err(format!("time: {what} {}", quote_bytes(text)));
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return refuse("invalid duration");
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (whole, after_whole) = split_digits(rest);
            let (fraction, after) = match after_whole.strip_prefix('.') {
                Some(after_point) => split_digits(after_point),
                None => ("", after_whole),
            };
            if whole.is_empty() && fraction.is_empty() {
                return refuse("invalid duration");
            }
            // Go takes the whole part up to and including 2^63, which only a negative duration can use.
            let Some(value) = digits_to_u64(whole) else { return refuse("invalid duration") };
            let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
            let (unit_name, next) = after.split_at(unit_end);
            if unit_name.is_empty() {
                return refuse("missing unit in duration");
            }
            let Some(&(_, unit)) = UNITS.iter().find(|(name, _)| *name == unit_name) else {
                return refuse(&format!("unknown unit {} in duration", quote_bytes(unit_name)));
            };
            let part = value.checked_mul(unit).map(|part| part.saturating_add(fraction_of(fraction, unit)));
            match part.and_then(|part| total.checked_add(part)).filter(|&sum| sum <= 1 << 63) {
                Some(sum) => total = sum,
                None => return refuse("invalid duration"),
            }
            rest = next;
        }
        let nanoseconds =
            if negative { 0_i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() };
        nanoseconds.map_or_else(|| refuse("invalid duration"), |nanoseconds| Ok(Self { nanoseconds }))
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self { nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX) }
    }
}

impl std::fmt::Display for GoDuration {
    /// As Go prints it: `1h30m0s`, `1.5s`, `20ms`, `0s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.nanoseconds < 0 {
            f.write_char('-')?;
        }
        let nanoseconds = self.nanoseconds.unsigned_abs();
        match nanoseconds {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{nanoseconds}ns"),
            1_000..1_000_000 => return write!(f, "{}\u{b5}s", decimal(nanoseconds, 1_000)),
            1_000_000..NANOSECONDS_PER_SECOND => return write!(f, "{}ms", decimal(nanoseconds, 1_000_000)),
            _ => {}
        }
        let minutes = nanoseconds / NANOSECONDS_PER_SECOND / 60;
        if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write!(f, "{}s", decimal(nanoseconds % (60 * NANOSECONDS_PER_SECOND), NANOSECONDS_PER_SECOND))
    }
}

/// `value / unit` with as many decimals as are needed; the unit is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", value % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", value / unit)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn digits_to_u64(digits: &str) -> Option<u64> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|&value| value <= 1 << 63) }
}

/// The nanoseconds of a fraction of a unit, cut off; digits past what 63 bits hold are ignored, as Go does.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let mut value: u64 = 0;
    let mut scale: u64 = 1;
    for digit in digits.bytes() {
        let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0'))) else {
            break;
        };
        let Some(next_scale) = scale.checked_mul(10) else { break };
        (value, scale) = (next, next_scale);
    }
    u64::try_from(u128::from(value) * u128::from(unit) / u128::from(scale)).unwrap_or(u64::MAX)
}

/// Reads what Go's `strconv.Atoi` reads: decimal digits with an optional sign.
///
/// # Errors
/// Go's text, such as `strconv.Atoi: parsing "x": invalid syntax`.
pub fn atoi(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {}: invalid syntax", quote(text)));
    }
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {}: value out of range", quote(text)))
}

/// Splits `host:port`, `[host]:port` and `:port` as Go's `net.SplitHostPort` does.
///
/// # Errors
/// Go's text, such as `address x: missing port in address`.
pub fn split_host_port(text: &str) -> Result<(&str, &str), String> {
    let refuse = |why: &str| match text {
        "" => Err(why.to_owned()),
        _ => Err(format!("address {text}: {why}")),
    };
    let Some(colon) = text.rfind(':') else { return refuse("missing port in address") };
    let (host, from) = if text.starts_with('[') {
        let Some(end) = text.find(']') else { return refuse("missing ']' in address") };
        if end + 1 != colon {
            let colon_follows = text.as_bytes().get(end + 1) == Some(&b':');
            return refuse(if colon_follows {
                "too many colons in address"
            } else {
                "missing port in address"
            });
        }
        (&text[1..end], (1, end + 1))
    } else {
        let host = &text[..colon];
        if host.contains(':') {
            return refuse("too many colons in address");
        }
        (host, (0, 0))
    };
    if text[from.0..].contains('[') {
        return refuse("unexpected '[' in address");
    }
    if text[from.1..].contains(']') {
        return refuse("unexpected ']' in address");
    }
    Ok((host, &text[colon + 1..]))
}

/// The text in double quotes as Go's `%q` shows it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The quoting of the `time` package, which shows every byte that is not printable ASCII as `\xNN`.
fn quote_bytes(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            byte if !(b' '..0x80).contains(&byte) => out.push_str(&format!("\\x{byte:02x}")),
            byte => out.push(char::from(byte)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let check = |text: &str, nanoseconds: i64| {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration { nanoseconds }), "{text}");
        };
        check("5s", 5_000_000_000);
        check("1h30m", 5_400_000_000_000);
        check("1.5h", 5_400_000_000_000);
        check(".5s", 500_000_000);
        check("5.s", 5_000_000_000);
        check("0", 0);
        check("-0", 0);
        check("+5s", 5_000_000_000);
        check("-2ms", -2_000_000);
        check("3\u{b5}s", 3_000);
        check("3\u{3bc}s4ns", 3_004);
        check("1.0000000000000000000000001s", 1_000_000_000);
        check("-9223372036854775808ns", i64::MIN);
        check("9223372036854775807ns", i64::MAX);
    }

    #[test]
    fn bad_durations_are_refused_in_the_words_of_go() {
        let check = |text: &str, message: &str| {
            assert_eq!(GoDuration::parse(text), Err(format!("time: {message}")), "{text}");
        };
        check("10", "missing unit in duration \"10\"");
        check("5s10", "missing unit in duration \"5s10\"");
        check("", "invalid duration \"\"");
        check("x", "invalid duration \"x\"");
        check(".s", "invalid duration \".s\"");
        check("-", "invalid duration \"-\"");
        check("5d", "unknown unit \"d\" in duration \"5d\"");
        check("5 s", "unknown unit \" s\" in duration \"5 s\"");
        check("5\u{e9}", "unknown unit \"\\xc3\\xa9\" in duration \"5\\xc3\\xa9\"");
        check("9223372036854775808ns", "invalid duration \"9223372036854775808ns\"");
        check("99999999999999999999s", "invalid duration \"99999999999999999999s\"");
        check("3000000h", "invalid duration \"3000000h\"");
    }

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        let check = |text: &str, printed: &str| {
            assert_eq!(GoDuration::parse(text).map(|d| d.to_string()).as_deref(), Ok(printed), "{text}");
        };
        check("0", "0s");
        check("1ns", "1ns");
        check("1500ns", "1.5\u{b5}s");
        check("20ms", "20ms");
        check("1.5s", "1.5s");
        check("90s", "1m30s");
        check("1h", "1h0m0s");
        check("-61m", "-1h1m0s");
    }

    #[test]
    fn integers_are_those_of_atoi() {
        assert_eq!(atoi("053"), Ok(53));
        assert_eq!(atoi("+5"), Ok(5));
        assert_eq!(atoi("-5"), Ok(-5));
        assert_eq!(atoi("x"), Err("strconv.Atoi: parsing \"x\": invalid syntax".into()));
        assert_eq!(atoi("1_0"), Err("strconv.Atoi: parsing \"1_0\": invalid syntax".into()));
        assert_eq!(atoi("+-5"), Err("strconv.Atoi: parsing \"+-5\": invalid syntax".into()));
        let long = "9".repeat(20);
        assert_eq!(atoi(&long), Err(format!("strconv.Atoi: parsing \"{long}\": value out of range")));
    }

    #[test]
    fn host_and_port_are_split_as_go_splits_them() {
        assert_eq!(split_host_port(":8080"), Ok(("", "8080")));
        assert_eq!(split_host_port("localhost:9153"), Ok(("localhost", "9153")));
        assert_eq!(split_host_port("[::1]:53"), Ok(("::1", "53")));
        let check = |text: &str, why: &str| {
            assert_eq!(split_host_port(text), Err(format!("address {text}: {why}")));
        };
        assert_eq!(split_host_port(""), Err("missing port in address".to_owned()));
        check("foo", "missing port in address");
        check("::1", "too many colons in address");
        check("[::1]", "missing port in address");
        check("[::1", "missing ']' in address");
        check("[::1]:5:3", "too many colons in address");
        check("a[b]:53", "unexpected '[' in address");
        check("a]:53", "unexpected ']' in address");
    }

    #[test]
    fn quoting_shows_what_cannot_be_printed() {
        assert_eq!(quote("a\"b\\\n\u{1}\u{85}"), r#""a\"b\\\n\x01\u0085""#);
    }
}
