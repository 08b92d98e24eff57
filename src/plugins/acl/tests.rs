//! Tests of decisions, counts and the configuration.

use std::net::IpAddr;

use super::*;
use crate::chain::State;
use crate::chain::testing::{self, Unreachable};
use crate::wire::{Flags, Rtype, header};

fn acl(text: &str) -> Arc<dyn Plugin> {
    Arc::clone(&testing::build(&SPEC, text).unwrap().0[0])
}

fn query(name: &str, qtype: Rtype, client: &str) -> Query {
    let mut query = testing::query(name, qtype);
    query.peer.set_ip(client.parse::<IpAddr>().unwrap());
    query
}

/// What becomes of a query: `allow`, or what the acl does itself.
fn decision(text: &str, name: &str, qtype: Rtype, client: &str) -> &'static str {
    let block = testing::block(vec![("acl", acl(text)), ("next", testing::address(60))]);
    let response = testing::ask(&block, &mut query(name, qtype, client));
    match (response.state(), response.by()) {
        (State::Dropped, _) => "drop",
        (State::Written, "next") => "allow",
        (State::Written, "acl") if response.rcode() == Some(Rcode::REFUSED) => "block",
        (State::Written, "acl") => "filter",
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_policy_that_matches_decides() {
    let text = "acl {\n allow type A net 192.0.2.7\n drop net 192.0.2.0/24\n Block TYPE AAAA TXT\n filter type ANY\n}";
    let check = |qtype, client, want| {
        assert_eq!(decision(text, "a.test", qtype, client), want, "{qtype} {client}");
    };
    check(Rtype::A, "192.0.2.7", "allow");
    check(Rtype::AAAA, "192.0.2.7", "drop");
    check(Rtype::A, "192.0.2.8", "drop");
    check(Rtype::A, "::ffff:192.0.2.8", "drop");
    check(Rtype::AAAA, "192.0.3.1", "block");
    check(Rtype::TXT, "2001:db8::1", "block");
    check(Rtype::ANY, "2001:db8::1", "filter");
    check(Rtype::A, "2001:db8::1", "allow");
}

#[test]
fn without_sections_and_with_stars_a_policy_is_about_everything() {
    for text in
        ["acl {\n block\n}", "acl {\n block type * net *\n}", "acl {\n block type A * net 10.0.0.0/8 *\n}"]
    {
        assert_eq!(decision(text, "a.test", Rtype::MX, "2001:db8::1"), "block", "{text}");
        assert_eq!(decision(text, "a.test", Rtype::MX, "192.0.2.1"), "block", "{text}");
    }
    // Sections of a kind add up.
    let text = "acl {\n block type A net 192.0.2.1 type AAAA net 192.0.2.2\n}";
    assert_eq!(decision(text, "a.test", Rtype::AAAA, "192.0.2.1"), "block");
    assert_eq!(decision(text, "a.test", Rtype::MX, "192.0.2.1"), "allow");
}

#[test]
fn rules_are_looked_at_in_order_where_their_zones_cover_the_name() {
    let text = "acl one.test two.test {\n allow type A\n}\nacl test {\n block\n}\nacl {\n drop\n}";
    let check = |name, qtype, want| {
        assert_eq!(decision(text, name, qtype, "192.0.2.1"), want, "{name} {qtype}");
    };
    check("ONE.test", Rtype::A, "allow");
    check("x.two.test", Rtype::A, "allow");
    check("x.two.test", Rtype::AAAA, "block");
    check("xtwo.test", Rtype::A, "block");
    check("test", Rtype::A, "block");
    check("example.org", Rtype::A, "drop");
    assert_eq!(decision("acl", "a.test", Rtype::A, "192.0.2.1"), "allow");
}

#[test]
fn an_answer_says_why_and_nothing_else() {
    for (action, rcode, why) in [("block", Rcode::REFUSED, 15), ("filter", Rcode::NOERROR, 17)] {
        let block = testing::block(vec![
            ("acl", acl(&format!("acl {{\n {action}\n}}"))),
            ("next", Arc::new(Unreachable)),
        ]);
        let response = testing::ask(&block, &mut testing::query("A.test", Rtype::A));
        assert_eq!(response.flags(), Flags(Flags::QR | Flags::RD).with_rcode(rcode));
        assert_eq!(header::counts(response.wire()), [1, 0, 0, 0]);
        assert_eq!(response.uncompressed_size(), 24 + 17, "as CoreDNS logs it");
        assert_eq!(response.options(), Some(&[0, 15, 0, 2, 0, why][..]));
    }
}

#[test]
fn what_is_decided_is_counted_by_listener_and_zone() {
    let text = "acl counted.test sub.counted.test {\n block type A\n filter type TXT\n drop type MX\n}";
    let block = testing::block(vec![("acl", acl(text)), ("next", testing::address(60))]);
    let asked = [("sub.counted.test", Rtype::A), ("x.counted.test", Rtype::A), ("counted.test", Rtype::TXT)];
    for (name, qtype) in asked.into_iter().chain([("counted.test", Rtype::MX), ("counted.test", Rtype::NS)]) {
        testing::ask(&block, &mut testing::query(name, qtype));
    }
    let page = crate::metrics::render();
    for line in [
        r#"coredns_acl_blocked_requests_total{server="dns://:53",zone="sub.counted.test.",view=""} 1"#,
        r#"coredns_acl_blocked_requests_total{server="dns://:53",zone="counted.test.",view=""} 1"#,
        r#"coredns_acl_filtered_requests_total{server="dns://:53",zone="counted.test.",view=""} 1"#,
        r#"coredns_acl_dropped_requests_total{server="dns://:53",zone="counted.test.",view=""} 1"#,
    ] {
        assert!(page.contains(line), "{line}");
    }
    assert!(page.contains(r#"coredns_acl_allowed_requests_total{server="dns://:53",view=""}"#));
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, line: u32, message: &str| {
        let want = format!("plugin/acl: Corefile:{line} - Error during parsing: {message}");
        assert_eq!(testing::build(&SPEC, text).err(), Some(want), "{text}");
    };
    let actions = "expect 'allow', 'block', 'filter' or 'drop'";
    check("acl {\n foo\n}", 2, &format!("unexpected token \"foo\"; {actions}"));
    check("acl {\n ALLOWED type A\n}", 2, &format!("unexpected token \"ALLOWED\"; {actions}"));
    check("acl {\n allow {\n block\n }\n}", 2, &format!("unexpected token \"{{\"; {actions}"));
    check("acl {\n allow foo\n}", 2, "unexpected token \"foo\"; expect 'type | net'");
    check("acl {\n block type\n}", 2, "no token specified in \"type\" section");
    check("acl {\n block NET type A\n}", 2, "no token specified in \"net\" section");
    check("acl {\n block type a\n}", 2, "unexpected token \"a\"; expect legal QTYPE");
    check("acl {\n\n block net 1.2.3.4/99\n}", 3, "illegal CIDR notation \"1.2.3.4/99\"");
    check("acl {\n block net 1.2.3\n}", 2, "illegal CIDR notation \"1.2.3/32\"");
    check("acl {\n block net 2001:db8::g\n}", 2, "illegal CIDR notation \"2001:db8::g/128\"");
    // Behind a star CoreDNS reads nothing.
    let (_, block) = testing::build(&SPEC, "acl {\n block net * what\n}").unwrap();
    assert_eq!(block.warnings.len(), 1);
}

#[test]
fn all_errors_are_told_at_once() {
    let errors = testing::build(&SPEC, "acl {\n foo\n block net x type b\n}\nacl {\n bar\n}").err().unwrap();
    assert_eq!(errors.lines().count(), 4, "{errors}");
}
