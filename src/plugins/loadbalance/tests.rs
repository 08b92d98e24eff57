//! Tests of orders, of messages that are changed, and of the configuration.

use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::chain::{BlockSetup, Step, testing};
use crate::wire::{Class, Flags, Name, compose, expand, header, record};

const TYPES: [Rtype; 6] = [Rtype::A, Rtype::AAAA, Rtype::MX, Rtype::CNAME, Rtype::TXT, Rtype::SRV];

/// Section, owner (`None`: the question's), type and RDATA.
type Said<'a> = (Section, Option<&'a [u8]>, Rtype, &'a [u8]);

/// An answer to `query` of these records.
fn response(query: &Query, records: &[Said<'_>]) -> Response {
    let mut response = Response::default();
    response.start(query, false, Rcode::NOERROR);
    for (ttl, &(section, owner, rtype, rdata)) in (100..).zip(records) {
        response.push(section, owner, rtype, Class::IN, ttl, rdata);
    }
    response
}

/// The plugin that `text` configures; start hooks are run.
fn plugin(text: &str) -> Arc<dyn Plugin> {
    let (built, setup) = testing::build(&SPEC, text).unwrap();
    setup.on_start.into_iter().for_each(|hook| hook().unwrap());
    Arc::clone(&built[0])
}

/// What the plugin makes of `answer`.
fn balanced(plugin: &Arc<dyn Plugin>, query: &mut Query, answer: &Response) -> Response {
    let wire = answer.wire().to_vec();
    let size = answer.uncompressed_size();
    let next = testing::Answering(move |_: &mut Query, response: &mut Response| {
        response.set_encoded(&wire, size as u32);
        Step::Respond
    });
    let block = testing::block(vec![("loadbalance", Arc::clone(plugin)), ("next", Arc::new(next))]);
    testing::ask(&block, query)
}

/// All records, each as section and what it says with all names in full.
fn records(wire: &[u8]) -> Vec<(Section, Vec<u8>)> {
    let full = |found: Result<record::Record, _>| {
        let found = found.expect("whole records");
        let mut bytes = Vec::new();
        expand::record(wire, &found, &mut bytes).expect("well-formed names");
        (found.section, bytes)
    };
    record::records(wire).map(full).collect()
}

/// The types of a section's records, in order.
fn types(wire: &[u8], section: Section) -> Vec<Rtype> {
    record::records(wire)
        .map(Result::unwrap)
        .filter(|found| found.section == section)
        .map(|f| f.rtype)
        .collect()
}

/// The last bytes of the records of a section, in order.
fn lasts(wire: &[u8], section: Section) -> Vec<u8> {
    let found = record::records(wire).map(Result::unwrap).filter(|found| found.section == section);
    found.map(|found| *found.rdata(wire).last().unwrap()).collect()
}

fn addresses(n: u8) -> Vec<[u8; 4]> {
    (1..=n).map(|last| [192, 0, 2, last]).collect()
}

#[test]
fn addresses_of_a_name_are_shuffled_in_place_and_fairly() {
    let plugin = plugin("loadbalance");
    let mut query = testing::query("a.test", Rtype::A);
    let addresses = addresses(3);
    let parts: Vec<_> = addresses.iter().map(|rdata| (Section::Answer, None, Rtype::A, &rdata[..])).collect();
    let answer = response(&query, &parts);
    let mut orders = std::collections::HashMap::new();
    for _ in 0..6_000 {
        let found = balanced(&plugin, &mut query, &answer);
        assert_eq!(found.wire().len(), answer.wire().len());
        *orders.entry(lasts(found.wire(), Section::Answer)).or_insert(0) += 1;
        let (mut before, mut after) = (records(answer.wire()), records(found.wire()));
        before.sort();
        after.sort();
        assert_eq!(before, after, "TTLs go with their addresses");
    }
    assert_eq!(orders.len(), 6);
    assert!(orders.values().all(|&times| (850..1_150).contains(&times)), "{orders:?}");
}

#[test]
fn sections_are_brought_into_the_order_of_kinds() {
    let plugin = plugin("loadbalance round_robin");
    let mut query = testing::query("a.test", Rtype::ANY);
    let mx = b"\0\x0a\x02mx\x04test\0";
    for section in [Section::Answer, Section::Authority, Section::Additional] {
        let parts = [
            (section, None, Rtype::MX, &mx[..]),
            (section, None, Rtype::AAAA, &[1; 16][..]),
            (section, None, Rtype::TXT, b"\x01b"),
            (section, None, Rtype::A, &[1; 4]),
            (section, None, Rtype::CNAME, b"\x01c\0"),
            (section, None, Rtype::TXT, b"\x01a"),
            (section, None, Rtype::A, &[2; 4]),
            (section, None, Rtype::MX, mx),
        ];
        let answer = response(&query, &parts);
        let mut firsts = HashSet::new();
        for _ in 0..200 {
            let found = balanced(&plugin, &mut query, &answer);
            let types = types(found.wire(), section);
            assert_eq!(types[..3], [Rtype::CNAME, Rtype::TXT, Rtype::TXT]);
            assert_eq!(types[6..], [Rtype::MX, Rtype::MX]);
            assert_eq!(lasts(found.wire(), section)[1..3], *b"ba", "others keep their order");
            assert_eq!(found.uncompressed_size(), answer.uncompressed_size());
            firsts.insert(records(found.wire())[3].clone());
        }
        assert_eq!(firsts.len(), 3, "A and AAAA are shuffled together");
    }
}

#[test]
fn one_record_of_a_kind_in_its_place_stays() {
    let plugin = plugin("loadbalance");
    let mut query = testing::query("a.test", Rtype::A);
    let parts = [
        (Section::Answer, None, Rtype::CNAME, &b"\x01b\0"[..]),
        (Section::Answer, Some(&b"\x01b\0"[..]), Rtype::A, &[1; 4]),
        (Section::Authority, None, Rtype::NS, b"\x02n1\0"),
        (Section::Authority, None, Rtype::NS, b"\x02n2\0"),
    ];
    let answer = response(&query, &parts);
    assert_eq!(balanced(&plugin, &mut query, &answer).wire(), answer.wire());
    // With a signature before the address, as CoreDNS has it.
    let signed = response(&query, &[parts[1], (Section::Answer, None, Rtype::TXT, b"\x01s")]);
    let found = balanced(&plugin, &mut query, &signed);
    assert_eq!(types(found.wire(), Section::Answer), [Rtype::TXT, Rtype::A]);
}

#[test]
fn answers_that_are_no_answers_pass_as_they_are() {
    let plugin = plugin("loadbalance");
    let parts = addresses(20);
    let parts: Vec<_> = parts.iter().map(|rdata| (Section::Answer, None, Rtype::A, &rdata[..])).collect();
    for (qtype, rcode) in [
        (Rtype::A, Rcode::NXDOMAIN),
        (Rtype::A, Rcode::SERVFAIL),
        (Rtype::AXFR, Rcode::NOERROR),
        (Rtype::IXFR, Rcode::NOERROR),
    ] {
        let mut query = testing::query("a.test", qtype);
        let mut answer = response(&query, &parts);
        answer.set_flags(answer.flags().with_rcode(rcode));
        assert_eq!(balanced(&plugin, &mut query, &answer).wire(), answer.wire(), "{qtype} {rcode}");
    }
    // Of one that is cut its order stays, too.
    let mut query = testing::query("a.test", Rtype::A);
    let answer = response(&query, &parts);
    for len in (22..answer.wire().len()).step_by(7) {
        let mut cut = Response::default();
        cut.set_encoded(&answer.wire()[..len], 0);
        assert_eq!(balanced(&plugin, &mut query, &cut).wire(), cut.wire(), "{len}");
    }
}

#[test]
fn names_stay_what_they_are_when_records_move() {
    // `a.test MX`: the second exchange is named by a pointer into the first record, the third by one into the second, and the
    // addresses point into all of them. The question ends at 24.
    let plugin = plugin("loadbalance");
    let mut query = testing::query("a.test", Rtype::MX);
    let mut answer = response(&query, &[]);
    let wire = answer.wire_vec();
    let mut put = |owner: &[u8], rtype: Rtype, rdata: &[u8]| {
        let at = wire.len() + owner.len() + 10;
        compose::record(wire, owner, rtype, Class::IN, 60, rdata);
        at as u8
    };
    let one = put(compose::QUESTION, Rtype::MX, b"\0\x0a\x02Mx\x03one\xC0\x0E");
    let two = put(compose::QUESTION, Rtype::MX, &[0, 20, 3, b'm', b'x', b'2', 0xC0, one + 5]);
    let three = put(compose::QUESTION, Rtype::MX, &[0, 30, 1, b'x', 0xC0, two + 2]);
    for target in [one, two, three] {
        put(&[0xC0, target + 2], Rtype::A, &[10, 0, 0, target]);
        put(&[0xC0, target + 2], Rtype::AAAA, &[target; 16]);
    }
    for (section, count) in [(1, 3), (3, 6)] {
        header::set_count(wire, section, count);
    }
    answer.measure();
    let mut before = records(answer.wire());
    before.sort();
    let mut orders = HashSet::new();
    for _ in 0..2_000 {
        let found = balanced(&plugin, &mut query, &answer);
        let mut after = records(found.wire());
        orders.insert(after.iter().map(|(_, bytes)| bytes.clone()).take(3).collect::<Vec<_>>());
        after.sort();
        assert_eq!(before, after);
        assert_eq!(header::counts(found.wire()), [1, 3, 0, 6]);
        assert_eq!(found.flags(), Flags(Flags::QR | Flags::RD));
    }
    assert_eq!(orders.len(), 6);
}

/// Messages of all sorts come out with the same records, and are well-formed.
#[test]
fn whatever_is_ordered_keeps_its_records() {
    let mut dice = Dice::new(11);
    let texts = ["loadbalance", "loadbalance {\n prefer 10.0.0.0/8 2001:db8::/32\n}"];
    let plugins = texts.map(plugin);
    let owners: [Option<&[u8]>; 3] = [None, Some(b"\x01b\x04tEst\0"), Some(b"\0")];
    for _ in 0..3_000 {
        let qtype = TYPES[dice.below(2) as usize];
        let mut query = testing::query("a.test", qtype);
        let mut answer = response(&query, &[]);
        for section in [Section::Answer, Section::Authority, Section::Additional] {
            for _ in 0..dice.below(5) {
                let rtype = TYPES[dice.below(6) as usize];
                let last = dice.below(4) as u8;
                let rdata = match rtype {
                    Rtype::A => vec![10 + last, 0, 0, last],
                    Rtype::AAAA => [&[0x20, 1, 0x0d, 0xb8][..], &[last; 12]].concat(),
                    Rtype::MX => vec![0, last, 1, b'm', 0],
                    Rtype::SRV => vec![0, 1, 0, 2, 0, last, 1, b's', 1, b'b', 0],
                    Rtype::CNAME => vec![1, b'c', 1, b'b', 0],
                    _ => vec![1, last],
                };
                answer.push(section, owners[dice.below(3) as usize], rtype, Class::IN, dice.roll(), &rdata);
            }
        }
        // Half of them compressed, as they come from upstreams.
        if dice.below(2) == 0 {
            let compressed = crate::wire::compress::compressed(answer.wire()).unwrap();
            answer.set_encoded(&compressed, answer.uncompressed_size() as u32);
        }
        let mut before = records(answer.wire());
        before.sort();
        for plugin in &plugins {
            let found = balanced(plugin, &mut query, &answer);
            let mut after = records(found.wire());
            assert!(after.is_sorted_by_key(|(section, _)| *section));
            after.sort();
            assert_eq!(before, after);
        }
    }
}

#[test]
fn preferred_networks_come_first() {
    let plugin = plugin("loadbalance {\n prefer 10.1.0.0/16 2001:db8::/32\n prefer 10.0.0.0/8\n}");
    let mut query = testing::query("a.test", Rtype::A);
    let v6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    for section in [Section::Answer, Section::Additional] {
        let parts = [
            (section, None, Rtype::TXT, &b"\x01t"[..]),
            (section, None, Rtype::A, &[192, 0, 2, 4]),
            (section, None, Rtype::A, &[10, 2, 0, 3]),
            (section, None, Rtype::A, &[192, 0, 2, 5]),
            (section, None, Rtype::AAAA, &v6),
            (section, None, Rtype::A, &[10, 1, 0, 1]),
            (section, None, Rtype::CNAME, b"\x01c\0"),
        ];
        let answer = response(&query, &parts);
        let mut orders = HashSet::new();
        for _ in 0..50 {
            let found = balanced(&plugin, &mut query, &answer);
            let lasts = lasts(found.wire(), section);
            assert_eq!((&lasts[..4], lasts[6]), (&[0, 1, 2, 3][..], b't'));
            orders.insert(lasts);
        }
        assert_eq!(orders.len(), 2, "those that nobody prefers are shuffled");
    }
    // In place where all are of one form.
    let addresses = [[192, 0, 2, 9], [10, 2, 0, 2], [10, 1, 0, 1]];
    let parts: Vec<_> = addresses.iter().map(|rdata| (Section::Answer, None, Rtype::A, &rdata[..])).collect();
    let answer = response(&query, &parts);
    let found = balanced(&plugin, &mut query, &answer);
    assert_eq!(lasts(found.wire(), Section::Answer), [1, 2, 9]);
    assert_eq!(found.wire().len(), answer.wire().len());
}

/// A file of weights, removed when dropped.
struct WeightsOnDisk(String);

impl WeightsOnDisk {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waypost-loadbalance-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path.to_string_lossy().into_owned())
    }
}

