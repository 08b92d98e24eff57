use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::control::runtime::ControlRuntime;
use crate::net::inherited;

/// As long as a machine that is busy with other things may take.
const LONG: std::time::Duration = std::time::Duration::from_secs(60);

fn route(path: &'static str, body: &'static str) -> Route {
    Route { path, handler: at_once(move |_| Reply::text(200, body)), ends_at_once: false }
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Listeners with `routes` on a port that the kernel chose.
fn served(runtime: &ControlRuntime, routes: Vec<Route>) -> (Listeners, SocketAddr) {
    let mut listeners = Listeners::new(runtime.handle().clone());
    let opened = listeners.open([any()]).unwrap();
    listeners.serve([(any(), routes)], opened);
    let address = bound(&listeners);
    (listeners, address)
}

fn bound(listeners: &Listeners) -> SocketAddr {
    bound_as(listeners, any())
}

/// The address that the listener configured as `key` is bound to.
fn bound_as(listeners: &Listeners, key: SocketAddr) -> SocketAddr {
    let sockets = listeners.sockets();
    let (_, socket) =
        sockets.into_iter().find(|(purpose, _)| *purpose == format!("http://{key} tcp")).unwrap();
    StdListener::from(socket.try_clone_to_owned().unwrap()).local_addr().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// All that comes in answer to `request`, up to the end of the connection.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    // One that is refused may be gone already.
    let _ = stream.write_all(request.as_bytes());
    let mut text = String::new();
    // A reset behind the answer takes nothing away from it.
    let _ = stream.read_to_string(&mut text);
    text
}

fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[test]
fn paths_are_answered_and_others_are_not_found() {
    let runtime = ControlRuntime::start().unwrap();
    let (_listeners, address) =
        served(&runtime, vec![route("/health", "OK"), route("/debug/", "all"), route("/debug/one", "one")]);
    for (path, want) in [("/health", "OK"), ("/health?x=1", "OK"), ("/debug/x", "all"), ("/debug/one", "one")]
    {
        let answer = get(address, path);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(want), "{path}: {answer}");
        assert!(answer.contains("content-type: text/plain; charset=utf-8\r\n"), "{answer}");
    }
    for path in ["/", "/Health", "/health/", "//health", "/debug", "*"] {
        let answer = get(address, path);
        assert_eq!(status(&answer), "404", "{path}");
        assert!(answer.ends_with("\r\n\r\n404 page not found\n"));
    }
}

#[test]
fn only_get_and_head_are_methods() {
    let runtime = ControlRuntime::start().unwrap();
    let (_listeners, address) = served(&runtime, vec![route("/health", "OK")]);
    let head = exchange(address, "HEAD /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(head.contains("content-length: 2\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer =
            exchange(address, &format!("{method} /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        assert_eq!(status(&answer), "405", "{method}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
    // A body that nobody reads ends the connection rather than be taken for the next request.
    let answer = exchange(
        address,
        "POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\nGET /health HTTP/1.1",
    );
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[test]
fn what_is_no_request_is_refused() {
    let runtime = ControlRuntime::start().unwrap();
    let (_listeners, address) = served(&runtime, vec![route("/health", "OK")]);
    let long = "x".repeat(2 * HEAD_BYTES_MAX);
    let check = |request: &str, want: &[&str]| {
        let answer = exchange(address, request);
        assert!(want.contains(&status(&answer)), "{answer:?}");
    };
    check(&format!("GET /health HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n"), &["431"]);
    check(&format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), &["414", "431"]);
    check(&format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100)), &["431"]);
    check("\0\u{1}\u{2}\r\n\r\n", &["400"]);
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["400", "none"]);
    assert_eq!(status(&get(address, "/health")), "200");
}

/// Asks over a connection that stays open; returns whether that was answered.
fn ask_again(stream: &mut TcpStream, path: &str) -> bool {
    let sent = stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    sent.is_ok() && stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0)
}

/// Takes every place of a listener, each with an answered request.
fn take_all_places(address: SocketAddr, path: &str) -> Vec<TcpStream> {
    let take = |_| {
        let mut stream = connect(address);
        assert!(ask_again(&mut stream, path));
        stream
    };
    (0..CONNECTIONS_MAX).map(take).collect()
}

#[test]
fn a_client_that_never_sends_or_never_reads_loses_its_place() {
    let runtime = ControlRuntime::start().unwrap();
    // More than the kernel keeps for a client that does not read.
    let huge = at_once(|_| Reply::text(200, vec![b'x'; 16 << 20]));
    let huge = Route { path: "/huge", handler: huge, ends_at_once: false };
    let (_listeners, address) = served(&runtime, vec![huge, route("/health", "OK")]);
    let begun = Instant::now();
    let requests: [&[u8]; 4] = [
        b"",
        b"GET /huge HT",
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /huge HTTP/1.1\r\nhost: x\r\n\r\n",
    ];
    let mut held = requests.map(|sent| {
        let mut stream = connect(address);
        stream.write_all(sent).unwrap();
        stream
    });
    let [silent @ .., deaf] = &mut held;
    for stream in silent {
        // To its end; a reset is one, too.
        let _ = stream.read_to_end(&mut Vec::new());
        assert!((PATIENCE..LONG).contains(&begun.elapsed()), "nobody is hurried");
    }
    // What is written to a connection that the other side has closed is answered with a reset.
    while deaf.write_all(b"\r\n").is_ok() {
        assert!(begun.elapsed() < LONG, "who does not read is let go");
        std::thread::yield_now();
    }
    assert!(begun.elapsed() >= PATIENCE, "nobody is hurried");
}

