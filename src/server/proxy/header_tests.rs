//! Tests of reading headers.

use super::*;

/// A header of version 2 with this command, family, and block of addresses and extensions.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut wire = V2_SIGNATURE.to_vec();
    wire.extend([command, family]);
    wire.extend((block.len() as u16).to_be_bytes());
    wire.extend(block);
    wire
}

const BLOCK_V4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 53];

fn block_v6() -> Vec<u8> {
    let (source, destination): (Ipv6Addr, Ipv6Addr) =
        ("2001:db8::7".parse().unwrap(), "2001:db8::1".parse().unwrap());
    [&source.octets()[..], &destination.octets()[..], &[0x9c, 0x40, 0, 53]].concat()
}

fn found(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Found::Header(header)) => header,
        other => panic!("{other:?}"),
    }
}

/// The addresses that the header of `bytes` gives, which has all of these bytes and leaves what follows.
fn check(bytes: &[u8], version: u8, want: Option<(&str, &str)>) {
    let header = found(&[bytes, b"and more"].concat());
    assert_eq!((header.len, header.version), (bytes.len(), version));
    let got = header.addresses.map(|a| (a.source.to_string(), a.destination.to_string()));
    assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(header.is_local, header.family == Family::UNSPECIFIED || bytes.get(12) == Some(&0x20));
    // Every shorter part of it is incomplete, never something else.
    for len in 1..bytes.len() {
        assert!(matches!(parse(&bytes[..len]), Ok(Found::Incomplete(_))), "{len} bytes of {bytes:?}");
    }
}

#[test]
fn lines_of_version_1() {
    let v4 = Some(("192.0.2.7:40000", "198.51.100.1:53"));
    check(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 53\r\n", 1, v4);
    let v6 = Some(("[2001:db8::7]:40000", "[2001:db8::1]:0"));
    check(b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 0\r\n", 1, v6);
    let mapped = Some(("192.0.2.7:1", "[::1]:2"));
    check(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", 1, mapped);
    check(b"PROXY UNKNOWN\r\n", 1, None);
    check(b"PROXY UNKNOWN whatever it says, and more of it\r\n", 1, None);
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 16));
    assert_eq!(longest.len(), V1_BYTES_MAX);
    check(longest.as_bytes(), 1, None);
}

#[test]
fn bad_lines_of_version_1() {
    let check = |text: &str, want: HeaderError| assert_eq!(parse(text.as_bytes()), Err(want), "{text}");
    check("PROXY TCP4 192.0.2.7 198.51.100.1 40000 53\n", HeaderError::LineEnd);
    check("PROXYTCP4 192.0.2.7 198.51.100.1 40000 53\r\n", HeaderError::Line);
    check("PROXY\r\n", HeaderError::Words);
    check("PROXY \r\n", HeaderError::Words);
    check("PROXY UDP4 192.0.2.7 198.51.100.1 40000 53\r\n", HeaderError::Words);
    check("PROXY tcp4 192.0.2.7 198.51.100.1 40000 53\r\n", HeaderError::Words);
    check("PROXY TCP4  192.0.2.7 198.51.100.1 40000 53\r\n", HeaderError::Words);
    check("PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n", HeaderError::Words);
    check("PROXY TCP4 192.0.2.7 198.51.100.1 40000 53 \r\n", HeaderError::Words);
    check("PROXY TCP4 2001:db8::7 2001:db8::1 40000 53\r\n", HeaderError::Address);
    check("PROXY TCP6 192.0.2.7 198.51.100.1 40000 53\r\n", HeaderError::Address);
    check("PROXY TCP6 fe80::1%eth0 fe80::2 40000 53\r\n", HeaderError::Address);
    check("PROXY TCP4 192.0.2.07 198.51.100.1 40000 53\r\n", HeaderError::Address);
    for port in ["65536", "053", "-1", "+1", "", "5x", "99999999999999999999"] {
        check(&format!("PROXY TCP4 192.0.2.7 198.51.100.1 {port} 53\r\n"), HeaderError::Port);
    }
    check(&format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 15)), HeaderError::LineTooLong);
    check(&format!("PROXY {}", "f".repeat(5000)), HeaderError::LineTooLong);
}