impl Drop for WeightsOnDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn an_address_comes_first_as_often_as_its_weight_says() {
    let file = WeightsOnDisk::new("first", "A.test\n192.0.2.3 6\n192.0.2.1 3\n");
    let plugin = plugin(&format!("loadbalance weighted {}", file.0));
    let mut query = testing::query("a.TEST", Rtype::A);
    let addresses = addresses(3);
    for section in [Section::Answer, Section::Additional] {
        let parts: Vec<_> = addresses.iter().map(|rdata| (section, None, Rtype::A, &rdata[..])).collect();
        let answer = response(&query, &parts);
        let mut orders = std::collections::HashMap::new();
        for _ in 0..10_000 {
            let found = balanced(&plugin, &mut query, &answer);
            *orders.entry(lasts(found.wire(), section)).or_insert(0) += 1;
        }
        // 192.0.2.2 is not in the file. Who is drawn changes places with the first.
        for (order, about) in [(vec![1, 2, 3], 3_000), (vec![2, 1, 3], 1_000), (vec![3, 2, 1], 6_000)] {
            let times = orders.remove(&order).unwrap_or(0);
            assert!((about - 250..about + 250).contains(&times), "{order:?}: {times}");
        }
        assert!(orders.is_empty(), "{orders:?}");
    }
}

