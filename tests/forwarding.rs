//! Queries that go on to upstreams, good ones and all kinds of bad ones.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, RecordType};

use crate::support::client::{Udp, ask, ask_tcp, framed};
use crate::support::message::{
    ResponseCode, a, addresses, edns_query, query, read, response, soa, txt, usual_response, wire,
};
use crate::support::{Asked, Deed, PATIENCE, Server, Upstream};

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

/// An answer that nobody should believe.
fn forged(asked: &Asked) -> Message {
    let name = asked.query.queries[0].name.to_ascii();
    response(&asked.query, ResponseCode::NoError, vec![a(&name, 60, Ipv4Addr::new(6, 6, 6, 6))])
}

/// An upstream that sends what `wrong` makes of the answer, and then the answer.
fn wrong_then_right(wrong: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |asked| Deed::Send(vec![wrong(asked), wire(&usual_response(&asked.query))]))
}

/// An upstream that sends what `wrong` makes of the answer, and nothing else.
fn only_wrong(wrong: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |asked| Deed::Send(vec![wrong(asked)]))
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
fn a_dead_upstream_is_passed_over() {
    let upstream = Upstream::usual();
    let server = forwarder_to(&format!("{} {}", Upstream::nowhere(), upstream.address), "");
    for asker in [ask, ask_tcp] {
        for i in 0..5 {
            assert!(is_usual(&asker(server.address(), &query(&format!("n{i}.test."), RecordType::A))));
        }
    }
}

