//! Pages over HTTP: health, ready, prometheus, and the command that asks them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;

use crate::support::client::{ask, ask_tcp};
use crate::support::http::{get, sample, try_get};
use crate::support::message::{ResponseCode, edns_query, query};
use crate::support::netns::{self, Namespace};
use crate::support::{Ended, Lineage, Server, eventually, next_port, program, say};

/// A free port held by somebody else.
fn busy() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, next_port())).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

/// A server of `body`, in which `PAGE` stands for a port; and that port. Tried again if somebody was faster.
fn serve(body: &str) -> (Server, u16) {
    let page = next_port();
    let corefile = |port: u16| format!(". {{\n whoami\n{}\n}}\n", body.replace("PAGE", &port.to_string()));
    (Server::start(&corefile(page)), page)
}

fn answers(server: &Server) -> bool {
    ask(server.address(), &query("a.test.", RecordType::A)).metadata.response_code == ResponseCode::NoError
}

#[test]
fn health_ready_and_metrics_are_served_on_one_address() {
    let (_server, page) = serve("health :PAGE\n ready 127.0.0.1:PAGE\n prometheus localhost:PAGE");
    // The wildcard's listener has health alone, that of the loopback the other two.
    assert_eq!(get(page, "/ready"), (200, "OK".to_owned()));
    assert_eq!(get(page, "/metrics").0, 200);
    assert_eq!(get(page, "/health").0, 404);
    let (_server, page) = serve("health 127.0.0.1:PAGE\n ready 127.0.0.1:PAGE\n prometheus localhost:PAGE");
    for (path, want) in [("/health", 200), ("/ready", 200), ("/metrics", 200), ("/", 404), ("/healthz", 404)]
    {
        assert_eq!(get(page, path).0, want, "{path}");
    }
}

#[test]
fn blocks_share_a_page() {
    let page = next_port();
    let block = |zone: &str| {
        format!("{zone} {{\n whoami\n health :{page}\n prometheus :{page}\n ready :{page}\n}}\n")
    };
    let server = Server::start(&(block("a.test") + &block("b.test")));
    assert_eq!(get(page, "/health").0, 200);
    assert!(answers(&server));
    let metrics = get(page, "/metrics").1;
    for zone in ["a.test.", "b.test."] {
        assert!(metrics.contains(&format!("zone=\"{zone}\"")), "{zone}");
    }
}

#[test]
fn an_address_that_cannot_be_had_stops_the_start_and_says_whose_it_is() {
    let (_listener, port) = busy();
    let check = |line: &str, want: &str, plugin: &str| {
        let ended: Ended = Server::with(&format!(". {{\n whoami\n {line}\n}}\n")).run();
        assert_eq!(ended.code(), 1, "{line}: {ended:?}");
        assert!(ended.stderr.starts_with(want), "{}", ended.stderr);
        assert!(ended.stderr.contains("Corefile:3:2") && ended.stderr.contains(plugin), "{}", ended.stderr);
    };
    for (plugin, path) in [("health", "/health"), ("ready", "/ready"), ("prometheus", "/metrics")] {
        let whose = format!("'{plugin}' is to serve {path} there");
        let address = format!("127.0.0.1:{port}");
        check(
            &format!("{plugin} {address}"),
            &format!("listen tcp {address}: bind: address already in use\n"),
            &whose,
        );
        let want = "listen tcp 192.0.2.1:80: bind: cannot assign requested address\n";
        check(&format!("{plugin} 192.0.2.1:80"), want, &whose);
        check(&format!("{plugin} :99999"), "listen tcp: address 99999: invalid port\n", &whose);
    }
}

#[test]
fn a_second_server_does_not_share_the_page() {
    let (first, page) = serve("health :PAGE");
    let ended = Server::with(&format!(". {{\n whoami\n health :{page}\n}}\n")).run();
    assert!(ended.stderr.starts_with(&format!("listen tcp :{page}: bind: address already in use\n")));
    assert!(answers(&first));
}

#[test]
fn a_reload_that_cannot_have_its_page_changes_nothing() {
    let (server, page) = serve("health 127.0.0.1:PAGE");
    let (listener, port) = busy();
    server.dir.write(
        "Corefile",
        format!("example.org {{\n whoami\n health 127.0.0.1:{page}\n ready 127.0.0.1:{port}\n}}\n"),
    );
    server.signal("USR1");
    server
        .wait_for_line(&format!("Restart failed: listen tcp 127.0.0.1:{port}: bind: address already in use"));
    assert!(answers(&server));
    assert_eq!(get(page, "/health").0, 200);
    drop(listener);
    server.reload();
    assert_eq!((get(page, "/health").0, get(port, "/ready").0), (200, 200));
}

