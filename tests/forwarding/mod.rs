//! Queries that go on to upstreams, good ones and all kinds of bad ones.

mod faults;
mod peer;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, RecordType};

use crate::support::client::{Udp, ask, ask_tcp, framed};
use crate::support::message::{
    ResponseCode, a, addresses, edns_query, query, read, response, soa, txt, usual_response, wire,
};
use crate::support::{Asked, Deed, PATIENCE, Server, Upstream, eventually};

/// A server that passes everything on to `upstreams`, in their order, with these options. Attempts are short so that failures are quick.
fn forwarder(upstreams: &[&Upstream], options: &str) -> Server {
    let addresses: Vec<String> = upstreams.iter().map(|u| u.address.to_string()).collect();
    forwarder_to(&addresses.join(" "), options)
}

fn forwarder_to(upstreams: &str, options: &str) -> Server {
    Server::start(&format!(
        ". {{\n forward . {upstreams} {{\n policy sequential\n read_timeout 500ms\n {options}\n }}\n errors\n log\n}}\n"
    ))
}

fn is_usual(answer: &Message) -> bool {
    addresses(answer) == [IpAddr::from([192, 0, 2, 1])]
}

#[test]
fn an_answer_comes_back_by_the_way_the_query_came() {
    let upstream = Upstream::usual();
    let server = forwarder(&[&upstream], "");
    assert!(is_usual(&ask(server.address(), &query("udp.test.", RecordType::A))));
    assert!(is_usual(&ask_tcp(server.address(), &query("tcp.test.", RecordType::A))));
    let ways: Vec<bool> = upstream.asked().iter().map(|asked| asked.over_tcp).collect();
    assert_eq!(ways, [false, true]);
    let forced = forwarder(&[&upstream], "force_tcp");
    assert!(is_usual(&ask(forced.address(), &query("forced.test.", RecordType::A))));
    assert!(upstream.asked()[2].over_tcp);
    let preferring = forwarder(&[&upstream], "prefer_udp");
    assert!(is_usual(&ask_tcp(preferring.address(), &query("preferred.test.", RecordType::A))));
    assert!(!upstream.asked()[3].over_tcp);
}

#[test]
fn the_upstream_sees_the_query_as_it_came_but_for_its_id() {
    let upstream = Upstream::usual();
    let server = forwarder(&[&upstream], "");
    let mut asked = edns_query("SpElled.test.", RecordType::A, 1234);
    asked.metadata.checking_disabled = true;
    asked.metadata.authentic_data = true;
    asked.edns.as_mut().unwrap().set_dnssec_ok(true);
    assert!(is_usual(&ask(server.address(), &asked)));
    let mut seen = upstream.asked()[0].query.clone();
    seen.metadata.id = asked.metadata.id;
    assert_eq!(seen, asked);
    assert_eq!(seen.queries[0].name.to_ascii(), "SpElled.test.");
}

#[test]
fn ids_towards_the_upstream_cannot_be_guessed() {
    let upstream = Upstream::usual();
    let server = forwarder(&[&upstream], "");
    let client = Udp::connect(server.address());
    let mut own = Vec::new();
    for i in 0..200 {
        let asked = query(&format!("n{i}.test."), RecordType::A);
        own.push(asked.metadata.id);
        client.ask(&asked);
    }
    let ids: Vec<u16> = upstream.asked().iter().map(|asked| asked.query.metadata.id).collect();
    let same = own.iter().zip(&ids).filter(|(a, b)| a == b).count();
    let next = ids.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) < 16).count();
    // Each by chance once in some thousand.
    assert!(same <= 3 && next <= 5, "{same} as the client's, {next} near the one before");
}

