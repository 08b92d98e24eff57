//! Tests of headers in front of datagrams.

use super::*;
use crate::chain::SessionLimits;
use crate::config::Cidr;
use std::time::Duration;

const PEER: &str = "203.0.113.9:9999";
const CLIENT: &str = "192.0.2.7:40000";

fn wrap(command: u8, family: u8, block: &[u8], message: &[u8]) -> Vec<u8> {
    let mut wire = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    wire.extend([command, family]);
    wire.extend((block.len() as u16).to_be_bytes());
    wire.extend(block);
    wire.extend(message);
    wire
}

fn udp4(message: &[u8]) -> Vec<u8> {
    wrap(0x21, 0x12, &[192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 53], message)
}

fn proxied(others: ProxyTreatment, lifetime_ns: Option<u64>) -> Proxied {
    let limits = |ns| SessionLimits { lifetime: Duration::from_nanos(ns), peers_max: 2 };
    let allowed = vec![Cidr::parse("10.0.0.0/8").unwrap()];
    Proxied::new(Arc::new(ProxyPolicy { allowed, others, sessions: lifetime_ns.map(limits) }))
}

/// The message and its client, or the reason why there is none.
fn ask<'a>(
    proxied: &mut Proxied,
    datagram: &'a [u8],
    peer: &str,
    now: u64,
) -> Result<Option<(&'a [u8], String)>, String> {
    let peer = peer.parse().unwrap();
    let unwrapped = proxied.try_unwrap(datagram, peer, Mono(now)).map_err(|refusal| refusal.to_string())?;
    if let Some(unwrapped) = &unwrapped {
        assert_eq!(proxied.message(datagram, peer), unwrapped.wire);
    }
    Ok(unwrapped.map(|unwrapped| (unwrapped.wire, unwrapped.client.to_string())))
}

fn message(client: &str) -> Result<Option<(&'static [u8], String)>, String> {
    Ok(Some((b"message", client.to_owned())))
}

#[test]
fn each_treatment_has_its_way_with_headers() {
    let with = udp4(b"message");
    let check = |others, wrapped: Result<Option<(&[u8], String)>, String>| {
        let mut proxied = proxied(others, None);
        assert_eq!(ask(&mut proxied, &with, PEER, 0), wrapped);
        assert_eq!(ask(&mut proxied, b"message", PEER, 0), message(PEER));
        // Who is allowed is believed in any case.
        assert_eq!(ask(&mut proxied, &with, "10.1.2.3:53", 0), message(CLIENT));
    };
    check(ProxyTreatment::Use, message(CLIENT));
    check(ProxyTreatment::Ignore, message(PEER));
    let rejected = "connection rejected by Proxy Protocol connection policy";
    check(ProxyTreatment::Reject, Err(rejected.to_owned()));
    check(ProxyTreatment::Skip, Ok(Some((&with, PEER.to_owned()))));
}

