//! Many server blocks in one Corefile: how long its metrics, its start and its reload take.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::{Entrant, Scenario};
use crate::bench::{Bench, Load, Running, SERVER};
use crate::flood::{Expect, Outcome, Pace, Stream};
use crate::message::{self, TYPE_A, TYPE_AAAA};
use crate::names::{self, Names};
use crate::server::{Job, Kind, METRICS};
use crate::table::plain;

const ENTRANTS: &[Entrant] = &[Entrant::plain(Kind::Waypost), Entrant::plain(Kind::CoreDns)];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "scrape-64",
        title: "64 server blocks (hosts, cache, prometheus, loadbalance, errors), each asked for two types of two names: \
                GET /metrics, 50 times",
        entrants: ENTRANTS,
        columns: &[
            plain("scrape ms", 2),
            plain("slowest ms", 2),
            plain("CPU ms", 2),
            plain("page KiB", 0),
            plain("series", 0),
            plain("RSS MiB", 1),
        ],
        measure: scrape,
    },
    Scenario {
        name: "reload-1000",
        title: "1,000 of those blocks; from SIGUSR1 to the first answer of the new Corefile, 10 times without load and 10 \
                times under 10,000 q/s of names of all blocks",
        entrants: ENTRANTS,
        columns: &[
            plain("first answer ms", 1),
            plain("RSS MiB", 1),
            plain("reload ms", 1),
            plain("slowest reload ms", 1),
            plain("CPU ms/reload", 1),
            plain("under load ms", 1),
            plain("slowest under load ms", 1),
            plain("asked", 0),
            plain("lost", 0),
            plain("wrong", 0),
            plain("p99 ms", 2),
            plain("slowest answer ms", 1),
            plain("RSS after MiB", 1),
        ],
        measure: reload,
    },
];

const ZONES: u32 = 64;
const SCRAPES: usize = 50;
const BLOCKS: u32 = 1000;
const RELOADS: usize = 10;
const RELOAD_EVERY: Duration = Duration::from_secs(1);
const RATE: u64 = 10_000;
/// Longer than any server here takes for a reload.
const PATIENCE: Duration = Duration::from_secs(20);

/// A name of each zone.
const PATTERN: &str = "www.z{}.bench.example.";

fn zone(number: u32, count: u32) -> String {
    names::numbered("z{}.bench.example", number, count)
}

/// A Corefile of `count` blocks, each with one name of its own at `address`.
fn corefile(bench: &Bench, count: u32, address: Ipv4Addr) -> Result<Job, String> {
    let hosts = bench.dir.join("no-hosts");
    std::fs::write(&hosts, "").map_err(|error| format!("{}: {error}", hosts.display()))?;
    let mut text = String::new();
    for number in 0..count {
        let zone = zone(number, count);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{zone}:{port} {{\n    bind {ip}\n    hosts {hosts} {{\n        {address} www.{zone}\n        \
             fallthrough\n    }}\n    cache 30\n    prometheus {METRICS}\n    loadbalance\n    errors\n}}\n",
            port = SERVER.port(),
            ip = SERVER.ip(),
            hosts = hosts.display(),
        );
    }
    Ok(Job { corefile: Some(text), ..Job::default() })
}

const OLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NEW: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn start(bench: &Bench, entrant: &Entrant, count: u32) -> Result<Running, String> {
    let job = corefile(bench, count, OLD)?;
    bench.start(entrant.kind, &job, &entrant.cores(bench), &names::numbered(PATTERN, count - 1, count))
}

fn scrape(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let running = start(bench, entrant, ZONES)?;
    let socket = connected()?;
    for number in 0..ZONES {
        for name in ["www.", "nowhere."] {
            for qtype in [TYPE_A, TYPE_AAAA] {
                let query = query(&format!("{name}{}.", zone(number, ZONES)), qtype)?;
                ask(&socket, &query).ok_or_else(|| format!("no answer from zone {number}"))?;
            }
        }
    }
    let before = super::cpu(&running)?;
    let (mut took, mut page) = (Vec::new(), String::new());
    for _ in 0..SCRAPES {
        let began = Instant::now();
        page = get_metrics()?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = (super::cpu(&running)? - before).as_secs_f64() * 1e3 / SCRAPES as f64;
    let rss = running.memory_mib()?.0;
    running.process.stop();
    let series = page.lines().filter(|line| line.starts_with("coredns_")).count();
    if !page.contains(&format!("zone=\"{}.\"", zone(ZONES - 1, ZONES))) {
        return Err("the last zone is not on the page".into());
    }
    took.sort_by(f64::total_cmp);
    Ok(vec![took[SCRAPES / 2], took[SCRAPES - 1], cpu, page.len() as f64 / 1024.0, series as f64, rss])
}

/// The page, as a scraper that asks for plain text gets it.
fn get_metrics() -> Result<String, String> {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(METRICS)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {METRICS}\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    };
    match get() {
        Ok(page) if page.starts_with("HTTP/1.1 200") => Ok(page),
        Ok(page) => Err(format!("/metrics: {}", page.lines().next().unwrap_or("nothing"))),
        Err(error) => Err(format!("/metrics: {error}")),
    }
}

