//! Plugins that answer instead of others, or change a little of what others say: chaos, nsid, bufsize, any, local, minimal, header.

use std::net::Ipv4Addr;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, RecordType};

use crate::support::client::{ask, ask_tcp};
use crate::support::message::{self, ResponseCode, a, edns_query, query, response, soa, txt};
use crate::support::tools::dig;
use crate::support::{Asked, Deed, Server, Upstream};

/// The answer section alone, its blanks as single ones.
fn answers(server: &Server, arguments: &str) -> Vec<String> {
    let text = dig(server.address(), &format!("+noall +answer {arguments}"));
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// An upstream that says everything there is to say beside an answer: the zone's SOA record, an address, an option.
fn talkative() -> Upstream {
    Upstream::start(|asked: &Asked| Deed::answer(&talk(&asked.query)))
}

fn talk(query: &Message) -> Message {
    let name = query.queries[0].name.to_ascii();
    let mut said = match name.as_str() {
        "absent.example.test." => response(query, ResponseCode::NXDomain, Vec::new()),
        _ => response(query, ResponseCode::NoError, vec![a(&name, 60, Ipv4Addr::new(192, 0, 2, 1))]),
    };
    said.authorities.push(soa("example.test.", 60));
    said.additionals.push(a("ns.example.", 60, Ipv4Addr::new(192, 0, 2, 53)));
    if let Some(edns) = &mut said.edns {
        edns.options_mut().insert(EdnsOption::Unknown(3, b"the upstream".to_vec()));
        edns.options_mut().insert(EdnsOption::Unknown(65_001, b"more".to_vec()));
    }
    said
}

fn forwarding(directives: &str, upstream: &Upstream) -> Server {
    Server::start(&format!(". {{\n {directives}\n forward . {}\n errors\n log\n}}\n", upstream.address))
}

#[test]
fn chaos_tells_what_the_server_is() {
    let server = Server::start(
        "version.bind version.server authors.bind hostname.bind id.server {\n \
         chaos example-1 info@example.org \"Some Body\"\n}\nexample.test {\n hosts absent\n}\n",
    );
    assert_eq!(answers(&server, "CH TXT version.bind"), [r#"version.bind. 0 CH TXT "example-1""#]);
    assert_eq!(answers(&server, "+tcp CH TXT Version.Server"), [r#"Version.Server. 0 CH TXT "example-1""#]);
    let mut authors = answers(&server, "CH TXT authors.bind");
    authors.sort();
    assert_eq!(
        authors,
        [r#"authors.bind. 0 CH TXT "Some Body""#, r#"authors.bind. 0 CH TXT "info@example.org""#]
    );
    let kernels = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux says its name");
    for name in ["hostname.bind", "id.server"] {
        let want = format!("{name}. 0 CH TXT \"{}\"", kernels.trim());
        assert_eq!(answers(&server, &format!("CH TXT {name}")), [want]);
    }
    let text = dig(server.address(), "+norecurse +noedns CH TXT version.bind");
    assert!(text.contains(";; flags: qr; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0"), "{text}");
    // Other types end the chain; other blocks of the listener see other classes too, and may not know what to say.
    for unknown in ["CH A version.bind", "CH TXT example.test"] {
        assert!(dig(server.address(), unknown).contains("status: SERVFAIL"), "{unknown}");
    }
}

#[test]
fn without_chaos_other_classes_are_refused() {
    let server = Server::start("bind {\n whoami\n}\n");
    assert!(dig(server.address(), "CH TXT version.bind").contains("status: REFUSED"));
    let server = Server::start(". {\n chaos\n}\n");
    let version = concat!("version.bind. 0 CH TXT \"waypost-", env!("CARGO_PKG_VERSION"), "\"");
    assert_eq!(answers(&server, "CH TXT version.bind"), [version]);
    assert_eq!(answers(&server, "CH TXT authors.bind").len(), 1);
}

#[test]
fn nsid_tells_who_asks_which_server_it_is() {
    let server = Server::start("example.test {\n whoami\n nsid Use The Force\n}\n");
    let text = dig(server.address(), "+nsid +bufsize=1400 example.test");
    assert!(text.contains("; NSID: 55 73 65 20 54 68 65 20 46 6f 72 63 65 (\"Use The Force\")"), "{text}");
    assert!(text.contains("; EDNS: version: 0, flags:; udp: 1400"), "DO is the client's: {text}");
    assert!(
        dig(server.address(), "+nsid +dnssec +tcp example.test").contains("flags: do; udp: 1232\n; NSID")
    );
    for quiet in ["example.test", "+noedns example.test", "+nsid other.test"] {
        let text = dig(server.address(), quiet);
        assert!(!text.contains("NSID"), "{quiet}: {text}");
    }
}

#[test]
fn nsid_speaks_for_upstreams_for_the_cache_and_for_failures() {
    let upstream = talkative();
    let server = forwarding("nsid me\n cache", &upstream);
    let option = |answer: &Message, code| {
        let edns = answer.edns.as_ref().expect("an OPT record");
        match edns.option(EdnsCode::from(code)) {
            Some(EdnsOption::NSID(id)) => Some(id.as_ref().to_vec()),
            Some(EdnsOption::Unknown(_, bytes)) => Some(bytes.clone()),
            _ => None,
        }
    };
    let mut asked = edns_query("www.example.test.", RecordType::A, 1232);
    asked.edns.as_mut().unwrap().options_mut().insert(EdnsOption::Unknown(3, Vec::new()));
    for round in ["from the upstream", "from the cache"] {
        let answer = ask(server.address(), &asked);
        assert_eq!(option(&answer, 3).as_deref(), Some(&b"me"[..]), "{round}");
    }
    assert_eq!(upstream.asked().len(), 1);
    let failing = Server::start(". {\n nsid me\n hosts absent\n}\n");
    let answer = ask(failing.address(), &asked);
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(option(&answer, 3).as_deref(), Some(&b"me"[..]));
}

#[test]
fn bufsize_lowers_what_upstreams_see_and_what_clients_are_told() {
    let upstream = Upstream::usual();
    let server = forwarding("bufsize 1100", &upstream);
    for arguments in ["+bufsize=4096 www.test", "+tcp +bufsize=4096 www.test"] {
        let text = dig(server.address(), arguments);
        assert!(text.contains("; EDNS: version: 0, flags:; udp: 1100"), "{text}");
    }
    assert!(dig(server.address(), "+bufsize=600 www.test").contains("udp: 600"));
    assert!(!dig(server.address(), "+noedns www.test").contains("EDNS"));
    let seen: Vec<_> =
        upstream.asked().iter().map(|a| a.query.edns.as_ref().map(|edns| edns.max_payload())).collect();
    assert_eq!(seen, [Some(1100), Some(1100), Some(600), None]);
    // The log stands below.
    let line = server.wait_for_line("[INFO] 127.0.0.1:");
    assert!(line.contains(" false 1100\" NOERROR"), "{line}");
}

#[test]
fn what_is_over_the_bufsize_is_truncated() {
    let upstream = Upstream::start(|asked: &Asked| {
        let long = (0..4).map(|_| "x".repeat(200)).collect();
        let records = vec![txt("long.test.", 60, long)];
        Deed::answer(&response(&asked.query, ResponseCode::NoError, records))
    });
    let (cut, whole) = (forwarding("bufsize 800", &upstream), forwarding("bufsize", &upstream));
    let asked = edns_query("long.test.", RecordType::TXT, 4096);
    let answer = ask(cut.address(), &asked);
    assert!(answer.metadata.truncation && answer.answers.is_empty(), "{answer}");
    assert!(!ask_tcp(cut.address(), &asked).metadata.truncation);
    let answer = ask(whole.address(), &asked);
    assert!(!answer.metadata.truncation && answer.answers.len() == 1, "{answer}");
}

#[test]
fn any_is_answered_with_a_line_and_nobody_else_is_asked() {
    let upstream = Upstream::usual();
    let server = forwarding("any\n cache", &upstream);
    for protocol in ["+notcp", "+tcp"] {
        assert_eq!(
            answers(&server, &format!("{protocol} ANY Example.org")),
            [r#"Example.org. 8482 IN HINFO "ANY obsoleted" "See RFC 8482""#]
        );
    }
    assert!(upstream.asked().is_empty());
    assert_eq!(answers(&server, "A example.org").len(), 1);
}

#[test]
fn local_names_do_not_leave_the_machine() {
    let upstream = Upstream::usual();
    let server = forwarding("debug\n local\n cache", &upstream);
    let first = |arguments: &str| answers(&server, arguments).first().cloned().unwrap_or_default();
    assert_eq!(first("localhost"), "localhost. 604800 IN A 127.0.0.1");
    assert_eq!(first("AAAA LocalHost"), "LocalHost. 604800 IN AAAA ::1");
    assert_eq!(first("-x 127.0.0.1"), "1.0.0.127.in-addr.arpa. 604800 IN PTR localhost.");
    assert_eq!(first("a.localhost"), "a.localhost. 604800 IN A 127.0.0.1");
    assert_eq!(first("localhost.example.org"), "localhost.example.org. 604800 IN A 127.0.0.1");
    assert_eq!(
        first("SOA 127.in-addr.arpa"),
        "127.in-addr.arpa. 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800"
    );
    assert_eq!(first("NS 0.in-addr.arpa"), "0.in-addr.arpa. 604800 IN NS localhost.");
    let text = dig(server.address(), "-x 255.1.2.3");
    assert!(
        text.contains("status: NXDOMAIN") && text.contains("255.in-addr.arpa.\t604800\tIN\tSOA"),
        "{text}"
    );
    let text = dig(server.address(), "MX localhost");
    assert!(text.contains(";; flags: qr rd; QUERY: 1, ANSWER: 0, AUTHORITY: 1"), "{text}");
    assert!(upstream.asked().is_empty());
    let line = server.wait_for_line("[DEBUG] plugin/local: Intercepting");
    assert!(line.ends_with("localhost query for \"a.localhost.\" A, from 127.0.0.1"), "{line}");
}

#[test]
fn the_prefix_of_local_may_be_an_ordinary_name() {
    let upstream = Upstream::usual();
    let server = forwarding("local {\n localhost_prefix off\n }", &upstream);
    assert_eq!(answers(&server, "localhost.example.org"), ["localhost.example.org. 60 IN A 192.0.2.1"]);
    assert_eq!(answers(&server, "a.localhost"), ["a.localhost. 604800 IN A 127.0.0.1"]);
}

#[test]
fn minimal_answers_are_answers_alone() {
    let upstream = talkative();
    let full = forwarding("", &upstream);
    let server = forwarding("minimal\n cache", &upstream);
    let sections = |server: &Server, name: &str| {
        let answer = ask(server.address(), &edns_query(name, RecordType::A, 1232));
        let options = answer.edns.as_ref().map(|edns| edns.options().as_ref().len());
        (answer.answers.len(), answer.authorities.len(), answer.additionals.len(), options)
    };
    assert_eq!(sections(&full, "www.example.test."), (1, 1, 1, Some(2)));
    for _ in 0..2 {
        assert_eq!(sections(&server, "www.example.test."), (1, 0, 0, Some(0)), "and so it is kept");
        assert_eq!(sections(&server, "absent.example.test."), (0, 1, 1, Some(0)), "a denial stays whole");
    }
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn minimal_lets_failures_and_transfers_pass() {
    let server = Server::start(". {\n minimal\n errors\n hosts absent\n}\n");
    assert!(dig(server.address(), "www.test").contains("status: SERVFAIL"));
    let server = Server::start(". {\n minimal\n errors\n whoami\n}\n");
    assert!(dig(server.address(), "+noedns www.test").contains("ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0"));
    let answer = ask(server.address(), &query("Zone.test.", RecordType::AXFR));
    assert_eq!(answer.additionals.len(), 2);
}

#[test]
fn header_changes_queries_and_responses() {
    let upstream = Upstream::usual();
    let server = forwarding("header {\n query set rd\n response clear ra\n response set aa\n }", &upstream);
    let text = dig(server.address(), "+norecurse www.test");
    assert!(text.contains(";; flags: qr aa rd; QUERY: 1, ANSWER: 1"), "{text}");
    assert!(upstream.asked()[0].query.metadata.recursion_desired);
    let server =
        Server::start(". {\n header {\n response set ra\n }\n hosts absent {\n 192.0.2.1 a.test\n }\n}\n");
    assert!(dig(server.address(), "a.test").contains(";; flags: qr aa rd ra; QUERY: 1, ANSWER: 1"));
    assert!(dig(server.address(), "b.test").contains(";; flags: qr rd; QUERY: 1, ANSWER: 0"), "a failure");
}

#[test]
fn the_cache_keeps_what_header_left_and_says_rd_as_asked() {
    let upstream = Upstream::usual();
    let server = forwarding("header {\n query set rd\n response clear ra aa\n }\n cache", &upstream);
    let flags = |arguments: &str| {
        let text = dig(server.address(), arguments);
        let line = text.lines().find_map(|line| line.strip_prefix(";; flags: ")).expect("a header");
        line.split(';').next().unwrap_or_default().to_owned()
    };
    assert_eq!(flags("+norecurse www.test"), "qr rd", "as the upstream says");
    assert_eq!(flags("+norecurse www.test"), "qr aa", "from the cache");
    assert_eq!(flags("www.test"), "qr aa rd");
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn chaos_is_asked_in_the_order_of_the_chain() {
    let upstream = Upstream::usual();
    let server = forwarding("chaos here\n cache\n nsid me", &upstream);
    let mut asked = query("version.bind.", RecordType::TXT);
    asked.queries[0].query_class = DNSClass::CH;
    for _ in 0..2 {
        let answer = ask(server.address(), &asked);
        assert_eq!((answer.answers.len(), answer.answers[0].ttl), (1, 0), "not from the cache");
    }
    // What chaos does not know goes on, in its class.
    let mut other = query("other.bind.", RecordType::TXT);
    other.queries[0].query_class = DNSClass::CH;
    let wire = message::wire(&ask(server.address(), &other));
    assert!(!wire.is_empty());
    let seen = upstream.asked();
    assert_eq!((seen.len(), seen[0].query.queries[0].query_class), (1, DNSClass::CH));
}

#[test]
fn all_mistakes_are_named_with_their_place() {
    let corefile = "\
. {
    nsid a {
    }
    bufsize 100
    local {
        localhost_prefix maybe
    }
    any x
    chaos {
        version 1
    }
    header {
        set ra
        response toggle aa
        query set ad
    }
    minimal x
}
";
    let ended = Server::with(corefile).without_port_flag().argument("check").argument("Corefile").run();
    assert_eq!(ended.code(), 1);
    let text = ended.stdout + &ended.stderr;
    let count = "Error during parsing: Wrong argument count or unexpected line ending after";
    for (headline, place) in [
        ("plugin/nsid: this plugin can only be used once per Server Block".to_owned(), "2:5"),
        (format!("plugin/bufsize: plugin/bufsize: Corefile:4 - {count} '100'"), "4:13"),
        (
            "plugin/local: Corefile:6 - Error during parsing: localhost_prefix expects 'on' or 'off', got \"maybe\""
                .to_owned(),
            "6:26",
        ),
        (format!("plugin/any: Corefile:8 - {count} 'x'"), "8:9"),
        ("plugin/chaos: Corefile:10 - Error during parsing: unknown property 'version'".to_owned(), "10:9"),
        (
            "plugin/header: setting up rule: invalid selector=set should be query or response".to_owned(),
            "13:9",
        ),
        (
            "plugin/header: setting up rule: unknown flag action=toggle, should be set or clear".to_owned(),
            "14:18",
        ),
        ("plugin/header: setting up rule: unknown/unsupported flag=ad".to_owned(), "15:19"),
        (format!("plugin/minimal: Corefile:17 - {count} 'x'"), "17:13"),
    ] {
        let told = text.split_once(&headline).unwrap_or_else(|| panic!("{headline}\n{text}")).1;
        let arrow = told.lines().nth(1).unwrap_or_default();
        assert!(arrow.contains(&format!("Corefile:{place}")), "{headline}: {arrow}");
    }
}
