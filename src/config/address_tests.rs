//! Tests of server block keys, reverse zones and duplicates.

use super::*;
use crate::config::tree::Word;

fn read(key: &str) -> std::result::Result<Vec<String>, String> {
    let block = ServerBlock { keys: vec![Word::new(key, Span::default())], directives: Vec::new() };
    addresses(&block, 53)
        .map(|found| found.iter().map(ToString::to_string).collect())
        .map_err(|errors| errors[0].headline(&Default::default()))
}

fn check(key: &str, expected: &[&str]) {
    assert_eq!(read(key), Ok(expected.iter().map(ToString::to_string).collect()), "{key}");
}

fn refused(key: &str, message: &str) {
    assert_eq!(read(key), Err(message.to_owned()), "{key}");
}

#[test]
fn a_key_is_scheme_zone_and_port() {
    check(".", &["dns://.:53"]);
    check("Example.ORG", &["dns://example.org.:53"]);
    check("example.org.:1053", &["dns://example.org.:1053"]);
    check("example.org:053", &["dns://example.org.:53"]);
    check("example.org:+53", &["dns://example.org.:53"]);
    check("dns://a", &["dns://a.:53"]);
    check("tls://.", &["tls://.:853"]);
    check("quic://.", &["quic://.:853"]);
    check("grpc://.", &["grpc://.:443"]);
    check("https://.", &["https://.:443"]);
    check("https3://.", &["https3://.:443"]);
    check("unix://.", &["unix://.:0"]);
    check("https://a:8443", &["https://a.:8443"]);
}

#[test]
fn the_port_of_the_command_line_is_for_plain_dns_without_a_port() {
    let keys = ["a", "a:54", "tls://a"].map(|key| Word::new(key, Span::default())).to_vec();
    let found = addresses(&ServerBlock { keys, directives: Vec::new() }, 1053).unwrap();
    assert_eq!(found.iter().map(|address| address.port).collect::<Vec<_>>(), [1053, 54, 853]);
}

#[test]
fn what_is_no_scheme_and_no_port_belongs_to_the_zone() {
    check("foo://x", &["dns://foo://x.:53"]);
    check("TLS://x", &["dns://tls://x.:53"]);
    check("x:dns", &["dns://x:dns.:53"]);
    check("x:99999999999999999999", &["dns://x:99999999999999999999.:53"]);
    check("}", &["dns://}.:53"]);
    check("172.16.10.0/24{", &["dns://172.16.10.0/24{.:53"]);
    check("2001:db8::1", &["dns://2001:db8:.:1"]);
}

#[test]
fn bad_keys_are_refused_in_the_words_of_coredns() {
    let no_name = "error inspecting server blocks: zone is not a valid domain name:";
    refused("x:", "error inspecting server blocks: expecting data after last colon: \"x:\"");
    refused("", "error inspecting server blocks: expecting data after last colon: \"\"");
    refused("dns://", "error inspecting server blocks: expecting data after last colon: \"\"");
    refused(":53", &format!("{no_name} "));
    refused(".a", &format!("{no_name} .a"));
    refused("..", &format!("{no_name} .."));
    refused("a..b", &format!("{no_name} a..b"));
    let label = "l".repeat(64);
    refused(&label, &format!("{no_name} {label}"));
    let long = "abcd.".repeat(52);
    refused(&long, "error inspecting server blocks: specified zone is too long: 260 > 255");
    // These CoreDNS serves.
    refused("\0\0", &format!("{no_name} \"\\x00\\x00\""));
    refused("a\u{1b}[31m.test:53", &format!("{no_name} \"a\\x1b[31m.test:53\""));
    refused("a\u{fffd}.test", &format!("{no_name} \"a\u{fffd}.test\""));
    refused("a:99999", "address 99999: invalid port");
    refused("a:-1", "address -1: invalid port");
    refused("::/8", "error inspecting server blocks: invalid CIDR ::/8");
    refused("0::/8", "error inspecting server blocks: invalid CIDR 0::/8");
}

#[test]
fn every_bad_key_of_a_block_is_reported() {
    let keys = ["a..b", "fine", "c..d"].map(|key| Word::new(key, Span::default())).to_vec();
    assert_eq!(addresses(&ServerBlock { keys, directives: Vec::new() }, 53).unwrap_err().len(), 2);
}

