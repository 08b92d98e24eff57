//! Lines about queries, byte for byte as CoreDNS has them, and what happens when nobody takes them.

use std::io::Read;

use hickory_proto::rr::RecordType;

use crate::support::client::{Tcp, Udp, ask};
use crate::support::message::{ResponseCode, a, addresses, edns_query, query, response, soa, wire};
use crate::support::{Deed, PATIENCE, Server, Stdout, Upstream, has_ipv6, say};

/// A configuration with the plugin `log` written as `log`.
fn logging(log: &str) -> Server {
    Server::start(&format!(". {{\n {log}\n hosts absent {{\n 192.0.2.1 one.test\n }}\n}}\n"))
}

/// `line` without its duration, which has to be one.
fn without_duration(line: &str) -> &str {
    let (rest, duration) = line.rsplit_once(' ').expect("words");
    let seconds = duration.strip_suffix('s').expect("a duration in seconds");
    let is_go = seconds.bytes().all(|b| b.is_ascii_digit() || b == b'.') && seconds.parse::<f64>().is_ok();
    assert!(is_go || seconds.contains("e-"), "{line}");
    rest
}

#[test]
fn a_line_says_who_asked_what_and_what_came_of_it() {
    let server = logging("log");
    let udp = Udp::connect(server.address());
    let port = udp.local_port();
    let plain = query("OnE.test.", RecordType::A);
    udp.ask(&plain);
    let mut signed = edns_query("one.test.", RecordType::AAAA, 1232);
    signed.edns.as_mut().unwrap().set_dnssec_ok(true);
    udp.ask(&signed);
    let unknown = query("unknown.test.", RecordType::Unknown(65_280));
    udp.ask(&unknown);
    let ids = [&plain, &signed, &unknown].map(|asked| asked.metadata.id);
    let want = [
        // Lengths: header 12, name 10, type and class 4; one record 10 + 10 + 4. An OPT record of 11 comes on top of the query.
        format!(
            "[INFO] 127.0.0.1:{port} - {} \"A IN one.test. udp 26 false 512\" NOERROR qr,aa,rd 50",
            ids[0]
        ),
        format!(
            "[INFO] 127.0.0.1:{port} - {} \"AAAA IN one.test. udp 37 true 1232\" NOERROR qr,aa,rd 26",
            ids[1]
        ),
        format!(
            "[INFO] 127.0.0.1:{port} - {} \"TYPE65280 IN unknown.test. udp 30 false 512\" SERVFAIL qr,rd 30",
            ids[2]
        ),
    ];
    for want in want {
        assert_eq!(without_duration(&server.wait_for_line("[INFO] 127.0.0.1:")), want);
    }
}

#[test]
fn over_tcp_and_ipv6_it_says_so() {
    let server = logging("log");
    let mut tcp = Tcp::connect(server.address());
    let port = tcp.stream().local_addr().unwrap().port();
    let asked = query("one.test.", RecordType::A);
    tcp.ask(&asked);
    let want = format!(
        "[INFO] 127.0.0.1:{port} - {} \"A IN one.test. tcp 26 false 65535\" NOERROR qr,aa,rd 50",
        asked.metadata.id
    );
    assert_eq!(without_duration(&server.wait_for_line("tcp")), want);
    if !has_ipv6() {
        return say("SKIPPED: a line of a client over IPv6: this machine has none");
    }
    let udp = Udp::connect(server.address_v6());
    let asked = query("one.test.", RecordType::A);
    udp.ask(&asked);
    let want = format!(
        "[INFO] [::1]:{} - {} \"A IN one.test. udp 26 false 512\" NOERROR qr,aa,rd 50",
        udp.local_port(),
        asked.metadata.id
    );
    assert_eq!(without_duration(&server.wait_for_line("[::1]")), want);
}

#[test]
fn a_format_of_ones_own_is_followed() {
    let server = logging(
        "log . \"{remote}|{port}|{local}|{type}|{class}|{name}|{proto}|{size}|{>id}|{>opcode}|{>do}|{>bufsize}|{rcode}|{rsize}|{>rflags}|{x}\"",
    );
    let udp = Udp::connect(server.address());
    let asked = query("one.test.", RecordType::A);
    udp.ask(&asked);
    assert_eq!(
        server.wait_for_line("|one.test.|"),
        format!(
            "[INFO] 127.0.0.1|{}|127.0.0.1|A|IN|one.test.|udp|26|{}|0|false|512|NOERROR|50|qr,aa,rd|{{x}}",
            udp.local_port(),
            asked.metadata.id
        )
    );
}

#[test]
fn labels_of_other_plugins_can_be_logged() {
    let upstream = Upstream::usual();
    let server = Server::start(&format!(
        ". {{\n metadata\n log . \"{{name}} from {{/forward/upstream}} {{/log/class}} {{/nosuch/label}}\"\n forward . {}\n}}\n",
        upstream.address
    ));
    ask(server.address(), &query("labelled.test.", RecordType::A));
    let line = server.wait_for_line("labelled.test.");
    assert_eq!(line, format!("[INFO] labelled.test. from {} success -", upstream.address));
}

