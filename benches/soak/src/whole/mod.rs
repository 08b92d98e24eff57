//! The whole run: one server, a steady load that is counted, and harm of all kinds side by side.
//!
//! ```text
//!   namespaces of their own (network, processes, mounts); the first process is this one, and all end with it
//!
//!   clients   flood (UDP), over_tcp, of_health ──► server ──► upstream: one that is well, one that flaps
//!   plan      lanes of harms, drawn from a seed ──► harms      │
//!                                                              ├──► output: a pipe and its reader
//!             and another server, whose log is on a small disk ┴──► output: the small disk
//! ```

pub mod harms;

mod clients;
mod known;
mod output;
mod plan;
mod report;
mod subject;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use waypost_load::bench::SERVER;
use waypost_load::flood::{self, Expect, Outcome, Pace, Plan, Stream};
use waypost_load::message::TYPE_A;
use waypost_load::names::Names;
use waypost_load::server::Kind;
use waypost_load::{netns, process};

use clients::Counts;
use harms::{Field, Harm};
use output::{Pipe, SmallDisk};
use plan::{Random, Span, Until};
use report::{Done, Kept, Report};
use subject::{Subject, Weight};
use upstream::Flappy;

/// The shortest run in which each harm has its time.
pub const SHORTEST: Duration = Duration::from_secs(30);

/// How a run is to be.
pub struct Settings {
    /// The server under soak.
    pub kind: Kind,
    /// How long it is loaded.
    pub whole: Duration,
    /// Queries a second of the load, all kinds together.
    pub rate: u64,
    /// What harm is drawn from.
    pub seed: u64,
    /// An empty directory for the run's files.
    pub dir: PathBuf,
    /// The server's cores.
    pub server_cores: Vec<usize>,
    /// The core of all else.
    pub load_core: usize,
    /// Names of harms that are done; all if there are none.
    pub only: Vec<String>,
    /// Names of harms that are left out.
    pub without: Vec<String>,
}

/// The server whose log is on a small disk.
const BESIDE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5301);

/// Shares of the load, in hundredths.
const HOSTS_SHARE: u64 = 40;
const CACHED_SHARE: u64 = 25;
const FORWARDED_SHARE: u64 = 10;
const STALE_SHARE: u64 = 5;
const FLAPPY_SHARE: u64 = 5;
const BESIDE_SHARE: u64 = 5;
const TCP_SHARE: u64 = 10;
const TCP_CLIENTS: u64 = 16;
/// Client sockets of a stream.
const SOCKETS: usize = 16;

/// Resident memory in MiB at its peak: with 3,000 connections, floods, all caches full, and ten configurations on which
/// queries wait for a silent upstream.
const RSS_PEAK_MAX_MIB: f64 = 160.0;
/// How much of it may be there at the end that was not after three quarters of the run: what 3,000 connections take is
/// kept by the allocator, and the last process may have had them in the last quarter for the first time.
const RSS_GROWTH_MAX_MIB: f64 = 32.0;
/// Open files at the end beyond those at first: sockets to upstreams that have not been given back.
const FILES_MORE_MAX: usize = 32;
/// Threads at the end beyond those at first: those that wait for files end by themselves after a while.
const THREADS_MORE_MAX: usize = 8;
/// When what is to be given back must have been, after the load.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// Share of the planned queries that must have been asked, or the bench did not hold its load.
const ASKED_MIN: f64 = 0.95;
/// How often the server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs it, from within namespaces of its own, and gives the tables and whether all held.
///
/// # Errors
/// A sentence, when the bench itself failed.
pub fn run(settings: &Settings) -> Result<(String, bool), String> {
    netns::settle_inside()?;
    process::pin_this_thread(settings.load_core)
        .map_err(|error| format!("core {}: {error}", settings.load_core))?;
    let dir = settings.dir.clone();
    netns::mount_small(&dir, 64 << 10)?;
    let (beside_dir, disk_dir) = (dir.join("beside"), dir.join("disk"));
    for dir in [&beside_dir, &disk_dir] {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    netns::mount_small(&disk_dir, output::SMALL_DISK_KIB)?;
    let bench = Bench {
        subject: subject_of(settings, dir.clone(), SERVER, dir.join("stdout"))?,
        beside: subject_of(settings, beside_dir, BESIDE, disk_dir.join("log"))?,
        pipe: Pipe::make(dir.join("stdout"))?,
        disk: SmallDisk::at(&disk_dir),
        upstream: Flappy::default(),
        done: Mutex::default(),
        settings,
    };
    let report = bench.run()?;
    Ok((report.text(settings.whole), report.is_good()))
}

fn subject_of(
    settings: &Settings,
    dir: PathBuf,
    listen: SocketAddr,
    stdout: PathBuf,
) -> Result<Subject, String> {
    let hosts = dir.join("hosts");
    let corefile = if listen == SERVER {
        subject::corefile(&hosts)
    } else {
        subject::small_disk_corefile(&hosts, listen)
    };
    Subject::new(settings.kind, dir, listen, stdout, settings.server_cores.clone(), &corefile)
}

/// All that is there during a run.
struct Bench<'a> {
    settings: &'a Settings,
    subject: Subject,
    beside: Subject,
    pipe: Pipe,
    disk: SmallDisk,
    upstream: Flappy,
    done: Mutex<Vec<Done>>,
}

