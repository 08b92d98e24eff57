//! Who is answered, with what, and what is configured.

use super::*;
use crate::chain::testing::{self, Unreachable};
use crate::wire::{Flags, record};

fn chain(text: &str, below: Arc<dyn Plugin>) -> Arc<crate::chain::Block> {
    let (built, _) = testing::build(&SPEC, text).unwrap();
    testing::block(vec![("local", Arc::clone(&built[0])), ("below", below)])
}

/// The answer as text: the code, and each record as `SECTION OWNER TYPE RDATA-LENGTH`.
fn answer(text: &str, name: &str, qtype: Rtype) -> String {
    let response = testing::ask(&chain(text, Arc::new(Unreachable)), &mut testing::query(name, qtype));
    assert_eq!(response.flags().0 & !15, Flags::QR | Flags::RD, "not authoritative");
    let wire = response.wire();
    let mut shown = format!("{}", response.rcode().unwrap());
    let mut uncompressed = testing::query(name, qtype).question_end();
    for record in record::records(wire) {
        let record = record.unwrap();
        assert_eq!((record.class, record.ttl), (Class::IN, TTL));
        let owner = record.owner(wire).unwrap();
        uncompressed += owner.as_bytes().len() + 10 + record.rdata(wire).len();
        shown += &format!(" {:?} {owner} {} {}", record.section, record.rtype, record.rdata(wire).len());
    }
    assert_eq!(response.uncompressed_size(), uncompressed);
    shown
}

#[test]
fn the_zones_are_answered_as_coredns_answers_them() {
    let check =
        |name: &str, qtype, want: &str| assert_eq!(answer("local", name, qtype), want, "{name} {qtype}");
    check("localhost", Rtype::A, "NOERROR Answer localhost. A 4");
    check("LocalHost", Rtype::AAAA, "NOERROR Answer localhost. AAAA 16");
    check("localhost", Rtype::MX, "NOERROR Authority localhost. SOA 47");
    check("localhost", Rtype::DS, "NOERROR Authority localhost. SOA 47");
    for zone in ["localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."] {
        check(zone, Rtype::SOA, &format!("NOERROR Answer {zone} SOA 47"));
        check(zone, Rtype::NS, &format!("NOERROR Answer {zone} NS 11"));
        check(zone, Rtype::PTR, &format!("NOERROR Authority {zone} SOA 47"));
    }
    for zone in ["0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."] {
        check(zone, Rtype::A, &format!("NOERROR Authority {zone} SOA 47"));
        check(zone, Rtype::AAAA, &format!("NOERROR Authority {zone} SOA 47"));
        check(&format!("a.{zone}"), Rtype::A, &format!("NXDOMAIN Authority {zone} SOA 47"));
    }
    check("1.0.0.127.in-addr.arpa", Rtype::PTR, "NOERROR Answer 1.0.0.127.in-addr.arpa. PTR 11");
    check("1.0.0.127.in-addr.arpa", Rtype::A, "NOERROR Authority 127.in-addr.arpa. SOA 47");
    check("2.0.0.127.in-addr.arpa", Rtype::PTR, "NXDOMAIN Authority 127.in-addr.arpa. SOA 47");
    check("0.0.127.in-addr.arpa", Rtype::PTR, "NXDOMAIN Authority 127.in-addr.arpa. SOA 47");
}

#[test]
fn names_below_localhost_and_with_it_in_front_are_the_machine() {
    for name in ["a.localhost.", "a.b.LOCALHOST.", "localhost.example.org.", "Localhost.localhost."] {
        let lower = name.to_lowercase();
        assert_eq!(answer("local", name, Rtype::A), format!("NOERROR Answer {lower} A 4"));
        assert_eq!(answer("local", name, Rtype::AAAA), format!("NOERROR Answer {lower} AAAA 16"));
        assert_eq!(answer("local", name, Rtype::SOA), format!("NOERROR Authority {lower} SOA 47"));
    }
}

#[test]
fn the_owner_of_the_soa_record_is_spelt_as_asked() {
    let mut query = testing::query("X.127.IN-addr.arpa", Rtype::A);
    let response = testing::ask(&chain("local", Arc::new(Unreachable)), &mut query);
    let soa = record::records(response.wire()).next().unwrap().unwrap();
    assert_eq!(response.wire()[soa.start..soa.fixed], *b"\x03127\x07IN-addr\x04arpa\0");
    assert_eq!(soa.rdata(response.wire()), SOA);
    assert_eq!(crate::wire::u32_at(SOA, SOA.len() - 4), Ok(TTL));
}

#[test]
fn other_names_pass() {
    let block = chain("local", testing::address(5));
    for name in
        ["example.org", ".", "notlocalhost", "localhosts.example.org", "in-addr.arpa", "1.in-addr.arpa"]
    {
        assert_eq!(testing::ask(&block, &mut testing::query(name, Rtype::A)).by(), "below", "{name}");
    }
}

#[test]
fn the_prefix_can_be_left_alone() {
    let by = |text: &str, name: &str| {
        testing::ask(&chain(text, testing::address(5)), &mut testing::query(name, Rtype::A)).by()
    };
    let (on, off) = ("local {\n localhost_prefix on\n}", "local {\n localhost_prefix off\n}");
    assert_eq!(by(on, "localhost.example.org"), "local");
    assert_eq!(by(off, "localhost.example.org"), "below");
    assert_eq!(by(off, "a.localhost"), "local");
    assert_eq!(by(off, "localhost"), "local");
    assert_eq!(by(&format!("{off}\n{on}"), "localhost.example.org"), "local", "the last counts");
    assert_eq!(by("local {\n localhost_prefix off\n localhost_prefix on\n}", "localhost.a"), "local");
}

#[test]
fn names_of_the_machine_are_counted_and_the_zones_are_not() {
    let count = || {
        let page = crate::metrics::render();
        let line = page.lines().find(|line| line.starts_with("coredns_local_localhost_requests_total "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let block = chain("local", testing::address(5));
    let ask = |name| drop(testing::ask(&block, &mut testing::query(name, Rtype::A)));
    let before = count();
    // Other tests count too, so only a growth is sure.
    ["a.localhost", "localhost.example.org", "localhost.x"].into_iter().for_each(ask);
    assert!(count() >= before + 3);
    let names: [&str; 1] = [crate::metrics::Describe::name(&names::LOCAL_LOCALHOST_REQUESTS)];
    assert_eq!(SPEC.metrics, names);
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, line, message: &str| {
        let want = format!("plugin/local: Corefile:{line} - Error during parsing: {message}");
        assert_eq!(testing::build(&SPEC, text).err(), Some(want), "{text}");
    };
    let count = "Wrong argument count or unexpected line ending after";
    check("local on", 1, &format!("{count} 'on'"));
    check("local\nlocal a b", 2, &format!("{count} 'b'"));
    check("local {\n prefix on\n}", 2, "unknown property 'prefix'");
    check("local {\n localhost_prefix\n}", 2, &format!("{count} 'localhost_prefix'"));
    check("local {\n localhost_prefix on off\n}", 2, &format!("{count} 'off'"));
    check("local {\n localhost_prefix maybe\n}", 2, "localhost_prefix expects 'on' or 'off', got \"maybe\"");
}
