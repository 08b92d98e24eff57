//! Profiles of the running server, and the pages around them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_proto::rr::RecordType;

use crate::support::client::ask;
use crate::support::http::get;
use crate::support::message::{ResponseCode, query};
use crate::support::{PATIENCE, Server, eventually, next_port};

const PROFILE: &str = "/debug/pprof/profile";
const TAKEN: &str = "Could not enable CPU profiling: cpu profiling already in use\n";

fn serve() -> (Server, u16) {
    let page = next_port();
    (Server::start(&format!(". {{\n whoami\n pprof localhost:{page}\n}}\n")), page)
}

/// A request that is not answered yet.
struct Asked(TcpStream);

impl Asked {
    fn profile(page: u16, seconds: u32) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, page)).expect("the page is there");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero");
        let request =
            format!("GET {PROFILE}?seconds={seconds} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the page reads");
        Self(stream)
    }

    /// Status and body.
    fn answer(mut self) -> (u16, Vec<u8>) {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("an answer");
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, bytes.split_off(head + 4))
    }
}

/// Waits until the first profile of the process has begun: the signal has a handler from then on.
fn begun(server: &Server) {
    let profiling = 1_u64 << (27 - 1);
    eventually("a profile begins", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it lives");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("Linux says it");
        u64::from_str_radix(caught.trim(), 16).expect("a number") & profiling != 0
    });
}

/// What is in a profile: how many samples, and the texts.
fn read(gzip: &[u8]) -> (usize, BTreeSet<String>) {
    let mut child = Command::new("gzip")
        .args(["-d", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is there");
    let mut input = child.stdin.take().expect("it is piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(gzip).expect("gzip reads"));
        child.wait_with_output().expect("gzip ends")
    });
    assert!(output.status.success(), "the profile is compressed by gzip");
    let mut rest = output.stdout.as_slice();
    let (mut samples, mut texts) = (0, BTreeSet::new());
    while !rest.is_empty() {
        let key = number(&mut rest);
        let value = number(&mut rest);
        if key & 7 == 2 {
            let (bytes, behind) = rest.split_at(usize::try_from(value).expect("a length"));
            rest = behind;
            match key >> 3 {
                2 => samples += 1,
                6 => drop(texts.insert(String::from_utf8(bytes.to_vec()).expect("a text"))),
                _ => {}
            }
        }
    }
    (samples, texts)
}

/// A number of protocol buffers: seven bits a byte.
fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[test]
fn a_profile_shows_functions_of_a_server_that_answers_meanwhile() {
    let (server, page) = serve();
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answered = 0_u32;
            while !end.load(Ordering::Relaxed) {
                let answer = ask(server.address(), &query("a.test.", RecordType::A));
                assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
                answered += 1;
            }
            answered
        });
        let first = Asked::profile(page, 2);
        begun(&server);
        // Others are answered while it is made, and a second one is not made.
        assert_eq!(get(page, PROFILE), (500, TAKEN.to_owned()));
        assert_eq!(get(page, "/debug/pprof/symbol"), (200, "num_symbols: 1\n".to_owned()));
        assert!(get(page, "/debug/pprof/threadcreate").1.contains("\tcontrol\n"));
        let (status, profile) = first.answer();
        end.store(true, Ordering::Relaxed);
        assert!(asking.join().expect("every query is answered") > 0);
        assert_eq!(status, 200);
        let (samples, texts) = read(&profile);
        assert!(samples > 0, "a server that answers uses time");
        assert!(texts.iter().any(|text| text.contains("waypost::")), "{texts:?}");
        assert!(texts.iter().any(|text| text.ends_with("/waypost")), "the program is named: {texts:?}");
    });
    // Another one may follow.
    assert_eq!(Asked::profile(page, 1).answer().0, 200);
}

#[test]
fn a_reload_ends_a_profile_with_what_it_has() {
    let (server, page) = serve();
    let asked = Asked::profile(page, 300);
    begun(&server);
    server.reload();
    let (status, profile) = asked.answer();
    assert_eq!(status, 200);
    read(&profile);
    assert_eq!(Asked::profile(page, 1).answer().0, 200);
}

#[test]
fn a_profile_nobody_waits_for_is_given_up() {
    let (server, page) = serve();
    let asked = Asked::profile(page, 300);
    begun(&server);
    assert_eq!(get(page, PROFILE), (500, TAKEN.to_owned()));
    drop(asked);
    eventually("another one can be made", || Asked::profile(page, 1).answer().0 == 200);
}

#[test]
fn a_profile_does_not_hold_up_the_end() {
    let (server, page) = serve();
    let asked = Asked::profile(page, 300);
    begun(&server);
    server.signal("TERM");
    assert_eq!(asked.answer().0, 200);
    assert_eq!(server.wait().code(), 0);
}

#[test]
fn pages_are_those_of_coredns_or_say_why_not() {
    let (_server, page) = serve();
    for (path, status, part) in [
        ("/debug/pprof", 302, "<a href=\"/debug/pprof/\">Found</a>.\n\n"),
        ("/debug/pprof/", 200, "threadcreate"),
        ("/debug/pprof/cmdline", 200, "\0-p\0"),
        ("/debug/pprof/heap", 501, "allocator keeps no profile"),
        ("/debug/pprof/goroutine?debug=2", 501, "no Go runtime"),
        ("/debug/pprof/nosuch", 404, "Unknown profile\n"),
        ("/debug", 404, "404 page not found\n"),
        ("/debug/pprof/profile?seconds=100000", 400, "300 seconds"),
    ] {
        let (got, body) = get(page, path);
        assert_eq!(got, status, "{path}");
        assert!(body.contains(part), "{path}: {body}");
    }
}

#[test]
fn what_has_no_effect_is_said_at_the_start() {
    let page = next_port();
    let server = Server::start(&format!(". {{\n whoami\n pprof localhost:{page} {{\n block 5\n }}\n}}\n"));
    let said = "[WARNING] plugin/pprof: 'block' has no effect";
    assert!(server.stdout.has_within(said, PATIENCE), "{}", server.stdout.text());
}
