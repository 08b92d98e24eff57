//! How many sockets an address has.

use std::fs;

use hickory_proto::rr::RecordType;

use crate::support::Server;
use crate::support::client::{ask, ask_tcp};
use crate::support::message::{addresses, query};

/// The sockets at 127.0.0.1 and `port` that the kernel lists for `protocol`, bound or listening.
fn sockets(protocol: &str, port: u16) -> usize {
    let list = fs::read_to_string(format!("/proc/net/{protocol}")).expect("the kernel lists its sockets");
    let (local, state) = (format!("0100007F:{port:04X}"), if protocol == "tcp" { "0A" } else { "07" });
    let has = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(local.as_str()) && words.nth(1) == Some(state)
    };
    list.lines().filter(has).count()
}

fn corefile(sockets: &str) -> String {
    format!(". {{\n {sockets}\n bind 127.0.0.1\n hosts absent {{\n 192.0.2.1 one.test\n }}\n}}\n")
}

fn is_answered(server: &Server) {
    for _ in 0..40 {
        let asked = query("one.test.", RecordType::A);
        assert_eq!(addresses(&ask(server.address(), &asked)).len(), 1);
        assert_eq!(addresses(&ask_tcp(server.address(), &asked)).len(), 1);
    }
}

#[test]
fn an_address_has_the_sockets_it_is_to_have() {
    for (directive, count) in [("multisocket 1", 1), ("multisocket 5", 5), ("multisocket 64", 64)] {
        let server = Server::start(&corefile(directive));
        assert_eq!(["udp", "tcp"].map(|p| sockets(p, server.port)), [count; 2], "{directive}");
        is_answered(&server);
    }
    let of_workers = ["multisocket", ""].map(|directive| {
        let server = Server::start(&corefile(directive));
        is_answered(&server);
        sockets("udp", server.port)
    });
    assert_eq!(of_workers[0], of_workers[1]);
}

#[test]
fn a_reload_opens_more_and_closes_none() {
    let server = Server::start(&corefile("multisocket 2"));
    for (count, want) in [(6, 6), (3, 6), (7, 7)] {
        server.dir.write("Corefile", corefile(&format!("multisocket {count}")));
        server.reload();
        assert_eq!(["udp", "tcp"].map(|p| sockets(p, server.port)), [want; 2]);
        is_answered(&server);
    }
}