#[test]
fn no_probe_is_refused_during_reloads_and_a_page_may_move() {
    let (server, page) = serve("health 127.0.0.1:PAGE\n prometheus 127.0.0.1:PAGE");
    let end = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let probe = scope.spawn(|| {
            let mut asked = 0_u32;
            while !end.load(Ordering::Relaxed) {
                assert_eq!(try_get(page, "/health"), Some((200, "OK".to_owned())));
                asked += 1;
            }
            asked
        });
        for _ in 0..20 {
            server.reload();
        }
        end.store(true, Ordering::Relaxed);
        probe.join().expect("no probe failed")
    });
    assert!(asked > 0);
    let new = next_port();
    server.dir.write(
        "Corefile",
        format!(". {{\n whoami\n health 127.0.0.1:{new}\n prometheus 127.0.0.1:{page}\n}}\n"),
    );
    server.reload();
    assert_eq!((get(new, "/health").0, get(page, "/health").0, get(page, "/metrics").0), (200, 404, 200));
    server.dir.write("Corefile", ". {\n whoami\n}\n");
    server.reload();
    eventually("the pages are closed", || {
        try_get(new, "/health").is_none() && try_get(page, "/metrics").is_none()
    });
}

#[test]
fn no_probe_is_refused_during_upgrades() {
    let (server, page) = serve("health 127.0.0.1:PAGE {\n lameduck 1h\n }\n ready 127.0.0.1:PAGE");
    let mut lineage = Lineage::of(server);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                for path in ["/health", "/ready"] {
                    // One that the old process took as it ended may be closed: a prober asks again.
                    let answer = try_get(page, path).or_else(|| try_get(page, path));
                    assert_eq!(answer, Some((200, "OK".to_owned())), "{path}");
                }
            }
        });
        for _ in 0..3 {
            lineage.upgrade();
        }
        end.store(true, Ordering::Relaxed);
        probe.join().expect("no probe failed");
    });
    // The first has nothing to wait for, though it would have a lameduck time.
    assert!(lineage.wait_for_first().success());
    lineage.signal("INT");
    lineage.wait_for_line("Going into lameduck mode for 1h0m0s");
    lineage.signal("INT");
    lineage.wait_for_end();
}

#[test]
fn in_lameduck_time_all_but_ready_goes_on() {
    let (ready, metrics) = (next_port(), next_port());
    let (server, page) = serve(&format!(
        "health 127.0.0.1:PAGE {{\n lameduck 3s\n }}\n ready 127.0.0.1:{ready}\n prometheus 127.0.0.1:{metrics}"
    ));
    assert_eq!(get(ready, "/ready").0, 200);
    let begun = Instant::now();
    server.signal("TERM");
    server.wait_for_line("[INFO] plugin/health: Going into lameduck mode for 3s");
    assert_eq!(try_get(ready, "/ready"), None);
    assert_eq!((get(page, "/health").0, get(metrics, "/metrics").0), (200, 200));
    assert!(answers(&server));
    let ended = server.wait();
    assert_eq!(ended.code(), 0);
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert!(!ended.stdout.contains("Local health request"), "{}", ended.stdout);
}

