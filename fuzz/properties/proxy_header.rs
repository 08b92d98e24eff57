//! What holds of any bytes that may begin with a header of the PROXY protocol.

use waypost::server::proxy_header::{Found, Header, V1_BYTES_MAX, V2_BYTES_FIXED, V2_LENGTH_MAX, parse};

/// What is found does not depend on what follows it, and less of it is the beginning of the same.
pub(super) fn hold(bytes: &[u8]) {
    let found = parse(bytes);
    let longer = [bytes, b"\r\n and more"].concat();
    match found {
        Ok(Found::Header(header)) => {
            whole(bytes, &header);
            assert_eq!(parse(&longer), found);
        }
        // Nothing may become the beginning of a header.
        Ok(Found::Absent) => assert!(bytes.is_empty() || parse(&longer) == found),
        Ok(Found::Incomplete(cut)) => {
            assert!(!bytes.is_empty() && bytes.len() < V2_BYTES_FIXED + V2_LENGTH_MAX);
            assert!(!cut.to_string().is_empty());
        }
        Err(error) => {
            assert_eq!(parse(&longer), found);
            assert!(error.to_string().starts_with("proxyproto: "));
        }
    }
}

fn whole(bytes: &[u8], header: &Header) {
    assert!(header.len <= bytes.len());
    match header.version {
        1 => assert!(header.len <= V1_BYTES_MAX && !header.family.is_udp()),
        2 => assert!((V2_BYTES_FIXED..=V2_BYTES_FIXED + V2_LENGTH_MAX).contains(&header.len)),
        version => panic!("version {version}"),
    }
    assert_eq!(parse(&bytes[..header.len]), Ok(Found::Header(*header)), "with nothing behind it");
    let step = header.len.div_ceil(128);
    for len in (1..header.len).step_by(step) {
        assert!(matches!(parse(&bytes[..len]), Ok(Found::Incomplete(_))), "{len} of {}", header.len);
    }
    assert!(!header.is_local || header.addresses.is_none());
    if let Some(addresses) = header.addresses {
        for address in [addresses.source, addresses.destination] {
            assert_eq!(address.ip(), address.ip().to_canonical());
        }
    }
}
