//! Names of a hosts file and of an upstream, asked by the clients people use and looked at closely by one of ours.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::support::client::{Udp, ask, ask_tcp};
use crate::support::message::{ResponseCode, addresses, edns_query, query, read, wire};
use crate::support::tools::{dig, drill, host, kdig, nslookup};
use crate::support::{Server, Upstream, has_ipv6, say};

const HOSTS: &str = "\
192.0.2.10   web.example.test www.example.test  # two names
192.0.2.11   web.example.test
2001:db8::10 web.example.test
192.0.2.12   Mixed.Example.Test
";

/// The Corefile that most people start with, with a hosts file and an upstream of the test's own.
fn seed(upstream: &Upstream) -> Server {
    let corefile = format!(
        ". {{
    # Use a hosts file to resolve hostname
    hosts hosts {{
        reload 1m
        fallthrough
    }}

    # Forward unmatched queries to the host's resolver
    forward . {} {{
       max_concurrent 1000
    }}
    cache 30
    log
    errors
}}
",
        upstream.address
    );
    Server::with(&corefile).file("hosts", HOSTS).start()
}

/// Where the server is asked: over IPv4, and over IPv6 where there is one.
fn ways(server: &Server) -> Vec<SocketAddr> {
    if has_ipv6() {
        vec![server.address(), server.address_v6()]
    } else {
        say("SKIPPED: asking over IPv6: this machine has none");
        vec![server.address()]
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn dig_gets_addresses_and_names_over_udp_and_tcp() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for address in ways(&server) {
        for protocol in ["+notcp", "+tcp"] {
            let short = |what: &str| dig(address, &format!("{protocol} +short {what}"));
            assert_eq!(sorted(&short("web.example.test A")), ["192.0.2.10", "192.0.2.11"]);
            assert_eq!(short("web.example.test AAAA"), "2001:db8::10\n");
            assert_eq!(short("WWW.example.TEST"), "192.0.2.10\n");
            assert_eq!(sorted(&short("-x 192.0.2.10")), ["web.example.test.", "www.example.test."]);
            assert_eq!(short("-x 2001:db8::10"), "web.example.test.\n");
            assert_eq!(short("elsewhere.test A"), "192.0.2.1\n");
        }
    }
}

#[test]
fn dig_finds_nothing_to_complain_about() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for protocol in ["+notcp", "+tcp"] {
        let text = dig(server.address(), &format!("{protocol} +norecurse www.example.test A"));
        assert!(text.contains("status: NOERROR"), "{text}");
        assert!(text.contains(";; flags: qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1"), "{text}");
        assert!(text.contains("; EDNS: version: 0, flags:; udp: 1232"), "{text}");
        assert!(text.contains("www.example.test.\t30\tIN\tA\t192.0.2.10"), "{text}");
        for complaint in ["WARNING", "Warning", "mismatch", "malformed", "extra"] {
            assert!(!text.contains(complaint), "{text}");
        }
    }
}

#[test]
fn nslookup_gets_addresses_and_names() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for address in ways(&server) {
        for protocol in ["-novc", "-vc"] {
            let text = nslookup(address, &format!("{protocol} web.example.test."));
            for found in ["Name:\tweb.example.test", "Address: 192.0.2.10", "Address: 2001:db8::10"] {
                assert!(text.contains(found), "{text}");
            }
            let text = nslookup(address, &format!("{protocol} 192.0.2.12"));
            assert!(text.contains("12.2.0.192.in-addr.arpa\tname = mixed.example.test."), "{text}");
        }
    }
}

#[test]
fn host_gets_addresses_and_names() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for address in ways(&server) {
        for protocol in ["-U", "-T"] {
            let text = host(address, &format!("{protocol} web.example.test."));
            for found in
                ["web.example.test has address 192.0.2.10", "web.example.test has IPv6 address 2001:db8::10"]
            {
                assert!(text.contains(found), "{text}");
            }
            let text = host(address, &format!("{protocol} 2001:db8::10"));
            assert!(text.contains("domain name pointer web.example.test."), "{text}");
        }
    }
}