#[test]
fn weights_are_of_no_interest_to_other_types_and_sections() {
    let file = WeightsOnDisk::new("others", "a.test\n192.0.2.2 255\n");
    let plugin = plugin(&format!("loadbalance weighted {}", file.0));
    let check = |qtype, section, is_ordered| {
        let mut query = testing::query("a.test", qtype);
        let parts = [
            (section, None, Rtype::A, &[192, 0, 2, 1][..]),
            (section, None, Rtype::A, &[192, 0, 2, 2]),
            (section, None, Rtype::SRV, b"\0\0\0\0\0\x35\0"),
        ];
        let answer = response(&query, &parts);
        let found = balanced(&plugin, &mut query, &answer);
        assert_eq!(types(found.wire(), section)[0] == Rtype::SRV, is_ordered, "{qtype} {section:?}");
    };
    for qtype in [Rtype::A, Rtype::AAAA, Rtype::SRV] {
        check(qtype, Section::Answer, true);
        check(qtype, Section::Additional, true);
        check(qtype, Section::Authority, false);
    }
    check(Rtype::ANY, Section::Answer, false);
    // Without an address nothing is ordered.
    let mut query = testing::query("a.test", Rtype::A);
    let mx = b"\0\x0a\0";
    let parts = [(Section::Answer, None, Rtype::MX, &mx[..]), (Section::Answer, None, Rtype::CNAME, b"\0")];
    let answer = response(&query, &parts);
    assert_eq!(balanced(&plugin, &mut query, &answer).wire(), answer.wire());
}