/// Ends what serves the server, however a run ends.
struct Ending<'a>(&'a Bench<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.upstream.end();
        self.0.pipe.end();
    }
}

/// What the server weighed over the run.
#[derive(Default)]
struct Weights {
    first: Weight,
    late: Weight,
    last: Weight,
    peak_mib: f64,
    /// The most that was seen at a look, and when.
    most: (f64, Duration),
}

impl Bench<'_> {
    fn run(&self) -> Result<Report, String> {
        thread::scope(|scope| {
            let ending = Ending(self);
            let servants = [
                scope.spawn(|| self.upstream.serve_well()),
                scope.spawn(|| self.upstream.serve_flappy()),
                scope.spawn(|| self.pipe.read()),
            ];
            self.subject.start()?;
            self.beside.start()?;
            let start = Instant::now();
            let (kept, weights) = self.load(start)?;
            let mut report = Report { kept, ..Report::default() };
            self.judge(&mut report, weights)?;
            drop(ending);
            for servant in servants {
                join(servant)??;
            }
            Ok(report)
        })
    }

    /// The load, the harm, and the look at the server meanwhile.
    fn load(&self, start: Instant) -> Result<(Vec<Kept>, Weights), String> {
        let Settings { whole, rate, .. } = *self.settings;
        let harms = self.harms()?;
        let lanes = plan::draw(&harms, whole, self.settings.seed);
        thread::scope(|scope| {
            let lanes: Vec<_> =
                lanes.iter().map(|lane| scope.spawn(move || self.do_harm(lane, start))).collect();
            let streams = scope.spawn(move || flood_at(SERVER, streams(rate)?, whole));
            let beside =
                scope.spawn(move || flood_at(BESIDE, vec![hosts_stream(rate * BESIDE_SHARE / 100)?], whole));
            let tcp_rate = rate * TCP_SHARE / 100;
            let tcp: Vec<_> = (0..TCP_CLIENTS as u32)
                .map(|number| {
                    scope.spawn(move || clients::over_tcp(number, tcp_rate / TCP_CLIENTS, start, whole))
                })
                .collect();
            let health = scope.spawn(move || clients::of_health(start, whole));

            let mut weights = Weights::default();
            let is_over = || {
                streams.is_finished() && beside.is_finished() && lanes.iter().all(|lane| lane.is_finished())
            };
            while !is_over() {
                thread::sleep(LOOK_EVERY);
                self.look(start, &mut weights)?;
            }
            for lane in lanes {
                join(lane)?;
            }
            let mut kept = kept_of(join(streams)??, join(beside)??, self.settings);
            let mut over_tcp = Counts::default();
            for client in tcp {
                over_tcp.add(join(client)??);
            }
            kept.push(Kept::of_client(
                "hosts and cached, TCP",
                "right",
                tcp_rate * whole.as_secs(),
                over_tcp,
            ));
            kept.push(Kept::of_client("health page", "200 within 1 s", 0, join(health)?));
            self.settle(&mut weights)?;
            Ok((kept, weights))
        })
    }

    /// The harms of this run.
    fn harms(&self) -> Result<Vec<&'static Harm>, String> {
        let all = harms::of(self.settings.kind);
        let named = self.settings.only.iter().chain(&self.settings.without);
        if let Some(unknown) = named.into_iter().find(|name| all.iter().all(|harm| harm.name != **name)) {
            return Err(format!("there is no harm {unknown:?} for {}", self.settings.kind.name()));
        }
        let is_wanted = |harm: &&Harm| {
            let is_in = |names: &[String]| names.iter().any(|name| name == harm.name);
            (self.settings.only.is_empty() || is_in(&self.settings.only)) && !is_in(&self.settings.without)
        };
        Ok(all.into_iter().filter(is_wanted).collect())
    }

    fn do_harm(&self, lane: &[Span], start: Instant) {
        let field =
            Field { subject: &self.subject, pipe: &self.pipe, disk: &self.disk, upstream: &self.upstream };
        for span in lane {
            thread::sleep(span.start.saturating_sub(start.elapsed()));
            let from = start.elapsed();
            // The harm before it took longer than it was to, as what it harmed did not get well.
            if from + (span.end - span.start) / 2 > span.end {
                continue;
            }
            // None for a moment when it ended.
            let rss = || self.subject.weight().map_or(0.0, |weight| weight.rss_mib);
            eprintln!("{:7.1} s  + {} (RSS {:.1} MiB)", from.as_secs_f64(), span.harm.name, rss());
            let result = (span.harm.act)(&field, &Until(start + span.end), &mut Random::new(span.seed));
            let to = start.elapsed();
            let (count, complaint) = match result {
                Ok(count) => (count, None),
                Err(complaint) => (0, Some(complaint)),
            };
            let (name, counted) = (span.harm.name, span.harm.counted);
            let said =
                complaint.as_ref().map_or(format!("{count} {counted}"), |said| format!("FAILED: {said}"));
            eprintln!("{:7.1} s  - {name}: {said} (RSS {:.1} MiB)", to.as_secs_f64(), rss());
            let done = Done { harm: span.harm, from, to, count, complaint };
            self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(done);
        }
    }

    /// Takes notice of what the server's processes do, and starts one again that died.
    fn look(&self, start: Instant, weights: &mut Weights) -> Result<(), String> {
        while let Some((id, status)) = process::reap() {
            let _ = self.subject.note_end(id, status) || self.beside.note_end(id, status);
        }
        for subject in [&self.subject, &self.beside] {
            subject.look();
            if subject.is_dead() {
                eprintln!("{:7.1} s  the server died", start.elapsed().as_secs_f64());
                subject.start()?;
            }
        }
        self.disk.keep_room()?;
        // It may end, or be replaced, at any moment.
        let Ok(weight) = self.subject.weight() else { return Ok(()) };
        let at = start.elapsed();
        if at < plan::CALM_BEFORE {
            weights.first = weight;
        }
        if at < self.settings.whole * 3 / 4 {
            weights.late = weight;
        }
        weights.last = weight;
        if weight.rss_mib > weights.most.0 {
            weights.most = (weight.rss_mib, at);
        }
        weights.peak_mib = weights.peak_mib.max(weight.rss_peak_mib);
        Ok(())
    }

    /// Waits until what was harmed is given back, for a while.
    fn settle(&self, weights: &mut Weights) -> Result<(), String> {
        let until = Until(Instant::now() + SETTLED_WITHIN);
        let start = Instant::now().checked_sub(self.settings.whole).unwrap_or_else(Instant::now);
        loop {
            self.look(start, weights)?;
            let is_settled = weights.last.files <= weights.first.files + FILES_MORE_MAX
                && weights.last.threads <= weights.first.threads + THREADS_MORE_MAX
                && self.subject.lingering() == 0;
            if is_settled || !until.pause(LOOK_EVERY) {
                return Ok(());
            }
        }
    }

    fn judge(&self, report: &mut Report, weights: Weights) -> Result<(), String> {
        report.done =
            std::mem::take(&mut *self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        report.done.sort_by_key(|done| done.from);
        let sum = |of: fn(&Kept) -> u64| report.kept.iter().map(of).sum::<u64>();
        let (lost, wrong) = (sum(|kept| kept.lost), sum(|kept| kept.wrong));
        report.hold("queries lost", lost, 0, lost == 0);
        report.hold("queries answered wrongly", wrong, 0, wrong == 0);
        let complaints = report.done.iter().filter(|done| done.complaint.is_some()).count();
        report.hold("well again after each harm", format!("{complaints} times not"), 0, complaints == 0);
        let idle: Vec<&str> = self
            .harms()?
            .iter()
            .map(|harm| harm.name)
            .filter(|name| !report.done.iter().any(|done| done.harm.name == *name && done.count > 0))
            .collect();
        let found = if idle.is_empty() { "all".to_owned() } else { format!("not {}", idle.join(", ")) };
        report.hold("each harm was done", found, "all", idle.is_empty());
        let asked = report.kept.iter().filter(|kept| kept.planned > 0);
        let asked = asked.map(|kept| kept.asked as f64 / kept.planned as f64).fold(1.0, f64::min);
        report.hold("share of the load that was asked", format!("{asked:.3}"), ASKED_MIN, asked >= ASKED_MIN);

        let deaths: Vec<String> =
            [&self.subject, &self.beside].iter().flat_map(|subject| subject.deaths()).collect();
        let found = if deaths.is_empty() { "none".to_owned() } else { deaths.join("; ") };
        report.hold("processes that died or ended badly", found, "none", deaths.is_empty());
        let lingering = self.subject.lingering();
        report.hold("processes that were replaced and stayed", lingering, 0, lingering == 0);

        let page = subject::page(subject::METRICS, "GET", "/metrics").map_or(String::new(), |(_, page)| page);
        let panics = subject::metric(&page, "coredns_panics_total");
        let said = self.subject.stderr_text() + &self.beside.stderr_text();
        let is_calm = !page.is_empty() && panics == 0.0 && !said.contains("panicked");
        report.hold(
            "panics",
            if page.is_empty() { "no metrics".into() } else { panics.to_string() },
            0,
            is_calm,
        );
        // Those that could not take over say so there; what else is said is told.
        if let Some(line) = said.lines().find(|line| line.contains("panicked")) {
            report.notes.push(format!("on standard error: {line}"));
        }

        let Weights { first, late, last, peak_mib, most } = weights;
        report.hold("RSS peak MiB", format!("{peak_mib:.1}"), RSS_PEAK_MAX_MIB, peak_mib <= RSS_PEAK_MAX_MIB);
        report.notes.push(format!(
            "RSS {:.1} MiB at {:.1} s, beside {}",
            most.0,
            most.1.as_secs_f64(),
            report.beside(most.1)
        ));
        let growth = last.rss_mib - late.rss_mib;
        report.hold(
            "RSS MiB last, over that after three quarters",
            format!(
                "{:.1} (first {:.1}, then {:.1}, last {:.1})",
                growth, first.rss_mib, late.rss_mib, last.rss_mib
            ),
            RSS_GROWTH_MAX_MIB,
            growth <= RSS_GROWTH_MAX_MIB,
        );
        report.hold(
            "open files first, last",
            format!("{}, {}", first.files, last.files),
            format!("+{FILES_MORE_MAX}"),
            last.files <= first.files + FILES_MORE_MAX,
        );
        report.hold(
            "threads first, last",
            format!("{}, {}", first.threads, last.threads),
            format!("+{THREADS_MORE_MAX}"),
            last.threads <= first.threads + THREADS_MORE_MAX,
        );
        for (what, subject) in
            [("ends at SIGTERM", &self.subject), ("ends at SIGTERM, the one on the small disk", &self.beside)]
        {
            let ended = subject.stop(ENDED_WITHIN);
            let found = ended
                .map_or("not".to_owned(), |(took, status)| format!("{status} after {} ms", took.as_millis()));
            let bound = format!("0 within {} s", ENDED_WITHIN.as_secs());
            report.hold(what, found, bound, ended.is_some_and(|(_, status)| status.success()));
        }
        report.notes.push(format!("{} processes served, one after the other", self.subject.lives_so_far()));
        report.notes.push(format!("{} lines of standard output were read", self.pipe.lines()));
        report
            .notes
            .push(format!("{} datagrams found no room in a socket, the bench's own among them", drops()));
        Ok(())
    }
}