#[test]
fn kdig_gets_addresses_and_names() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for address in ways(&server) {
        for protocol in ["+notcp", "+tcp", "+tcp +keepopen +padding"] {
            let text = kdig(address, &format!("{protocol} +short web.example.test A"));
            assert_eq!(sorted(&text), ["192.0.2.10", "192.0.2.11"]);
            assert_eq!(kdig(address, &format!("{protocol} +short -x 192.0.2.12")), "mixed.example.test.\n");
        }
        let text = kdig(address, "+edns +dnssec +nsid +bufsize=4096 www.example.test A");
        assert!(text.contains("Flags: qr aa rd; QUERY: 1; ANSWER: 1"), "{text}");
        assert!(text.contains("EDNS PSEUDOSECTION"), "{text}");
        assert!(!text.contains("WARNING"), "{text}");
    }
}

#[test]
fn drill_gets_addresses_and_names() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for address in ways(&server) {
        for protocol in ["-u", "-t"] {
            let text = drill(address, &format!("{protocol} www.example.test A"));
            assert!(text.contains("www.example.test.\t30\tIN\tA\t192.0.2.10"), "{text}");
            let text = drill(address, &format!("{protocol} -x 192.0.2.12"));
            assert!(text.contains("PTR\tmixed.example.test."), "{text}");
        }
    }
}

#[test]
fn the_spelling_of_the_question_comes_back_from_hosts_upstream_and_cache() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for name in ["wEb.eXample.TEST.", "mixed.EXAMPLE.test.", "oTHer.Test.", "otHER.tEST."] {
        let asked = query(name, RecordType::A);
        for answer in [ask(server.address(), &asked), ask_tcp(server.address(), &asked)] {
            assert_eq!(answer.queries[0].name.to_ascii(), name);
            let owner = &answer.answers[0].name;
            assert!(owner.eq_ignore_root(&asked.queries[0].name), "{owner} for {name}");
        }
    }
    // Spelled differently it is the same name.
    let asked: Vec<_> = upstream.asked().iter().map(|a| a.query.queries[0].name.to_lowercase()).collect();
    assert_eq!(asked, [Name::from_ascii("other.test.").unwrap()]);
}

#[test]
fn answers_of_hosts_are_authoritative_and_not_recursive() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for (rd, cd, ad) in
        [(false, false, false), (true, false, false), (true, true, false), (true, false, true)]
    {
        let mut asked = query("web.example.test.", RecordType::A);
        asked.metadata.recursion_desired = rd;
        asked.metadata.checking_disabled = cd;
        asked.metadata.authentic_data = ad;
        let answer = ask(server.address(), &asked).metadata;
        assert!(answer.authoritative && !answer.recursion_available && !answer.authentic_data, "{answer:?}");
        assert_eq!((answer.recursion_desired, answer.checking_disabled), (rd, cd));
    }
}

#[test]
fn answers_of_the_upstream_keep_its_flags() {
    let upstream = Upstream::usual();
    let server = Server::start(&format!(". {{\n forward . {}\n}}\n", upstream.address));
    let answer = ask(server.address(), &query("elsewhere.test.", RecordType::A)).metadata;
    assert!(answer.recursion_available && !answer.authoritative, "{answer:?}");
}

#[test]
fn addresses_of_hosts_are_good_for_an_hour_or_as_long_as_it_says() {
    for (option, ttl) in [("", 3600), ("ttl 77", 77)] {
        let corefile = format!(". {{\n hosts hosts {{\n {option}\n }}\n}}\n");
        let server = Server::with(&corefile).file("hosts", HOSTS).start();
        for name in ["web.example.test.", "12.2.0.192.in-addr.arpa."] {
            let rtype = if name.contains("arpa") { RecordType::PTR } else { RecordType::A };
            let answer = ask(server.address(), &query(name, rtype));
            assert!(!answer.answers.is_empty());
            assert!(answer.answers.iter().all(|record| record.ttl == ttl), "{answer}");
        }
    }
}

#[test]
fn a_name_without_the_type_is_an_empty_answer() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    for (name, rtype) in [("www.example.test.", RecordType::AAAA), ("www.example.test.", RecordType::MX)] {
        let answer = ask(server.address(), &query(name, rtype));
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(answer.metadata.authoritative && answer.answers.is_empty() && answer.authorities.is_empty());
    }
    assert!(upstream.asked().is_empty(), "what hosts knows is not asked elsewhere");
}