#[test]
fn a_second_interrupt_ends_lameduck_time() {
    let (server, _) = serve("health 127.0.0.1:PAGE {\n lameduck 1h\n }");
    server.signal("INT");
    server.wait_for_line("Going into lameduck mode for 1h0m0s");
    server.signal("INT");
    let ended = server.wait();
    assert_eq!(ended.code(), 2);
    assert!(!ended.stdout.contains("panicked") && !ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn ready_follows_a_plugin_that_comes_and_goes() {
    let (until, continuously) = (next_port(), next_port());
    let server = |page: u16, monitor: &str| {
        let ready = format!("ready 127.0.0.1:{page} {{\n monitor {monitor}\n }}");
        Server::start(&format!(". {{\n {ready}\n erratic {{\n drop 0\n }}\n}}\n"))
    };
    let servers = [server(until, "until-ready"), server(continuously, "continuously")];
    let unready = (503, "erratic".to_owned());
    let ready = (200, "OK".to_owned());
    // It is ready between three queries and five.
    for asked in 0..7 {
        let once = if asked < 3 { &unready } else { &ready };
        assert_eq!(get(until, "/ready"), *once, "after {asked} queries");
        let now = if asked == 3 || asked == 4 { &ready } else { &unready };
        assert_eq!(get(continuously, "/ready"), *now, "after {asked} queries");
        assert!(servers.iter().all(answers));
    }
    let line = "[INFO] plugin/ready: Plugins not ready: \"erratic\"";
    for (server, times) in servers.iter().zip([3, 5]) {
        (0..times).for_each(|_| drop(server.wait_for_line(line)));
        assert_eq!(server.stdout.text().matches(line).count(), times);
    }
}

#[test]
fn queries_are_counted_where_prometheus_stands() {
    let page = next_port();
    let server = Server::start(&format!(
        "example.org sub.example.org {{\n whoami\n prometheus 127.0.0.1:{page}\n}}\nplain.test {{\n whoami\n}}\n"
    ));
    for _ in 0..3 {
        ask(server.address(), &query("a.example.org.", RecordType::A));
    }
    let mut signed = edns_query("a.sub.example.org.", RecordType::AAAA, 1232);
    signed.edns.as_mut().expect("it has one").set_dnssec_ok(true);
    ask(server.address(), &signed);
    ask_tcp(server.address(), &query("a.example.org.", RecordType::HINFO));
    ask(server.address(), &query("a.plain.test.", RecordType::A));
    ask(server.address(), &query("nobody.test.", RecordType::A));
    let metrics = get(page, "/metrics").1;
    let listener = format!("server=\"dns://:{}\"", server.port);
    let check = |name: &str, labels: &str, want: Option<f64>| {
        let labels = format!("{listener},{labels}");
        assert_eq!(sample(&metrics, name, &labels), want, "{name} {labels}\n{metrics}");
    };
    let org = "zone=\"example.org.\",view=\"\"";
    let sub = "zone=\"sub.example.org.\",view=\"\"";
    let dropped = "zone=\"dropped\",view=\"\"";
    let requests = "coredns_dns_requests_total";
    check(requests, &format!("{org},proto=\"udp\",family=\"1\",type=\"A\""), Some(3.0));
    check(requests, &format!("{org},proto=\"tcp\",family=\"1\",type=\"other\""), Some(1.0));
    check(requests, &format!("{sub},proto=\"udp\",family=\"1\",type=\"AAAA\""), Some(1.0));
    check(requests, &format!("{dropped},proto=\"udp\",family=\"1\",type=\"A\""), Some(1.0));
    check("coredns_dns_do_requests_total", sub, Some(1.0));
    check("coredns_dns_do_requests_total", org, None);
    check("coredns_dns_responses_total", &format!("{org},rcode=\"NOERROR\",plugin=\"whoami\""), Some(4.0));
    check("coredns_dns_responses_total", &format!("{dropped},rcode=\"REFUSED\",plugin=\"\""), Some(1.0));
    check("coredns_dns_request_duration_seconds_count", org, Some(4.0));
    check("coredns_dns_request_size_bytes_sum", &format!("{org},proto=\"udp\""), Some(3.0 * 31.0));
    check("coredns_plugin_enabled", &format!("{org},name=\"whoami\""), Some(1.0));
    assert!(!metrics.contains("zone=\"plain.test.\""), "that block counts nothing");
    for always in ["process_resident_memory_bytes", "process_cpu_seconds_total", "coredns_panics_total"] {
        assert!(sample(&metrics, always, "").is_some(), "{always}");
    }
}

#[test]
fn a_scraper_that_never_reads_harms_nobody() {
    let (server, page) = serve("prometheus 127.0.0.1:PAGE");
    let mut deaf: Vec<TcpStream> = Vec::new();
    for _ in 0..60 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, page)).expect("it is open");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request is small");
        deaf.push(stream);
    }
    assert_eq!(get(page, "/metrics").0, 200);
    assert!(answers(&server));
    // All of them are let go after a while, and their places are free again.
    let rest: usize = deaf
        .iter_mut()
        .map(|stream| {
            stream.set_read_timeout(Some(crate::support::PATIENCE)).expect("a limit above zero");
            stream.read_to_end(&mut Vec::new()).unwrap_or_default()
        })
        .sum();
    assert!(rest > 0);
    assert_eq!(get(page, "/metrics").0, 200);
}