#[test]
fn a_dead_upstream_alone_is_a_failure_with_its_reason() {
    let nowhere = Upstream::nowhere();
    let server = forwarder_to(&nowhere.to_string(), "max_fails 0");
    let answer = ask(server.address(), &query("dead.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let line = server.wait_for_line("[ERROR] plugin/errors: 2 dead.test. A: read udp 127.0.0.1:");
    assert!(line.ends_with(&format!("->{nowhere}: read: connection refused")), "{line}");
    let answer = ask_tcp(server.address(), &query("dead.test.", RecordType::AAAA));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let line = server.wait_for_line("[ERROR] plugin/errors: 2 dead.test. AAAA: ");
    assert!(line.ends_with(&format!("dial tcp {nowhere}: connect: connection refused")), "{line}");
}

#[test]
fn a_silent_upstream_is_given_up_and_another_is_asked() {
    let silent = Upstream::start(|_| Deed::Silence);
    let upstream = Upstream::usual();
    let server = forwarder(&[&silent, &upstream], "");
    for asker in [ask, ask_tcp] {
        assert!(is_usual(&asker(server.address(), &query("silent.test.", RecordType::A))));
    }
}

#[test]
fn a_silent_upstream_alone_is_a_failure_after_two_attempts() {
    let silent = Upstream::start(|_| Deed::Silence);
    let server = forwarder(&[&silent], "max_fails 0");
    let begun = Instant::now();
    let answer = ask(server.address(), &query("silent.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    let line = server.wait_for_line("[ERROR] plugin/errors: 2 silent.test. A: read udp 127.0.0.1:");
    assert!(line.ends_with(&format!("->{}: i/o timeout", silent.address)), "{line}");
    assert_eq!(silent.asked().len(), 2);
}

#[test]
fn names_that_need_no_upstream_are_answered_while_it_is_silent() {
    let silent = Upstream::start(|_| Deed::Silence);
    let server = Server::start(&format!(
        ". {{\n hosts absent {{\n 192.0.2.1 here.test\n fallthrough\n }}\n forward . {}\n}}\n",
        silent.address
    ));
    let waiting = Udp::connect(server.address());
    for i in 0..200 {
        waiting.send(&wire(&query(&format!("n{i}.test."), RecordType::A)));
    }
    silent.wait_for(200);
    let begun = Instant::now();
    assert!(is_usual(&ask(server.address(), &query("here.test.", RecordType::A))));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_slow_upstream_is_waited_for() {
    let slow = Upstream::start(|asked| Deed::usual(asked).at_the_gate());
    let server = Server::start(&format!(". {{\n forward . {}\n}}\n", slow.address));
    let client = Udp::connect(server.address());
    let (first, second) = (query("first.test.", RecordType::A), query("second.test.", RecordType::A));
    client.send(&wire(&first));
    client.send(&wire(&second));
    slow.wait_for(2);
    assert_eq!(client.receive_within(Duration::from_millis(100)), None, "there is nothing to say yet");
    slow.open_gate();
    let mut ids = [client.receive(), client.receive()].map(|answer| read(&answer).metadata.id);
    ids.sort_unstable();
    assert_eq!(ids, [first.metadata.id, second.metadata.id]);
}

#[test]
fn a_reply_with_another_id_does_not_count() {
    let other_id = |asked: &Asked| {
        let mut message = forged(asked);
        message.metadata.id ^= 1;
        wire(&message)
    };
    let (upstream, liar) = (wrong_then_right(other_id), only_wrong(other_id));
    for asker in [ask, ask_tcp] {
        let server = forwarder(&[&upstream], "");
        assert!(is_usual(&asker(server.address(), &query("id.test.", RecordType::A))));
        let server = forwarder(&[&liar], "");
        let answer = asker(server.address(), &query("id.test.", RecordType::A));
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::ServFail, 0));
    }
}

#[test]
fn a_reply_to_another_question_does_not_count() {
    let another = |change: fn(&mut Message)| {
        move |asked: &Asked| {
            let mut message = forged(asked);
            change(&mut message);
            wire(&message)
        }
    };
    let changes: [fn(&mut Message); 5] = [
        |message| message.queries = query("other.test.", RecordType::A).queries,
        |message| message.queries[0].query_type = RecordType::AAAA,
        |message| message.queries[0].query_class = DNSClass::CH,
        |message| message.queries.clear(),
        |message| message.queries.push(message.queries[0].clone()),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let upstream = wrong_then_right(another(change));
        let server = forwarder(&[&upstream], "");
        let asked = query("question.test.", RecordType::A);
        assert!(is_usual(&ask(server.address(), &asked)), "{i} over UDP");
        assert!(is_usual(&ask_tcp(server.address(), &asked)), "{i} over TCP");
    }
    let liar = only_wrong(another(changes[0]));
    let server = forwarder(&[&liar], "");
    let answer = ask(server.address(), &query("question.test.", RecordType::A));
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::ServFail, 0));
}

#[test]
fn a_reply_that_is_no_response_does_not_count() {
    let upstream = wrong_then_right(|asked| wire(&asked.query));
    let server = forwarder(&[&upstream], "");
    assert!(is_usual(&ask(server.address(), &query("mirror.test.", RecordType::A))));
    assert!(is_usual(&ask_tcp(server.address(), &query("mirror.test.", RecordType::A))));
}

#[test]
fn a_reply_from_another_address_or_port_does_not_count() {
    let upstream = Upstream::start(|asked| {
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 66)] {
            let elsewhere = UdpSocket::bind((address, 0)).unwrap();
            elsewhere.send_to(&wire(&forged(asked)), asked.client).unwrap();
        }
        Deed::usual(asked)
    });
    let server = forwarder(&[&upstream], "");
    assert!(is_usual(&ask(server.address(), &query("spoofed.test.", RecordType::A))));
}

#[test]
fn garbage_does_not_count() {
    for garbage in [&b""[..], b"\x00", b"not a message", &[0; 12], &[0xff; 500]] {
        let upstream = wrong_then_right(|_| garbage.to_vec());
        let server = forwarder(&[&upstream], "");
        assert!(is_usual(&ask(server.address(), &query("garbage.test.", RecordType::A))), "{garbage:02x?}");
    }
}