#[test]
fn a_name_that_hosts_alone_does_not_know_is_a_failure() {
    let server = Server::with(". {\n hosts hosts\n}\n").file("hosts", HOSTS).start();
    let answer = ask(server.address(), &query("unknown.example.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(answer.answers.len() + answer.authorities.len() + answer.additionals.len(), 0);
}

#[test]
fn a_zone_of_no_block_is_refused() {
    let server = Server::start("example.test {\n whoami\n}\n");
    for name in ["example.org.", ".", "test.", "notexample.test."] {
        let answer = ask(server.address(), &query(name, RecordType::A)).metadata;
        assert_eq!(answer.response_code, ResponseCode::Refused, "{name}");
        assert!(!answer.authoritative && !answer.recursion_available && answer.recursion_desired);
    }
    for name in ["example.test.", "a.b.EXAMPLE.test."] {
        let answer = ask(server.address(), &query(name, RecordType::A)).metadata;
        assert_eq!(answer.response_code, ResponseCode::NoError, "{name}");
    }
}

#[test]
fn the_longest_zone_decides_which_block_answers() {
    let server = Server::start(
        ". {\n hosts absent {\n 192.0.2.1 x.example.test a.sub.example.test other.test\n }\n}\n\
         example.test {\n hosts absent {\n 192.0.2.2 x.example.test a.sub.example.test other.test\n }\n}\n\
         sub.example.test {\n hosts absent {\n 192.0.2.3 x.example.test a.sub.example.test\n }\n}\n",
    );
    for (name, last) in [("other.test.", 1), ("x.example.test.", 2), ("a.sub.example.test.", 3)] {
        let answer = ask(server.address(), &query(name, RecordType::A));
        assert_eq!(addresses(&answer), [IpAddr::from([192, 0, 2, last])], "{name}");
    }
}

fn dnssec_query(name: &str, size: u16) -> Message {
    let mut asked = edns_query(name, RecordType::A, size);
    asked.edns.as_mut().unwrap().set_dnssec_ok(true);
    asked
}

#[test]
fn an_opt_record_comes_to_those_who_sent_one() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    // From hosts, from the upstream, from the cache.
    for name in ["web.example.test.", "elsewhere.test.", "elsewhere.test."] {
        let plain = ask(server.address(), &query(name, RecordType::A));
        assert!(plain.edns.is_none(), "{name}: {plain}");
        for asked in [edns_query(name, RecordType::A, 1232), dnssec_query(name, 4096)] {
            let answer = ask(server.address(), &asked);
            let (want, got) = (asked.edns.unwrap(), answer.edns.expect("an OPT record"));
            assert_eq!(got.version(), 0);
            assert_eq!(got.max_payload(), want.max_payload());
            assert_eq!(got.flags().dnssec_ok, want.flags().dnssec_ok);
        }
    }
}

#[test]
fn an_option_that_nobody_knows_is_ignored_and_not_sent_back() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    let mut asked = edns_query("web.example.test.", RecordType::A, 1232);
    let options = asked.edns.as_mut().unwrap().options_mut();
    options.insert(EdnsOption::Unknown(65_001, b"of no meaning".to_vec()));
    options.insert(EdnsOption::Unknown(10, b"8 bytes!".to_vec()));
    let answer = ask(server.address(), &asked);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    let opt: Edns = answer.edns.expect("an OPT record");
    assert!(opt.option(EdnsCode::Unknown(65_001)).is_none(), "{opt}");
    // A client's cookie alone is not one of ours (RFC 7873 5.2.3).
    assert!(opt.option(EdnsCode::Cookie).is_none(), "{opt}");
}

#[test]
fn whoami_says_from_where_it_was_asked() {
    let server = Server::start(". {\n whoami\n}\n");
    for address in ways(&server) {
        let client = Udp::connect(address);
        let asked = query("who.test.", RecordType::A);
        client.send(&wire(&asked));
        let answer = read(&client.receive());
        let (ips, srvs): (Vec<_>, Vec<_>) =
            answer.additionals.iter().partition(|record| record.data.ip_addr().is_some());
        assert_eq!(ips[0].data.ip_addr(), Some(address.ip()));
        let RData::SRV(srv) = &srvs[0].data else { panic!("{answer}") };
        assert_eq!(srv.port, client.local_port());
        assert_eq!(srvs[0].name.to_ascii(), "_udp.who.test.");
    }
}

#[test]
fn equal_questions_are_answered_from_the_cache() {
    let upstream = Upstream::usual();
    let server = seed(&upstream);
    let first = ask(server.address(), &query("cached.test.", RecordType::A));
    let second = ask_tcp(server.address(), &query("cached.test.", RecordType::A));
    assert_eq!(addresses(&first), addresses(&second));
    assert_eq!(upstream.asked().len(), 1);
    // No more than the 30 seconds of the configuration.
    assert!(first.answers[0].ttl <= 30 && second.answers[0].ttl <= 30, "{first} {second}");
}
