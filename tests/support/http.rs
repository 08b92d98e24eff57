//! A client of the pages over HTTP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::PATIENCE;

/// GETs `path` at `port` of the loopback: status and body; `None` if nobody listens there or the connection breaks.
pub(crate) fn try_get(port: u16, path: &str) -> Option<(u16, String)> {
    try_get_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), path)
}

pub(crate) fn try_get_at(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// As [`try_get`], of a page that is there.
pub(crate) fn get(port: u16, path: &str) -> (u16, String) {
    try_get(port, path).unwrap_or_else(|| panic!("no page {path} on port {port}"))
}

/// The value of the series `name` with exactly these labels, as `a="b",c="d"`, on a page of metrics.
pub(crate) fn sample(page: &str, name: &str, labels: &str) -> Option<f64> {
    let start = if labels.is_empty() { format!("{name} ") } else { format!("{name}{{{labels}}} ") };
    page.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}
