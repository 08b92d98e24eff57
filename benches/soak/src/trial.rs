//! What a trial is, how it loads a server while it does harm, and what it reports.

use std::thread;
use std::time::{Duration, Instant};

use waypost_load::bench::{self, Bench, Load, NAMES, Running};
use waypost_load::flood::{Expect, Outcome, Pace, Stream};
use waypost_load::message::TYPE_A;
use waypost_load::names::Names;
use waypost_load::server::{Job, Kind};

/// One thing to stand.
pub struct Trial {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done, in a sentence.
    pub title: &'static str,
    /// Does it.
    pub run: fn(&Soak) -> Result<Figures, String>,
}

/// The settings of all trials.
pub struct Soak {
    /// Cores and files.
    pub bench: Bench,
    /// The server under trial.
    pub kind: Kind,
    /// How long each trial loads it.
    pub duration: Duration,
}

/// What came of a trial. Lost and wrong are of the watched queries: those that had to be answered.
#[derive(Default)]
pub struct Figures {
    load: String,
    faults: String,
    watched: u64,
    lost: u64,
    wrong: u64,
    p99_ms: f64,
    slowest_ms: f64,
    rss_start_mib: f64,
    rss_peak_mib: f64,
}

impl Figures {
    /// The head of the table.
    pub const HEAD: &'static str = "\
        | trial | load held | faults injected | watched | lost | wrong | hosts p99 ms | hosts slowest ms | RSS start MiB | RSS peak MiB |\n\
        |---|---|---|---:|---:|---:|---:|---:|---:|---:|\n";

    /// Its row in the table.
    pub fn row(&self, name: &str) -> String {
        format!(
            "| {name} | {} | {} | {} | {} | {} | {:.2} | {:.1} | {:.1} | {:.1} |\n",
            self.load,
            self.faults,
            self.watched,
            self.lost,
            self.wrong,
            self.p99_ms,
            self.slowest_ms,
            self.rss_start_mib,
            self.rss_peak_mib
        )
    }

    /// Whether nothing watched was lost or answered wrongly.
    pub fn good(&self) -> bool {
        self.lost == 0 && self.wrong == 0
    }

    /// The figures of `outcomes`, of which the first `watched` are watched. The first of all is the hosts names'.
    pub fn of(outcomes: &[Outcome], watched: usize, faults: String) -> Self {
        let load = outcomes.iter().map(|outcome| {
            let rate = outcome.answered_per_second;
            let lost = outcome.lost;
            format!(
                "{} {rate:.0}/s{}",
                outcome.label,
                if lost > 0 { format!(" ({lost} lost)") } else { String::new() }
            )
        });
        let mut figures = Self { load: load.collect::<Vec<_>>().join(", "), faults, ..Self::default() };
        for outcome in &outcomes[..watched.min(outcomes.len())] {
            figures.watched += outcome.sent;
            figures.lost += outcome.lost;
            figures.wrong += outcome.wrong;
        }
        if let Some(hosts) = outcomes.first() {
            figures.p99_ms = hosts.latency.quantile(0.99) as f64 / 1e6;
            figures.slowest_ms = hosts.latency.max() as f64 / 1e6;
        }
        figures
    }

    /// With what the server weighed at its first answer and at its peak.
    pub fn weighed(self, rss_start_mib: f64, rss_peak_mib: f64) -> Self {
        Self { rss_start_mib, rss_peak_mib, ..self }
    }

    /// With a finding of the trial's own instead of the slowest answer.
    pub fn slowest(self, slowest: Duration) -> Self {
        Self { slowest_ms: slowest.as_secs_f64() * 1e3, ..self }
    }
}

/// A server under trial and what it weighed at first.
pub struct Subject {
    /// The server.
    pub running: Running,
    /// Its resident memory after its first answer.
    pub rss_start_mib: f64,
}

impl Soak {
    /// Starts the server under trial, which answers the names of the small hosts file.
    pub fn start(&self, job: &Job) -> Result<Subject, String> {
        let cores = [self.bench.server_core];
        let running = self.bench.start(self.kind, job, &cores, &bench::last_host(NAMES))?;
        let (rss_start_mib, _) = running.memory_mib()?;
        Ok(Subject { running, rss_start_mib })
    }

    /// Loads the server with `streams` for the trial's time, and calls `fault` after each `every` meanwhile, with
    /// its number from 0. Gives what became of the streams and how often the fault was done.
    pub fn load(
        &self,
        streams: Vec<Stream>,
        every: Duration,
        mut fault: impl FnMut(u64) -> Result<(), String>,
    ) -> Result<(Vec<Outcome>, u64), String> {
        let load = Load { duration: self.duration, timeout: PATIENCE, ..Load::new(streams, 0) };
        thread::scope(|scope| {
            let flood = scope.spawn(|| self.bench.flood(load));
            let end = Instant::now() + self.duration;
            let mut faults = 0;
            while end.saturating_duration_since(Instant::now()) > every && !flood.is_finished() {
                thread::sleep(every);
                fault(faults)?;
                faults += 1;
            }
            let outcomes = flood.join().map_err(|_| "the load generator panicked".to_owned())??;
            Ok((outcomes, faults))
        })
    }

    /// As [`Soak::load`], with nothing done meanwhile.
    pub fn load_only(&self, streams: Vec<Stream>) -> Result<Vec<Outcome>, String> {
        self.load(streams, self.duration, |_| Ok(())).map(|(outcomes, _)| outcomes)
    }
}

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// Names of the hosts file at `rate` queries a second.
pub fn hosts(rate: u64) -> Result<Stream, String> {
    Ok(Stream { stamped: true, ..bench::hosts_stream(8, Pace::Rate(rate))? })
}

/// A few hundred names that the upstream knows and the cache holds, at `rate` queries a second.
pub fn cached(rate: u64) -> Result<Stream, String> {
    let names = Names::from_pattern("known{}.cached.example.", 500, TYPE_A)?;
    Ok(Stream {
        label: "cached".into(),
        names,
        sockets: 8,
        pace: Pace::Rate(rate),
        expect: Expect::Answer,
        stamped: true,
    })
}

/// Names never asked before, at `pace`; any response will do.
pub fn unique(sockets: usize, pace: Pace) -> Result<Stream, String> {
    bench::unique_stream(sockets, pace, Expect::Any, 0)
}
