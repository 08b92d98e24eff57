//! How a connection is used (RFC 7766).

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::*;
use crate::support::PATIENCE;

/// An upstream that answers names under slow.test when the gate opens, and a server that knows one.test itself.
fn slow_and_fast() -> (Upstream, Server) {
    let upstream = Upstream::start(|asked| Deed::usual(asked).at_the_gate());
    let server = Server::start(&format!(
        ". {{\n hosts absent {{\n 192.0.2.1 one.test\n fallthrough\n }}\n forward . {}\n}}\n",
        upstream.address
    ));
    (upstream, server)
}

#[test]
fn a_fast_answer_overtakes_a_slow_one() {
    let (upstream, server) = slow_and_fast();
    let mut tcp = Tcp::connect(server.address());
    let (slow, fast) = (query("slow.test.", RecordType::A), query("one.test.", RecordType::A));
    tcp.send(&wire(&slow));
    upstream.wait_for(1);
    tcp.send(&wire(&fast));
    assert_eq!(read(&tcp.receive()).metadata.id, fast.metadata.id);
    upstream.open_gate();
    assert_eq!(read(&tcp.receive()).metadata.id, slow.metadata.id);
}

#[test]
fn each_of_many_queries_on_one_connection_gets_its_own_answer() {
    let (upstream, server) = slow_and_fast();
    let mut tcp = Tcp::connect(server.address());
    let mut waiting: Vec<u16> = Vec::new();
    for i in 0..60 {
        let asked = query(&format!("n{i}.slow.test."), RecordType::A);
        waiting.push(asked.metadata.id);
        tcp.send(&wire(&asked));
    }
    upstream.wait_for(60);
    upstream.open_gate();
    for _ in 0..60 {
        let answer = read(&tcp.receive());
        let place = waiting.iter().position(|id| *id == answer.metadata.id).expect("an ID that waits");
        waiting.swap_remove(place);
        assert_eq!(addresses(&answer).len(), 1);
    }
}

#[test]
fn no_more_than_128_queries_of_one_connection_wait_at_once() {
    let (upstream, server) = slow_and_fast();
    let mut tcp = Tcp::connect(server.address());
    let asked: Vec<u8> =
        (0..200).flat_map(|i| framed(&wire(&query(&format!("n{i}.slow.test."), RecordType::A)))).collect();
    tcp.write(&asked);
    upstream.wait_for(128);
    // Nothing more is read of this one; others are served.
    let mut other = Tcp::connect(server.address());
    other.send(&wire(&query("other.slow.test.", RecordType::A)));
    let last = upstream.wait_for(129).pop().unwrap();
    assert_eq!(last.query.queries[0].name.to_ascii(), "other.slow.test.");
    upstream.open_gate();
    for _ in 0..200 {
        assert_eq!(addresses(&read(&tcp.receive())).len(), 1);
    }
    assert_eq!(addresses(&read(&other.receive())).len(), 1);
}

#[test]
fn many_messages_in_one_segment_are_all_answered() {
    let server = small_and_large();
    let mut tcp = Tcp::connect(server.address());
    let asked: Vec<_> = (0..300).map(|_| query("one.test.", RecordType::A)).collect();
    let bytes: Vec<u8> = asked.iter().flat_map(|asked| framed(&wire(asked))).collect();
    tcp.write(&bytes);
    for asked in &asked {
        assert_eq!(read(&tcp.receive()).metadata.id, asked.metadata.id);
    }
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let server = small_and_large();
    let mut tcp = Tcp::connect(server.address());
    for _ in 0..3 {
        let asked = query("one.test.", RecordType::A);
        for byte in framed(&wire(&asked)) {
            tcp.write(&[byte]);
        }
        assert_eq!(read(&tcp.receive()).metadata.id, asked.metadata.id);
    }
}

