//! Plugins that refuse, turn, spoil or give up answers, in a real process.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::MX;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::support::client::{Tcp, Udp, ask, ask_tcp};
use crate::support::message::{ResponseCode, a, addresses, edns_query, query, response, wire};
use crate::support::tools::dig;
use crate::support::{Deed, Server, Upstream};

/// Answers with these records.
fn answering(records: Vec<Record>) -> Upstream {
    Upstream::start(move |asked| {
        Deed::answer(&response(&asked.query, ResponseCode::NoError, records.clone()))
    })
}

fn three_addresses() -> Upstream {
    answering((1..=3).map(|last| a("www.test.", 60, [192, 0, 2, last].into())).collect())
}

/// The orders that so many clients see, each as the last bytes of its addresses, and how often.
fn orders(server: &Server, name: &str, clients: usize) -> HashMap<Vec<u8>, usize> {
    let mut seen = HashMap::new();
    let client = Udp::connect(server.address());
    for _ in 0..clients {
        let found = addresses(&client.ask(&query(name, RecordType::A)));
        let lasts = found.iter().map(|ip| match ip {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => v6.octets()[15],
        });
        *seen.entry(lasts.collect()).or_insert(0) += 1;
    }
    seen
}

#[test]
fn addresses_take_turns_whatever_the_cache_holds() {
    let upstream = three_addresses();
    let server = Server::start(&format!(". {{\n loadbalance\n cache\n forward . {}\n}}\n", upstream.address));
    let seen = orders(&server, "www.test.", 1_200);
    assert_eq!(upstream.asked().len(), 1);
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(seen.values().all(|times| (120..280).contains(times)), "{seen:?}");
    let text = dig(server.address(), "+tcp www.test A");
    assert!(text.contains("ANSWER: 3") && !text.contains("malformed"), "{text}");
}

#[test]
fn preferred_addresses_come_first_and_weighted_ones_more_often() {
    let upstream = three_addresses();
    let corefile = format!(
        "prefers.test www.test {{\n loadbalance {{\n prefer 192.0.2.2/31\n }}\n forward . {0}\n}}\n\
         weighs.test {{\n loadbalance weighted weights {{\n reload 100ms\n }}\n forward . {0}\n}}\n",
        upstream.address
    );
    let server = Server::with(&corefile).file("weights", "www.test\n192.0.2.3 98\n").start();
    server.wait_for_line("[INFO] plugin/loadbalance: Successfully reloaded weight file");
    let seen = orders(&server, "prefers.test.", 200);
    assert_eq!(seen.keys().cloned().collect::<HashSet<_>>(), HashSet::from([vec![2, 3, 1], vec![3, 2, 1]]));
    let seen = orders(&server, "weighs.test.", 1_000);
    assert!(seen[&vec![3, 2, 1]] > 930, "{seen:?}");
    // A file that is not understood changes nothing, and is told of once.
    server.dir.write("weights", "www.test\n192.0.2.3 0\n");
    server.wait_for_line("[ERROR] plugin/loadbalance: wrong weight value:\"0\" in weight file");
    assert!(orders(&server, "weighs.test.", 1_000)[&vec![3, 2, 1]] > 930);
    server.dir.write("weights", "www.test\n192.0.2.2 98\n");
    server.wait_for_line("[INFO] plugin/loadbalance: Successfully reloaded weight file");
    assert!(orders(&server, "weighs.test.", 1_000)[&vec![2, 1, 3]] > 930);
}

#[test]
fn a_weight_file_that_is_bad_at_the_start_is_an_error() {
    let corefile = ". {\n loadbalance weighted weights {\n reload 0s\n }\n whoami\n}\n";
    let ended = Server::with(corefile).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (1, "plugin/loadbalance: weight file open error"));
    let ended = Server::with(corefile).file("weights", "192.0.2.1 5\n").run();
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.starts_with("plugin/loadbalance: missing domain name in weight file "), "{ended:?}");
}

/// Mail exchanges whose names are pointers into the records before, with their addresses, as name servers send them.
#[test]
fn compressed_names_stay_what_they_are() {
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let exchanges = ["mx.one.test.", "backup.mx.one.test.", "last.backup.mx.one.test."];
    let upstream = Upstream::start(move |asked| {
        let records = (1..).zip(exchanges).map(|(preference, exchange)| {
            Record::from_rdata(name("one.test."), 60, RData::MX(MX::new(preference, name(exchange))))
        });
        let mut message = response(&asked.query, ResponseCode::NoError, records.collect());
        message.additionals = (1..).zip(exchanges).map(|(n, mx)| a(mx, 60, [192, 0, 2, n].into())).collect();
        Deed::answer(&message)
    });
    let server = Server::start(&format!(". {{\n loadbalance\n forward . {}\n}}\n", upstream.address));
    let mut orders = HashSet::new();
    for _ in 0..200 {
        let answer = ask(server.address(), &edns_query("one.test.", RecordType::MX, 4096));
        let mut found: Vec<(u16, String)> = answer
            .answers
            .iter()
            .map(|record| match &record.data {
                RData::MX(mx) => (mx.preference, mx.exchange.to_string()),
                other => panic!("{other}"),
            })
            .collect();
        orders.insert(found.clone());
        found.sort();
        let want = (1..).zip(exchanges.map(str::to_owned)).collect::<Vec<(u16, String)>>();
        assert_eq!(found, want);
        let mut owners: Vec<String> = answer.additionals.iter().map(|r| r.name.to_string()).collect();
        owners.sort();
        let mut want = exchanges.map(str::to_owned);
        want.sort();
        assert_eq!(owners, want);
    }
    assert_eq!(orders.len(), 6);
}

