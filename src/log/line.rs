//! How numbers and addresses are spelled in a query's log line: by hand and straight into the buffer, since
//! `core::fmt` would cost more than the look-up that the line reports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Appends `number` in decimal.
pub fn push_decimal(line: &mut Vec<u8>, number: u64) {
    let mut digits = [0; U64_DIGITS_MAX];
    let start = write_decimal(&mut digits, number);
    line.extend_from_slice(&digits[start..]);
}

/// Appends an address as Go's `net.IP` prints it: IPv4 dotted, IPv6 by RFC 5952, an IPv4-mapped address as the IPv4
/// address it carries, no brackets.
pub fn push_ip(line: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(v4) => push_ipv4(line, v4),
        IpAddr::V6(v6) => push_ipv6(line, v6),
    }
}

/// Appends an address as a log line's `{remote}` has it: [`push_ip`], with brackets around IPv6.
pub fn push_ip_bracketed(line: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(v4) => push_ipv4(line, v4),
        IpAddr::V6(v6) => {
            line.push(b'[');
            push_ipv6(line, v6);
            line.push(b']');
        }
    }
}

/// Appends address and port as Go's `net.JoinHostPort` does: `192.0.2.1:53`, `[2001:db8::1]:53`.
pub fn push_socket_addr(line: &mut Vec<u8>, address: SocketAddr) {
    push_ip_bracketed(line, address.ip());
    line.push(b':');
    push_decimal(line, u64::from(address.port()));
}

/// Appends a time span as a log line's `{duration}` has it: seconds with all their digits and an `s`, no trailing
/// zeros and no exponent (`0.000907413s`, `1.5s`, `0s`). Exact, from nanoseconds. CoreDNS goes through a float, which is
/// the same text for every span below a second; above, the float now and then shows (`3.9163931659999998s`), here not.
pub fn push_seconds(line: &mut Vec<u8>, nanoseconds: u64) {
    push_decimal(line, nanoseconds / NS_PER_S);
    let mut fraction = nanoseconds % NS_PER_S;
    if fraction != 0 {
        let mut digits = [b'0'; NS_DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        let used = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        line.push(b'.');
        line.extend_from_slice(&digits[..used]);
    }
    line.push(b's');
}

fn push_ipv4(line: &mut Vec<u8>, address: Ipv4Addr) {
    let mut text = [0; IPV4_TEXT_MAX];
    let mut used = 0;
    for (position, octet) in address.octets().into_iter().enumerate() {
        if position > 0 {
            text[used] = b'.';
            used += 1;
        }
        for (at_least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= at_least {
                text[used] = b'0' + octet / unit % 10;
                used += 1;
            }
        }
    }
    line.extend_from_slice(&text[..used]);
}

/// RFC 5952 4: lower case, no leading zeros, `::` for the longest run of two or more zero groups, the first of equals.
fn push_ipv6(line: &mut Vec<u8>, address: Ipv6Addr) {
    let groups = address.segments();
    let gap = longest_zero_run(&groups);
    let mut position = 0;
    while position < groups.len() {
        if position == gap.start && !gap.is_empty() {
            line.extend_from_slice(b"::");
            position = gap.end;
            continue;
        }
        if position > 0 && position != gap.end {
            line.push(b':');
        }
        push_hex(line, groups[position]);
        position += 1;
    }
}

fn push_hex(line: &mut Vec<u8>, group: u16) {
    for (at_least, shift) in [(0x1000, 12), (0x100, 8), (0x10, 4), (0, 0)] {
        if group >= at_least {
            line.push(b"0123456789abcdef"[usize::from(group >> shift & 0xf)]);
        }
    }
}

/// The run that `::` stands for, or `0..0` where no run has two groups.
fn longest_zero_run(groups: &[u16; 8]) -> std::ops::Range<usize> {
    let mut longest = 0..0;
    let mut start = 0;
    for (position, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = position + 1;
        } else if position + 1 - start > longest.len().max(1) {
            longest = start..position + 1;
        }
    }
    longest
}

/// Writes the digits to the end of `digits` and returns where they start.
fn write_decimal(digits: &mut [u8; U64_DIGITS_MAX], mut number: u64) -> usize {
    let mut start = U64_DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return start;
        }
    }
}

const NS_PER_S: u64 = 1_000_000_000;
const NS_DIGITS: usize = 9;
const U64_DIGITS_MAX: usize = 20;
const IPV4_TEXT_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fill: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        fill(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn numbers_are_plain_decimal() {
        for number in [0, 7, 10, 255, 65535, 1_000_000, u64::MAX] {
            assert_eq!(text(|line| push_decimal(line, number)), number.to_string());
        }
    }

    #[test]
    fn durations_are_seconds_with_all_their_digits() {
        let check =
            |nanoseconds, expected: &str| assert_eq!(text(|line| push_seconds(line, nanoseconds)), expected);
        check(0, "0s");
        check(1, "0.000000001s");
        check(907_413, "0.000907413s");
        check(10_000_000, "0.01s");
        check(999_999_999, "0.999999999s");
        check(1_000_000_000, "1s");
        check(1_500_000_000, "1.5s");
        check(12_000_000_001, "12.000000001s");
        check(u64::MAX, "18446744073.709551615s");
    }

    #[test]
    fn durations_below_a_second_are_what_the_shortest_float_prints() {
        // Go prints the shortest text that reads back as float64(ns)/1e9; so does Rust's `{}`.
        let mut nanoseconds: u64 = 1;
        for step in 0..100_000_u64 {
            nanoseconds = nanoseconds.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step) % NS_PER_S;
            assert_eq!(
                text(|line| push_seconds(line, nanoseconds)),
                format!("{}s", nanoseconds as f64 / 1e9)
            );
        }
    }

    #[test]
    fn addresses_are_spelled_as_go_spells_them() {
        let check = |address: &str, expected: &str| {
            assert_eq!(text(|line| push_ip(line, address.parse().unwrap())), expected)
        };
        check("0.0.0.0", "0.0.0.0");
        check("127.0.0.1", "127.0.0.1");
        check("255.100.10.9", "255.100.10.9");
        check("::", "::");
        check("::1", "::1");
        check("2001:db8::", "2001:db8::");
        check("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
        check("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
        check("0:0:1:0:0:0:1:0", "0:0:1::1:0");
        check("fe80:0:0:0:abcd:ef01:2345:6789", "fe80::abcd:ef01:2345:6789");
        check("::ffff:192.0.2.1", "192.0.2.1");
    }

    #[test]
    fn every_ipv6_address_is_spelled_as_the_standard_library_does() {
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let groups = std::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if state >> 62 != 0 { 0 } else { (state >> 40) as u16 }
            });
            let address = Ipv6Addr::from_segments(groups);
            if address.to_ipv4_mapped().is_none() {
                assert_eq!(text(|line| push_ipv6(line, address)), address.to_string());
            }
        }
    }

    #[test]
    fn ports_follow_brackets_only_around_ipv6() {
        let check = |address: &str, expected: &str| {
            assert_eq!(text(|line| push_socket_addr(line, address.parse().unwrap())), expected)
        };
        check("192.0.2.1:53", "192.0.2.1:53");
        check("[2001:db8::1]:65535", "[2001:db8::1]:65535");
        check("[::ffff:192.0.2.1]:0", "192.0.2.1:0");
        assert_eq!(text(|line| push_ip_bracketed(line, "::1".parse().unwrap())), "[::1]");
        assert_eq!(text(|line| push_ip_bracketed(line, "10.0.0.1".parse().unwrap())), "10.0.0.1");
    }
}