#[test]
fn sixty_four_zones_are_scraped() {
    let page = next_port();
    let zones: Vec<String> = (0..64).map(|n| format!("z{n}.test")).collect();
    let blocks: String = zones
        .iter()
        .map(|zone| format!("{zone} {{\n whoami\n errors\n prometheus 127.0.0.1:{page}\n}}\n"))
        .collect();
    let server = Server::start(&blocks);
    for zone in &zones {
        for qtype in [RecordType::A, RecordType::AAAA] {
            ask(server.address(), &query(&format!("a.{zone}."), qtype));
            ask_tcp(server.address(), &query(&format!("a.{zone}."), qtype));
        }
    }
    let mut best = Duration::MAX;
    let mut size = 0;
    for _ in 0..10 {
        let begun = Instant::now();
        let (status, metrics) = get(page, "/metrics");
        best = best.min(begun.elapsed());
        assert_eq!(status, 200);
        size = metrics.len();
    }
    say(&format!("a scrape of 64 zones, {size} bytes, takes {best:?} at best"));
}

/// Exit code and output of `waypost health TARGET`.
fn health(target: &[&str]) -> Ended {
    let command = target
        .iter()
        .fold(Server::without_corefile().without_port_flag().argument("health"), |c, t| c.argument(t));
    command.run()
}

#[test]
fn the_command_health_asks_a_running_server() {
    let (server, page) = serve("health 127.0.0.1:PAGE\n ready 127.0.0.1:PAGE");
    let dns = server.port;
    let check = |target: &str, code: i32, said: &str| {
        let ended = health(&[target]);
        assert_eq!(ended.code(), code, "{target}: {ended:?}");
        assert!(ended.stdout.contains(said) || ended.stderr.contains(said), "{target}: {ended:?}");
    };
    check(&format!("localhost:{page}"), 0, "OK");
    check(&format!(":{page}/ready"), 0, "OK");
    check(&format!("http://127.0.0.1:{page}/health"), 0, "OK");
    check(&format!("http://127.0.0.1:{page}/nothing"), 1, "404");
    check(&format!("dns://:{dns}"), 0, "NOTIMP");
    check(&format!("dns://127.0.0.1:{dns}/a.test"), 0, "NOERROR");
    check("https://x", 1, "can be asked");
    assert_eq!(server.stop().code(), 0);
    check(&format!("localhost:{page}"), 1, "refused");
    check(&format!("dns://127.0.0.1:{dns}"), 1, "refused");
    // Somebody who takes connections and says nothing.
    let (_listener, port) = busy();
    check(&format!("127.0.0.1:{port}"), 1, "no answer within 3 s");
}

#[test]
fn the_command_health_wants_an_answer_to_a_name() {
    let server = Server::start("example.org {\n whoami\n}\n");
    let port = server.port;
    assert_eq!(health(&[&format!("dns://:{port}")]).code(), 0, "NOTIMP is an answer");
    assert_eq!(health(&[&format!("dns://:{port}/a.example.org")]).code(), 0);
    let ended = health(&[&format!("dns://:{port}/other.test")]);
    assert_eq!((ended.code(), ended.stderr.contains("REFUSED")), (1, true));
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address: SocketAddr = silent.local_addr().expect("it is bound");
    let ended = health(&[&format!("dns://{address}")]);
    assert_eq!((ended.code(), ended.stderr.contains("no answer")), (1, true));
}

#[test]
fn the_command_health_finds_the_server_and_asks_nobody_else() {
    if !netns::are_possible("the_command_health_finds_the_server_and_asks_nobody_else") {
        return;
    }
    let room = Namespace::new("health");
    let ask = || room.try_run(&format!("{} health dns://", program()));
    assert!(ask().is_err_and(|why| why.contains("dns://127.0.0.1:53") && why.contains("refused")));
    // Its upstream never answers, and that is not its own illness.
    for addresses in ["127.0.0.2", "127.0.0.1 ::1", "::"] {
        let corefile = format!(". {{\n bind {addresses}\n forward . 127.0.0.9\n log\n errors\n}}\n");
        let server = Server::with(&corefile).inside(&room).start();
        assert_eq!(ask().as_deref(), Ok("NOTIMP\n"), "{addresses}");
        let said = server.stop().stdout;
        assert!(!said.contains("NS IN") && !said.contains("[ERROR]"), "{said}");
    }
}
