//! What clients of the pages over HTTP do.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::super::plan::{Random, Until};
use super::super::subject::{HEALTH, METRICS, READY, page};
use super::{Field, Harm};

pub(super) const HARMS: &[Harm] = &[
    Harm::new("http", "metrics-never-read", "requests", never_read),
    Harm::new("http", "http-odd", "requests", odd),
    Harm::new("http", "http-slow", "connections", slow),
];

const CONNECT_WITHIN: Duration = Duration::from_millis(200);
/// More than the server holds of one page (64).
const CONNECTIONS: usize = 100;
const PAUSE: Duration = Duration::from_millis(50);
const ODD_WITHIN: Duration = Duration::from_millis(100);

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Asks for the metrics again and again, and reads nothing.
fn never_read(_: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: soak\r\n\r\n";
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut asked = 0;
    while until.pause(PAUSE) {
        while streams.len() < CONNECTIONS {
            let Some(stream) = connect(METRICS) else { break };
            streams.push(stream);
        }
        streams.retain_mut(|stream| match stream.write(REQUEST) {
            Ok(len) => {
                asked += u64::from(len == REQUEST.len());
                len == REQUEST.len()
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
    }
    drop(streams);
    shows_metrics()?;
    Ok(asked)
}

fn odd(_: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    let requests: &[&[u8]] = &[
        b"BREW /health HTTP/1.1\r\nHost: soak\r\n\r\n",
        b"DELETE /metrics HTTP/1.1\r\nHost: soak\r\nContent-Length: 5\r\n\r\nabcde",
        b"OPTIONS * HTTP/1.1\r\nHost: soak\r\n\r\n",
        b"CONNECT soak:1 HTTP/1.1\r\nHost: soak\r\n\r\n",
        b"HEAD /health HTTP/1.1\r\nHost: soak\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: soak\r\n\r\n",
        b"GET /%00%ff HTTP/1.1\r\nHost: soak\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /ready HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"POST /ready HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ];
    let pages = [HEALTH, READY, METRICS];
    let mut done = 0;
    while until.goes_on() {
        let rubbish = random.bytes(300);
        let request = requests.get(random.below(requests.len() + 1)).copied().unwrap_or(&rubbish);
        let address = pages[random.below(pages.len())];
        let Ok(mut stream) = TcpStream::connect_timeout(&address, CONNECT_WITHIN) else {
            until.pause(PAUSE);
            continue;
        };
        stream.set_read_timeout(Some(ODD_WITHIN)).map_err(|error| error.to_string())?;
        // What comes of it is its answer's affair, and the next one's that it comes at all.
        done += u64::from(stream.write_all(request).is_ok());
        let _ = stream.read(&mut [0; 4096]);
    }
    shows_metrics()?;
    Ok(done)
}

/// A byte of a request now and then, on more connections than there are places.
fn slow(_: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let pages = [READY, METRICS];
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut opened = 0;
    while until.pause(PAUSE) {
        while streams.len() < CONNECTIONS {
            let Some(stream) = connect(pages[random.below(pages.len())]) else { break };
            streams.push(stream);
            opened += 1;
        }
        streams.retain_mut(|stream| stream.write(b"G").is_ok());
    }
    drop(streams);
    shows_metrics()?;
    Ok(opened)
}

fn shows_metrics() -> Result<(), String> {
    super::recovers("the metrics were not shown to a client that reads them", || {
        page(METRICS, "GET", "/metrics").is_ok_and(|(status, _)| status == 200)
    })
}