/// Says that it was dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn what_takes_long_ends_when_nobody_waits_for_it_and_holds_nobody_up() {
    let runtime = ControlRuntime::start().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (dropped, is_dropped) = mpsc::channel();
    let endless: Handler = Arc::new(move |_| {
        let (begun, guard) = (begun.clone(), Dropped(dropped.clone()));
        Box::pin(async move {
            let _guard = guard;
            begun.send(()).unwrap();
            std::future::pending().await
        })
    });
    let endless = Route { path: "/endless", handler: endless, ends_at_once: false };
    let (_listeners, address) = served(&runtime, vec![endless, route("/health", "OK")]);
    for closes_all in [true, false] {
        let mut waiting: Vec<TcpStream> = (0..4).map(|_| connect(address)).collect();
        for stream in &mut waiting {
            stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            has_begun.recv_timeout(LONG).unwrap();
        }
        assert!(get(address, "/health").ends_with("OK"));
        assert!(is_dropped.try_recv().is_err(), "they wait");
        if closes_all {
            waiting.clear();
        }
        // A client that says only that it will ask no more is taken for one that has gone, too.
        waiting.iter().for_each(|stream| stream.shutdown(std::net::Shutdown::Write).unwrap());
        (0..4).for_each(|_| is_dropped.recv_timeout(LONG).unwrap());
    }
}

#[test]
fn a_client_that_sends_many_requests_at_once_does_not_hold_up_another() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let handler = at_once(move |request| {
        noted.lock().unwrap().push(request.query.clone());
        Reply::text(200, "OK")
    });
    let listener = StdListener::bind(any()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let request = |query: &str| format!("GET /?{query} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut streams = [connect(address), connect(address)];
    streams[0].write_all(request("many").repeat(10).as_bytes()).unwrap();
    streams[1].write_all(request("one").as_bytes()).unwrap();

    // On one thread, so that who waits for whom is seen.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_stopper, stop) = crate::control::shutdown::stop_channel();
    let routes = vec![Route { path: "/", handler, ends_at_once: false }];
    runtime.block_on(async {
        let socket = connection::Socket::new(tokio::net::TcpListener::from_std(listener).unwrap());
        tokio::spawn(connection::accept(
            Arc::new(socket),
            Arc::new(connection::Shown::from_pointee(routes.into())),
            stop,
        ));
        while asked.lock().unwrap().len() < 11 {
            tokio::task::yield_now().await;
        }
    });
    let asked = asked.lock().unwrap();
    let place = asked.iter().position(|query| query == "one").unwrap();
    assert!(place < 9, "{asked:?}");
}

#[test]
fn over_the_limit_whoever_asked_longest_ago_gives_way() {
    let runtime = ControlRuntime::start().unwrap();
    let (_listeners, address) = served(&runtime, vec![route("/health", "OK")]);
    let mut taken = take_all_places(address, "/health");
    assert!(ask_again(&mut taken[0], "/health"), "it asked lately now");
    for _ in 0..3 {
        // Each finds the places taken, whoever took them.
        let mut newest = connect(address);
        assert!(ask_again(&mut newest, "/health"));
        taken.push(newest);
    }
    for mut gone in taken.drain(1..4) {
        assert!(!ask_again(&mut gone, "/health"), "three were closed");
    }
    for (place, stream) in taken.iter_mut().enumerate() {
        assert!(ask_again(stream, "/health"), "{place} was not");
    }
}

#[test]
fn a_probe_is_answered_whoever_holds_connections() {
    let runtime = ControlRuntime::start().unwrap();
    let (_listeners, address) = served(&runtime, vec![route("/health", "OK")]);
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        held.extend((0..CONNECTIONS_MAX / 2).map(|_| connect(address)));
        assert_eq!(status(&get(address, "/health")), "200");
    }
}

#[test]
fn routes_are_exchanged_without_refusing_a_connection() {
    let runtime = ControlRuntime::start().unwrap();
    let (mut listeners, address) = served(&runtime, vec![route("/health", "old")]);
    // A connection that stays open sees the change, too.
    let mut kept = connect(address);
    let mut ask = |want: &str| {
        kept.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut space = [0; 1024];
        let length = kept.read(&mut space).unwrap();
        let text = String::from_utf8_lossy(&space[..length]).into_owned();
        assert!(text.ends_with(want), "{text}");
    };
    ask("old");
    let (answered, answers) = mpsc::sync_channel(0);
    let asking = std::thread::spawn(move || {
        loop {
            assert_eq!(status(&get(address, "/health")), "200");
            if answered.send(()).is_err() {
                break;
            }
        }
    });
    // As many exchanges as go beside so many answers.
    for _ in 0..50 {
        while answers.try_recv().is_err() {
            let opened = listeners.open([any()]).unwrap();
            listeners.serve([(any(), vec![route("/health", "new")])], opened);
            assert!(!asking.is_finished(), "a request was not answered");
        }
    }
    drop(answers);
    asking.join().unwrap();
    ask("new");
}