#[test]
fn classes_decide_what_is_logged() {
    let upstream = Upstream::start(|asked| {
        let name = asked.query.queries[0].name.to_ascii();
        let mut answer = match name.as_str() {
            "denied.test." => response(&asked.query, ResponseCode::NXDomain, Vec::new()),
            "failed.test." => response(&asked.query, ResponseCode::ServFail, Vec::new()),
            _ => response(&asked.query, ResponseCode::NoError, vec![a(&name, 60, [192, 0, 2, 1].into())]),
        };
        if name == "denied.test." {
            answer.add_authority(soa("test.", 60));
        }
        Deed::answer(&answer)
    });
    let names = ["found.test.", "denied.test.", "failed.test."];
    for (class, want) in
        [("success", &names[..1]), ("denial", &names[1..2]), ("error", &names[2..]), ("all", &names[..])]
    {
        let corefile = format!(
            ". {{\n log . \"logged {{name}}\" {{\n class {class}\n }}\n forward . {}\n}}\n",
            upstream.address
        );
        let server = Server::start(&corefile);
        // One client, so that one worker has all of them.
        let udp = Udp::connect(server.address());
        for name in names {
            udp.ask(&query(name, RecordType::A));
        }
        let ended = server.stop();
        let logged: Vec<&str> =
            ended.stdout.lines().filter_map(|line| line.strip_prefix("[INFO] logged ")).collect();
        assert_eq!(logged, want, "{class}");
    }
}

#[test]
fn lines_of_one_client_come_in_the_order_of_its_queries() {
    let server = logging("log . \"logged {>id}\"");
    let udp = Udp::connect(server.address());
    let ids: Vec<String> = (0..500)
        .map(|_| {
            let asked = query("one.test.", RecordType::A);
            udp.ask(&asked);
            format!("[INFO] logged {}", asked.metadata.id)
        })
        .collect();
    let ended = server.stop();
    let logged: Vec<&str> = ended.stdout.lines().filter(|line| line.contains("logged")).collect();
    assert_eq!(logged, ids, "none is missing after a signal either");
}

#[test]
fn the_last_query_of_a_quiet_server_is_logged_at_once() {
    let server = logging("log");
    for i in 0..3 {
        ask(server.address(), &query(&format!("n{i}.test."), RecordType::A));
        server.wait_for_line(&format!("\"A IN n{i}.test. udp"));
    }
}

/// Asks often enough to fill every pipe and backlog with lines.
fn ask_often(server: &Server) {
    let udp = Udp::connect(server.address());
    for _ in 0..400 {
        let batch: Vec<_> = (0..50).map(|_| query("one.test.", RecordType::A)).collect();
        batch.iter().for_each(|asked| udp.send(&wire(asked)));
        batch.iter().for_each(|_| assert!(udp.receive().len() > 26));
    }
    let answer = ask(server.address(), &query("one.test.", RecordType::A));
    assert_eq!(addresses(&answer).len(), 1);
}

fn with_output(stdout: Stdout) -> Server {
    // Long lines.
    let text = "x".repeat(500);
    let corefile =
        format!(". {{\n log . \"{{name}} {text}\"\n hosts absent {{\n 192.0.2.1 one.test\n }}\n}}\n");
    Server::with(&corefile).stdout(stdout).start()
}

#[test]
fn output_that_nobody_reads_costs_lines_and_no_answers() {
    let mut server = with_output(Stdout::Unread);
    ask_often(&server);
    let mut pipe = server.unread.take().expect("its output");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text)
    });
    // Read again, it says what was lost, at the latest at its end.
    assert_eq!(server.stop().code(), 0);
    let text = reader.join().unwrap().unwrap();
    let dropped =
        text.lines().find(|line| line.starts_with("[WARNING] ") && line.contains("log lines dropped"));
    assert!(dropped.is_some(), "nothing is said of dropped lines among {} bytes", text.len());
    let whole =
        text.lines().filter(|line| line.starts_with("[INFO] one.test. ")).all(|line| line.len() == 517);
    assert!(whole, "lines are whole");
}

#[test]
fn a_full_disk_and_closed_output_cost_no_answers() {
    for stdout in [Stdout::Full, Stdout::Closed] {
        let server = with_output(stdout);
        ask_often(&server);
        assert_eq!(server.stop().code(), 0);
    }
}

#[test]
fn a_reader_that_goes_away_costs_no_answers() {
    let mut server = with_output(Stdout::Unread);
    drop(server.unread.take());
    ask_often(&server);
    assert_eq!(server.stop().code(), 0);
}

#[test]
fn failures_are_counted_and_summed_up() {
    let upstream = Upstream::nowhere();
    let server = Server::start(&format!(
        ". {{\n errors {{\n consolidate 1s \"connection refused\" warning\n }}\n forward . {upstream} {{\n max_fails 0\n }}\n}}\n"
    ));
    for _ in 0..5 {
        ask(server.address(), &query("dead.test.", RecordType::A));
    }
    let line = server.stdout.wait_for_within("[WARNING] plugin/errors: ", PATIENCE).expect("a summary");
    assert_eq!(line, "[WARNING] plugin/errors: 5 errors like 'connection refused' occurred in last 1s");
}
