//! What clients do over TCP. Each kind comes from addresses of its own, as the bound on one client's connections is not
//! to hit another's.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use waypost_load::bench::SERVER;
use waypost_load::tcp::{connect_from, reset};

use super::super::known;
use super::super::plan::{Random, Until};
use super::{Field, Harm};
use crate::slow_tcp;

pub(super) const HARMS: &[Harm] = &[
    Harm::new("tcp", "tcp-silent", "connections", silent),
    Harm::new("tcp", "tcp-slow", "connections", slow),
    Harm::new("tcp", "tcp-never-reading", "queries", never_reading),
    Harm::new("tcp", "tcp-half-frames", "connections", half_frames),
    Harm::new("tcp", "tcp-resets", "connections", resets),
    Harm::new("tcp", "tcp-crowd", "connections", crowd),
];

const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// Connections that say nothing, held at once: under what one worker of the server takes in all (4,096), beside those of
/// others.
const SILENT_MAX: usize = 3000;
/// Of one address, under what one client may have (256).
const SILENT_OF_ONE: usize = 200;
/// Opened in one go.
const OPENED_EACH: usize = 100;
const NEVER_READING_MAX: usize = 50;
/// Connections of one address at once, far more than a client may have.
const CROWD_MAX: usize = 1000;
const PAUSE: Duration = Duration::from_millis(20);

fn server() -> SocketAddrV4 {
    match SERVER {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => SocketAddrV4::new(Ipv4Addr::LOCALHOST, SERVER.port()),
    }
}

/// A connection that does not wait. None when the server would not: that is its right.
fn connect(from: [u8; 3]) -> Option<TcpStream> {
    let stream =
        connect_from(Ipv4Addr::new(127, from[0], from[1], from[2]), server(), CONNECT_WITHIN).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

fn framed(id: u16) -> Result<Vec<u8>, String> {
    let query = known::query(id, "host0001.bench.example.")?;
    Ok([&(query.len() as u16).to_be_bytes()[..], &query].concat())
}

fn is_open(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn silent(_: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut opened = 0;
    while until.pause(PAUSE) {
        streams.retain_mut(is_open);
        for _ in 0..OPENED_EACH.min(SILENT_MAX - streams.len()) {
            let address = opened / SILENT_OF_ONE % (SILENT_MAX / SILENT_OF_ONE + 4);
            let Some(stream) = connect([1, 0, 1 + address as u8]) else { break };
            streams.push(stream);
            opened += 1;
        }
    }
    Ok(opened as u64)
}

fn slow(_: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    let mut crowd = slow_tcp::Crowd::default();
    while until.pause(slow_tcp::EVERY) {
        crowd.step(server())?;
    }
    Ok(crowd.opened())
}

/// Queries as long as the server takes them, and no answer is ever read.
fn never_reading(_: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    let burst: Vec<u8> = (0..100).map(framed).collect::<Result<Vec<_>, _>>()?.concat();
    let query_len = burst.len() / 100;
    let mut streams: Vec<(TcpStream, usize)> = Vec::new();
    let mut written = 0;
    while until.pause(PAUSE) {
        while streams.len() < NEVER_READING_MAX {
            let Some(stream) = connect([4, 0, 1]) else { break };
            streams.push((stream, 0));
        }
        streams.retain_mut(|(stream, at)| match stream.write(&burst[*at..]) {
            Ok(len) => {
                written += len;
                *at = (*at + len) % burst.len();
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
    }
    Ok((written / query_len) as u64)
}

fn half_frames(_: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let mut opened = 0;
    let whole = framed(7)?;
    while until.pause(PAUSE) {
        for _ in 0..10 {
            let Some(mut stream) = connect([5, 0, 1]) else { break };
            let good = random.below(3);
            let cut = 1 + random.below(whole.len() - 1);
            // Whole frames, and part of another.
            let bytes = [&whole.repeat(good)[..], &whole[..cut]].concat();
            // It may have been cut already.
            let _ = stream.write(&bytes);
            opened += 1;
        }
    }
    Ok(opened)
}

fn resets(_: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let mut opened = 0;
    let whole = framed(7)?;
    while until.pause(PAUSE) {
        for _ in 0..10 {
            let Some(mut stream) = connect([6, 0, 1]) else { break };
            let _ = stream.write(&whole.repeat(random.below(50)));
            reset(stream).map_err(|error| format!("SO_LINGER: {error}"))?;
            opened += 1;
        }
    }
    Ok(opened)
}

fn crowd(_: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    let mut opened = 0;
    while until.goes_on() {
        let mut streams = Vec::new();
        while streams.len() < CROWD_MAX && until.goes_on() {
            let Some(stream) = connect([7, 0, 1]) else { break };
            streams.push(stream);
            opened += 1;
        }
        until.pause(PAUSE);
    }
    Ok(opened)
}
