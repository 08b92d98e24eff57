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
];

/// Lines of a hosts file as a small machine has it.
const SMALL: u32 = 10;

fn big_hosts(bench: &Bench, entrant: &Entrant) -> Result<Vec<f64>, String> {
    let job = Job { hosts: Some(bench.hosts_file(LINES)?), ..Job::default() };
    weigh(bench, entrant, &job, LINES)
}

fn weigh(bench: &Bench, entrant: &Entrant, job: &Job, lines: u32) -> Result<Vec<f64>, String> {
    let running = bench.start(entrant.kind, job, &entrant.cores(bench), &bench::last_host(lines))?;
    let (now, peak) = running.memory_mib()?;
    let first_answer = running.ready_after.as_secs_f64();
    running.process.stop();
    Ok(vec![first_answer, now, peak])
}
