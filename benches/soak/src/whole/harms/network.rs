//! What clients send by UDP, and what the upstream does.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use waypost_load::bench::SERVER;
use waypost_load::flood::{self, Expect, Pace, Plan, Stream};
use waypost_load::names::Names;

use super::super::known;
use super::super::plan::{Random, Until};
use super::super::upstream::Manner;
use super::{Field, Harm};
use crate::odd;

pub(super) const HARMS: &[Harm] = &[
    Harm::new("packets", "water-torture", "names never asked before", water_torture),
    Harm::new("packets", "odd-packets", "datagrams that are no good query", odd_packets),
    Harm::new("packets", "large-datagrams", "datagrams of up to 65,000 bytes", large_datagrams),
    Harm::new("upstream", "upstream-down", "times down", down),
    Harm::new("upstream", "upstream-silent", "queries", |field, until, random| {
        behave(field, until, random, Manner::Silent)
    }),
    Harm::new("upstream", "upstream-slow", "queries", |field, until, random| {
        behave(field, until, random, Manner::Slow)
    }),
    Harm::new("upstream", "upstream-failing", "queries", |field, until, random| {
        behave(field, until, random, Manner::Failing)
    }),
    Harm::new("upstream", "upstream-garbage", "queries", |field, until, random| {
        behave(field, until, random, Manner::Garbage)
    }),
    Harm::new("upstream", "upstream-forged", "queries", |field, until, random| {
        behave(field, until, random, Manner::Forged)
    }),
    Harm::new("upstream", "upstream-cutting", "queries", |field, until, random| {
        behave(field, until, random, Manner::Cutting)
    }),
];

/// Sockets of the water torture, and unanswered queries of each: together fewer than the server's socket holds, so that
/// what is lost beside it is the server's doing.
const TORTURE_SOCKETS: usize = 8;
const TORTURE_WINDOW: usize = 4;
const LARGE_EVERY: Duration = Duration::from_millis(10);
const LARGE_EACH: usize = 5;

fn water_torture(_: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let stream = Stream {
        label: "water torture".into(),
        names: Names::unique(known::FLOOD, random.next())?,
        sockets: TORTURE_SOCKETS,
        pace: Pace::Window(TORTURE_WINDOW),
        expect: Expect::Any,
        stamped: false,
    };
    let outcomes = flood::run(Plan {
        target: SERVER,
        streams: vec![stream],
        duration: until.0.saturating_duration_since(Instant::now()),
        queries_max: u64::MAX,
        timeout: Duration::from_secs(2),
        gso: true,
        spin: false,
    });
    let outcomes = outcomes.map_err(|error| format!("the flood: {error}"))?;
    Ok(outcomes.iter().map(|outcome| outcome.answered).sum())
}

fn odd_packets(_: &Field<'_>, until: &Until, _: &mut Random) -> Result<u64, String> {
    let mut sender = odd::Sender::new(SERVER)?;
    while until.pause(odd::EVERY) {
        sender.send()?;
    }
    Ok(sender.sent())
}

fn large_datagrams(_: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    socket.connect(SERVER).map_err(|error| error.to_string())?;
    let query = known::query(7, "host0001.bench.example.")?;
    let mut sent = 0;
    while until.pause(LARGE_EVERY) {
        for _ in 0..LARGE_EACH {
            let len = random.below(65_000 - query.len());
            let rest = random.bytes(len);
            // Refused or not, it was tried; what comes back fills this socket's buffer and no other.
            sent += u64::from(socket.send(&[&query[..], &rest].concat()).is_ok());
        }
    }
    Ok(sent)
}

fn down(field: &Field<'_>, until: &Until, random: &mut Random) -> Result<u64, String> {
    let mut done = 0;
    loop {
        field.upstream.behave(Manner::Down);
        done += 1;
        let goes_on = until.pause(Duration::from_millis(300 + random.below(1500) as u64));
        field.upstream.behave(Manner::Well);
        if !goes_on || !until.pause(Duration::from_millis(200 + random.below(800) as u64)) {
            break;
        }
    }
    answers_again(random)?;
    Ok(done)
}

fn behave(field: &Field<'_>, until: &Until, random: &mut Random, manner: Manner) -> Result<u64, String> {
    let before = field.upstream.asked();
    field.upstream.behave(manner);
    while until.goes_on() {
        until.pause(Duration::from_secs(1));
    }
    field.upstream.behave(Manner::Well);
    let asked = field.upstream.asked() - before;
    answers_again(random)?;
    Ok(asked)
}

/// That a new name is answered rightly again.
fn answers_again(random: &mut Random) -> Result<(), String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    socket.connect(SERVER).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(Duration::from_millis(500))).map_err(|error| error.to_string())?;
    let mut response = [0; 2048];
    super::recovers("the upstream is well again, and a new name was not answered rightly", || {
        let name = format!("again{:x}.{}", random.next(), known::FLAPPY);
        let id = random.next() as u16;
        let Ok(query) = known::query(id, &name) else { return false };
        let answered = socket.send(&query).and_then(|_| socket.recv(&mut response));
        answered.is_ok_and(|len| {
            len > 12 && response[..2] == query[..2] && known::is_right(&query, &response[..len])
        })
    })
}