#[test]
fn a_message_of_no_bytes_hurts_nobody_else() {
    let server = small_and_large();
    let mut other = Tcp::connect(server.address());
    let mut tcp = Tcp::connect(server.address());
    tcp.write(&[0; 64]);
    assert_eq!(tcp.try_receive(), None, "it is not worth listening to");
    assert_eq!(addresses(&other.ask(&query("one.test.", RecordType::A))).len(), 1);
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    let (upstream, server) = slow_and_fast();
    let mut tcp = Tcp::connect(server.address());
    let (slow, fast) = (query("slow.test.", RecordType::A), query("one.test.", RecordType::A));
    tcp.write(&[framed(&wire(&slow)), framed(&wire(&fast))].concat());
    tcp.finish();
    assert_eq!(read(&tcp.receive()).metadata.id, fast.metadata.id);
    upstream.wait_for(1);
    upstream.open_gate();
    assert_eq!(read(&tcp.receive()).metadata.id, slow.metadata.id);
    assert_eq!(tcp.try_receive(), None, "then the server has said all, too");
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let (upstream, server) = slow_and_fast();
    for i in 0..20 {
        let mut tcp = Tcp::connect(server.address());
        tcp.send(&wire(&query(&format!("n{i}.slow.test."), RecordType::A)));
        tcp.write(b"\x00\x50half a mess");
    }
    upstream.wait_for(20);
    upstream.open_gate();
    assert_eq!(addresses(&ask_tcp(server.address(), &query("one.test.", RecordType::A))).len(), 1);
    assert_eq!(server.stop().code(), 0);
}

/// Reads until the server closes the connection and says how long that took.
fn until_closed(tcp: &mut Tcp, begun: Instant) -> Duration {
    tcp.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    if let Err(error) = tcp.stream().read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    begun.elapsed()
}

#[test]
fn a_connection_without_a_query_is_closed_after_3_seconds() {
    let server = small_and_large();
    let (mut silent, mut slow) = (Tcp::connect(server.address()), Tcp::connect(server.address()));
    let begun = Instant::now();
    // One that sends a little now and then, but never a whole message, is no better.
    slow.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    for byte in framed(&wire(&query("one.test.", RecordType::A))) {
        if slow.stream().write_all(&[byte]).is_err() {
            break;
        }
        match slow.stream().read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => break,
            Ok(_) => panic!("an answer to half a message"),
        }
    }
    let slow_took = begun.elapsed();
    let silent_took = until_closed(&mut silent, begun);
    for took in [slow_took, silent_took] {
        assert!((2900..9000).contains(&took.as_millis()), "{took:?}");
    }
}

#[test]
fn a_connection_that_was_used_is_closed_after_10_seconds() {
    let server = small_and_large();
    let mut tcp = Tcp::connect(server.address());
    tcp.ask(&query("one.test.", RecordType::A));
    let took = until_closed(&mut tcp, Instant::now());
    assert!((9900..20_000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_holds_up_nobody() {
    let server = small_and_large();
    let mut lazy = Tcp::connect(server.address());
    let asked = framed(&wire(&edns_query("many.test.", RecordType::A, 4096))).repeat(100);
    lazy.stream().set_write_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    // The server stops reading when its answers are not taken, and gives up 5 seconds later.
    let error = loop {
        match lazy.stream().write(&asked) {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
        assert!(sent < 256 << 20, "the server reads without end");
    };
    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the server never gives up");
    let took = begun.elapsed();
    assert!((4500..20_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(addresses(&ask_tcp(server.address(), &query("one.test.", RecordType::A))).len(), 1);
}

#[test]
fn one_client_gets_no_more_than_256_connections_of_a_worker() {
    let many: String = (0..100).map(|i| format!("192.0.2.{i} many.test\n")).collect();
    // On one core there is one worker.
    let server = Server::with(". {\n hosts hosts\n}\n")
        .file("hosts", format!("192.0.2.1 one.test\n{many}"))
        .run_by("taskset -c 0")
        .start();
    let asked = query("one.test.", RecordType::A);
    let mut connections = Vec::new();
    for _ in 0..256 {
        let mut tcp = Tcp::connect(server.address());
        tcp.ask(&asked);
        connections.push(tcp);
    }
    let is_served = || {
        let mut tcp = Tcp::connect(server.address());
        // Closed at once, it may not even take the query.
        tcp.try_send(&wire(&asked)) && tcp.try_receive().is_some()
    };
    assert!(!is_served(), "the 257th");
    assert_eq!(addresses(&connections[255].ask(&asked)).len(), 1);
    let mut other = Tcp::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.address());
    assert_eq!(addresses(&other.ask(&asked)).len(), 1, "another client has its own");
    drop(connections);
    let deadline = Instant::now() + PATIENCE;
    while !is_served() {
        assert!(Instant::now() < deadline, "places that were given back are not free");
    }
}
