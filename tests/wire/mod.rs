//! Messages that no client should send, and answers that must fit what the client takes: over UDP and TCP alike.

mod streams;

use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::rr::RecordType;
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::client::{Tcp, Udp, ask, ask_tcp, framed};
use crate::support::message::{ResponseCode, addresses, edns_query, query, read, txt, wire};
use crate::support::{Deed, Server, Upstream, message, say};

/// One name with one address, one with a hundred.
fn small_and_large() -> Server {
    let many: String = (0..100).map(|i| format!("192.0.2.{i} many.test\n")).collect();
    Server::with(". {\n hosts hosts\n}\n").file("hosts", format!("192.0.2.1 one.test\n{many}")).start()
}

/// A question of one.test without a header.
const ONE: &[u8] = b"\x03one\x04test\x00\x00\x01\x00\x01";

/// An OPT record of 1232 bytes and version 0.
const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

/// A message of these header fields and this body; its ID is 0x4142.
fn raw(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"AB".to_vec();
    bytes.extend(flags.to_be_bytes());
    counts.iter().for_each(|count| bytes.extend(count.to_be_bytes()));
    bytes.extend(body.concat());
    bytes
}

/// Recursion desired.
const RD: u16 = 0x0100;

/// Sends `bytes` over UDP and TCP and returns what came back.
fn both(server: &Server, bytes: &[u8]) -> [Vec<u8>; 2] {
    let udp = Udp::connect(server.address());
    udp.send(bytes);
    let mut tcp = Tcp::connect(server.address());
    tcp.send(bytes);
    [udp.receive(), tcp.receive()]
}

/// Fails unless `bytes` is met with silence, over UDP and TCP: what comes is the answer to the query after it.
fn is_met_with_silence(server: &Server, bytes: &[u8]) {
    let asked = wire(&query("one.test.", RecordType::A));
    let udp = Udp::connect(server.address());
    udp.send(bytes);
    udp.send(&asked);
    assert_eq!(udp.receive()[..2], asked[..2], "an answer to {bytes:02x?} over UDP");
    let mut tcp = Tcp::connect(server.address());
    tcp.send(bytes);
    // A server may take such a client for one that it need not listen to any longer.
    if let Some(answer) = tcp.try_send(&asked).then(|| tcp.try_receive()).flatten() {
        assert_eq!(answer[..2], asked[..2], "an answer to {bytes:02x?} over TCP");
    }
}

/// The response code of a header, and whether it has the QR bit.
fn rcode(answer: &[u8]) -> (u8, bool) {
    (answer[3] & 0x0f, answer[2] & 0x80 != 0)
}

const FORMERR: u8 = 1;
const NOTIMP: u8 = 4;

#[test]
fn a_response_is_met_with_silence() {
    let server = small_and_large();
    is_met_with_silence(&server, &raw(0x8000 | RD, [1, 0, 0, 0], &[ONE]));
    is_met_with_silence(&server, &raw(0x8180, [0, 0, 0, 0], &[]));
    is_met_with_silence(&server, &raw(0x8000 | RD, [9, 9, 9, 9], &[b"\xff\xff"]));
}

#[test]
fn a_cut_header_is_met_with_silence() {
    let server = small_and_large();
    let whole = raw(RD, [1, 0, 0, 0], &[ONE]);
    for len in 0..12 {
        is_met_with_silence(&server, &whole[..len]);
    }
}

#[test]
fn operations_other_than_query_and_notify_are_not_implemented() {
    let server = small_and_large();
    for opcode in (0..16).filter(|opcode| ![0, 4].contains(opcode)) {
        for answer in both(&server, &raw(opcode << 11 | RD, [1, 0, 0, 0], &[ONE])) {
            assert_eq!(answer.len(), 12, "the header alone: {answer:02x?}");
            assert_eq!(rcode(&answer), (NOTIMP, true), "{opcode}");
            assert_eq!(&answer[..2], b"AB");
            assert_eq!(answer[2] >> 3 & 0x0f, opcode as u8);
        }
    }
}

