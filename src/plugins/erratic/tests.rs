//! Tests of what goes wrong when, and of the configuration.

use std::time::Duration;

use super::*;
use crate::chain::State;
use crate::chain::testing;
use crate::wire::{header, record};

fn erratic(text: &str) -> (Arc<dyn Plugin>, crate::chain::BlockSetup) {
    let (built, setup) = testing::build(&SPEC, text).unwrap();
    (Arc::clone(&built[0]), setup)
}

/// What becomes of the first queries for A: `.` an answer, `t` one that is cut, `-` nothing.
fn fates(text: &str, queries: usize) -> String {
    let block = testing::block(vec![("erratic", erratic(text).0)]);
    let fate = |_| {
        let response = testing::ask(&block, &mut testing::query("a.test", Rtype::A));
        match response.state() {
            State::Dropped => '-',
            State::Written if response.flags().has(Flags::TC) => 't',
            State::Written => '.',
            other => panic!("{other:?}"),
        }
    };
    (0..queries).map(fate).collect()
}

#[test]
fn of_so_many_queries_one_goes_wrong() {
    let check = |text: &str, want: &str| assert_eq!(fates(text, want.len()), want, "{text}");
    check("erratic", "-.-.-.");
    check("erratic {\n drop\n}", "-.-.-.");
    check("erratic {\n drop 3\n}", "-..-..");
    check("erratic {\n drop 0\n}", "......");
    check("erratic {\n truncate\n}", "t.t.t.");
    check("erratic {\n truncate 3\n}", "t..t..");
    check("erratic {\n truncate 3\n drop\n}", "t..t..");
    check("erratic {\n truncate 3\n drop 4\n}", "-..t-.t.-");
    check("erratic {\n truncate 0\n}", "-.-.-.");
    check("erratic {\n drop 5\n}\nerratic {\n truncate\n}", "-.t.t-t.t.-");
}

#[test]
fn addresses_are_answered_and_other_types_are_not() {
    let block = testing::block(vec![("erratic", erratic("erratic {\n drop 0\n large\n}").0)]);
    for (qtype, count, rdata) in [(Rtype::A, 30, &ADDRESS_V4[..]), (Rtype::AAAA, 1, &ADDRESS_V6[..])] {
        let response = testing::ask(&block, &mut testing::query("A.test", qtype));
        let records: Vec<_> = record::records(response.wire()).map(Result::unwrap).collect();
        assert_eq!(records.len(), count);
        for record in records {
            assert_eq!((record.rtype, record.class, record.ttl), (qtype, Class::IN, 0));
            assert_eq!(record.rdata(response.wire()), rdata);
        }
        assert_eq!(response.flags(), Flags(Flags::QR | Flags::AA | Flags::RD));
    }
    let response = testing::ask(&block, &mut testing::query("a.test", Rtype::TXT));
    assert_eq!(response.state(), State::Failed(Rcode::SERVFAIL));
}

