//! Look-ups through the chain: what is asked, and what is answered by whom.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::chain::testing::{self, Unreachable};
use crate::chain::{Block, BlockSetup, State, Transport};
use crate::wire::{header, record};

/// A directory that goes with the test.
pub(super) struct TestDir(PathBuf);

impl TestDir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("waypost-hosts-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The path of a file here, which need not exist.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file here.
    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `hosts` as `directive` says, started, in a block of the zones, before a neighbour that refuses.
pub(super) fn started(zones: &[&str], directive: &str) -> (Arc<Block>, BlockSetup) {
    let zones: Vec<Name> = zones.iter().map(|zone| zone.parse().unwrap()).collect();
    let (mut built, mut setup) = testing::build_in(&SPEC, &zones, BlockSetup::default(), directive).unwrap();
    for start in setup.on_start.drain(..) {
        start().unwrap();
    }
    let next = testing::failing(Rcode::REFUSED, "next");
    (testing::block(vec![("hosts", built.remove(0)), ("next", next)]), setup)
}

/// A hosts file of this text, and nothing else.
fn with_file(text: &str, options: &str) -> (TestDir, Arc<Block>) {
    let dir = TestDir::new();
    let path = dir.write("hosts", text);
    let (block, _) = started(&["."], &format!("hosts {} {options}", path.display()));
    (dir, block)
}

/// Entries in the configuration, and no file.
fn inline(lines: &str) -> Arc<Block> {
    started(&["."], &format!("hosts /dev/null {{\n{lines}\n}}")).0
}

/// The answer in short: `next`, a code that it failed with, or the records behind their TTL.
pub(super) fn ask(block: &Arc<Block>, name: &str, qtype: Rtype) -> String {
    shown(&testing::ask(block, &mut testing::query(name, qtype)))
}

fn shown(response: &Response) -> String {
    match response.state() {
        State::Failed(Rcode::REFUSED) => return "next".into(),
        State::Failed(rcode) => return rcode.to_string(),
        State::Written => {}
        other => panic!("{other:?}"),
    }
    let wire = response.wire();
    let flags = response.flags();
    assert!(flags.has(Flags::QR | Flags::AA | Flags::RD) && !flags.has(Flags::RA), "{flags:?}");
    assert_eq!(response.rcode(), Some(Rcode::NOERROR));
    assert_eq!(response.uncompressed_size(), crate::wire::size::uncompressed(wire).unwrap());
    let mut words = vec![];
    for record in record::records(wire).map(Result::unwrap) {
        let rdata = record.rdata(wire);
        let (question, _) = Name::parse(wire, header::HEADER_LEN).unwrap();
        assert_eq!(record.owner(wire).unwrap(), question);
        assert_eq!((record.section, record.class), (Section::Answer, Class::IN));
        if words.is_empty() {
            words.push(record.ttl.to_string());
        }
        words.push(match record.rtype {
            Rtype::A => <[u8; 4]>::try_from(rdata).map(std::net::Ipv4Addr::from).unwrap().to_string(),
            Rtype::AAAA => <[u8; 16]>::try_from(rdata).map(std::net::Ipv6Addr::from).unwrap().to_string(),
            Rtype::PTR => Name::parse(wire, record.rdata).unwrap().0.to_string(),
            other => panic!("{other}"),
        });
    }
    if words.is_empty() { "nothing".into() } else { words.join(" ") }
}

const EXAMPLE: &str = "\
# comment
127.0.0.1 localhost localhost.domain # another
::1 localhost localhost.domain
10.0.0.1 Example.ORG.   alias
10.0.0.7\tmany
10.0.0.5\tmany
2001:db8::7%eth0 many
10.0.0.7 many
::FFFF:10.0.0.2 mapped
010.0.0.3 octal
10.0.0 short
10.0.0.9
5.6.7.8 *.wild.example
5.6.7.9 a.wild.example
::9 *.wild.example
6.6.6.6 six.example
";

#[test]
fn names_of_the_file_are_answered() {
    let (_dir, block) = with_file(EXAMPLE, "");
    for (name, qtype, want) in [
        ("example.org", Rtype::A, "3600 10.0.0.1"),
        ("EXAMPLE.org", Rtype::A, "3600 10.0.0.1"),
        ("alias", Rtype::A, "3600 10.0.0.1"),
        ("localhost", Rtype::A, "3600 127.0.0.1"),
        ("localhost", Rtype::AAAA, "3600 ::1"),
        ("many", Rtype::A, "3600 10.0.0.7 10.0.0.5"),
        ("many", Rtype::AAAA, "3600 2001:db8::7"),
        ("mapped", Rtype::A, "3600 10.0.0.2"),
        ("mapped", Rtype::AAAA, "nothing"),
        ("example.org", Rtype::AAAA, "nothing"),
        ("example.org", Rtype::MX, "nothing"),
        ("example.org", Rtype::ANY, "nothing"),
        ("octal", Rtype::A, "SERVFAIL"),
        ("short", Rtype::A, "SERVFAIL"),
        ("sub.example.org", Rtype::A, "SERVFAIL"),
        ("org", Rtype::A, "SERVFAIL"),
        ("unknown", Rtype::TXT, "SERVFAIL"),
    ] {
        assert_eq!(ask(&block, name, qtype), want, "{name} {qtype}");
    }
}

#[test]
fn addresses_of_the_file_are_answered() {
    let (_dir, block) = with_file(EXAMPLE, "");
    let mapped = format!("2.0.0.0.0.0.a.0.f.f.f.f.{}ip6.arpa", "0.".repeat(20));
    for (name, want) in [
        ("1.0.0.127.in-addr.arpa", "3600 localhost. localhost.domain."),
        ("1.0.0.10.IN-ADDR.arpa", "3600 example.org. alias."),
        ("7.0.0.10.in-addr.arpa", "3600 many."),
        (&mapped, "3600 mapped."),
        ("2.0.0.10.in-addr.arpa", "3600 mapped."),
        // Wildcards have no reverse.
        ("8.7.6.5.in-addr.arpa", "next"),
        ("9.7.6.5.in-addr.arpa", "3600 a.wild.example."),
        ("1.2.3.4.in-addr.arpa", "next"),
        ("10.in-addr.arpa", "next"),
        ("example.org", "next"),
    ] {
        assert_eq!(ask(&block, name, Rtype::PTR), want, "{name}");
    }
    assert_eq!(ask(&block, "1.0.0.127.in-addr.arpa", Rtype::A), "SERVFAIL");
    let (_dir, block) = with_file(EXAMPLE, "{\n no_reverse\n 10.9.9.9 inline\n}");
    assert_eq!(ask(&block, "1.0.0.127.in-addr.arpa", Rtype::PTR), "next");
    assert_eq!(ask(&block, "9.9.9.10.in-addr.arpa", Rtype::PTR), "next");
    assert_eq!(ask(&block, "inline", Rtype::A), "3600 10.9.9.9");
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let (_dir, block) = with_file(EXAMPLE, "");
    for (name, qtype, want) in [
        ("x.wild.example", Rtype::A, "3600 5.6.7.8"),
        ("x.wild.example", Rtype::AAAA, "3600 ::9"),
        ("*.wild.example", Rtype::A, "3600 5.6.7.8"),
        ("x.wild.example", Rtype::TXT, "nothing"),
        ("a.wild.example", Rtype::A, "3600 5.6.7.9"),
        // The name has no IPv6 address of its own.
        ("a.wild.example", Rtype::AAAA, "3600 ::9"),
        ("wild.example", Rtype::A, "SERVFAIL"),
        ("y.x.wild.example", Rtype::A, "SERVFAIL"),
    ] {
        assert_eq!(ask(&block, name, qtype), want, "{name} {qtype}");
    }
    let block = inline("1.1.1.1 *\n2.2.2.2 *.a");
    assert_eq!(ask(&block, "com", Rtype::A), "SERVFAIL");
    assert_eq!(ask(&block, ".", Rtype::A), "SERVFAIL");
    assert_eq!(ask(&block, "b.a", Rtype::A), "3600 2.2.2.2");
}

#[test]
fn the_configuration_s_entries_follow_those_of_the_file() {
    let options = "{\n 10.0.0.9 many alias\n 10.0.0.5 many\n 7.7.7.7 x.wild.example\n 10.0.0.7 many other\n}";
    let (_dir, block) = with_file(EXAMPLE, options);
    assert_eq!(ask(&block, "many", Rtype::A), "3600 10.0.0.7 10.0.0.5 10.0.0.9");
    assert_eq!(ask(&block, "alias", Rtype::A), "3600 10.0.0.1 10.0.0.9");
    assert_eq!(ask(&block, "x.wild.example", Rtype::A), "3600 5.6.7.8 7.7.7.7");
    assert_eq!(ask(&block, "7.0.0.10.in-addr.arpa", Rtype::PTR), "3600 many. other.");
}

#[test]
fn what_is_not_here_falls_through_where_it_may() {
    let block = inline("10.0.0.1 here.example\nfallthrough");
    assert_eq!(ask(&block, "unknown", Rtype::A), "next");
    assert_eq!(ask(&block, "here.example", Rtype::AAAA), "nothing");
    let block = inline("10.0.0.1 here.example\nfallthrough example in-addr.arpa");
    assert_eq!(ask(&block, "unknown.example", Rtype::MX), "next");
    assert_eq!(ask(&block, "example", Rtype::A), "next");
    assert_eq!(ask(&block, "unknown", Rtype::A), "SERVFAIL");
    let block = inline("10.0.0.1 here.example here.test\nfallthrough_unsupported\nfallthrough example");
    assert_eq!(ask(&block, "here.example", Rtype::HTTPS), "next");
    assert_eq!(ask(&block, "here.example", Rtype::AAAA), "nothing");
    assert_eq!(ask(&block, "here.test", Rtype::HTTPS), "nothing");
    assert_eq!(ask(&block, "unknown.test", Rtype::HTTPS), "SERVFAIL");
}

#[test]
fn zones_bound_names_but_not_addresses() {
    let zones = "hosts /dev/null example.org 10.0.0.0/8 {\n 10.0.0.1 a.example.org b.example.net\n ttl 60\n}";
    let (block, setup) = started(&["."], zones);
    assert_eq!(setup.warnings.len(), 1, "{:?}", setup.warnings);
    for (name, qtype, want) in [
        ("a.example.org", Rtype::A, "60 10.0.0.1"),
        ("c.example.org", Rtype::A, "SERVFAIL"),
        ("b.example.net", Rtype::A, "next"),
        ("1.0.0.10.in-addr.arpa", Rtype::PTR, "60 a.example.org."),
        ("1.0.0.11.in-addr.arpa", Rtype::PTR, "next"),
        ("1.0.0.10.in-addr.arpa", Rtype::A, "SERVFAIL"),
        ("1.0.0.11.in-addr.arpa", Rtype::A, "next"),
    ] {
        assert_eq!(ask(&block, name, qtype), want, "{name} {qtype}");
    }
    let (block, _) = started(&["example.org"], "hosts /dev/null {\n 10.0.0.1 a.example.org b.example.net\n}");
    assert_eq!(ask(&block, "a.example.org", Rtype::A), "3600 10.0.0.1");
    assert_eq!(ask(&block, "b.example.net", Rtype::A), "next");
    assert_eq!(ask(&block, "1.0.0.10.in-addr.arpa", Rtype::PTR), "3600 a.example.org.");
}

#[test]
fn other_classes_are_not_for_hosts() {
    let block = inline("10.0.0.1 a");
    let mut wire = testing::query_wire("a", Rtype::A, None);
    let end = wire.len();
    wire[end - 1] = 3;
    let response = testing::ask(&block, &mut testing::query_of(&wire));
    assert_eq!(shown(&response), "next");
}

#[test]
fn the_client_s_spelling_is_kept() {
    let block = inline("10.0.0.1 mixed.example");
    let response = testing::ask(&block, &mut testing::query("MiXeD.ExAmPlE", Rtype::A));
    assert!(response.wire().windows(5).any(|window| window == b"MiXeD"));
    assert_eq!(response.by(), "hosts");
}

#[test]
fn an_answer_that_does_not_fit_is_truncated() {
    let lines: String = (0..40).map(|i| format!("10.0.0.{i} big\n")).collect();
    let block = inline(&lines);
    let mut query = testing::query("big", Rtype::A);
    let response = testing::ask(&block, &mut query);
    assert!(response.flags().has(Flags::TC | Flags::AA));
    assert_eq!(header::counts(response.wire()), [1, 0, 0, 0]);
    query.transport = Transport::Tcp;
    assert_eq!(ask_counts(&block, &mut query), ([1, 40, 0, 0], false));
    let mut query = testing::query_of(&testing::query_wire("big", Rtype::A, Some((1232, false))));
    assert_eq!(ask_counts(&block, &mut query), ([1, 40, 0, 0], false));
}

fn ask_counts(block: &Arc<Block>, query: &mut Query) -> ([u16; 4], bool) {
    let response = testing::ask(block, query);
    (header::counts(response.wire()), response.flags().has(Flags::TC))
}

#[test]
fn a_hundred_thousand_names_of_one_address_cost_one_message() {
    let lines: String = (0..100_000).map(|i| format!("0.0.0.0 blocked{i}.example\n")).collect();
    let (_dir, block) = with_file(&lines, "");
    assert_eq!(ask(&block, "blocked99999.example", Rtype::A), "3600 0.0.0.0");
    let mut query = testing::query("0.0.0.0.in-addr.arpa", Rtype::PTR);
    assert_eq!(ask_counts(&block, &mut query), ([1, 0, 0, 0], true));
    query.transport = Transport::Tcp;
    let response = testing::ask(&block, &mut query);
    assert!(response.flags().has(Flags::TC));
    assert!((60_000..=65_535).contains(&response.wire().len()));
    assert!(header::counts(response.wire())[1] > 1000);
}

#[test]
fn a_name_that_is_here_never_reaches_the_neighbour() {
    let (built, mut setup) =
        testing::build(&SPEC, "hosts /dev/null {\n 10.0.0.1 a\n fallthrough\n}").unwrap();
    setup.on_start.drain(..).for_each(|start| start().unwrap());
    let mut plugins: Vec<(_, Arc<dyn Plugin>)> = built.into_iter().map(|plugin| ("hosts", plugin)).collect();
    plugins.push(("next", Arc::new(Unreachable)));
    let block = testing::block(plugins);
    assert_eq!(ask(&block, "a", Rtype::A), "3600 10.0.0.1");
    assert_eq!(ask(&block, "a", Rtype::AAAA), "nothing");
    assert_eq!(ask(&block, "1.0.0.10.in-addr.arpa", Rtype::PTR), "3600 a.");
}