#[test]
fn counts_that_a_query_cannot_have_are_a_format_error() {
    let server = small_and_large();
    let record = b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00";
    for (counts, body) in [
        ([0, 0, 0, 0], &[][..]),
        ([0, 0, 0, 1], &[OPT][..]),
        ([2, 0, 0, 0], &[ONE, ONE]),
        ([65_535, 0, 0, 0], &[ONE]),
        ([1, 2, 0, 0], &[ONE, record, record]),
        ([1, 0, 2, 0], &[ONE, record, record]),
        ([1, 0, 0, 3], &[ONE, record, record, OPT]),
        ([1, 65_535, 65_535, 65_535], &[ONE]),
        // Fewer records than the header promises.
        ([1, 0, 0, 1], &[ONE]),
        ([1, 1, 0, 0], &[ONE]),
        ([1, 0, 0, 0], &[]),
        // RFC 6891 6.1.1
        ([1, 0, 0, 2], &[ONE, OPT, OPT]),
    ] {
        for answer in both(&server, &raw(RD, counts, body)) {
            assert_eq!(rcode(&answer), (FORMERR, true), "{counts:?} {answer:02x?}");
            assert_eq!((answer.len(), &answer[..2]), (12, &b"AB"[..]), "the header alone: {answer:02x?}");
        }
    }
}

#[test]
fn names_that_are_none_are_a_format_error() {
    let server = small_and_large();
    let long_label = [&b"\x40"[..], &[b'a'; 64], b"\x00\x00\x01\x00\x01"].concat();
    let long_name =
        [[&b"\x3f"[..], &[b'a'; 63]].concat().repeat(4), b"\x00\x00\x01\x00\x01".to_vec()].concat();
    for body in [
        &long_label[..],
        &long_name,
        // Pointers: to itself, behind the end, into the header; and label types of which there are none.
        b"\xc0\x0c\x00\x01\x00\x01",
        b"\xff\xff\x00\x01\x00\x01",
        b"\xc0\x00\x00\x01\x00\x01",
        b"\x03one\xc0\x0c\x00\x01\x00\x01",
        b"\x80\x00\x01\x00\x01",
        b"\x41a\x00\x00\x01\x00\x01",
        // Labels that go on behind the end.
        b"\x3fone",
        b"\x03one\x04test",
    ] {
        for answer in both(&server, &raw(RD, [1, 0, 0, 0], &[body])) {
            assert_eq!(rcode(&answer), (FORMERR, true), "{body:02x?}");
        }
    }
}

#[test]
fn the_longest_names_and_any_bytes_in_them_are_names() {
    let server = Server::start(". {\n whoami\n}\n");
    let label = |len: usize, byte: u8| [&[len as u8][..], &vec![byte; len]].concat();
    let longest = [label(63, b'a'), label(63, b'b'), label(63, b'c'), label(61, b'd'), vec![0]].concat();
    assert_eq!(longest.len(), 255);
    let single = [b"\x01a".repeat(127), vec![0]].concat();
    let bytes = [label(3, 0), label(2, 0xff), label(1, b'.'), label(1, b'\\'), vec![0]].concat();
    for name in [longest, single, bytes] {
        for answer in both(&server, &raw(RD, [1, 0, 0, 0], &[&name, b"\x00\x01\x00\x01"])) {
            assert_eq!(rcode(&answer), (0, true), "{name:02x?}");
            assert_eq!(answer[12..12 + name.len()], name[..], "the question comes back as it was");
            read(&answer);
        }
    }
}

#[test]
fn every_cut_of_a_query_is_a_format_error_and_the_server_lives_on() {
    let server = small_and_large();
    let option = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x08\xfd\xe9\x00\x04\x01\x02\x03\x04";
    let whole = raw(RD, [1, 0, 0, 1], &[ONE, option]);
    let udp = Udp::connect(server.address());
    let mut tcp = Tcp::connect(server.address());
    for len in 12..whole.len() {
        udp.send(&whole[..len]);
        tcp.send(&whole[..len]);
        for answer in [udp.receive(), tcp.receive()] {
            assert_eq!(rcode(&answer), (FORMERR, true), "cut after {len} bytes");
        }
    }
    for answer in both(&server, &whole) {
        assert_eq!(addresses(&read(&answer)), [Ipv4Addr::new(192, 0, 2, 1)]);
    }
}

