//! The servers of the bench, and the configuration of each for one job.
//!
//! All run as one worker: pinned to one core, and told so where they have a setting. What was tuned, and why, is in
//! `benches/README.md`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bare reply server of this package.
    Bare,
    /// Ours.
    Waypost,
    /// CoreDNS, from the path in `COREDNS`.
    CoreDns,
    /// dnsmasq.
    Dnsmasq,
    /// Unbound.
    Unbound,
    /// dnsdist.
    Dnsdist,
    /// PowerDNS Recursor.
    Recursor,
}

/// What a server is asked to be.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// A hosts file to answer from.
    pub hosts: Option<PathBuf>,
    /// Where everything else goes.
    pub upstream: Option<Upstream>,
    /// A cache that holds this many answers.
    pub cache: Option<usize>,
    /// Each query logged on standard output, and who reads that.
    pub log: Log,
    /// The cap of `forward` on queries in flight.
    pub max_concurrent: Option<u32>,
    /// Failures told on standard output, where a server has a setting for it.
    pub errors: bool,
    /// What operators add: queries counted for Prometheus, on [`METRICS`], and addresses in turn. Of waypost and CoreDNS alone.
    pub operated: bool,
    /// For waypost and CoreDNS: this Corefile instead of one made of the rest.
    pub corefile: Option<String>,
}

/// Where servers show their metrics.
pub const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9153);

/// Whether queries are logged, and what becomes of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// They are not.
    #[default]
    Off,
    /// To a pipe that is read and counted.
    Read,
    /// To a pipe that nobody reads.
    Stalled,
}

/// Where a job's queries go that are not answered locally.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// To this address.
    Address(SocketAddr),
    /// To the servers of a resolv.conf, as in the Corefile of the README.
    ResolvConf(PathBuf),
}

impl Kind {
    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Waypost => "waypost",
            Self::CoreDns => "coredns",
            Self::Dnsmasq => "dnsmasq",
            Self::Unbound => "unbound",
            Self::Dnsdist => "dnsdist",
            Self::Recursor => "pdns-recursor",
        }
    }

    /// Its program's file.
    ///
    /// # Errors
    /// A sentence saying where it was looked for.
    pub fn program(self) -> Result<PathBuf, String> {
        match self {
            Self::Bare => sibling("bare"),
            Self::Waypost => {
                let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/waypost");
                existing(env::var_os("WAYPOST").map_or(default, PathBuf::from))
            }
            Self::CoreDns => match env::var_os("COREDNS") {
                Some(path) => existing(path.into()),
                None => Err("the environment's COREDNS names no program".into()),
            },
            Self::Dnsmasq => on_path("dnsmasq"),
            Self::Unbound => on_path("unbound"),
            Self::Dnsdist => on_path("dnsdist"),
            Self::Recursor => on_path("pdns_recursor"),
        }
    }

    /// Its version as it tells it.
    pub fn version(self) -> String {
        let flag = match self {
            Self::Bare => return "of this commit".into(),
            Self::Waypost | Self::CoreDns => "-version",
            Self::Unbound => "-V",
            Self::Dnsmasq | Self::Dnsdist | Self::Recursor => "--version",
        };
        let Ok(program) = self.program() else { return "not there".into() };
        let Ok(output) = Command::new(program).arg(flag).output() else { return "does not run".into() };
        // PowerDNS Recursor tells it on standard error, behind the time.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let version = text.split_ascii_whitespace().map(|word| {
            word.trim_start_matches(|letter: char| !letter.is_ascii_digit()).trim_end_matches([',', ')'])
        });
        let mut version = version.filter(|word| word.contains('.') && !word.contains(':'));
        version.next().unwrap_or("unknown").to_owned()
    }

    /// Writes its configuration for `job` into `dir` and gives its arguments.
    ///
    /// # Errors
    /// A sentence, when it cannot do this job or a file cannot be written.
    pub fn configure(self, job: &Job, listen: SocketAddr, dir: &Path) -> Result<Vec<String>, String> {
        let write = |name: &str, text: &str| -> Result<String, String> {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(path.display().to_string())
        };
        match self {
            Self::Bare => Ok(vec!["--listen".into(), listen.to_string()]),
            Self::Waypost | Self::CoreDns => {
                let text = job.corefile.clone().unwrap_or_else(|| corefile(job, listen));
                Ok(vec!["-conf".into(), write("Corefile", &text)?])
            }
            Self::Dnsmasq => Ok(dnsmasq(job, listen)),
            Self::Unbound => {
                Ok(vec!["-d".into(), "-c".into(), write("unbound.conf", &unbound(job, listen)?)?])
            }
            Self::Dnsdist => {
                let file = write("dnsdist.conf", &dnsdist(job, listen)?)?;
                Ok(vec!["--supervised".into(), "--disable-syslog".into(), "--config".into(), file])
            }
            Self::Recursor => {
                write("recursor.conf", &recursor(job, listen, dir)?)?;
                Ok(vec![format!("--config-dir={}", dir.display())])
            }
        }
    }
}

