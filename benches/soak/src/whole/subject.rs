//! The server under soak: its files, its processes one after the other, and what they weigh.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use waypost_load::bench::{self, SERVER};
use waypost_load::process::{self, Launch, Output, Process};
use waypost_load::server::Kind;

use super::known;
use super::upstream;

/// Where its metrics are.
pub const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9153);
/// Where it says that it lives.
pub const HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where it says that it is ready.
pub const READY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8181);

/// Longest time that a page may take: what a probe of Kubernetes waits unless it is told otherwise.
const PAGE_WITHIN: Duration = Duration::from_secs(1);
const PAGE_BYTES_MAX: u64 = 4 << 20;

/// A server and those that took its place.
pub struct Subject {
    /// Which program.
    pub kind: Kind,
    /// Its configuration.
    pub corefile: PathBuf,
    /// The hosts file it answers from.
    pub hosts: PathBuf,
    /// The directory of all of it.
    pub dir: PathBuf,
    listen: SocketAddr,
    stdout: PathBuf,
    cores: Vec<usize>,
    lives: Mutex<Lives>,
}

/// The processes so far.
#[derive(Default)]
struct Lives {
    serving: u32,
    all: Vec<Life>,
    deaths: Vec<String>,
}

/// One process.
struct Life {
    id: u32,
    ended: Option<ExitStatus>,
}

/// What a process holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weight {
    /// Resident memory in MiB.
    pub rss_mib: f64,
    /// Its peak.
    pub rss_peak_mib: f64,
    /// Open files, sockets among them.
    pub files: usize,
    /// Threads.
    pub threads: usize,
}

impl Subject {
    /// One of `kind` at `listen` that writes to `stdout`, with the files it needs in `dir`. Not started yet.
    ///
    /// # Errors
    /// A sentence, when a file cannot be written.
    pub fn new(
        kind: Kind,
        dir: PathBuf,
        listen: SocketAddr,
        stdout: PathBuf,
        cores: Vec<usize>,
        corefile: &str,
    ) -> Result<Self, String> {
        let subject = Self {
            kind,
            corefile: dir.join("Corefile"),
            hosts: dir.join("hosts"),
            dir,
            listen,
            stdout,
            cores,
            lives: Mutex::default(),
        };
        write(&subject.hosts, known::hosts_text()?.as_bytes())?;
        write(&subject.corefile, corefile.as_bytes())?;
        Ok(subject)
    }