#[test]
fn a_reply_that_begins_well_and_goes_on_as_garbage_is_a_failure_of_that_upstream() {
    let broken = only_wrong(|asked| {
        let mut bytes = wire(&usual_response(&asked.query));
        // The owner of the address is a pointer; now it points at itself.
        let owner = bytes.len() - 16;
        bytes[owner + 1] = owner as u8;
        bytes
    });
    let upstream = Upstream::usual();
    let server = forwarder(&[&broken, &upstream], "");
    assert!(is_usual(&ask(server.address(), &query("broken.test.", RecordType::A))));
    assert!(is_usual(&ask_tcp(server.address(), &query("broken.test.", RecordType::A))));
    let server = forwarder(&[&broken], "");
    let answer = ask(server.address(), &query("broken.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let line = server.wait_for_line("[ERROR] plugin/errors: 2 broken.test. A: ");
    assert!(line.ends_with(&format!("malformed reply from {}", broken.address)), "{line}");
}

#[test]
fn a_datagram_that_ends_too_early_is_as_good_as_a_truncated_answer() {
    let cutting = only_wrong(|asked| {
        let bytes = wire(&usual_response(&asked.query));
        bytes[..bytes.len() - 3].to_vec()
    });
    let server = forwarder(&[&cutting], "");
    let answer = ask(server.address(), &query("cut.test.", RecordType::A));
    assert!(answer.metadata.truncation && answer.answers.is_empty(), "{answer}");
}

/// An upstream that has more to say than fits a datagram.
fn verbose() -> Upstream {
    Upstream::start(|asked| {
        let texts = (0..10).map(|i| txt("long.test.", 60, vec![format!("{i}").repeat(200)])).collect();
        let mut message = response(&asked.query, ResponseCode::NoError, texts);
        if !asked.over_tcp {
            message.answers.clear();
            message.metadata.truncation = true;
        }
        Deed::answer(&message)
    })
}

#[test]
fn a_truncated_answer_is_passed_on_and_the_whole_one_is_there_over_tcp() {
    let upstream = verbose();
    let server = forwarder(&[&upstream], "");
    let asked = query("long.test.", RecordType::TXT);
    let cut = ask(server.address(), &asked);
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let whole = ask_tcp(server.address(), &asked);
    assert!(!whole.metadata.truncation && whole.answers.len() == 10);
}

#[test]
fn with_prefer_udp_a_truncated_answer_is_asked_for_again_over_tcp() {
    let upstream = verbose();
    let server = forwarder(&[&upstream], "prefer_udp");
    let whole = ask_tcp(server.address(), &query("long.test.", RecordType::TXT));
    assert!(!whole.metadata.truncation && whole.answers.len() == 10);
    let ways: Vec<bool> = upstream.asked().iter().map(|asked| asked.over_tcp).collect();
    assert_eq!(ways, [false, true]);
}

#[test]
fn a_connection_that_is_closed_in_the_middle_of_a_message_costs_that_exchange() {
    let cut = |asked: &Asked| {
        let message = framed(&wire(&usual_response(&asked.query)));
        Deed::Cut(message[..message.len() / 2].to_vec())
    };
    let (cutting, upstream) = (Upstream::start(cut), Upstream::usual());
    let server = forwarder(&[&cutting, &upstream], "force_tcp");
    for i in 0..3 {
        assert!(is_usual(&ask(server.address(), &query(&format!("n{i}.test."), RecordType::A))));
    }
    let server = forwarder(&[&cutting], "force_tcp");
    let answer = ask(server.address(), &query("cut.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    server.wait_for_line("[ERROR] plugin/errors: 2 cut.test. A: unexpected EOF");
}

#[test]
fn a_connection_that_stops_in_the_middle_of_a_message_is_given_up() {
    let half = |asked: &Asked| {
        let message = framed(&wire(&usual_response(&asked.query)));
        Deed::Write(message[..message.len() / 2].to_vec())
    };
    let (stopping, upstream) = (Upstream::start(half), Upstream::usual());
    let server = forwarder(&[&stopping, &upstream], "force_tcp");
    assert!(is_usual(&ask(server.address(), &query("half.test.", RecordType::A))));
}

#[test]
fn a_connection_that_is_closed_between_messages_is_opened_again() {
    // Each answer is the last of its connection.
    let upstream = Upstream::start(|asked| Deed::Cut(framed(&wire(&usual_response(&asked.query)))));
    let server = forwarder(&[&upstream], "force_tcp");
    let client = Udp::connect(server.address());
    for i in 0..10 {
        assert!(is_usual(&client.ask(&query(&format!("n{i}.test."), RecordType::A))), "{i}");
    }
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let upstream = Upstream::start(|asked| {
        let answer = wire(&usual_response(&asked.query));
        Deed::Send(vec![answer.clone(), answer])
    });
    let server = forwarder(&[&upstream], "");
    let client = Udp::connect(server.address());
    for i in 0..20 {
        // The client checks that each answer has the ID of its own query.
        assert!(is_usual(&client.ask(&query(&format!("n{i}.test."), RecordType::A))));
        assert!(is_usual(&ask_tcp(server.address(), &query(&format!("n{i}.test."), RecordType::A))));
    }
    assert_eq!(client.receive_within(Duration::from_millis(50)), None, "no answer too many");
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
    assert_eq!(upstream.asked().len(), 2);
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