#[test]
fn bytes_behind_a_message_are_ignored() {
    let server = small_and_large();
    for end in [&b"\x00"[..], b"trailing", &[0xff; 300]] {
        for answer in both(&server, &raw(RD, [1, 0, 0, 1], &[ONE, OPT, end])) {
            assert_eq!(addresses(&read(&answer)).len(), 1);
        }
    }
}

#[test]
fn a_query_of_4096_bytes_is_read_whole() {
    let server = small_and_large();
    let padded = |len: usize| {
        let option = (len - 12 - ONE.len() - OPT.len() - 4) as u16;
        let opt = [&OPT[..9], &(option + 4).to_be_bytes(), b"\x00\x0c", &option.to_be_bytes()].concat();
        raw(RD, [1, 0, 0, 1], &[ONE, &opt, &vec![0; usize::from(option)]])
    };
    for len in [512, 513, 1400, 4096] {
        for answer in both(&server, &padded(len)) {
            assert_eq!(addresses(&read(&answer)).len(), 1, "{len} bytes");
        }
    }
    let udp = Udp::connect(server.address());
    udp.send(&padded(4097));
    assert_eq!(rcode(&udp.receive()), (FORMERR, true), "what is longer is cut, and says so");
    let mut tcp = Tcp::connect(server.address());
    tcp.send(&padded(65_535));
    assert_eq!(addresses(&read(&tcp.receive())).len(), 1, "a stream has no such limit");
}

#[test]
fn edns_of_another_version_is_answered_with_ours() {
    let server = small_and_large();
    for version in [1, 255] {
        let opt = [b"\x00\x00\x29\x04\xd0\x00", &[version][..], b"\x00\x00\x00\x00"].concat();
        for answer in both(&server, &raw(RD, [1, 0, 0, 1], &[ONE, &opt])) {
            let answer = read(&answer);
            // BADVERS; the code has a second name.
            assert_eq!(u16::from(answer.metadata.response_code), 16);
            assert_eq!(answer.edns.expect("an OPT record").version(), 0);
            assert!(answer.answers.is_empty() && answer.queries.len() == 1);
        }
    }
}

#[test]
fn an_opt_record_with_a_name_or_broken_options_is_a_format_error() {
    let server = small_and_large();
    for opt in [
        // An option that is longer than its record.
        &b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\xfd\xe9\x00\x05"[..],
        b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x03\xfd\xe9\x00",
    ] {
        for answer in both(&server, &raw(RD, [1, 0, 0, 1], &[ONE, opt])) {
            assert_eq!(rcode(&answer), (FORMERR, true), "{opt:02x?}");
        }
    }
}

#[test]
fn classes_other_than_in_are_refused() {
    let server = small_and_large();
    for class in [3u16, 4, 254, 255, 0] {
        let question = [&ONE[..ONE.len() - 2], &class.to_be_bytes()].concat();
        for answer in both(&server, &raw(RD, [1, 0, 0, 0], &[&question])) {
            let answer = read(&answer);
            assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "class {class}");
            assert!(answer.answers.is_empty());
        }
    }
}

#[test]
fn an_answer_is_as_large_as_the_client_takes_and_no_rrset_is_in_pieces() {
    let server = small_and_large();
    let sizes = [None, Some(0), Some(100), Some(512), Some(1232), Some(1500), Some(4096), Some(65_535)];
    for size in sizes {
        let asked = match size {
            None => query("many.test.", RecordType::A),
            Some(size) => edns_query("many.test.", RecordType::A, size),
        };
        let limit = usize::from(size.unwrap_or(512).max(512));
        let udp = Udp::connect(server.address());
        udp.send(&wire(&asked));
        let bytes = udp.receive();
        let answer = read(&bytes);
        assert!(bytes.len() <= limit, "{} bytes for {size:?}", bytes.len());
        assert_eq!(answer.edns.is_some(), size.is_some());
        // A hundred addresses with their owner as a pointer, the header, the question and an OPT record.
        let whole = 100 * 16 + 12 + 15 + 11;
        assert_eq!(answer.metadata.truncation, limit < whole, "{size:?}");
        assert_eq!(answer.answers.len(), if limit < whole { 0 } else { 100 }, "{size:?}");
        // Over TCP everything fits, whatever the size said.
        let answer = ask_tcp(server.address(), &asked);
        assert!(!answer.metadata.truncation);
        assert_eq!(answer.answers.len(), 100);
        assert_eq!(answer.edns.is_some(), size.is_some());
    }
}

