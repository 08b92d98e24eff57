//! What a server weighs, and how long a large hosts file takes it.

use super::{Entrant, Scenario};
use crate::bench::{self, Bench};
use crate::server::{Job, Kind};
use crate::table::plain;

const LINES: u32 = 1_000_000;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "big-hosts",
        title: "a hosts file of 1,000,000 lines: from the start to the first answer (its last name)",
        entrants: &[
            Entrant::plain(Kind::Waypost),
            Entrant::plain(Kind::Dnsmasq),
            Entrant::plain(Kind::CoreDns),
        ],
        columns: &[plain("first answer s", 2), plain("RSS MiB", 1), plain("RSS peak MiB", 1)],
        measure: big_hosts,
    },
    Scenario {
        name: "idle",
        title: "idle, the README's Corefile, after its first answer",
        entrants: &[
            Entrant::plain(Kind::Waypost),
            Entrant::plain(Kind::Dnsmasq),
            Entrant::plain(Kind::CoreDns),
        ],
        columns: &[plain("first answer s", 3), plain("RSS MiB", 1), plain("RSS peak MiB", 1)],
        measure: |bench, entrant| {
            let (job, _upstream) = bench.whole_job(SMALL, &[])?;
            weigh(bench, entrant, &job, SMALL)
        },
    },
    Scenario {
        name: "start",
        title: "the README's Corefile: from the start of the program to its first answer, 20 times",
        entrants: &[
            Entrant::plain(Kind::Waypost),
            Entrant::plain(Kind::Dnsmasq),
            Entrant::plain(Kind::CoreDns),
        ],
        columns: &[plain("first answer ms", 1), plain("slowest ms", 1)],
        measure: start_again,
    },
];

const STARTS: usize = 20;

/// Lines of a hosts file as a small machine has it.
const SMALL: u32 = 10;

fn big_hosts(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let job = Job { hosts: Some(bench.hosts_file(LINES)?), ..Job::default() };
    weigh(bench, entrant, &job, LINES)
}

fn start_again(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let (job, _upstream) = bench.whole_job(SMALL, &[])?;
    let mut took = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let running = bench.start(entrant.kind, &job, &entrant.cores(bench), &bench::last_host(SMALL))?;
        took.push(running.ready_after.as_secs_f64() * 1e3);
        running.process.stop();
    }
    took.sort_by(f64::total_cmp);
    Ok(vec![took[STARTS / 2], took[STARTS - 1]])
}

fn weigh(bench: &Bench, entrant: &Entrant, job: &Job, lines: u32) -> Result<Vec<f64>, String> {
    let running = bench.start(entrant.kind, job, &entrant.cores(bench), &bench::last_host(lines))?;
    let (now, peak) = running.memory_mib()?;
    let first_answer = running.ready_after.as_secs_f64();
    running.process.stop();
    Ok(vec![first_answer, now, peak])
}