fn reload(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let running = start(bench, entrant, BLOCKS)?;
    let first_answer = running.ready_after.as_secs_f64() * 1e3;
    let rss = running.memory_mib()?.0;
    let mut is_new = false;
    let mut reloads = || -> Result<(f64, f64), String> {
        let mut took = Vec::with_capacity(RELOADS);
        for _ in 0..RELOADS {
            is_new = !is_new;
            took.push(reload_once(bench, entrant, &running, is_new)?.as_secs_f64() * 1e3);
            thread::sleep(RELOAD_EVERY.saturating_sub(Duration::from_secs_f64(took[took.len() - 1] / 1e3)));
        }
        took.sort_by(f64::total_cmp);
        Ok((took[RELOADS / 2], took[RELOADS - 1]))
    };
    let before = super::cpu(&running)?;
    let quiet = reloads()?;
    let cpu = (super::cpu(&running)? - before).as_secs_f64() * 1e3 / RELOADS as f64;
    let (loaded, outcome) = thread::scope(|scope| {
        let flood = scope.spawn(|| load(bench, RELOADS as u64 + 1));
        let loaded = reloads();
        let outcome = flood.join().map_err(|_| "the load generator panicked".to_owned())?;
        Ok::<_, String>((loaded?, outcome?))
    })?;
    let after = running.memory_mib()?.0;
    running.process.stop();
    Ok(vec![
        first_answer,
        rss,
        quiet.0,
        quiet.1,
        cpu,
        loaded.0,
        loaded.1,
        outcome.sent as f64,
        outcome.lost as f64,
        outcome.wrong as f64,
        outcome.latency.quantile(0.99) as f64 / 1e6,
        outcome.latency.max() as f64 / 1e6,
        after,
    ])
}

/// Names of all blocks, for `seconds`.
fn load(bench: &Bench, seconds: u64) -> Result<Outcome, String> {
    let names = Names::from_pattern(PATTERN, BLOCKS, TYPE_A)?;
    let (pace, expect) = (Pace::Rate(RATE), Expect::Answer);
    let stream = Stream { label: "blocks".into(), names, sockets: 200, pace, expect, stamped: true };
    Ok(bench.flood(Load { timeout: Duration::from_secs(5), ..Load::new(vec![stream], seconds) })?.remove(0))
}

/// Writes the Corefile anew, tells the server, and waits until the last block answers as it says now.
fn reload_once(
    bench: &Bench,
    entrant: &Entrant,
    running: &Running,
    is_new: bool,
) -> Result<Duration, String> {
    let address = if is_new { NEW } else { OLD };
    entrant.kind.configure(&corefile(bench, BLOCKS, address)?, SERVER, &bench.dir)?;
    let query = query(&names::numbered(PATTERN, BLOCKS - 1, BLOCKS), TYPE_A)?;
    let began = Instant::now();
    running.process.signal(libc::SIGUSR1).map_err(|error| format!("SIGUSR1: {error}"))?;
    while began.elapsed() < PATIENCE {
        // A socket each time, as clients have: where one socket of a server gives way to another, it goes to the new one.
        let reply = ask(&connected()?, &query);
        if reply.is_some_and(|reply| reply.ends_with(&address.octets())) {
            return Ok(began.elapsed());
        }
        thread::sleep(Duration::from_micros(500));
    }
    Err(format!("not reloaded within {} s", PATIENCE.as_secs()))
}

fn connected() -> Result<UdpSocket, String> {
    let open = || -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(SERVER)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(socket)
    };
    open().map_err(|error| format!("a client's socket: {error}"))
}

fn query(name: &str, qtype: u16) -> Result<Vec<u8>, String> {
    let mut query = message::query_header(0x5751).to_vec();
    message::push_question(&mut query, &message::name_from_text(name)?, qtype);
    Ok(query)
}

/// The reply to `query`, if one comes in a second.
fn ask(socket: &UdpSocket, query: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    let len = socket.send(query).and_then(|_| socket.recv(&mut buffer)).ok()?;
    message::check_reply(query, &buffer[..len]).ok()?;
    Some(buffer[..len].to_vec())
}
