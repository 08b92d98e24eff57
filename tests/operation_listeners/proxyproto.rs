//! Clients behind a load balancer that speaks the PROXY protocol.

use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::support::Server;
use crate::support::client::{Tcp, Udp, framed};
use crate::support::message::{addresses, query, read, wire};

/// The client that [`V4`], [`LINE`] and [`v2`] with them tell of, as log lines show it.
const CLIENT: &str = "[INFO] 192.0.2.7:40000 - ";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 53\r\n";
const V4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 53];

const PROXY: u8 = 0x21;
const LOCAL: u8 = 0x20;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;

/// A header of version 2 with this command, family, and block of addresses and extensions.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let len = u16::try_from(block.len()).expect("a short block");
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len.to_be_bytes(), block].concat()
}

/// A server with these options of `proxyproto` that logs who asks it.
fn server(options: &str) -> Server {
    server_with(&format!("proxyproto {{\n {options}\n }}"))
}

fn server_with(directives: &str) -> Server {
    Server::start(&corefile(directives))
}

fn corefile(directives: &str) -> String {
    format!(". {{\n {directives}\n log\n hosts absent {{\n 192.0.2.1 one.test\n }}\n}}\n")
}

fn one() -> Message {
    query("one.test.", RecordType::A)
}

/// Waits for the log line of `asked`.
fn log_line(server: &Server, asked: &Message) -> String {
    server.wait_for_line(&format!(" - {} \"A IN one.test. ", asked.metadata.id))
}

/// Sends a query behind `header` from `udp`; its answer comes back there. Returns its log line.
fn ask_udp(server: &Server, udp: &Udp, header: &[u8]) -> String {
    let asked = one();
    udp.send(&[header, &wire(&asked)].concat());
    let answer = read(&udp.receive());
    assert_eq!((answer.metadata.id, addresses(&answer).len()), (asked.metadata.id, 1));
    log_line(server, &asked)
}

/// The same over a connection of its own, in these parts.
fn ask_tcp(server: &Server, parts: &[&[u8]]) -> String {
    let asked = one();
    let mut tcp = Tcp::connect(server.address());
    for part in parts {
        tcp.write(part);
    }
    assert_eq!(addresses(&tcp.ask(&asked)).len(), 1);
    // A header is one of the connection: there is none in front of the next query.
    let next = one();
    assert_eq!(addresses(&tcp.ask(&next)).len(), 1);
    let (line, next) = (log_line(server, &asked), log_line(server, &next));
    assert_eq!(line.split(' ').nth(1), next.split(' ').nth(1));
    line
}

/// Fails unless `bytes` in front of a query are met with silence over UDP.
fn is_dropped(server: &Server, bytes: &[u8]) {
    let udp = Udp::connect(server.address());
    udp.send(&[bytes, &wire(&one())].concat());
    // What comes is the answer to the next one.
    ask_udp(server, &udp, b"");
}

/// Fails unless `bytes` in front of a query end their connection.
fn is_closed(server: &Server, bytes: &[u8]) {
    let mut tcp = Tcp::connect(server.address());
    tcp.write(&[bytes, &framed(&wire(&one()))].concat());
    assert_eq!(tcp.try_receive(), None, "{bytes:02x?}");
}

#[test]
fn the_client_is_that_of_the_header() {
    let server = server_with("proxyproto");
    let udp = Udp::connect(server.address());
    let extensions = [V4, b"\x01\x00\x03dns\x04\x00\x02\x00\x00"].concat();
    for header in [v2(PROXY, UDP4, V4), v2(PROXY, UDP4, &extensions)] {
        assert!(ask_udp(&server, &udp, &header).starts_with(CLIENT));
    }
    for header in [LINE.to_vec(), v2(PROXY, TCP4, V4), v2(PROXY, TCP4, &extensions), v2(PROXY, UDP4, V4)] {
        assert!(ask_tcp(&server, &[&header]).starts_with(CLIENT));
        // In parts, as packets may come.
        assert!(ask_tcp(&server, &header.chunks(7).collect::<Vec<_>>()).starts_with(CLIENT));
    }
    // Without one it is the sender.
    let own = format!("[INFO] 127.0.0.1:{} - ", udp.local_port());
    assert!(ask_udp(&server, &udp, b"").starts_with(&own));
    assert!(ask_tcp(&server, &[]).starts_with("[INFO] 127.0.0.1:"));
}

