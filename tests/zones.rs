//! Zones from master files, asked by the clients people use; large answers; changes while queries run.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::RecordType;

use crate::support::Server;
use crate::support::client::{Udp, ask, ask_tcp};
use crate::support::message::{ResponseCode, addresses, edns_query, query, wire};
use crate::support::tools::{dig, nslookup};

/// The zones that are shipped, on a free port.
fn shipped() -> Server {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/zones");
    let corefile = include_str!("../zones/Corefile");
    Server::start(&corefile.replace(":53", "").replace("root zones", &format!("root {folder}")))
}

#[test]
fn dig_gets_each_type_of_the_shipped_zones_over_udp_and_tcp() {
    let server = shipped();
    for protocol in ["+notcp", "+tcp"] {
        for (question, want) in [
            ("example.org A", "192.0.2.10\n"),
            ("example.org AAAA", "2001:db8::10\n"),
            ("www.example.org CNAME", "example.org.\n"),
            ("www.example.org A", "example.org.\n192.0.2.10\n"),
            ("example.org MX", "10 mail.example.org.\n20 mail2.example.org.\n"),
            ("example.org NS", "ns1.example.org.\nns2.example.org.\n"),
            ("-x 192.0.2.25", "mail.example.org.\n"),
            ("-x 2001:db8::25", "mail.example.org.\n"),
            ("-x 192.0.2.103", "host3.example.org.\n"),
            ("example.org SOA", "ns1.example.org. hostmaster.example.org. 2026010101 7200 900 1209600 300\n"),
            ("_imaps._tcp.example.org SRV", "0 1 993 mail.example.org.\n10 1 993 mail2.example.org.\n"),
            ("example.org TXT", "\"v=spf1 mx -all\"\n"),
            ("any.apps.example.org A", "192.0.2.10\n"),
            ("probe.lab.example.org A", "192.0.2.60\n"),
        ] {
            assert_eq!(dig(server.address(), &format!("{protocol} +short {question}")), want, "{question}");
        }
        let text = dig(server.address(), &format!("{protocol} +norecurse nothing.example.org A"));
        assert!(text.contains("status: NXDOMAIN") && text.contains(";; flags: qr aa;"), "{text}");
    }
}

#[test]
fn nslookup_gets_each_type_of_the_shipped_zones_over_udp_and_tcp() {
    let server = shipped();
    for protocol in ["-novc", "-vc"] {
        for (question, want) in [
            ("-type=A example.org", "Address: 192.0.2.10"),
            ("-type=AAAA example.org", "Address: 2001:db8::10"),
            ("-type=CNAME www.example.org", "www.example.org\tcanonical name = example.org."),
            ("-type=MX example.org", "example.org\tmail exchanger = 20 mail2.example.org."),
            ("-type=NS example.org", "example.org\tnameserver = ns2.example.org."),
            ("192.0.2.25", "25.2.0.192.in-addr.arpa\tname = mail.example.org."),
            ("-type=SOA example.org", "serial = 2026010101"),
            ("-type=SRV _imaps._tcp.example.org", "service = 10 1 993 mail2.example.org."),
            ("-type=TXT example.org", "text = \"v=spf1 mx -all\""),
        ] {
            let text = nslookup(server.address(), &format!("{protocol} {question}"));
            assert!(text.contains(want), "{question}\n{text}");
        }
    }
}

fn zone(serial: u32, last: u8, more: &str) -> String {
    format!(
        "$TTL 60\n@ SOA ns host {serial} 1h 1h 1h 1h\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.{last}\n{more}"
    )
}

fn serving(zone: &str) -> Server {
    Server::with("a.test {\n file db {\n reload 1h\n }\n}\n").file("db", zone).start()
}

#[test]
fn what_does_not_fit_is_asked_for_again_over_tcp() {
    let glue: String = (1..40)
        .map(|i| format!("sub NS server-number-{i}.sub\nserver-number-{i}.sub A 192.0.2.{i}\n"))
        .collect();
    let many: String = (1..100).map(|i| format!("many A 198.51.100.{i}\n")).collect();
    let server = serving(&zone(1, 2, &(glue + &many)));
    let cut = ask(server.address(), &query("many.a.test.", RecordType::A));
    assert!(cut.metadata.truncation && wire(&cut).len() <= 512);
    assert_eq!(addresses(&ask_tcp(server.address(), &query("many.a.test.", RecordType::A))).len(), 99);
    // RFC 9471 3.1: the servers fit, their addresses do not.
    for size in [1232, 1500] {
        let cut = ask(server.address(), &edns_query("x.sub.a.test.", RecordType::A, size));
        assert!(cut.metadata.truncation, "{size}: {} records of glue", cut.additionals.len());
    }
    let whole = ask_tcp(server.address(), &query("x.sub.a.test.", RecordType::A));
    assert_eq!((whole.authorities.len(), whole.additionals.len()), (39, 39));
    assert!(!whole.metadata.truncation && !whole.metadata.authoritative);
}

#[test]
fn a_notify_is_logged_and_not_answered() {
    let server = serving(&zone(1, 2, ""));
    let client = Udp::connect(server.address());
    let mut notify = query("a.test.", RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    client.send(&wire(&notify));
    server.wait_for_line("[INFO] plugin/file: Dropping notify from 127.0.0.1 for a.test.");
    // The first answer that comes is to the next query.
    assert_eq!(client.ask(&query("www.a.test.", RecordType::A)).answers.len(), 1);
}

/// The last byte of the address of www, which has to be there.
fn last_byte(server: SocketAddr) -> u8 {
    let answer: Message = ask(server, &query("www.a.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    match addresses(&answer)[..] {
        [std::net::IpAddr::V4(address)] => address.octets()[3],
        _ => panic!("one address: {answer:?}"),
    }
}

#[test]
fn a_zone_is_exchanged_while_queries_run_and_none_is_lost() {
    let server = serving(&zone(1, 1, ""));
    let (address, done) = (server.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut last, mut asked) = (1, 0_u32);
            while !done.load(Ordering::Relaxed) {
                let now = last_byte(address);
                assert!(now >= last, "an older zone came back: {now} after {last}");
                (last, asked) = (now, asked + 1);
            }
            (last_byte(address), asked)
        });
        for serial in 2..=6 {
            server.dir.replace("db", zone(serial.into(), serial, ""));
            server.wait_for_line(&format!("with {serial} SOA serial"));
        }
        // A mistake, and a file that is gone, leave it as it is.
        server.dir.replace("db", "mistake\n");
        server.wait_for_line("[ERROR] plugin/file: Parsing zone \"a.test.\"");
        server.dir.remove("db");
        server.wait_for_line("[ERROR] plugin/file: Failed to open zone \"a.test.\"");
        done.store(true, Ordering::Relaxed);
        let (last, asked) = asking.join().expect("all queries are answered");
        assert!(last == 6 && asked > 0);
    });
}

#[test]
fn a_file_that_comes_late_is_served_then() {
    let server = Server::with("a.test {\n file db\n}\n").start();
    let failed = ask(server.address(), &query("www.a.test.", RecordType::A));
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
    server.dir.replace("db", zone(7, 9, ""));
    server.wait_for_line("with 7 SOA serial");
    assert_eq!(last_byte(server.address()), 9);
}