#[test]
fn over_max_concurrent_queries_are_refused_at_once() {
    let upstream = Upstream::start(|asked| Deed::usual(asked).at_the_gate());
    let server = forwarder(&[&upstream], "max_concurrent 2\nread_timeout 10s");
    let waiting = Udp::connect(server.address());
    for name in ["one.test.", "two.test."] {
        waiting.send(&wire(&query(name, RecordType::A)));
    }
    upstream.wait_for(2);
    for asker in [ask, ask_tcp] {
        let answer = asker(server.address(), &query("three.test.", RecordType::A));
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
        server.wait_for_line("[ERROR] plugin/errors: 5 three.test. A: concurrent queries exceeded maximum 2");
    }
    upstream.open_gate();
    for _ in 0..2 {
        assert!(is_usual(&read(&waiting.receive())));
    }
    assert!(is_usual(&ask(server.address(), &query("three.test.", RecordType::A))), "there is room again");
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn equal_queries_on_their_way_are_sent_once() {
    let upstream = Upstream::start(|asked| Deed::usual(asked).at_the_gate());
    // Each worker has exchanges of its own.
    let corefile = format!(". {{\n forward . {} {{\n read_timeout 10s\n }}\n}}\n", upstream.address);
    let server = Server::with(&corefile).run_by("taskset -c 0").start();
    let clients: Vec<(Udp, Message)> = (0..20)
        .map(|_| {
            let (client, asked) = (Udp::connect(server.address()), query("same.test.", RecordType::A));
            client.send(&wire(&asked));
            (client, asked)
        })
        .collect();
    upstream.wait_for(1);
    // This one comes after all of them.
    clients[0].0.send(&wire(&query("last.test.", RecordType::A)));
    upstream.wait_for(2);
    upstream.open_gate();
    for (client, asked) in &clients {
        let answers = [client.receive(), client.receive_within(Duration::from_millis(1)).unwrap_or_default()];
        let own = answers.iter().any(|answer| answer.get(..2) == Some(&asked.metadata.id.to_be_bytes()));
        assert!(own, "each has its own ID: {answers:02x?}");
    }
    // One that comes when the answer is overdue has the question asked again, as datagrams get lost.
    let sent = upstream.asked().len() - 1;
    assert!(sent <= 3, "{} equal queries were sent {sent} times", clients.len());
}

#[test]
fn an_upstream_that_comes_back_is_asked_again() {
    let address = Upstream::nowhere();
    let server = forwarder_to(&address.to_string(), "health_check 100ms\nfailfast_all_unhealthy_upstreams");
    let asked = query("back.test.", RecordType::A);
    let deadline = Instant::now() + PATIENCE;
    // Probes that fail have it down: then queries fail without being sent.
    while server.stdout.wait_for_within("A: no healthy proxies", Duration::from_millis(20)).is_none() {
        assert!(Instant::now() < deadline, "the upstream is never down");
        ask(server.address(), &asked);
    }
    let _upstream = Upstream::start_at(address, Deed::usual);
    while !is_usual(&ask(server.address(), &asked)) {
        assert!(Instant::now() < deadline, "the upstream is never up again");
    }
}

#[test]
fn probes_ask_for_the_name_servers_of_the_domain() {
    let upstream = Upstream::start(|asked| {
        if asked.query.queries[0].query_type == RecordType::NS { Deed::usual(asked) } else { Deed::Silence }
    });
    let server = forwarder(&[&upstream], "health_check 100ms no_rec domain health.test\nread_timeout 100ms");
    ask(server.address(), &query("probed.test.", RecordType::A));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let probe = upstream.asked().into_iter().find(|a| a.query.queries[0].query_type == RecordType::NS);
        if let Some(probe) = probe {
            assert_eq!(probe.query.queries[0].name.to_ascii(), "health.test.");
            assert!(!probe.query.metadata.recursion_desired);
            break;
        }
        assert!(Instant::now() < deadline, "no probe came");
        upstream.wait_for(upstream.asked().len() + 1);
    }
}

