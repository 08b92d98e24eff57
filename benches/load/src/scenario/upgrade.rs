//! A server that is replaced again and again while it is asked.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Entrant, Scenario};
use crate::bench::{self, Bench, NAMES, SERVER};
use crate::message;
use crate::process;
use crate::server::{Job, Kind, Log};
use crate::table::plain;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "upgrade",
    title: "the README's Corefile without log; 20 upgrades to a new process, one each 500 ms, under 50,000 q/s of hosts \
            names over UDP, and beside them connections over TCP with 20 queries each",
    entrants: &[Entrant::plain(Kind::Waypost)],
    columns: &[
        plain("upgrades done", 0),
        plain("asked", 0),
        plain("lost", 0),
        plain("wrong", 0),
        plain("p50 µs", 0),
        plain("p99 ms", 2),
        plain("slowest ms", 1),
        plain("lost before", 0),
        plain("p99 ms before", 2),
        plain("slowest ms before", 1),
        plain("asked over TCP", 0),
        plain("lost over TCP", 0),
        plain("upgrade ms", 1),
    ],
    measure: upgrade,
}];

const RATE: u64 = 50_000;
const UPGRADES: usize = 20;
const EVERY: Duration = Duration::from_millis(500);
const QUERIES_PER_CONNECTION: u32 = 20;
/// Between two connections of the client over TCP.
const CONNECT_EVERY: Duration = Duration::from_millis(5);

fn upgrade(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let (job, _upstream) = bench.whole_job(NAMES, &[])?;
    let running = super::steady::start_hosts(bench, entrant, &Job { log: Log::Off, ..job })?;
    let program = entrant.kind.program()?;
    let seconds = (EVERY * UPGRADES as u32).as_secs() + 2;
    let before = bench.flood(bench::even_load(RATE, seconds)?)?.remove(0);
    let load = bench::even_load(RATE, seconds)?;
    let is_over = AtomicBool::new(false);
    let mut serving = Serving(running.process.id(), running.process.id());
    let mut took = Duration::ZERO;
    let (outcome, over_tcp) = thread::scope(|scope| {
        let flood = scope.spawn(|| bench.flood(load));
        let tcp = scope.spawn(|| ask_over_tcp(&is_over));
        let mut done = Ok(());
        for _ in 0..UPGRADES {
            thread::sleep(EVERY);
            let began = std::time::Instant::now();
            done = serving.upgrade(&program);
            took += began.elapsed();
            if done.is_err() {
                break;
            }
        }
        let outcome = flood.join().map_err(|_| "the load generator panicked".to_owned());
        is_over.store(true, Ordering::Relaxed);
        let over_tcp = tcp.join().map_err(|_| "the client over TCP panicked".to_owned())?;
        done?;
        Ok::<_, String>((outcome??.remove(0), over_tcp?))
    })?;
    drop(serving);
    let micros = |share| outcome.latency.quantile(share) as f64 / 1e3;
    Ok(vec![
        UPGRADES as f64,
        outcome.sent as f64,
        outcome.lost as f64,
        outcome.wrong as f64,
        micros(0.5),
        micros(0.99) / 1e3,
        outcome.latency.max() as f64 / 1e6,
        before.lost as f64,
        before.latency.quantile(0.99) as f64 / 1e6,
        before.latency.max() as f64 / 1e6,
        over_tcp.0 as f64,
        over_tcp.1 as f64,
        took.as_secs_f64() * 1e3 / UPGRADES as f64,
    ])
}

/// The process that serves now, and the first one, which its own guard ends. Ended when dropped.
struct Serving(u32, u32);

impl Serving {
    fn upgrade(&mut self, program: &std::path::Path) -> Result<(), String> {
        let output = Command::new(program).args(["upgrade", "-pid", &self.0.to_string()]).output();
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let id = said.strip_prefix("process ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        self.0 = id.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.0 != self.1 {
            process::end(self.0);
        }
    }
}

/// Asks over TCP until it is over, a new connection each time; returns how much was asked, and how much of it in vain.
fn ask_over_tcp(is_over: &AtomicBool) -> Result<(u64, u64), String> {
    let name = message::name_from_text(&bench::last_host(NAMES))?;
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message::push_question(&mut query, &name, 1);
    let framed = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
    let (mut asked, mut lost) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(CONNECT_EVERY);
        let answered = ask_on_one(&framed, &query);
        asked += u64::from(QUERIES_PER_CONNECTION);
        lost += u64::from(QUERIES_PER_CONNECTION - answered);
    }
    Ok((asked, lost))
}

/// How many of the queries of one connection are answered.
fn ask_on_one(framed: &[u8], query: &[u8]) -> u32 {
    let mut answered = 0;
    let mut ask = || -> io::Result<()> {
        let mut stream = TcpStream::connect(SERVER)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        for _ in 0..QUERIES_PER_CONNECTION {
            stream.write_all(framed)?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut reply)?;
            answered += u32::from(message::check_reply(query, &reply).is_ok());
        }
        Ok(())
    };
    // What went wrong is what is missing.
    let _ = ask();
    answered
}
