//! Plugins that end the process, and that run others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::support::client::{Udp, ask};
use crate::support::message::{query, wire};
use crate::support::{Asked, Deed, Server, Upstream, next_port};

/// Sends a query back to `port`, as a server does that forwards it there.
fn send_back(asked: &Asked, port: u16) {
    let client = Udp::connect(([127, 0, 0, 1], port).into());
    client.send(&wire(&asked.query));
}

fn is_probe(message: &Message) -> bool {
    message.queries[0].query_type == RecordType::HINFO
}

#[test]
fn a_loop_ends_the_process() {
    let port = next_port();
    let upstream = Upstream::start(move |asked| {
        send_back(asked, port);
        Deed::Silence
    });
    let corefile = format!("example.org test {{\n loop\n forward . {}\n log\n}}\n", upstream.address);
    let ended = Server::with(&corefile).port(port).run();
    assert_eq!(ended.code(), 1);
    let line = ended.stdout.lines().last().expect("it says why").to_owned();
    let asked = upstream.wait_for(2);
    assert_eq!(asked.len(), 2, "the third arrival is not passed on");
    let name = asked[0].query.queries[0].name.to_string();
    let labels: Vec<&str> = name.split('.').collect();
    assert!(labels[..2].iter().all(|label| label.parse::<u64>().is_ok()), "{name}");
    assert_eq!(labels[2..], ["example", "org", ""]);
    let want = format!(
        " -> :{port}) detected for zone \"example.org.\", see https://coredns.io/plugins/loop#troubleshooting. \
         Query: \"HINFO {name}\""
    );
    assert!(line.starts_with("[FATAL] plugin/loop: Loop (127.0.0.1:") && line.ends_with(&want), "{line}");
    assert!(is_probe(&asked[0].query) && asked[0].query.metadata.recursion_desired);
}

#[test]
fn a_loop_through_a_server_that_holds_queries_back_is_one_too() {
    let (port, other) = (next_port(), next_port());
    let upstream = Server::with(&format!(". {{\n forward . 127.0.0.1:{port}\n}}\n")).port(other).start();
    let corefile = format!(". {{\n loop\n forward . {}\n}}\n", upstream.address());
    let ended = Server::with(&corefile).port(port).run();
    assert_eq!(ended.code(), 1);
    assert!(ended.stdout.contains("[FATAL] plugin/loop: Loop (127.0.0.1:"), "{ended:?}");
}

#[test]
fn what_is_no_loop_ends_nothing() {
    let upstream = Upstream::usual();
    let server = Server::start(&format!(". {{\n loop\n forward . {}\n}}\n", upstream.address));
    let first = upstream.wait_for(1)[0].query.clone();
    assert!(is_probe(&first));
    // After a reload it is looked for again, by another name.
    server.reload();
    let second = upstream.wait_for(2)[1].query.clone();
    assert!(is_probe(&second) && first.queries[0].name != second.queries[0].name);
    // Clients may ask for what they like, as often as they like.
    let names = [first.queries[0].name.to_string(), "1.2.test.".to_owned()];
    for name in names.iter().cycle().take(10) {
        ask(server.address(), &query(name, RecordType::HINFO));
    }
    assert_eq!(server.stop().code(), 0);
}

#[test]
fn a_query_that_comes_back_once_and_is_answered_then_is_no_loop() {
    let port = next_port();
    // The first is sent back before both are answered, as by a server that asks several others.
    let is_sent_back = AtomicBool::new(false);
    let upstream = Upstream::start(move |asked| {
        if is_probe(&asked.query) && !is_sent_back.swap(true, Ordering::Relaxed) {
            send_back(asked, port);
        }
        Deed::usual(asked).at_the_gate()
    });
    let corefile = format!(". {{\n loop\n forward . {}\n}}\n", upstream.address);
    let server = Server::with(&corefile).port(port).start();
    let asked = upstream.wait_for(2);
    assert_eq!(asked[0].query.queries, asked[1].query.queries);
    upstream.open_gate();
    ask(server.address(), &query("after.test.", RecordType::A));
    assert_eq!(server.stop().code(), 0);
}

#[test]
fn commands_run_at_start_reload_and_end() {
    let corefile = ". {\n on startup sh -c \"'echo started >> log'\"\n on startup false\n \
                    on shutdown sh -c \"'echo stopped >> log'\"\n on shutdown /nonexistent/program &\n whoami\n}\n";
    let server = Server::with(corefile).start();
    let announced = server.wait_for_line("[INFO] Blocking Command \"sh -c echo started >> log\" with ID ");
    let id = announced.rsplit(' ').next().unwrap_or_default();
    assert_eq!(id.len(), 36, "{announced}");
    server.wait_for_line("[INFO] Blocking Command \"false \" with ID ");
    let failed = server.wait_for_line("error on 'on-");
    assert!(failed.ends_with("' hook: exit status 1"), "{failed}");
    let dir = Arc::clone(&server.dir);
    let said = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    assert_eq!(said(), "started\n");
    server.signal("USR1");
    server.wait_for_line("[INFO] Blocking Command \"false \"");
    assert_eq!(said(), "started\nstarted\n");
    let ended = server.stop();
    assert_eq!(ended.code(), 0);
    assert_eq!(said(), "started\nstarted\nstopped\n");
    for line in [
        "[INFO] Blocking Command \"sh -c echo stopped >> log\" with ID ",
        "[INFO] Nonblocking Command \"/nonexistent/program \" with ID ",
        "' hook: fork/exec /nonexistent/program: no such file or directory",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
}

#[test]
fn queries_are_answered_while_a_command_of_the_end_runs() {
    let corefile = ". {\n on shutdown sh -c \"'echo begun; read wait < pipe'\"\n whoami\n}\n";
    let server = Server::with(corefile).start();
    let pipe = server.dir.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils are there");
    assert!(made.success());
    server.signal("TERM");
    server.wait_for_line("begun");
    assert!(!ask(server.address(), &query("late.test.", RecordType::A)).additionals.is_empty());
    // The command ends, and the process with it.
    std::fs::write(&pipe, "go\n").expect("somebody reads");
    assert_eq!(server.wait().code(), 0);
}
