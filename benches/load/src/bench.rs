//! What all scenarios share: the settings, and servers started, asked and stopped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::dnsperf::{Dnsperf, Found};
use crate::flood::{self, Expect, Outcome, Pace, Plan, Stream};
use crate::message::{self, TYPE_A};
use crate::names::{self, Names};
use crate::process::{Launch, Output, Process};
use crate::server::{self, Job, Kind, Log, Upstream};

/// Where the server under test listens.
pub const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);
/// Names of the small hosts file and of what is cached.
pub const NAMES: u32 = 10_000;
/// The hosts files' names.
pub const HOST_PATTERN: &str = "host{}.bench.example.";
/// How long a server may take until it answers (dnsmasq reads a million lines in 40 s).
const READY_WITHIN: Duration = Duration::from_secs(120);

/// The settings of a run.
pub struct Bench {
    /// The server's core.
    pub server_core: usize,
    /// The core of the load, of upstreams, and of this process.
    pub load_core: usize,
    /// How long one measurement takes.
    pub seconds: u64,
    /// How long a measurement takes where the length matters (floods, silent upstreams).
    pub long_seconds: u64,
    /// Where configurations and query files are written; removed at the end.
    pub dir: PathBuf,
}

/// A server that answers.
pub struct Running {
    /// Its process.
    pub process: Process,
    /// From its start to the first answer.
    pub ready_after: Duration,
    /// The file of its standard output, when that is no pipe.
    pub stdout: PathBuf,
}

impl Running {
    /// Resident memory in MiB: now, and at its peak.
    ///
    /// # Errors
    /// A sentence, when the process is gone.
    pub fn memory_mib(&self) -> Result<(f64, f64), String> {
        let memory = self.process.memory().map_err(|error| format!("its memory: {error}"))?;
        Ok((memory.now_kib as f64 / 1024.0, memory.peak_kib as f64 / 1024.0))
    }
}

impl Bench {
    /// Starts `kind` for `job` on `cores` and waits until it answers `probe`.
    ///
    /// # Errors
    /// A sentence: the program is missing, cannot do the job, ended, or did not answer in time.
    pub fn start(&self, kind: Kind, job: &Job, cores: &[usize], probe: &str) -> Result<Running, String> {
        let program = kind.program()?;
        let args = kind.configure(job, SERVER, &self.dir)?;
        let stdout = self.dir.join("server.out");
        let stderr = self.dir.join("server.err");
        let output = match job.log {
            Log::Off => Output::File(stdout.clone()),
            Log::Read => Output::Counted,
            Log::Stalled => Output::Kept,
        };
        let started = Instant::now();
        let launch = Launch { program, args, cores: cores.into(), stdout: output, stderr: stderr.clone() };
        let mut process = Process::start(&launch)?;
        match wait_for_answer(SERVER, probe, &mut process) {
            Ok(()) => Ok(Running { process, ready_after: started.elapsed(), stdout }),
            Err(error) => {
                let said = |path: &Path| fs::read_to_string(path).unwrap_or_default();
                let said = tail(&said(&stdout)) + &tail(&said(&stderr));
                Err(format!("{error}; it said: {}", said.replace(&self.dir.display().to_string(), "…")))
            }
        }
    }

    /// Starts the scripted upstream on the load's core, with `options` beside its address.
    ///
    /// # Errors
    /// A sentence.
    pub fn start_upstream(&self, listen: SocketAddr, options: &[&str]) -> Result<Process, String> {
        let mut args = vec!["--listen".to_owned(), listen.to_string()];
        args.extend(options.iter().map(|&option| option.to_owned()));
        let mut process = Process::start(&Launch {
            program: server::sibling("upstream")?,
            args,
            cores: vec![self.load_core],
            stdout: Output::File(self.dir.join("upstream.out")),
            stderr: self.dir.join("upstream.err"),
        })?;
        if !options.contains(&"--silent") {
            wait_for_answer(listen, "probe.example.", &mut process)?;
        }
        Ok(process)
    }

    /// Runs dnsperf over the names of the small hosts file.
    ///
    /// # Errors
    /// A sentence.
    pub fn dnsperf(&self, clients: usize) -> Result<Found, String> {
        let queries = self.dir.join("queries");
        if !queries.exists() {
            let lines = (0..NAMES).map(|number| names::numbered(HOST_PATTERN, number, NAMES) + " A\n");
            write(&queries, &lines.collect::<String>())?;
        }
        Dnsperf {
            program: &server::on_path("dnsperf")?,
            target: SERVER,
            queries: &queries,
            clients,
            outstanding: OUTSTANDING,
            seconds: self.seconds,
            core: self.load_core,
            stderr: &self.dir.join("dnsperf.err"),
        }
        .run()
    }

    /// Runs our generator on this thread, which is pinned to the load's core.
    ///
    /// # Errors
    /// A sentence.
    pub fn flood(&self, load: Load) -> Result<Vec<Outcome>, String> {
        flood::run(Plan {
            target: SERVER,
            streams: load.streams,
            duration: load.duration,
            queries_max: load.queries_max,
            timeout: load.timeout,
            gso: true,
            spin: load.spin,
        })
        .map_err(|error| format!("the load generator: {error}"))
    }