/// What is asked over UDP, all of it the server under soak.
fn streams(rate: u64) -> Result<Vec<Stream>, String> {
    let of = |share| rate * share / 100;
    let listed = |pattern, count, rate, expect| -> Result<Stream, String> {
        stream(Names::from_pattern(pattern, count, TYPE_A)?, rate, expect)
    };
    let right = Expect::Such(known::is_right);
    let right_or_failed = Expect::Such(known::is_right_or_a_failure);
    Ok(vec![
        hosts_stream(of(HOSTS_SHARE))?,
        listed(known::CACHED, known::CACHED_COUNT, of(CACHED_SHARE), right)?,
        stream(Names::unique(known::FORWARDED, 0)?, of(FORWARDED_SHARE), right)?,
        listed(known::STALE, known::STALE_COUNT, of(STALE_SHARE), right_or_failed)?,
        stream(Names::unique(known::FLAPPY, 0)?, of(FLAPPY_SHARE), right_or_failed)?,
    ])
}

fn hosts_stream(rate: u64) -> Result<Stream, String> {
    stream(
        Names::from_pattern(known::HOSTS, known::HOSTS_COUNT, TYPE_A)?,
        rate,
        Expect::Such(known::is_right),
    )
}

fn stream(names: Names, rate: u64, expect: Expect) -> Result<Stream, String> {
    Ok(Stream {
        label: String::new(),
        names,
        sockets: SOCKETS,
        pace: Pace::Rate(rate),
        expect,
        stamped: true,
    })
}