#[test]
fn headers_of_version_2() {
    let v4 = Some(("192.0.2.7:40000", "198.51.100.1:53"));
    let v6 = Some(("[2001:db8::7]:40000", "[2001:db8::1]:53"));
    check(&v2(0x21, 0x11, BLOCK_V4), 2, v4);
    check(&v2(0x21, 0x12, BLOCK_V4), 2, v4);
    check(&v2(0x21, 0x21, &block_v6()), 2, v6);
    check(&v2(0x21, 0x22, &block_v6()), 2, v6);
    // Addresses of Unix mean nothing here.
    check(&v2(0x21, 0x31, &[b'/'; 216]), 2, None);
    check(&v2(0x21, 0x32, &[b'/'; 216]), 2, None);
}

#[test]
fn a_proxy_that_speaks_for_itself_gives_no_address_whatever_it_says() {
    check(&v2(0x20, 0x00, &[]), 2, None);
    check(&v2(0x20, 0x00, &[0; 40]), 2, None);
    check(&v2(0x20, 0x12, BLOCK_V4), 2, None);
    check(&v2(0x20, 0x11, &[]), 2, None);
    check(&v2(0x20, 0x22, &[1, 2, 3]), 2, None);
}

#[test]
fn what_follows_the_addresses_is_skipped() {
    let extensions: &[u8] = b"\x01\x00\x03dns\x04\x00\x10................\xe0\x00\x00";
    let v4 = Some(("192.0.2.7:40000", "198.51.100.1:53"));
    check(&v2(0x21, 0x12, &[BLOCK_V4, extensions].concat()), 2, v4);
    // Even if it is no list of types, lengths and values, or as long as may be.
    check(&v2(0x21, 0x12, &[BLOCK_V4, b"\xff"].concat()), 2, v4);
    check(&v2(0x21, 0x12, &[BLOCK_V4, &[7; V2_LENGTH_MAX - 12]].concat()), 2, v4);
}

#[test]
fn bad_headers_of_version_2() {
    let check = |bytes: &[u8], want: HeaderError| assert_eq!(parse(bytes), Err(want), "{bytes:?}");
    for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x31] {
        check(&v2(command, 0x11, BLOCK_V4), HeaderError::Command);
    }
    for family in [0x01, 0x10, 0x13, 0x20, 0x23, 0x33, 0x41, 0xff] {
        check(&v2(0x21, family, &[0; 216]), HeaderError::Family);
        check(&v2(0x20, family, &[]), HeaderError::Family);
    }
    check(&v2(0x21, 0x00, &[]), HeaderError::Family);
    check(&v2(0x21, 0x11, &BLOCK_V4[..11]), HeaderError::Length);
    check(&v2(0x21, 0x21, BLOCK_V4), HeaderError::Length);
    check(&v2(0x21, 0x31, &[0; 215]), HeaderError::Length);
    check(&v2(0x21, 0x11, &[0; V2_LENGTH_MAX + 1]), HeaderError::Length);
    check(&v2(0x20, 0x00, &[0; V2_LENGTH_MAX + 1]), HeaderError::Length);
}

#[test]
fn cut_headers_say_where_as_coredns_does() {
    let whole = v2(0x21, 0x12, &[BLOCK_V4, b"\x01\x00\x01x"].concat());
    let check = |bytes: &[u8], want: &str| match parse(bytes) {
        Ok(Found::Incomplete(cut)) => assert_eq!(cut.to_string(), want),
        other => panic!("{other:?}"),
    };
    check(&whole[..11], "proxyproto: proxy protocol signature not present");
    check(&whole[..12], "proxyproto: can't read proxy protocol version and command: EOF");
    check(&whole[..13], "proxyproto: can't read address family or protocol: EOF");
    check(&whole[..14], "proxyproto: can't read length: EOF");
    check(&whole[..15], "proxyproto: can't read length: unexpected EOF");
    check(&whole[..16], "proxyproto: invalid address: EOF");
    check(&whole[..27], "proxyproto: invalid address: unexpected EOF");
    check(&whole[..28], "proxyproto: invalid length");
    check(&whole[..31], "unexpected EOF");
    check(&v2(0x20, 0, &[0; 5])[..18], "proxyproto: invalid length: EOF");
    check(b"PROXY TCP4 192.0.2.7", "proxyproto: can't read version 1 header");
}

#[test]
fn other_bytes_are_no_header() {
    for bytes in [&b""[..], b"\0\x1d", b"PROXX", b"\r\n\r\n\0\r\nQUIT ", b"proxy", b"GET / HTTP/1.1\r\n"] {
        assert_eq!(parse(bytes), Ok(Found::Absent), "{bytes:?}");
    }
}