#[test]
fn codes_of_failover_have_the_next_upstream_asked() {
    let failing =
        Upstream::start(|asked| Deed::answer(&response(&asked.query, ResponseCode::ServFail, Vec::new())));
    let upstream = Upstream::usual();
    let server = forwarder(&[&failing, &upstream], "failover SERVFAIL REFUSED");
    assert!(is_usual(&ask(server.address(), &query("failing.test.", RecordType::A))));
    let server = forwarder(&[&failing, &upstream], "");
    let answer = ask(server.address(), &query("failing.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let server = forwarder(&[&failing, &failing], "failover SERVFAIL");
    let answer = ask(server.address(), &query("failing.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "the last answer counts");
}

#[test]
fn codes_of_next_have_the_next_forward_asked() {
    let denying = Upstream::start(|asked| {
        let mut answer = response(&asked.query, ResponseCode::NXDomain, Vec::new());
        answer.add_authority(soa("test.", 60));
        Deed::answer(&answer)
    });
    let upstream = Upstream::usual();
    let server = Server::start(&format!(
        ". {{\n forward . {} {{\n next NXDOMAIN\n }}\n forward . {}\n}}\n",
        denying.address, upstream.address
    ));
    assert!(is_usual(&ask(server.address(), &query("next.test.", RecordType::A))));
    assert_eq!((denying.asked().len(), upstream.asked().len()), (1, 1));
}

#[test]
fn round_robin_asks_each_in_turn() {
    let upstreams = [Upstream::usual(), Upstream::usual(), Upstream::usual()];
    let server = forwarder(&upstreams.each_ref(), "policy round_robin");
    for i in 0..9 {
        ask(server.address(), &query(&format!("n{i}.test."), RecordType::A));
    }
    assert_eq!(upstreams.each_ref().map(|upstream| upstream.asked().len()), [3, 3, 3]);
}

#[test]
fn zones_and_exceptions_decide_who_is_asked() {
    let (general, special) = (Upstream::usual(), Upstream::usual());
    let server = Server::start(&format!(
        ". {{\n forward corp.test {} {{\n except open.corp.test\n }}\n forward . {}\n}}\n",
        special.address, general.address
    ));
    for name in ["corp.test.", "a.corp.test.", "x.open.corp.test.", "open.corp.test.", "notcorp.test."] {
        assert!(is_usual(&ask(server.address(), &query(name, RecordType::A))));
    }
    let names = |upstream: &Upstream| {
        let names = upstream.asked().into_iter().map(|asked| asked.query.queries[0].name.to_ascii());
        names.collect::<Vec<String>>()
    };
    assert_eq!(names(&special), ["corp.test.", "a.corp.test."]);
    assert_eq!(names(&general), ["x.open.corp.test.", "open.corp.test.", "notcorp.test."]);
}

#[test]
fn other_classes_go_to_the_upstream() {
    let upstream = Upstream::usual();
    let server = forwarder(&[&upstream], "");
    let mut asked = query("version.bind.", RecordType::TXT);
    asked.queries[0].query_class = DNSClass::CH;
    assert_eq!(ask(server.address(), &asked).metadata.response_code, ResponseCode::NoError);
    assert_eq!(upstream.asked()[0].query.queries[0].query_class, DNSClass::CH);
}

#[test]
fn queries_leave_from_the_source_address() {
    let upstream = Upstream::usual();
    let server = forwarder(&[&upstream], "source_address 127.0.0.9");
    assert!(is_usual(&ask(server.address(), &query("source.test.", RecordType::A))));
    assert!(is_usual(&ask_tcp(server.address(), &query("source.test.", RecordType::A))));
    for asked in upstream.asked() {
        assert_eq!(asked.client.ip(), IpAddr::from([127, 0, 0, 9]));
    }
}

#[test]
fn an_upstream_by_name_is_looked_up_at_the_start() {
    let resolver = Upstream::start(|asked| {
        let name = asked.query.queries[0].name.to_ascii();
        let records = match asked.query.queries[0].query_type {
            RecordType::A => vec![a(&name, 60, Ipv4Addr::LOCALHOST)],
            _ => Vec::new(),
        };
        Deed::answer(&response(&asked.query, ResponseCode::NoError, records))
    });
    let upstream = Upstream::usual();
    let to = format!("ns.test:{}", upstream.address.port());
    let server = forwarder_to(&to, &format!("resolver {}", resolver.address));
    assert!(is_usual(&ask(server.address(), &query("named.test.", RecordType::A))));
    assert!(resolver.asked().iter().all(|asked| asked.query.queries[0].name.to_ascii() == "ns.test."));
}

#[test]
fn a_resolv_conf_that_is_not_there_or_names_nobody_is_an_error() {
    let absent = Server::with(". {\n forward . /nosuch/resolv.conf\n}\n").run();
    assert_eq!(absent.code(), 1);
    assert!(absent.stderr.contains("failed to resolve \"/nosuch/resolv.conf\""), "{absent:#?}");
    assert!(absent.stderr.contains("there is no file /nosuch/resolv.conf"), "{absent:#?}");
    for text in ["", "# nobody\nsearch example.test\n", "nameserver\n"] {
        let empty = Server::with(". {\n forward . resolv.conf\n}\n").file("resolv.conf", text).run();
        assert_eq!(empty.code(), 1, "{text:?}");
        assert!(empty.stderr.contains("no valid upstream addresses found"), "{text:?}: {empty:#?}");
        assert!(empty.stderr.contains("Corefile:2"), "{empty:#?}");
    }
}

#[test]
fn an_upstream_that_is_the_server_itself_is_said_and_not_asked() {
    let server = forwarder_to("127.0.0.1:{$PORT}", "");
    assert!(server.stdout.text().contains("[WARNING]"), "{}", server.stdout.text());
    assert!(server.stdout.text().contains("waypost itself"), "{}", server.stdout.text());
    let begun = Instant::now();
    let answer = ask(server.address(), &query("loop.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    server.wait_for_line("\"A IN loop.test. udp");
    server.wait_for_line("[ERROR] plugin/errors: 2 loop.test. A: no upstream but waypost itself");
    let queries = server.stdout.all().iter().filter(|line| line.contains("\"A IN loop.test.")).count();
    assert_eq!(queries, 1, "no storm");
}

#[test]
fn the_cache_serves_what_it_had_when_the_upstream_is_gone_if_it_is_told_to() {
    let upstream = Upstream::usual();
    let server = Server::start(&format!(
        ". {{\n cache {{\n success 1024 1 1\n serve_stale 1h\n }}\n forward . {} {{\n read_timeout 200ms\n }}\n}}\n",
        upstream.address
    ));
    let asked = query("stale.test.", RecordType::A);
    let first = ask(server.address(), &asked);
    assert_eq!(first.answers[0].ttl, 1);
    drop(upstream);
    eventually("the answer is stale, and served", || {
        let answer = ask(server.address(), &asked);
        assert!(is_usual(&answer), "{answer}");
        answer.answers[0].ttl == 0
    });
}