/// The codes of extended errors in an answer.
fn reasons(answer: &Message) -> Vec<u16> {
    let Some(edns) = &answer.edns else { return Vec::new() };
    let options = edns.options().as_ref().iter().filter_map(|(code, option)| match (code, option) {
        (EdnsCode::Unknown(15), EdnsOption::Unknown(_, bytes)) => {
            Some(u16::from_be_bytes([bytes[0], bytes[1]]))
        }
        _ => None,
    });
    options.collect()
}

#[test]
fn clients_are_let_in_by_zone_type_and_address() {
    let server = Server::start(
        "blocked.test filtered.test dropped.test {\n acl blocked.test {\n allow type TXT\n block net 127.0.0.0/8 ::1\n }\n \
         acl filtered.test {\n filter\n }\n acl dropped.test {\n drop type A\n }\n whoami\n log\n}\n",
    );
    let ask = |name: &str, rtype| ask(server.address(), &edns_query(name, rtype, 1232));
    let blocked = ask("x.blocked.test.", RecordType::A);
    assert_eq!((blocked.metadata.response_code, reasons(&blocked)), (ResponseCode::Refused, vec![15]));
    let filtered = ask("filtered.test.", RecordType::A);
    assert_eq!((filtered.metadata.response_code, reasons(&filtered)), (ResponseCode::NoError, vec![17]));
    assert!(
        filtered.answers.is_empty() && filtered.additionals.is_empty() && !filtered.metadata.authoritative
    );
    assert!(!ask("x.blocked.test.", RecordType::TXT).additionals.is_empty());
    // Who sent no OPT record gets none.
    let plain = crate::support::client::ask(server.address(), &query("blocked.test.", RecordType::A));
    assert!(plain.edns.is_none() && plain.metadata.response_code == ResponseCode::Refused);
    let client = Udp::connect(server.address());
    client.send(&wire(&query("dropped.test.", RecordType::A)));
    // What is asked behind it is answered, and it is not.
    let answer = client.ask(&query("dropped.test.", RecordType::TXT));
    assert!(!answer.additionals.is_empty());
    let line = server.wait_for_line("\"A IN x.blocked.test.");
    assert!(line.contains(" REFUSED qr,rd "), "{line}");
}

#[test]
fn erratic_answers_badly_on_purpose() {
    let server = Server::start(". {\n erratic {\n drop 3\n truncate 2\n }\n}\n");
    let client = Udp::connect(server.address());
    // Number 0 is dropped, 1 is fine, 2 is cut, 3 is dropped.
    client.send(&wire(&query("first.test.", RecordType::A)));
    let answer = client.ask(&query("second.test.", RecordType::A));
    assert_eq!(addresses(&answer), [IpAddr::from([192, 0, 2, 53])]);
    assert!(answer.metadata.authoritative && !answer.metadata.truncation);
    assert!(client.ask(&query("third.test.", RecordType::AAAA)).metadata.truncation);
    client.send(&wire(&query("fourth.test.", RecordType::A)));
    let failed = client.ask(&query("fifth.test.", RecordType::TXT));
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
    let zone = ask_tcp(server.address(), &query("zone.test.", RecordType::AXFR));
    let types: Vec<RecordType> = zone.answers.iter().map(Record::record_type).collect();
    let want = ["SOA", "NS", "NS", "AAAA", "AAAA", "SOA"];
    assert_eq!(types.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
}

#[test]
fn late_answers_come_and_others_do_not_wait_for_them() {
    let server = Server::start(". {\n erratic {\n delay 2 1s\n }\n}\n");
    let mut client = Tcp::connect(server.address());
    let start = Instant::now();
    client.send(&wire(&query("late.test.", RecordType::A)));
    let second = client.ask(&query("second.test.", RecordType::A));
    assert_eq!(addresses(&second).len(), 1);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(addresses(&crate::support::message::read(&client.receive())).len(), 1);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_query_that_waits_too_long_is_given_up() {
    let upstream = Upstream::start(|_| Deed::Silence);
    let server =
        Server::start(&format!(". {{\n cancel 300ms\n errors\n forward . {}\n}}\n", upstream.address));
    let start = Instant::now();
    let answer = ask(server.address(), &query("silent.test.", RecordType::A));
    let took = start.elapsed();
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!((Duration::from_millis(300)..Duration::from_secs(2)).contains(&took), "{took:?}");
    server.wait_for_line("[ERROR] plugin/errors: 2 silent.test. A: context deadline exceeded");
}