    /// Starts it and waits until it answers. From the main thread only.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(&self) -> Result<(), String> {
        let path = |path: &Path| path.display().to_string();
        let mut process = Process::start(&Launch {
            program: self.kind.program()?,
            args: ["-conf", &path(&self.corefile), "-pidfile", &path(&self.pidfile())]
                .map(String::from)
                .into(),
            cores: self.cores.clone(),
            stdout: Output::File(self.stdout.clone()),
            stderr: self.stderr(),
        })?;
        bench::wait_for_answer(self.listen, &bench::last_host(known::HOSTS_COUNT), &mut process).map_err(
            |error| format!("{error}; it said: {}", fs::read_to_string(self.stderr()).unwrap_or_default()),
        )?;
        let mut lives = self.lives();
        lives.serving = process.release();
        let id = lives.serving;
        lives.all.push(Life { id, ended: None });
        Ok(())
    }

    /// The process that serves.
    pub fn id(&self) -> u32 {
        self.lives().serving
    }

    /// How many processes have served so far.
    pub fn lives_so_far(&self) -> usize {
        self.lives().all.len()
    }

    /// Sends a signal to the process that serves.
    ///
    /// # Errors
    /// A sentence.
    pub fn signal(&self, signal: libc::c_int) -> Result<(), String> {
        process::signal(self.id(), signal).map_err(|error| format!("signal {signal}: {error}"))
    }

    /// Takes notice of a process that has taken over.
    pub fn look(&self) {
        let written = fs::read_to_string(self.pidfile()).ok().and_then(|text| text.trim().parse().ok());
        let mut lives = self.lives();
        if let Some(id) = written
            && id != lives.serving
            && lives.serving != 0
        {
            lives.serving = id;
            lives.all.push(Life { id, ended: None });
        }
    }

    /// Takes notice of the end of process `id`; false when it is none of this subject's. When the one that served has
    /// ended, this has none until the next [`Subject::start`].
    pub fn note_end(&self, id: u32, status: ExitStatus) -> bool {
        // Its successor may have taken over a moment ago.
        self.look();
        let mut lives = self.lives();
        let serving = lives.serving;
        let Some(life) = lives.all.iter_mut().rfind(|life| life.id == id && life.ended.is_none()) else {
            return false;
        };
        life.ended = Some(status);
        if id == serving {
            lives.serving = 0;
            lives.deaths.push(format!("process {id} died: {status}"));
        } else if !status.success() {
            lives.deaths.push(format!("process {id}, which was replaced, ended with {status}"));
        }
        true
    }

    /// Whether no process serves.
    pub fn is_dead(&self) -> bool {
        self.lives().serving == 0
    }

    /// Ends that were none that they should have, in words.
    pub fn deaths(&self) -> Vec<String> {
        self.lives().deaths.clone()
    }

    /// Processes that were replaced and have not ended.
    pub fn lingering(&self) -> usize {
        let lives = self.lives();
        lives.all.iter().filter(|life| life.ended.is_none() && life.id != lives.serving).count()
    }

    /// What the process that serves holds.
    ///
    /// # Errors
    /// A sentence, when there is none.
    pub fn weight(&self) -> Result<Weight, String> {
        let proc = PathBuf::from(format!("/proc/{}", self.id()));
        let status =
            fs::read_to_string(proc.join("status")).map_err(|error| format!("its status: {error}"))?;
        let number = |key: &str| -> f64 {
            let line = status.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
        };
        let files = fs::read_dir(proc.join("fd")).map_err(|error| format!("its files: {error}"))?.count();
        Ok(Weight {
            rss_mib: number("VmRSS:") / 1024.0,
            rss_peak_mib: number("VmHWM:") / 1024.0,
            files,
            threads: number("Threads:") as usize,
        })
    }

    /// Asks it to end by SIGTERM; how long it took and how it ended, or none if it did not within `limit`.
    pub fn stop(&self, limit: Duration) -> Option<(Duration, ExitStatus)> {
        let began = Instant::now();
        let id = self.id();
        // One that has ended already is one that has not ended well; the caller sees that.
        let _ = self.signal(libc::SIGTERM);
        while began.elapsed() < limit {
            match process::reap() {
                Some((ended, status)) if ended == id => return Some((began.elapsed(), status)),
                Some((ended, status)) => _ = self.note_end(ended, status),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        let _ = self.signal(libc::SIGKILL);
        None
    }

    /// What it wrote to its standard error.
    pub fn stderr_text(&self) -> String {
        fs::read(self.stderr()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn stderr(&self) -> PathBuf {
        self.dir.join(format!("stderr.{}", self.listen.port()))
    }

    fn pidfile(&self) -> PathBuf {
        self.dir.join("pid")
    }

    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Corefile of the server under soak: what is asked in blocks of their own, so that a flood or an upstream that is
/// gone can be told from the others.
pub fn corefile(hosts: &Path) -> String {
    let common = "    bind 127.0.0.1\n    log\n    errors\n    prometheus 127.0.0.1:9153\n";
    let port = SERVER.port();
    let (well, flappy) = (upstream::WELL, upstream::FLAPPY);
    format!(
        ".:{port} {{\n{common}    health 127.0.0.1:8080\n    ready 127.0.0.1:8181\n    \
         hosts {} {{\n        reload 1s\n        fallthrough\n    }}\n    \
         forward . {well}\n    cache 60\n    loadbalance\n}}\n\
         new.flappy.example:{port} {{\n{common}    forward . {flappy} {{\n        max_concurrent 1000\n    }}\n    \
         cache 60\n}}\n\
         flappy.example:{port} {{\n{common}    forward . {flappy}\n    cache 60 {{\n        serve_stale 1h\n    }}\n}}\n\
         flood.example:{port} {{\n{common}    forward . {well} {{\n        max_concurrent 1000\n    }}\n    cache 30\n}}\n",
        hosts.display()
    )
}

/// The Corefile of the server whose log goes to a small disk.
pub fn small_disk_corefile(hosts: &Path, listen: SocketAddr) -> String {
    format!(
        ".:{} {{\n    bind {}\n    hosts {}\n    log\n    errors\n}}\n",
        listen.port(),
        listen.ip(),
        hosts.display()
    )
}

/// The status and the body of a page that comes in time.
///
/// # Errors
/// A sentence.
pub fn page(address: SocketAddr, method: &str, path: &str) -> Result<(u16, String), String> {
    let failed = |error: std::io::Error| format!("{method} {path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, PAGE_WITHIN).map_err(failed)?;
    stream.set_read_timeout(Some(PAGE_WITHIN)).map_err(failed)?;
    stream.set_write_timeout(Some(PAGE_WITHIN)).map_err(failed)?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut text = Vec::new();
    stream.take(PAGE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.ok_or_else(|| format!("{method} {path}: no status"))?, text))
}

/// The sum of a series of the metrics page, over all labels.
pub fn metric(page: &str, name: &str) -> f64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    page.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.trim().parse::<f64>().ok()).sum()
}

/// Writes a file.
///
/// # Errors
/// A sentence with its path.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Replaces a file in one step, whatever is there.
///
/// # Errors
/// A sentence with its path.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", path.display());
    if path.is_dir() {
        fs::remove_dir(path).map_err(failed)?;
    }
    let new = path.with_extension("new");
    write(&new, bytes)?;
    fs::rename(&new, path).map_err(failed)
}