/// The Corefile of waypost and CoreDNS. With every part of a job it is the one of the project's README.
fn corefile(job: &Job, listen: SocketAddr) -> String {
    let mut text = format!(".:{} {{\n    bind {}\n", listen.port(), listen.ip());
    // Writing to a String cannot fail.
    if let Some(hosts) = &job.hosts {
        let _ = writeln!(
            text,
            "    hosts {} {{\n        reload 1m\n        fallthrough\n    }}",
            hosts.display()
        );
    }
    if let Some(upstream) = &job.upstream {
        let to = match upstream {
            Upstream::Address(address) => address.to_string(),
            Upstream::ResolvConf(path) => path.display().to_string(),
        };
        match job.max_concurrent {
            Some(cap) => {
                let _ = writeln!(text, "    forward . {to} {{\n       max_concurrent {cap}\n    }}");
            }
            None => {
                let _ = writeln!(text, "    forward . {to}");
            }
        }
    }
    match (job.cache, &job.upstream) {
        (Some(capacity), _) => {
            let _ = writeln!(text, "    cache 3600 {{\n        success {capacity}\n    }}");
        }
        (None, Some(Upstream::ResolvConf(_))) => text.push_str("    cache 30\n"),
        (None, _) => {}
    }
    if job.log != Log::Off {
        text.push_str("    log\n");
    }
    if job.errors {
        text.push_str("    errors\n");
    }
    if job.operated {
        let _ = writeln!(text, "    prometheus {METRICS}\n    loadbalance");
    }
    text.push_str("}\n");
    text
}

fn dnsmasq(job: &Job, listen: SocketAddr) -> Vec<String> {
    let mut args: Vec<String> =
        ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]
            .map(String::from)
            .into();
    args.extend([
        "--bind-interfaces".into(),
        "--user=root".into(),
        "--pid-file=".into(),
        format!("--listen-address={}", listen.ip()),
        format!("--port={}", listen.port()),
        // Its hash table of hosts names is as large as its cache may become.
        format!("--cache-size={}", job.cache.unwrap_or(if job.hosts.is_some() { 20_000 } else { 0 })),
    ]);
    args.extend(job.hosts.iter().map(|hosts| format!("--addn-hosts={}", hosts.display())));
    match &job.upstream {
        Some(Upstream::Address(to)) => {
            if job.cache.is_none() {
                // More than the queries unanswered at once, but not many more: it looks through them in every round.
                args.push("--dns-forward-max=250".into());
            }
            args.push(format!("--server={}#{}", to.ip(), to.port()));
        }
        Some(Upstream::ResolvConf(path)) => args.push(format!("--resolv-file={}", path.display())),
        None => {}
    }
    if job.log != Log::Off {
        args.extend(["--log-queries".into(), "--log-facility=/dev/stdout".into()]);
    }
    args
}

/// The upstream's address, for servers whose configuration takes nothing else.
fn address(job: &Job) -> Result<SocketAddr, String> {
    match (&job.upstream, &job.hosts) {
        (Some(Upstream::Address(to)), None) => Ok(*to),
        _ => Err("does not do this job".into()),
    }
}