#[test]
fn a_forwarded_answer_that_is_too_large_is_cut_to_whole_rrsets() {
    let upstream = Upstream::start(|asked| {
        let texts = (0..10).map(|i| txt("long.test.", 60, vec![format!("{i}").repeat(200)])).collect();
        Deed::answer(&message::response(&asked.query, ResponseCode::NoError, texts))
    });
    let server = Server::start(&format!(". {{\n forward . {} {{\n force_tcp\n }}\n}}\n", upstream.address));
    let asked = query("long.test.", RecordType::TXT);
    let cut = ask(server.address(), &asked);
    assert!(cut.metadata.truncation && cut.answers.is_empty(), "{cut}");
    assert!(cut.edns.is_none(), "no OPT record for a client without one");
    let whole = ask_tcp(server.address(), &asked);
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (10, false));
}

#[test]
fn garbage_is_survived() {
    let server = small_and_large();
    let udp = Udp::connect(server.address());
    let mut seed = 0x5eed_u64;
    let mut random = || {
        // Any sequence will do; this one (xorshift) is the same each time.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let whole = raw(RD, [1, 0, 0, 1], &[ONE, OPT]);
    for _ in 0..50 {
        for _ in 0..40 {
            let mut bytes = whole.clone();
            for _ in 0..random() % 8 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() as usize % 60);
            udp.send(&bytes);
        }
        // The socket's buffer never has more than these in it, so that this query is not lost.
        let asked = query("one.test.", RecordType::A);
        udp.send(&wire(&asked));
        while udp.receive()[..2] != asked.metadata.id.to_be_bytes() {}
    }
    assert_eq!(server.stop().code(), 0);
}

/// Sends `payload` to `server` as a datagram from any port of this machine, which a common socket cannot; false if that is not allowed here.
fn send_from_port(source_port: u16, server: SocketAddr, payload: &[u8]) -> bool {
    let Ok(socket) = Socket::new(Domain::IPV4, Type::from(libc::SOCK_RAW), Some(Protocol::UDP)) else {
        say("SKIPPED: datagrams from forged ports: raw sockets are not allowed here");
        return false;
    };
    let len = 8 + payload.len() as u16;
    let ports = [source_port.to_be_bytes(), server.port().to_be_bytes()].concat();
    // Without a checksum, as IPv4 allows.
    let datagram = [&ports, &len.to_be_bytes()[..], &[0, 0], payload].concat();
    let sent = socket.send_to(&datagram, &server.into()).expect("the datagram can be sent");
    sent == datagram.len()
}

#[test]
fn a_query_that_cannot_be_answered_hurts_none_of_its_neighbours() {
    let server = small_and_large();
    let client = Udp::connect(server.address());
    for _ in 0..20 {
        let (first, second) = (query("one.test.", RecordType::A), query("one.test.", RecordType::A));
        client.send(&wire(&first));
        // There is no port 0 to answer to.
        if !send_from_port(0, server.address(), &wire(&query("one.test.", RecordType::A))) {
            return;
        }
        client.send(&wire(&second));
        let mut ids = [client.receive(), client.receive()].map(|answer| read(&answer).metadata.id);
        ids.sort_unstable();
        assert_eq!(ids, [first.metadata.id, second.metadata.id]);
    }
}

#[test]
fn a_query_that_seems_to_come_from_the_server_itself_makes_no_loop() {
    let server = Server::start(". {\n log\n hosts absent {\n 192.0.2.1 one.test\n }\n}\n");
    let (good, bad) = (wire(&query("one.test.", RecordType::A)), raw(RD, [0, 0, 0, 0], &[]));
    if !send_from_port(server.port, server.address(), &good) {
        return;
    }
    send_from_port(server.port, server.address(), &bad);
    server.wait_for_line(&format!("[INFO] 127.0.0.1:{} - ", server.port));
    // What it sent to itself is in front of this.
    for _ in 0..3 {
        ask(server.address(), &query("last.test.", RecordType::A));
    }
    let ended = server.stop();
    assert_eq!(ended.stdout.matches("\"A IN one.test. udp").count(), 1, "{}", ended.stdout);
}