#[test]
fn directives_are_read() {
    let read = |text: &str| {
        let (directives, _) = testing::directives(text);
        let directives: Vec<_> = directives.iter().collect();
        let mut block = BlockSetup::default();
        block.root = "/etc".into();
        let mut setup =
            Setup { directives: &directives, zones: &[Name::root()], addresses: &[], block: &mut block };
        let config = config::configure(&mut setup).unwrap();
        (config.policy, config.prefer.len(), block.warnings.len())
    };
    let weighted = |file: &str, seconds: i64| {
        let reload = crate::config::GoDuration { nanoseconds: seconds * 1_000_000_000 };
        Policy::Weighted { file: Path::new(file).to_owned(), reload }
    };
    assert_eq!(read("loadbalance"), (Policy::RoundRobin, 0, 0));
    assert_eq!(read("loadbalance round_robin {\n}"), (Policy::RoundRobin, 0, 0));
    assert_eq!(read("loadbalance {\n prefer\n prefer 10.0.0.1/8 ::/0\n}"), (Policy::RoundRobin, 2, 0));
    assert_eq!(read("loadbalance weighted w"), (weighted("/etc/w", 30), 0, 0));
    assert_eq!(read("loadbalance weighted /w {\n reload 0s\n}"), (weighted("/w", 0), 0, 0));
    assert_eq!(read("loadbalance weighted /w {\n reload 1m\n}"), (weighted("/w", 60), 0, 0));
    let both = "loadbalance {\n prefer ::/0\n}\nloadbalance weighted w\nloadbalance {\n prefer ::/0\n}";
    assert_eq!(read(both), (Policy::RoundRobin, 1, 2));
}