fn unbound(job: &Job, listen: SocketAddr) -> Result<String, String> {
    let mut text = format!(
        "server:\n  interface: {}@{}\n  do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  logfile: \"\"\n  verbosity: 0\n  num-threads: 1\n  module-config: \"iterator\"\n  \
         access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  minimal-responses: yes\n  \
         msg-cache-size: 64m\n  rrset-cache-size: 128m\n  outgoing-range: 8192\n  num-queries-per-thread: 4096\n",
        listen.ip(),
        listen.port()
    );
    if job.hosts.is_none() {
        let to = address(job)?;
        let _ = writeln!(text, "forward-zone:\n  name: \".\"\n  forward-addr: {}@{}", to.ip(), to.port());
        return Ok(text);
    }
    let hosts =
        job.hosts.as_deref().map(fs::read_to_string).transpose().map_err(|error| error.to_string())?;
    for line in hosts.iter().flat_map(|hosts| hosts.lines()) {
        if let Some((address, name)) = line.split_once(' ') {
            let _ = writeln!(text, "  local-data: \"{name}. 3600 IN A {address}\"");
        }
    }
    Ok(text)
}

fn dnsdist(job: &Job, listen: SocketAddr) -> Result<String, String> {
    let to = address(job)?;
    let mut text = format!(
        "setLocal('{listen}')\nsetACL({{'127.0.0.0/8'}})\nsetSecurityPollSuffix('')\nsetVerboseHealthChecks(false)\n\
         setMaxUDPOutstanding(65535)\nsetUDPMultipleMessagesVectorSize(64)\n\
         newServer({{address='{to}'}}):setUp()\n"
    );
    if let Some(capacity) = job.cache {
        let _ = writeln!(
            text,
            "getPool(''):setCache(newPacketCache({}, {{maxTTL=86400, numberOfShards=1}}))",
            capacity * 2
        );
    }
    Ok(text)
}

fn recursor(job: &Job, listen: SocketAddr, dir: &Path) -> Result<String, String> {
    let to = address(job)?;
    let capacity = job.cache.ok_or("always caches: it does not do this job")?;
    Ok(format!(
        "daemon=no\ndisable-syslog=yes\nquiet=yes\nloglevel=3\nlocal-address={listen}\nsocket-dir={}\n\
         threads=1\npdns-distributes-queries=no\ndnssec=off\nsecurity-poll-suffix=\nallow-from=127.0.0.0/8\n\
         dont-query=\nforward-zones-recurse=.={to}\nmax-cache-entries={}\nmax-packetcache-entries={}\n\
         packetcache-ttl=86400\nmax-mthreads=4096\n",
        dir.display(),
        capacity * 4,
        capacity * 4,
    ))
}

/// The program `name` of this package.
///
/// # Errors
/// A sentence, when it was not built.
pub fn sibling(name: &str) -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    existing(own.with_file_name(name))
}

/// The program `name` on the PATH, or where Debian puts servers.
///
/// # Errors
/// A sentence, when it is not installed.
pub fn on_path(name: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    dirs.find_map(|dir| existing(dir.join(name)).ok()).ok_or_else(|| format!("{name} is not installed"))
}

fn existing(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_file() { Ok(path) } else { Err(format!("there is no {}", path.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corefile_of_a_whole_job_is_the_readme_s() {
        let job = Job {
            hosts: Some("/h".into()),
            upstream: Some(Upstream::ResolvConf("/r".into())),
            cache: None,
            log: Log::Read,
            max_concurrent: Some(1000),
            errors: true,
            ..Job::default()
        };
        let text = corefile(&job, ([127, 0, 0, 1], 5300).into());
        assert_eq!(
            text,
            ".:5300 {\n    bind 127.0.0.1\n    hosts /h {\n        reload 1m\n        fallthrough\n    }\n    \
             forward . /r {\n       max_concurrent 1000\n    }\n    cache 30\n    log\n    errors\n}\n"
        );
    }

    #[test]
    fn a_server_refuses_the_job_it_cannot_do() {
        let job = Job { hosts: Some("/h".into()), ..Job::default() };
        let listen = ([127, 0, 0, 1], 5300).into();
        assert!(dnsdist(&job, listen).is_err());
        assert!(recursor(&job, listen, Path::new("/")).is_err());
    }
}
