//! What a query costs, and how many a core can answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Entrant, Scenario, Variant};
use crate::bench::{self, Bench, Load, NAMES, OUTSTANDING, Running};
use crate::flood::{Expect, Outcome, Pace, Stream};
use crate::server::{Job, Kind, Log, Upstream};
use crate::table::{Column, paired, plain};

const BARE: Entrant = Entrant::plain(Kind::Bare);
const WAYPOST: Entrant = Entrant::plain(Kind::Waypost);
const COREDNS: Entrant = Entrant::plain(Kind::CoreDns);
const DNSMASQ: Entrant = Entrant::plain(Kind::Dnsmasq);
const UNBOUND: Entrant = Entrant::plain(Kind::Unbound);
const DNSDIST: Entrant = Entrant::plain(Kind::Dnsdist);
const RECURSOR: Entrant = Entrant::plain(Kind::Recursor);

/// Columns of a dnsperf run, as `cost` fills them.
const COST: &[Column] = &[
    paired("CPU µs/query", 2),
    paired("answered q/s", 0),
    plain("latency mean µs", 0),
    plain("latency max ms", 1),
    plain("lost", 0),
    plain("wrong", 0),
    plain("RSS MiB", 1),
];

/// The same where queries are logged. What the servers without a log have there is 0.
const COST_LOGGED: &[Column] =
    &[COST[0], COST[1], COST[2], COST[3], COST[4], COST[5], COST[6], plain("log lines/query", 2)];

/// Columns of a closed-loop run of our generator, as `capacity` fills them.
const CAPACITY: &[Column] = &[
    paired("answered q/s", 0),
    paired("q per CPU second", 0),
    plain("core used", 2),
    plain("latency p50 µs", 0),
    plain("latency p99 µs", 0),
    plain("lost", 0),
    plain("wrong", 0),
    plain("RSS MiB", 1),
];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hosts",
        title: "hosts, 10,000 names, hit; dnsperf, 200 client sockets",
        entrants: &[BARE, WAYPOST, DNSMASQ, UNBOUND, COREDNS],
        columns: COST,
        measure: |bench, entrant| cost(bench, entrant, &hosts(bench)?, 200),
    },
    Scenario {
        name: "hosts-8",
        title: "hosts, 10,000 names, hit; dnsperf, 8 client sockets",
        entrants: &[BARE, WAYPOST, DNSMASQ, UNBOUND, COREDNS],
        columns: COST,
        measure: |bench, entrant| cost(bench, entrant, &hosts(bench)?, 8),
    },
    Scenario {
        name: "hosts-log",
        title: "hosts, 10,000 names, hit, each query logged to a pipe that is read on the load's core; dnsperf, 200 \
                client sockets",
        entrants: &[BARE, WAYPOST, COREDNS],
        columns: COST_LOGGED,
        measure: |bench, entrant| cost(bench, entrant, &Job { log: Log::Read, ..hosts(bench)? }, 200),
    },
    Scenario {
        name: "cache",
        title: "cache, 10,000 names, hit, the upstream gone; dnsperf, 200 client sockets",
        entrants: &[BARE, WAYPOST, DNSMASQ, UNBOUND, DNSDIST, RECURSOR, COREDNS],
        columns: COST,
        measure: |bench, entrant| cached(bench, entrant, false),
    },
    Scenario {
        name: "hosts-operated",
        title: "hosts, 10,000 names, hit, with prometheus and loadbalance; dnsperf, 200 client sockets",
        entrants: &[BARE, WAYPOST, COREDNS],
        columns: COST,
        measure: |bench, entrant| cost(bench, entrant, &Job { operated: true, ..hosts(bench)? }, 200),
    },
    Scenario {
        name: "cache-operated",
        title: "cache, 10,000 names, hit, with prometheus and loadbalance; dnsperf, 200 client sockets",
        entrants: &[BARE, WAYPOST, COREDNS],
        columns: COST,
        measure: |bench, entrant| cached(bench, entrant, true),
    },
    Scenario {
        name: "corefile",
        title: "the README's Corefile (hosts, forward, cache, log, errors), hosts hit; dnsperf, 200 client sockets",
        entrants: &[BARE, WAYPOST, COREDNS],
        columns: COST_LOGGED,
        measure: |bench, entrant| {
            let (job, _upstream) = bench.whole_job(NAMES, &[])?;
            cost(bench, entrant, &job, 200)
        },
    },
    Scenario {
        name: "capacity-8",
        title: "capacity, hosts hit, 8 client sockets (24 unanswered queries each)",
        entrants: &[BARE, WAYPOST, DNSMASQ, COREDNS],
        columns: CAPACITY,
        measure: |bench, entrant| capacity(bench, entrant, 8, 24),
    },
    Scenario {
        name: "capacity-200",
        title: "capacity, hosts hit, 200 client sockets (1 unanswered query each)",
        entrants: &[BARE, WAYPOST, DNSMASQ, COREDNS],
        columns: CAPACITY,
        measure: |bench, entrant| capacity(bench, entrant, 200, 1),
    },
    Scenario {
        name: "forward",
        title: "forwarded, nothing cached; dnsperf, 200 client sockets (bare: answered without forwarding)",
        entrants: &[BARE, WAYPOST, DNSDIST, DNSMASQ, COREDNS],
        columns: COST,
        measure: |bench, entrant| {
            let _upstream = bench.start_upstream(UPSTREAM, &[])?;
            cost(bench, entrant, &forwarding(), 200)
        },
    },
    Scenario {
        name: "forward-capacity",
        title: "capacity, forwarded, never-repeated names, nothing cached, 200 client sockets (bare: answered without \
                forwarding)",
        entrants: &[BARE, WAYPOST, DNSDIST, DNSMASQ, COREDNS],
        columns: CAPACITY,
        measure: forward_capacity,
    },
    Scenario {
        name: "two-cores",
        title: "hosts hit, one core against two, the load on one of the two; 200 client sockets",
        entrants: &[
            BARE,
            WAYPOST,
            Entrant { kind: Kind::Waypost, variant: Variant::TwoCores },
            COREDNS,
            Entrant { kind: Kind::CoreDns, variant: Variant::TwoCores },
        ],
        columns: CAPACITY,
        measure: |bench, entrant| {
            let running = start_hosts(bench, entrant, &hosts(bench)?)?;
            let stream = bench::hosts_stream(OUTSTANDING, Pace::Window(1))?;
            saturate(bench, running, stream, false)
        },
    },
];