fn flood_at(target: SocketAddr, streams: Vec<Stream>, duration: Duration) -> Result<Vec<Outcome>, String> {
    let timeout = clients::PATIENCE;
    let plan = Plan { target, streams, duration, queries_max: u64::MAX, timeout, gso: true, spin: false };
    flood::run(plan).map_err(|error| format!("the load generator: {error}"))
}

/// What was asked by `streams` and of the other server, in words.
fn kept_of(streams: Vec<Outcome>, beside: Vec<Outcome>, settings: &Settings) -> Vec<Kept> {
    let words = [
        ("hosts", "right", HOSTS_SHARE),
        ("cached", "right", CACHED_SHARE),
        ("forwarded, never asked before", "right", FORWARDED_SHARE),
        ("cached, the upstream flaps", "right or SERVFAIL", STALE_SHARE),
        ("never asked before, the upstream flaps", "right, SERVFAIL or REFUSED", FLAPPY_SHARE),
        ("hosts, log on the small disk", "right", BESIDE_SHARE),
    ];
    let outcomes = streams.into_iter().chain(beside);
    let all = settings.rate * settings.whole.as_secs();
    let kept = |((label, must, share), outcome)| Kept::of_stream(label, must, all * share / 100, outcome);
    words.into_iter().zip(outcomes).map(kept).collect()
}

/// Datagrams that this namespace's sockets had no room for.
fn drops() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let at = names.split(' ').position(|name| name == "RcvbufErrors");
    at.and_then(|at| values.split(' ').nth(at)?.parse().ok()).unwrap_or(0)
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T, String> {
    thread.join().map_err(|_| "a thread of the bench panicked".to_owned())
}