#[test]
fn an_address_that_somebody_has_is_an_error_and_changes_nothing() {
    let runtime = ControlRuntime::start().unwrap();
    let (mut listeners, address) = served(&runtime, vec![route("/health", "OK")]);
    let other = StdListener::bind(any()).unwrap();
    let busy = other.local_addr().unwrap();
    let error = listeners.open([any(), busy]).err().unwrap();
    assert_eq!(error.to_string(), format!("listen tcp {busy}: bind: address already in use"));
    let error = listeners.open([SocketAddr::from(([192, 0, 2, 1], 80))]).err().unwrap();
    assert_eq!(error.to_string(), "listen tcp 192.0.2.1:80: bind: cannot assign requested address");
    assert_eq!(status(&get(address, "/health")), "200");
    drop(other);
    let opened = listeners.open([busy]).unwrap();
    listeners.serve([(busy, vec![route("/ready", "OK")])], opened);
    assert_eq!(status(&get(busy, "/ready")), "200");
    assert!(TcpStream::connect(address).is_err(), "what is not wanted is closed");
}

#[test]
fn one_address_and_all_share_a_port_of_ours() {
    let runtime = ControlRuntime::start().unwrap();
    let (mut listeners, one) = served(&runtime, Vec::new());
    let all: SocketAddr = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), one.port());
    let opened = listeners.open([any()]).unwrap();
    listeners.serve::<Vec<Route>>([], opened);
    for wanted in [vec![one, all], vec![all], vec![one], vec![all, one]] {
        let opened = listeners.open(wanted.iter().copied()).unwrap();
        let routes = |address: &SocketAddr| if *address == one { "one" } else { "all" };
        listeners.serve(wanted.iter().map(|a| (*a, vec![route("/x", routes(a))])), opened);
        let want = if wanted.contains(&one) { "one" } else { "all" };
        assert!(get(one, "/x").ends_with(want), "{wanted:?}");
    }
}

#[test]
fn a_successor_takes_the_sockets() {
    let runtime = ControlRuntime::start().unwrap();
    // An address that no other test of this process asks for.
    let key = SocketAddr::from(([127, 0, 0, 3], 0));
    let mut old = Listeners::new(runtime.handle().clone());
    let opened = old.open([key]).unwrap();
    old.serve([(key, vec![route("/health", "old")])], opened);
    let address = bound_as(&old, key);
    for (purpose, socket) in old.sockets() {
        inherited::keep(socket.try_clone_to_owned().unwrap(), Some(purpose)).unwrap();
    }
    let mut new = Listeners::new(runtime.handle().clone());
    let opened = new.open([key]).unwrap();
    new.serve([(key, vec![route("/health", "new")])], opened);
    assert_eq!(bound_as(&new, key), address);
    old.retire();
    assert!(get(address, "/health").ends_with("new"));
}

#[test]
fn at_the_end_some_routes_go_first_and_requests_are_answered() {
    let runtime = ControlRuntime::start().unwrap();
    let both = SocketAddr::from(([127, 0, 0, 2], 0));
    let ready = || Route { ends_at_once: true, ..route("/ready", "OK") };
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let released = Arc::new(tokio::sync::Mutex::new(Some(released)));
    let (began, begun) = mpsc::channel();
    let slow: Handler = Arc::new(move |_| {
        let (released, began) = (Arc::clone(&released), began.clone());
        Box::pin(async move {
            let _ = began.send(());
            if let Some(released) = released.lock().await.take() {
                let _ = released.await;
            }
            Reply::text(200, "done")
        })
    });
    let mut listeners = Listeners::new(runtime.handle().clone());
    let opened = listeners.open([any(), both]).unwrap();
    let health = Route { path: "/health", handler: slow, ends_at_once: false };
    listeners.serve([(any(), vec![ready()]), (both, vec![health, ready()])], opened);
    let (alone, together) = (bound(&listeners), bound_as(&listeners, both));
    listeners.begin_end();
    assert!(TcpStream::connect(alone).is_err(), "no other route is there");
    assert_eq!(status(&get(together, "/ready")), "503");
    let asking = std::thread::spawn(move || get(together, "/health"));
    begun.recv_timeout(LONG).unwrap();
    let closing = runtime.handle().spawn(async move { listeners.close(LONG).await });
    release.send(()).unwrap();
    assert!(asking.join().unwrap().ends_with("done"));
    runtime.block_on(closing).unwrap();
    assert!(TcpStream::connect(together).is_err());
}