/// The upstream's address where the port is ours to choose.
const UPSTREAM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5301);

fn hosts(bench: &Bench) -> Result<Job, String> {
    Ok(Job { hosts: Some(bench.hosts_file(NAMES)?), ..Job::default() })
}

fn forwarding() -> Job {
    Job { upstream: Some(Upstream::Address(UPSTREAM)), ..Job::default() }
}

/// Starts an entrant that answers the names of the small hosts file.
pub(super) fn start_hosts(bench: &Bench, entrant: &Entrant, job: &Job) -> Result<Running, String> {
    bench.start(entrant.kind, job, &entrant.cores(bench), &bench::last_host(NAMES))
}

/// CPU of each query of a dnsperf run.
fn cost(bench: &Bench, entrant: &Entrant, job: &Job, clients: usize) -> Result<Vec<f64>, String> {
    let running = start_hosts(bench, entrant, job)?;
    warm_up(bench)?;
    dnsperf_figures(bench, running, clients)
}

fn cached(bench: &Bench, entrant: &Entrant, operated: bool) -> Result<Vec<f64>, String> {
    let job = Job { cache: Some(2 * NAMES as usize), operated, ..forwarding() };
    let upstream = bench.start_upstream(UPSTREAM, &["--ttl", "3600"])?;
    let running = start_hosts(bench, entrant, &job)?;
    warm_up(bench)?;
    // From here on a miss cannot be answered, and is counted as wrong.
    upstream.stop();
    dnsperf_figures(bench, running, 200)
}

/// Each name of the small hosts file twice.
const WARM_UP_QUERIES: u64 = 2 * NAMES as u64;

/// Asks each name of the small hosts file twice.
fn warm_up(bench: &Bench) -> Result<(), String> {
    let load = Load::new(vec![bench::hosts_stream(8, Pace::Window(4))?], 60);
    let outcome = bench.flood(Load { queries_max: WARM_UP_QUERIES, ..load })?.remove(0);
    if outcome.answered < WARM_UP_QUERIES || outcome.wrong > 0 {
        return Err(format!(
            "while warming up, of {} queries {} were lost and {} answered wrongly",
            outcome.sent, outcome.lost, outcome.wrong
        ));
    }
    Ok(())
}

fn dnsperf_figures(bench: &Bench, running: Running, clients: usize) -> Result<Vec<f64>, String> {
    let before = super::cpu(&running)?;
    let found = bench.dnsperf(clients)?;
    let cpu = super::cpu(&running)? - before;
    let rss = running.memory_mib()?.0;
    let lines = running.process.stop();
    // Those of the warm-up are logged too.
    let asked = found.completed + found.lost + WARM_UP_QUERIES;
    Ok(vec![
        cpu.as_secs_f64() * 1e6 / found.completed.max(1) as f64,
        found.per_second,
        found.latency_mean_us,
        found.latency_max_us / 1e3,
        found.lost as f64,
        found.wrong as f64,
        rss,
        lines as f64 / asked as f64,
    ])
}

fn capacity(bench: &Bench, entrant: &Entrant, sockets: usize, window: usize) -> Result<Vec<f64>, String> {
    let running = start_hosts(bench, entrant, &hosts(bench)?)?;
    warm_up(bench)?;
    saturate(bench, running, bench::hosts_stream(sockets, Pace::Window(window))?, true)
}

fn forward_capacity(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let _upstream = bench.start_upstream(UPSTREAM, &[])?;
    let running = start_hosts(bench, entrant, &forwarding())?;
    let stream = bench::unique_stream(OUTSTANDING, Pace::Window(1), Expect::Answer, 0)?;
    // The upstream needs the core too.
    saturate(bench, running, stream, false)
}

fn saturate(bench: &Bench, running: Running, stream: Stream, spin: bool) -> Result<Vec<f64>, String> {
    let before = super::cpu(&running)?;
    let load = Load::new(vec![stream], bench.seconds);
    let outcome = bench.flood(Load { spin, ..load })?.remove(0);
    let cpu = super::cpu(&running)? - before;
    let rss = running.memory_mib()?.0;
    running.process.stop();
    Ok(capacity_figures(&outcome, cpu, bench.seconds, rss))
}

fn capacity_figures(outcome: &Outcome, cpu: Duration, seconds: u64, rss: f64) -> Vec<f64> {
    let micros = |nanos: u64| nanos as f64 / 1e3;
    vec![
        outcome.answered_per_second,
        outcome.answered as f64 / cpu.as_secs_f64(),
        cpu.as_secs_f64() / seconds as f64,
        micros(outcome.latency.quantile(0.5)),
        micros(outcome.latency.quantile(0.99)),
        outcome.lost as f64,
        outcome.wrong as f64,
        rss,
    ]
}