#[test]
fn a_zone_is_transferred_over_tcp() {
    let (plugin, _) = erratic("erratic {\n truncate 2\n}");
    let block = testing::block(vec![("erratic", plugin)]);
    let ask = |name: &str, transport| {
        let mut query = testing::query(name, Rtype::AXFR);
        query.transport = transport;
        testing::ask(&block, &mut query)
    };
    // The first is cut, the second is not.
    for types in [&[6, 2, 2, 28, 28][..], &[6, 2, 2, 28, 28, 6]] {
        let response = ask("Zone.test", Transport::Tcp);
        assert!(!response.flags().has(Flags::TC) && response.flags().has(Flags::AA));
        let records: Vec<_> = record::records(response.wire()).map(Result::unwrap).collect();
        assert_eq!(records.iter().map(|record| record.rtype.0).collect::<Vec<_>>(), types);
        assert_eq!(records[1].rdata(response.wire()), b"\x01b\x04Zone\x04test\0");
        assert_eq!(records[3].owner(response.wire()).unwrap().to_string(), "a.zone.test.");
    }
    assert_eq!(header::counts(ask(".", Transport::Tcp).wire())[1], 5);
    assert_eq!(ask("zone.test", Transport::Udp).state(), State::Failed(Rcode::REFUSED));
    let long = "abc.".repeat(63) + "a";
    assert_eq!(ask(&long, Transport::Tcp).state(), State::Failed(Rcode::SERVFAIL));
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "a test says how long something may take")]
async fn answers_come_late() {
    let block = testing::block(vec![("erratic", erratic("erratic {\n delay 2 3s\n}").0)]);
    let start = tokio::time::Instant::now();
    let mut took = Vec::new();
    for qtype in [Rtype::A, Rtype::A, Rtype::TXT, Rtype::A] {
        let response = testing::ask_later(&block, &mut testing::query("a.test", qtype)).await;
        assert_eq!(response.is_written(), qtype == Rtype::A);
        took.push(start.elapsed().as_secs());
    }
    assert_eq!(took, [3, 3, 6, 6]);
}

#[test]
fn it_is_ready_for_a_while_and_knows_a_search_path() {
    let (plugin, setup) = erratic("erratic {\n drop 0\n}");
    let [ready] = &setup.capabilities.all::<Arc<dyn Ready>>()[..] else { panic!("it offers this") };
    let block = testing::block(vec![("erratic", plugin)]);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(ready.is_ready());
        testing::ask(&block, &mut testing::query("a.test", Rtype::A));
    }
    assert_eq!((ready.name(), seen), ("erratic", vec![false, false, false, true, true, false]));
    let [autopath] = &setup.capabilities.all::<Arc<dyn AutopathSource>>()[..] else { panic!("and this") };
    let path = autopath.search_path(&testing::query("a.test", Rtype::A)).unwrap();
    let names: Vec<String> = path.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a.example.org.", "b.example.org."]);
}

#[test]
fn options_are_read() {
    let check = |text: &str, [drop, truncate, delay]: [u64; 3], duration_ms: u64, large: bool| {
        let duration = Duration::from_millis(duration_ms);
        let (directives, _) = testing::directives(text);
        let directives: Vec<_> = directives.iter().collect();
        let config = config::configure(&directives, &mut Vec::new()).unwrap();
        assert_eq!(config, Config { drop, truncate, delay, duration, large }, "{text}");
    };
    check("erratic", [2, 0, 0], 0, false);
    check("erratic {\n delay\n}", [0, 0, 2], 100, false);
    check("erratic {\n delay 3\n}", [0, 0, 3], 100, false);
    check("erratic {\n delay 3 -1s\n}", [0, 0, 3], 0, false);
    check("erratic {\n delay 3 50ms\n drop 4\n large\n}", [4, 0, 3], 50, true);
    assert_eq!(erratic("erratic foo").1.warnings.len(), 1);
}

#[test]
fn errors_are_those_of_coredns() {
    let check = |option: &str, want: &str| {
        let found = testing::build(&SPEC, &format!("erratic {{\n {option}\n}}")).err();
        assert_eq!(found, Some(format!("plugin/erratic: {want}")), "{option}");
    };
    for option in ["drop", "truncate", "delay"] {
        check(&format!("{option} -1"), "illegal amount value given \"-1\"");
        check(&format!("{option} x"), "strconv.ParseInt: parsing \"x\": invalid syntax");
        let large = "strconv.ParseInt: parsing \"2147483648\": value out of range";
        check(&format!("{option} 2147483648"), large);
        let surplus =
            "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after";
        check(&format!("{option} 1 2s 3"), &format!("{surplus} '3'"));
    }
    check("delay 1 x", "time: invalid duration \"x\"");
    check("delay 1 5", "time: missing unit in duration \"5\"");
    check("late", "Corefile:2 - Error during parsing: unknown property 'late'");
    check("large 5", "Corefile:2 - Error during parsing: unknown property '5'");
}
