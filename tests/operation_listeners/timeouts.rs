//! Limits of connections.

use std::io::Write;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;

use crate::support::Server;
use crate::support::client::{Tcp, framed};
use crate::support::message::{query, read, wire};

fn server(options: &str) -> Server {
    Server::start(&format!(
        ". {{\n timeouts {{\n {options}\n }}\n hosts absent {{\n 192.0.2.1 one.test\n }}\n}}\n"
    ))
}

/// How long it takes until the server closes a connection on which nothing more is said.
fn until_closed(tcp: &mut Tcp) -> Duration {
    let begin = Instant::now();
    assert_eq!(tcp.try_receive(), None);
    begin.elapsed()
}

#[test]
fn a_connection_may_take_its_time_for_the_first_message() {
    // Longer than the default of 3 s.
    let server = server("read 5s\n idle 1s");
    let mut tcp = Tcp::connect(server.address());
    tcp.write(&framed(&wire(&query("one.test.", RecordType::A)))[..10]);
    let waited = until_closed(&mut tcp);
    assert!(waited > Duration::from_millis(4_900), "{waited:?}");
    // Shorter than the default of 10 s.
    let mut tcp = Tcp::connect(server.address());
    tcp.ask(&query("one.test.", RecordType::A));
    let waited = until_closed(&mut tcp);
    assert!((900..9_000).contains(&waited.as_millis()), "{waited:?}");
}

#[test]
fn a_client_that_does_not_read_is_waited_for() {
    let many: String = (0..250).map(|i| format!("192.0.2.{i} many.test\n")).collect();
    // Longer than the default of 5 s.
    let corefile = ". {\n timeouts {\n write 7s\n }\n hosts hosts\n}\n";
    let server = Server::with(corefile).file("hosts", many).start();
    let mut tcp = Tcp::connect(server.address());
    let begin = Instant::now();
    let asked = framed(&wire(&query("many.test.", RecordType::A)));
    let asked = asked.repeat(1000);
    // Until the server has closed it.
    while tcp.stream().write_all(&asked).is_ok() {}
    assert!(begin.elapsed() > Duration::from_millis(6_900), "{:?}", begin.elapsed());
}

#[test]
fn so_many_queries_on_a_connection_and_no_more() {
    let server = server("maxtcpqueries 3");
    let mut tcp = Tcp::connect(server.address());
    let asked: Vec<_> = (0..5).map(|_| query("one.test.", RecordType::A)).collect();
    let bytes: Vec<u8> = asked.iter().flat_map(|asked| framed(&wire(asked))).collect();
    tcp.write(&bytes);
    for asked in &asked[..3] {
        assert_eq!(read(&tcp.receive()).metadata.id, asked.metadata.id);
    }
    assert_eq!(tcp.try_receive(), None, "that was all");
}

#[test]
fn the_last_block_of_a_listener_counts_and_check_says_which_does_not() {
    let corefile = "a.test {\n timeouts {\n maxtcpqueries 9\n }\n whoami\n}\n\
                    b.test {\n timeouts {\n maxtcpqueries 1\n }\n whoami\n}\n";
    let server = Server::start(corefile);
    let mut tcp = Tcp::connect(server.address());
    tcp.ask(&query("a.test.", RecordType::A));
    assert_eq!(tcp.try_receive(), None);
    let ended = Server::with(corefile).without_port_flag().argument("check").argument("Corefile").run();
    assert_eq!(ended.code(), 0, "{ended:#?}");
    let text = ended.stdout + &ended.stderr;
    assert!(text.contains("this does not count on dns://:53"), "{text}");
    assert!(text.contains("Corefile:3:16") && text.contains("Corefile:9:16"), "{text}");
}
