//! What hosts names feel while something else goes wrong.

use std::fs;
use std::thread;
use std::time::Duration;

use super::{Entrant, Scenario};
use crate::bench::{self, Bench, Load, NAMES, OUTSTANDING, Running};
use crate::flood::{Expect, Outcome, Pace, Stream};
use crate::server::{Job, Kind, Log};
use crate::table::{Column, plain};

const ENTRANTS: &[Entrant] = &[Entrant::plain(Kind::Waypost), Entrant::plain(Kind::CoreDns)];

/// Columns of a silent upstream, as `silent` fills them.
const SILENT: &[Column] = &[
    plain("asked", 0),
    plain("unanswered after 6 s", 0),
    plain("slowest answer s", 2),
    plain("hosts p50 µs", 0),
    plain("hosts p99 ms", 2),
    plain("hosts max ms", 1),
    plain("hosts lost", 0),
    plain("hosts wrong", 0),
    plain("RSS peak MiB", 1),
];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "random-flood",
        title: "the README's Corefile; never-repeated names at full speed (200 client sockets, one unanswered query \
                each), hosts names beside them at 1,000 q/s",
        entrants: ENTRANTS,
        columns: &[
            plain("flood q/s", 0),
            plain("flood lost", 0),
            plain("flood wrong", 0),
            plain("hosts p50 µs", 0),
            plain("hosts p99 ms", 2),
            plain("hosts max ms", 1),
            plain("hosts lost", 0),
            plain("hosts wrong", 0),
            plain("RSS peak MiB", 1),
        ],
        measure: random_flood,
    },
    Scenario {
        name: "reload",
        title: "the README's Corefile without log; 100 SIGUSR1, one each 100 ms, under 50,000 q/s of hosts names",
        entrants: ENTRANTS,
        columns: &[
            plain("reloads done", 0),
            plain("asked", 0),
            plain("lost", 0),
            plain("wrong", 0),
            plain("p50 µs", 0),
            plain("p99 ms", 2),
            plain("slowest ms", 1),
            plain("p99 ms before", 2),
            plain("slowest ms before", 1),
            plain("RSS peak MiB", 1),
        ],
        measure: reload,
    },
    Scenario {
        name: "silent-capped",
        title: "the README's Corefile; the upstream never answers; 10,000 q/s of never-repeated names, hosts names \
                beside them at 1,000 q/s",
        entrants: ENTRANTS,
        columns: SILENT,
        measure: |bench, entrant| silent(bench, entrant, Some(1000)),
    },
    Scenario {
        name: "silent-uncapped",
        title: "the same without max_concurrent",
        entrants: ENTRANTS,
        columns: SILENT,
        measure: |bench, entrant| silent(bench, entrant, None),
    },
];

/// Hosts names asked beside the flood, a second.
const BESIDE_RATE: u64 = 1000;
/// Queries a second during the reloads.
const RELOAD_RATE: u64 = 50_000;
const RELOADS: usize = 100;
const RELOAD_EVERY: Duration = Duration::from_millis(100);
/// Queries a second to the silent upstream, and how long a client waits.
const SILENT_RATE: u64 = 10_000;
const SILENT_PATIENCE: Duration = Duration::from_secs(6);

fn random_flood(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let (job, _upstream) = bench.whole_job(NAMES, &[])?;
    let running = start(bench, entrant, &job)?;
    let flood = bench::unique_stream(OUTSTANDING, Pace::Window(1), Expect::Answer, 0)?;
    let beside = beside()?;
    let outcomes = bench.flood(Load::new(vec![flood, beside], bench.long_seconds))?;
    let (_, peak) = running.memory_mib()?;
    running.process.stop();
    let mut figures =
        vec![outcomes[0].answered_per_second, outcomes[0].lost as f64, outcomes[0].wrong as f64];
    figures.extend(beside_figures(&outcomes[1]));
    figures.push(peak);
    Ok(figures)
}

fn silent(bench: &Bench, entrant: &Entrant, max_concurrent: Option<u32>) -> Result<Vec<f64>, String> {
    let (job, _upstream) = bench.whole_job(NAMES, &["--silent"])?;
    let running = start(bench, entrant, &Job { max_concurrent, ..job })?;
    let flood = bench::unique_stream(OUTSTANDING, Pace::Rate(SILENT_RATE), Expect::Any, 0)?;
    let beside = beside()?;
    let load = Load::new(vec![flood, beside], bench.long_seconds);
    let outcomes = bench.flood(Load { timeout: SILENT_PATIENCE, ..load })?;
    let (_, peak) = running.memory_mib()?;
    running.process.stop();
    let mut figures =
        vec![outcomes[0].sent as f64, outcomes[0].lost as f64, outcomes[0].latency.max() as f64 / 1e9];
    figures.extend(beside_figures(&outcomes[1]));
    figures.push(peak);
    Ok(figures)
}

fn reload(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let (job, _upstream) = bench.whole_job(NAMES, &[])?;
    let running = start(bench, entrant, &Job { log: Log::Off, ..job })?;
    let seconds = (RELOAD_EVERY * RELOADS as u32).as_secs() + 2;
    let before = bench.flood(bench::even_load(RELOAD_RATE, seconds)?)?.remove(0);
    let load = bench::even_load(RELOAD_RATE, seconds)?;
    let outcome = thread::scope(|scope| {
        let flood = scope.spawn(|| bench.flood(load));
        for _ in 0..RELOADS {
            thread::sleep(RELOAD_EVERY);
            running.process.signal(libc::SIGUSR1).map_err(|error| format!("SIGUSR1: {error}"))?;
        }
        flood.join().map_err(|_| "the load generator panicked".to_owned())?
    })?
    .remove(0);
    let (_, peak) = running.memory_mib()?;
    let stdout = running.stdout.clone();
    running.process.stop();
    let said = fs::read_to_string(stdout).map_err(|error| format!("its output: {error}"))?;
    let micros = |share| outcome.latency.quantile(share) as f64 / 1e3;
    Ok(vec![
        said.matches("Reloading complete").count() as f64,
        outcome.sent as f64,
        outcome.lost as f64,
        outcome.wrong as f64,
        micros(0.5),
        micros(0.99) / 1e3,
        outcome.latency.max() as f64 / 1e6,
        before.latency.quantile(0.99) as f64 / 1e6,
        before.latency.max() as f64 / 1e6,
        peak,
    ])
}

fn start(bench: &Bench, entrant: &Entrant, job: &Job) -> Result<Running, String> {
    super::steady::start_hosts(bench, entrant, job)
}

fn beside() -> Result<Stream, String> {
    Ok(Stream { stamped: true, ..bench::hosts_stream(8, Pace::Rate(BESIDE_RATE))? })
}

/// Latencies, lost and wrong of the hosts names asked beside.
fn beside_figures(outcome: &Outcome) -> [f64; 5] {
    [
        outcome.latency.quantile(0.5) as f64 / 1e3,
        outcome.latency.quantile(0.99) as f64 / 1e6,
        outcome.latency.max() as f64 / 1e6,
        outcome.lost as f64,
        outcome.wrong as f64,
    ]
}