#[test]
fn clients_of_ipv6_and_headers_with_extensions() {
    let mut proxied = proxied(ProxyTreatment::Use, None);
    let mut block = [0; 36];
    block[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    block[15] = 7;
    block[33] = 99;
    let wire = wrap(0x21, 0x22, &[&block[..], b"\xe0\x00\x02hi"].concat(), b"message");
    assert_eq!(ask(&mut proxied, &wire, PEER, 0), message("[2001:db8::7]:99"));
}

#[test]
fn a_proxy_s_own_queries_keep_its_address() {
    let mut proxied = proxied(ProxyTreatment::Use, Some(100));
    for wire in [
        wrap(0x20, 0, &[], b"message"),
        wrap(0x20, 0, &[1, 2, 3], b"message"),
        wrap(0x20, 0x12, &[9; 12], b"message"),
        wrap(0x20, 0x11, &[9; 12], b"message"),
    ] {
        assert_eq!(ask(&mut proxied, &wire, PEER, 0), message(PEER));
    }
    assert_eq!(ask(&mut proxied, b"message", PEER, 1), message(PEER), "and are no session");
}

#[test]
fn bad_headers_are_refused_in_coredns_s_words() {
    let check = |datagram: &[u8], want: &str| {
        for others in [ProxyTreatment::Use, ProxyTreatment::Ignore, ProxyTreatment::Reject] {
            assert_eq!(ask(&mut proxied(others, None), datagram, PEER, 0), Err(want.to_owned()));
        }
        let skipped = ask(&mut proxied(ProxyTreatment::Skip, None), datagram, PEER, 0);
        assert_eq!(skipped, Ok(Some((datagram, PEER.to_owned()))));
    };
    let not_udp = |family| format!("PROXY Protocol header is not UDP type (transport protocol: {family})");
    check(&wrap(0x21, 0x11, &[1; 12], b"message"), &not_udp("0x11"));
    check(&wrap(0x21, 0x21, &[1; 36], b"message"), &not_udp("0x21"));
    check(&wrap(0x21, 0x32, &[1; 216], b"message"), &not_udp("0x32"));
    check(
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 53\r\nmessage",
        "unsupported Proxy Protocol version 1 (only v2 supported for UDP)",
    );
    let parsing = |bytes, what| format!("parsing Proxy Protocol header (packet size: {bytes}): {what}");
    let unsupported = "proxyproto: unsupported address family and protocol";
    check(&wrap(0x21, 0x00, &[], b"message"), &parsing(23, unsupported));
    check(&wrap(0x21, 0x12, &[1; 11], b""), &parsing(27, "proxyproto: invalid length"));
    check(&udp4(b"")[..20], &parsing(20, "proxyproto: invalid address: unexpected EOF"));
    check(b"PROXY TCP4", &parsing(10, "proxyproto: can't read version 1 header"));
}

#[test]
fn a_header_ahead_counts_for_what_comes_without() {
    let mut proxied = proxied(ProxyTreatment::Use, Some(100));
    assert_eq!(ask(&mut proxied, b"message", PEER, 0), message(PEER));
    assert_eq!(ask(&mut proxied, &udp4(b""), PEER, 0), Ok(None));
    assert_eq!(ask(&mut proxied, b"message", PEER, 99), message(CLIENT));
    assert_eq!(ask(&mut proxied, b"message", PEER, 198), message(CLIENT));
    assert_eq!(ask(&mut proxied, b"message", "203.0.113.9:9998", 198), message("203.0.113.9:9998"));
    assert_eq!(ask(&mut proxied, b"message", PEER, 300), message(PEER));
    // One with a message counts as well.
    assert_eq!(ask(&mut proxied, &udp4(b"message"), PEER, 301), message(CLIENT));
    assert_eq!(ask(&mut proxied, b"message", PEER, 302), message(CLIENT));
    // Of two peers, the one that was silent longest makes room for a third.
    assert_eq!(ask(&mut proxied, &udp4(b""), "203.0.113.1:1", 303), Ok(None));
    assert_eq!(ask(&mut proxied, &udp4(b""), "203.0.113.2:1", 304), Ok(None));
    assert_eq!(ask(&mut proxied, b"message", PEER, 305), message(PEER));
}

#[test]
fn headers_that_are_not_believed_are_not_remembered() {
    let mut proxied = proxied(ProxyTreatment::Ignore, Some(100));
    let _ = ask(&mut proxied, &udp4(b""), PEER, 0);
    assert_eq!(ask(&mut proxied, b"message", PEER, 1), message(PEER));
}

#[test]
fn without_sessions_a_header_alone_is_answered_with_nothing() {
    let mut proxied = proxied(ProxyTreatment::Use, None);
    assert_eq!(ask(&mut proxied, &udp4(b""), PEER, 0), Ok(None));
    assert_eq!(ask(&mut proxied, b"message", PEER, 1), message(PEER));
}

#[test]
fn a_reload_keeps_what_is_remembered_in_the_same_way() {
    let policy = |others, ns| proxied(others, ns).policy;
    let mut slot = None;
    let mut follow = |policy: Option<Arc<ProxyPolicy>>, want: &str| {
        Proxied::follow(&mut slot, policy.as_ref());
        if let Some(proxied) = &mut slot {
            let client = ask(proxied, b"message", PEER, 1).unwrap().unwrap().1;
            assert_eq!(client, want);
            let _ = ask(proxied, &udp4(b""), PEER, 1);
        }
        assert_eq!(slot.is_some(), policy.is_some());
    };
    follow(None, "");
    follow(Some(policy(ProxyTreatment::Use, Some(100))), PEER);
    follow(Some(policy(ProxyTreatment::Use, Some(100))), CLIENT);
    follow(Some(policy(ProxyTreatment::Ignore, Some(100))), PEER);
    follow(Some(policy(ProxyTreatment::Use, Some(100))), CLIENT);
    follow(Some(policy(ProxyTreatment::Use, Some(200))), PEER);
    follow(None, "");
    follow(Some(policy(ProxyTreatment::Use, Some(200))), PEER);
}

#[test]
fn lines_about_dropped_datagrams_come_once_in_a_while_and_count_the_rest() {
    let mut warnings = Warnings::default();
    let peer: SocketAddr = PEER.parse().unwrap();
    let mut line = |now| warnings.line(peer, &Refusal::Version(1), Mono(now));
    let text = "dropping invalid Proxy Protocol packet from 203.0.113.9:9999: \
                unsupported Proxy Protocol version 1 (only v2 supported for UDP)";
    assert_eq!(line(5).as_deref(), Some(text));
    assert_eq!((line(6), line(7)), (None, None));
    let more = format!("{text} (and 2 more since the last such line)");
    assert_eq!(line(5 + WARNING_PAUSE_NS), Some(more));
    assert_eq!(line(5 + 2 * WARNING_PAUSE_NS).as_deref(), Some(text));
}