#[test]
fn the_file_is_looked_at_as_often_as_it_is_said() {
    let tasks = |text: &str| testing::build(&SPEC, text).unwrap().1.background.len();
    assert_eq!(tasks("loadbalance"), 0);
    assert_eq!(tasks("loadbalance weighted w"), 1);
    assert_eq!(tasks("loadbalance weighted w {\n reload 0s\n}"), 0);
    let start = |text: &str| {
        let (_, setup) = testing::build(&SPEC, text).unwrap();
        setup.on_start.into_iter().try_for_each(|hook| hook())
    };
    assert_eq!(start("loadbalance weighted /nonexistent/w"), Ok(()));
    let want = "plugin/loadbalance: weight file open error";
    assert_eq!(start("loadbalance weighted /nonexistent/w {\n reload 0s\n}"), Err(want.to_owned()));
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |text: &str, want: &str| {
        let found = testing::build(&SPEC, text).err();
        assert_eq!(found, Some(format!("plugin/loadbalance: {want}")), "{text}");
    };
    check("loadbalance foo", "unknown policy: foo");
    let located = |line: u32, what: &str| format!("Corefile:{line} - Error during parsing: {what}");
    check("loadbalance round_robin x", &located(1, "unknown property for round_robin"));
    check("loadbalance weighted", &located(1, "missing weight file argument"));
    check("loadbalance weighted a b", &located(1, "unexpected argument(s)"));
    check("loadbalance weighted a {\n reload\n}", &located(2, "reload duration value is missing"));
    check("loadbalance weighted a {\n reload 1s 2s\n}", &located(2, "unexpected argument"));
    check("loadbalance weighted a {\n reload 5\n}", &located(2, "invalid reload duration '5'"));
    check("loadbalance weighted a {\n reload -5s\n}", &located(2, "invalid reload duration '-5s'"));
    check("loadbalance weighted a {\n prefer ::/0\n}", &located(2, "unknown property 'prefer'"));
    check("loadbalance {\n reload 5s\n}", &located(2, "unknown property 'reload'"));
    let cidr = "invalid CIDR \"10.0.0.1\": invalid CIDR address: 10.0.0.1";
    check("loadbalance {\n prefer ::/0 10.0.0.1\n}", &located(2, cidr));
}