#[test]
fn a_network_is_its_reverse_zones() {
    check("10.0.0.0/8", &["dns://10.in-addr.arpa.:53"]);
    check("10.1.2.3/16:54", &["dns://1.10.in-addr.arpa.:54"]);
    check("0.0.0.0/0", &["dns://in-addr.arpa.:53"]);
    check("2000::/0", &["dns://ip6.arpa.:53"]);
    check("192.0.2.7/32", &["dns://7.2.0.192.in-addr.arpa.:53"]);
    check("2001:db8::/32:1053", &["dns://8.b.d.0.1.0.0.2.ip6.arpa.:1053"]);
    check(
        "10.0.5.0/22",
        &[
            "dns://4.0.10.in-addr.arpa.:53",
            "dns://5.0.10.in-addr.arpa.:53",
            "dns://6.0.10.in-addr.arpa.:53",
            "dns://7.0.10.in-addr.arpa.:53",
        ],
    );
    check("2001:db8::/31", &["dns://8.b.d.0.1.0.0.2.ip6.arpa.:53", "dns://9.b.d.0.1.0.0.2.ip6.arpa.:53"]);
    assert_eq!(read("10.0.0.0/27").unwrap().len(), 32);
    assert_eq!(read("10.0.0.0/1").unwrap().len(), 128);
    assert_eq!(read("2001:db8::/29").unwrap().len(), 8);
    check("10.0.0.0/33", &["dns://10.0.0.0/33.:53"]);
    check("10.0.0.0/+8", &["dns://10.0.0.0/+8.:53"]);
    check("10.0.0/8", &["dns://10.0.0/8.:53"]);
}

#[test]
fn a_network_contains_its_addresses() {
    let network = Cidr::parse("10.1.2.3/8").unwrap();
    assert_eq!(network.to_string(), "10.0.0.0/8");
    assert!(network.contains("10.255.0.1".parse().unwrap()));
    assert!(network.contains("::ffff:10.0.0.1".parse().unwrap()));
    assert!(!network.contains("11.0.0.1".parse().unwrap()));
    assert!(!network.contains("2001:db8::1".parse().unwrap()));
    assert_eq!(Cidr::parse("::ffff:10.0.0.0/104"), Cidr::parse("10.0.0.0/8"));
    assert!(Cidr::parse("::/0").unwrap().contains("2001:db8::1".parse().unwrap()));
}

#[test]
fn names_may_hold_escapes() {
    for name in ["a\\.b", "a\\046b.", "\\\\", "a", ".", "a.", "_tcp.x", "1.2", "\u{e9}"] {
        assert!(is_domain_name(name), "{name}");
    }
    for name in ["", "a\\", "a.\\", "a..", ".a", "a\\999", "a\\."] {
        let expected = name == "a\\.";
        assert_eq!(is_domain_name(name), expected, "{name}");
    }
    assert_eq!(fully_qualified("a\\."), "a\\..");
    assert_eq!(fully_qualified("a\\\\."), "a\\\\.");
    assert_eq!(normal_name("A\u{c9}.B"), "a\u{e9}.b.");
    assert!(is_domain_name(&"abcde.".repeat(42)));
    assert!(!is_domain_name(&format!("{}abc", "abcde.".repeat(42))));
}

fn address(zone: &str) -> Address {
    Address { scheme: Scheme::Dns, zone: zone.to_owned(), port: 53, span: Span::default() }
}

/// Each claim: zone, bind addresses, whether it has a view.
fn duplicates(claims: &[(&str, &[&str], bool)]) -> Vec<String> {
    let owned: Vec<(Address, Vec<String>, bool)> = claims
        .iter()
        .map(|&(zone, bind, view)| (address(zone), bind.iter().map(ToString::to_string).collect(), view))
        .collect();
    duplicate_claims(owned.iter().map(|(address, bind, has_view)| Claim {
        address,
        bind,
        has_view: *has_view,
    }))
    .into_iter()
    .map(|error| error.message)
    .collect()
}

#[test]
fn the_same_zone_twice_on_a_listener_is_refused() {
    let none: [&str; 0] = [];
    assert_eq!(duplicates(&[("a.", &[], false), ("b.", &[], false)]), none);
    assert_eq!(
        duplicates(&[("a.", &[], false), ("a.", &[], false)]),
        ["cannot serve dns://a.:53 - it is already defined"]
    );
    assert_eq!(
        duplicates(&[("z.", &["1.2.3.4"], false), ("z.", &["1.2.3.4"], false)]),
        ["cannot serve dns://z.:53 on 1.2.3.4 - it is already defined"]
    );
    assert_eq!(duplicates(&[("a.", &["1.2.3.4"], false), ("a.", &["5.6.7.8"], false)]), none);
}

#[test]
fn a_bound_and_an_unbound_block_of_one_zone_overlap_in_either_order() {
    assert_eq!(
        duplicates(&[("a.", &[], false), ("a.", &["1.2.3.4"], false)]),
        ["cannot serve dns://a.:53 on 1.2.3.4 - zone overlap listener capacity with dns://a.:53"]
    );
    assert_eq!(
        duplicates(&[("a.", &["1.2.3.4"], false), ("a.", &[], false)]),
        ["cannot serve dns://a.:53 - zone overlap listener capacity with dns://a.:53 on 1.2.3.4"]
    );
}

#[test]
fn blocks_with_a_view_may_share_a_zone_but_not_overlap() {
    let none: [&str; 0] = [];
    assert_eq!(
        duplicates(&[("a.", &[], true), ("a.", &[], true), ("a.", &[], false), ("a.", &[], true)]),
        none
    );
    assert_eq!(duplicates(&[("a.", &[], false), ("a.", &["1.2.3.4"], true)]).len(), 1);
    assert_eq!(duplicates(&[("a.", &["1.2.3.4"], true), ("a.", &[], false)]), none);
}