#[test]
fn an_answer_goes_to_the_sender_from_the_address_that_it_sent_to() {
    let server = server_with("proxyproto");
    // Sockets that are connected take nothing from anywhere else.
    for at in ["127.0.0.1", "127.0.0.9", "::1"] {
        let address = server.address_at(at.parse().expect("an address"));
        if address.is_ipv6() && !crate::support::has_ipv6() {
            continue;
        }
        let udp = Udp::connect(address);
        assert!(ask_udp(&server, &udp, &v2(PROXY, UDP4, V4)).starts_with(CLIENT));
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_client() {
    let server = server("udp_session_tracking 1m");
    let udp = Udp::connect(server.address());
    let own = format!("[INFO] 127.0.0.1:{} - ", udp.local_port());
    for header in [v2(LOCAL, 0, b""), v2(LOCAL, UDP4, V4), v2(LOCAL, UDP4, b"x")] {
        assert!(ask_udp(&server, &udp, &header).starts_with(&own));
        assert!(ask_tcp(&server, &[&header]).starts_with("[INFO] 127.0.0.1:"));
    }
    assert!(ask_tcp(&server, &[b"PROXY UNKNOWN ::1 ::1 1 1\r\n"]).starts_with("[INFO] 127.0.0.1:"));
}

#[test]
fn bad_headers_are_dropped_with_their_query() {
    let server = server_with("proxyproto");
    let udp = Udp::connect(server.address());
    udp.send(&v2(PROXY, UDP4, V4)[..20]);
    let want = format!(
        "[WARNING] dropping invalid Proxy Protocol packet from 127.0.0.1:{}: parsing Proxy Protocol header \
         (packet size: 20): proxyproto: invalid address: unexpected EOF",
        udp.local_port()
    );
    assert_eq!(server.wait_for_line("[WARNING] dropping"), want);
    for header in [
        // Of the wrong family, the wrong version, or none.
        v2(PROXY, TCP4, V4),
        LINE.to_vec(),
        v2(PROXY, 0, b""),
        v2(PROXY, 0x13, V4),
        v2(0x31, UDP4, V4),
        // Without room for its addresses, or with less than it says.
        v2(PROXY, UDP4, &V4[..11]),
        v2(PROXY, UDP4, &[V4, &[0; 300]].concat())[..40].to_vec(),
    ] {
        is_dropped(&server, &header);
    }
    for header in [
        &b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n"[..],
        b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 53\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 53\n",
        &[b'P', b'R', b'O', b'X', b'Y'].repeat(40),
        &v2(PROXY, 0, b""),
        &v2(PROXY, 0x13, V4),
        &v2(0x31, TCP4, V4),
        &v2(PROXY, TCP4, &V4[..11]),
    ] {
        is_closed(&server, header);
    }
}

#[test]
fn who_is_not_permitted_is_treated_as_said() {
    let header = v2(PROXY, UDP4, V4);
    let check = |allow: &str, default: &str, with_header: Option<&str>| {
        let server = server(&format!("allow {allow}\n default {default}"));
        let udp = Udp::connect(server.address());
        match with_header {
            Some(client) => {
                assert!(ask_udp(&server, &udp, &header).starts_with(client), "{allow} {default}");
                assert!(ask_tcp(&server, &[LINE]).starts_with(client), "{allow} {default}");
            }
            None => {
                is_dropped(&server, &header);
                is_closed(&server, LINE);
            }
        }
        // Who sends none is served in any case.
        assert!(ask_udp(&server, &udp, b"").starts_with("[INFO] 127.0.0.1:"));
        assert!(ask_tcp(&server, &[]).starts_with("[INFO] 127.0.0.1:"));
    };
    check("127.0.0.0/8 ::1/128", "reject", Some(CLIENT));
    check("198.51.100.0/24", "use", Some(CLIENT));
    check("198.51.100.0/24", "ignore", Some("[INFO] 127.0.0.1:"));
    check("198.51.100.0/24", "reject", None);
    // Where they are not looked for they are part of the message: this one has an opcode that nobody knows.
    let server = server("allow 198.51.100.0/24\n default skip");
    let udp = Udp::connect(server.address());
    udp.send(&[&header[..], &wire(&one())].concat());
    assert_eq!(udp.receive()[..2], header[..2]);
    ask_udp(&server, &udp, b"");
}

#[test]
fn a_header_in_a_datagram_of_its_own_counts_for_those_that_follow() {
    let server = server("udp_session_tracking 1m");
    let (through, beside) = (Udp::connect(server.address()), Udp::connect(server.address()));
    through.send(&v2(PROXY, UDP4, V4));
    for _ in 0..3 {
        assert!(ask_udp(&server, &through, b"").starts_with(CLIENT));
        assert!(ask_udp(&server, &beside, b"").starts_with("[INFO] 127.0.0.1:"));
    }
    let other = [&[203, 0, 113, 5][..], &V4[4..]].concat();
    through.send(&v2(PROXY, UDP4, &other));
    assert!(ask_udp(&server, &through, b"").starts_with("[INFO] 203.0.113.5:40000 - "));
    // Without it nothing is remembered, and a reload forgets.
    server.dir.write("Corefile", corefile("proxyproto"));
    server.reload();
    assert!(ask_udp(&server, &through, b"").starts_with("[INFO] 127.0.0.1:"));
}

#[test]
fn a_header_that_is_never_finished_ends_in_time() {
    let server = server_with("timeouts {\n read 1s\n }\n proxyproto");
    for begin in [&b"PROX"[..], b"PROXY TCP4 192.0.2.7", &v2(PROXY, TCP4, V4)[..15]] {
        let start = Instant::now();
        let mut tcp = Tcp::connect(server.address());
        tcp.write(begin);
        assert_eq!(tcp.try_receive(), None);
        assert!(start.elapsed() > Duration::from_millis(900), "it was given its time");
    }
}

#[test]
fn many_clients_come_from_one_address_but_no_client_has_too_many_connections() {
    let server = server_with("multisocket 1\n proxyproto");
    let connect = |source: &str| {
        let mut tcp = Tcp::connect(server.address());
        tcp.write(format!("PROXY TCP4 {source} 198.51.100.1 40000 53\r\n").as_bytes());
        tcp
    };
    let is_served = |tcp: &mut Tcp| tcp.try_send(&wire(&one())) && tcp.try_receive().is_some();
    let mut of_many: Vec<Tcp> = (0..300).map(|i| connect(&format!("192.0.2.{}", i % 150))).collect();
    assert!(of_many.iter_mut().all(is_served));
    drop(of_many);
    let mut of_one: Vec<Tcp> = (0..300).map(|_| connect("203.0.113.5")).collect();
    let served = of_one.iter_mut().filter_map(|tcp| is_served(tcp).then_some(())).count();
    assert_eq!(served, 256);
}

#[test]
fn all_blocks_of_a_listener_and_all_keys_of_a_block_have_it() {
    let other = crate::support::next_port();
    let corefile = format!(
        "one.test:{other} {{\n log\n hosts absent {{\n 192.0.2.1 one.test\n }}\n}}\n\
         a.test b.test:{other} {{\n proxyproto\n whoami\n}}\n"
    );
    let mut server = Server::start(&corefile);
    // The block of one.test stands beside the second key.
    server.port = other;
    let udp = Udp::connect(server.address());
    assert!(ask_udp(&server, &udp, &v2(PROXY, UDP4, V4)).starts_with(CLIENT));
    assert!(ask_tcp(&server, &[LINE]).starts_with(CLIENT));
}

#[test]
fn a_reload_switches_it_on_and_off() {
    let server = server_with("");
    let udp = Udp::connect(server.address());
    for (directive, client) in
        [("proxyproto", CLIENT), ("proxyproto {\n default ignore\n }", "[INFO] 127.0.0.1:")]
    {
        server.dir.write("Corefile", corefile(directive));
        server.reload();
        assert!(ask_udp(&server, &udp, &v2(PROXY, UDP4, V4)).starts_with(client));
        assert!(ask_tcp(&server, &[LINE]).starts_with(client));
    }
    server.dir.write("Corefile", corefile(""));
    server.reload();
    assert!(ask_udp(&server, &udp, b"").starts_with("[INFO] 127.0.0.1:"));
    udp.send(&v2(PROXY, UDP4, V4));
    assert_eq!(udp.receive()[..2], *b"\r\n", "it is a message like any other");
    let mut tcp = Tcp::connect(server.address());
    assert_eq!(addresses(&tcp.ask(&one())).len(), 1);
}