    /// A hosts file of `count` lines, written once a run.
    ///
    /// # Errors
    /// A sentence.
    pub fn hosts_file(&self, count: u32) -> Result<PathBuf, String> {
        let path = self.dir.join(format!("hosts-{count}"));
        if !path.exists() {
            let lines = (0..count).map(|number| {
                let [_, b, c, d] = number.to_be_bytes();
                let name = names::numbered(HOST_PATTERN, number, count);
                format!("10.{b}.{c}.{d} {}\n", name.trim_end_matches('.'))
            });
            write(&path, &lines.collect::<String>())?;
        }
        Ok(path)
    }

    /// The job of the README's Corefile with a hosts file of `lines`, and its upstream, started with `options`.
    ///
    /// # Errors
    /// A sentence.
    pub fn whole_job(&self, lines: u32, options: &[&str]) -> Result<(Job, Process), String> {
        let upstream = self.start_upstream(RESOLV_CONF_UPSTREAM, options)?;
        let resolv_conf = self.dir.join("resolv.conf");
        write(&resolv_conf, &format!("nameserver {}\n", RESOLV_CONF_UPSTREAM.ip()))?;
        let job = Job {
            hosts: Some(self.hosts_file(lines)?),
            upstream: Some(Upstream::ResolvConf(resolv_conf)),
            cache: None,
            log: Log::Read,
            max_concurrent: Some(1000),
            errors: true,
            ..Job::default()
        };
        Ok((job, upstream))
    }
}

/// The upstream's address where a resolv.conf names it: port 53 is free in a namespace of our own.
pub const RESOLV_CONF_UPSTREAM: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), 53);

/// Unanswered queries at once, over all clients: under what the default receive buffer of a socket holds (277 small
/// datagrams), so that a server that keeps the default loses none.
pub const OUTSTANDING: usize = 200;

/// One use of our generator.
pub struct Load {
    /// What is asked.
    pub streams: Vec<Stream>,
    /// For how long.
    pub duration: Duration,
    /// At most.
    pub queries_max: u64,
    /// When a query counts as lost.
    pub timeout: Duration,
    /// Whether it may keep its core busy.
    pub spin: bool,
}

impl Load {
    /// `streams` for `seconds`; two seconds to answer; sleeping when there is nothing to do.
    pub fn new(streams: Vec<Stream>, seconds: u64) -> Self {
        let duration = Duration::from_secs(seconds);
        Self { streams, duration, queries_max: u64::MAX, timeout: Duration::from_secs(2), spin: false }
    }
}

/// A stream over the names of the small hosts file.
///
/// # Errors
/// A sentence.
pub fn hosts_stream(sockets: usize, pace: Pace) -> Result<Stream, String> {
    let names = Names::from_pattern(HOST_PATTERN, NAMES, TYPE_A)?;
    Ok(Stream { label: "hosts".into(), names, sockets, pace, expect: Expect::Answer, stamped: false })
}

/// Names of the small hosts file at `rate` queries a second for `seconds`, with five seconds to answer: what is asked while a server does
/// something else, and before, which tells what is the machine's own.
///
/// # Errors
/// A sentence.
pub fn even_load(rate: u64, seconds: u64) -> Result<Load, String> {
    let stream = Stream { stamped: true, ..hosts_stream(OUTSTANDING, Pace::Rate(rate))? };
    Ok(Load { timeout: Duration::from_secs(5), ..Load::new(vec![stream], seconds) })
}

/// A stream of names never asked before, in this run or beside it, as long as `seed`s are 2^32 apart.
///
/// # Errors
/// A sentence.
pub fn unique_stream(sockets: usize, pace: Pace, expect: Expect, seed: u64) -> Result<Stream, String> {
    let names = Names::unique("flood.example.", seed)?;
    Ok(Stream { label: "unique".into(), names, sockets, pace, expect, stamped: false })
}

/// The name that a server with a hosts file of `count` lines is probed with: the file's last.
pub fn last_host(count: u32) -> String {
    names::numbered(HOST_PATTERN, count - 1, count)
}

/// A directory that goes when this does.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, with the directories above it.
    ///
    /// # Errors
    /// A sentence.
    pub fn make(path: &Path) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path.into()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // At worst a few files stay in the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Asks `server` for the address of `name` until it answers.
///
/// # Errors
/// A sentence: `process` ended, or there was no answer in time.
pub fn wait_for_answer(server: SocketAddr, name: &str, process: &mut Process) -> Result<(), String> {
    let mut query = message::query_header(0x5750).to_vec();
    message::push_question(&mut query, &message::name_from_text(name)?, TYPE_A);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    socket.connect(server).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(Duration::from_millis(5))).map_err(|error| error.to_string())?;
    let limit = Instant::now() + READY_WITHIN;
    let mut buffer = [0; 2048];
    while Instant::now() < limit {
        if let Some(status) = process.ended().map_err(|error| error.to_string())? {
            return Err(format!("it ended with {status} before it answered"));
        }
        // While nobody listens both calls fail at once; the next try is a millisecond later.
        let reply = socket.send(&query).and_then(|_| socket.recv(&mut buffer));
        match reply.map(|len| message::check_reply(&query, &buffer[..len])) {
            Ok(Ok(reply)) if reply.rcode == 0 && reply.answers > 0 => return Ok(()),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    Err(format!("no answer for {name} within {} s", READY_WITHIN.as_secs()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The last few lines of what a program said.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" / ")
}
