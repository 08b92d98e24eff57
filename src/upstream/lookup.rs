//! The addresses of a host name, found while a configuration is read: from the hosts file and by DNS, with messages of our own, since the
//! C library's resolver loads code at run time, which a static binary cannot.
//!
//! Everything here waits; call it where waiting harms nobody.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Transport;
use super::error::{Act, ErrorKind, ExchangeError};
use super::frames;
use super::random::Random;
use super::reply::{self, Verdict};
use super::resolv_conf::{self, ResolvConf};
use crate::net::socket;
use crate::wire::{Class, Flags, HEADER_LEN, Name, Rcode, Rtype, Section, header, record};

/// Why a name has no addresses, in the words of Go's resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// There is no such name, or it has no addresses.
    NoSuchHost {
        /// The name.
        name: String,
        /// Who said so, if a server was asked.
        server: Option<SocketAddr>,
    },
    /// A server answered with an error.
    Misbehaving {
        /// The name.
        name: String,
        /// The server.
        server: SocketAddr,
    },
    /// No server could be asked.
    Unanswered {
        /// The name.
        name: String,
        /// What became of the last attempt.
        error: ExchangeError,
    },
    /// None of the servers of the configuration knew addresses.
    NoAddresses {
        /// The name.
        name: String,
        /// What became of the last attempt, if it failed.
        error: Option<ExchangeError>,
    },
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost { name, server: None } => write!(f, "lookup {name}: no such host"),
            Self::NoSuchHost { name, server: Some(server) } => {
                write!(f, "lookup {name} on {server}: no such host")
            }
            Self::Misbehaving { name, server } => write!(f, "lookup {name} on {server}: server misbehaving"),
            Self::Unanswered { name, error } => write!(f, "lookup {name} on {}: {error}", error.upstream),
            Self::NoAddresses { name, error: None } => write!(f, "no addresses found for \"{name}\""),
            Self::NoAddresses { name, error: Some(error) } => {
                write!(f, "no addresses found for \"{name}\": {error}")
            }
        }
    }
}

impl std::error::Error for LookupError {}

/// The addresses of `name` as this machine sees it: `/etc/hosts`, then the servers and search list of `/etc/resolv.conf`.
///
/// # Errors
/// [`LookupError`] if there are none.
pub fn system(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let conf = ResolvConf::read(Path::new("/etc/resolv.conf")).unwrap_or_default();
    let (servers, _) = conf.addresses();
    let mut servers: Vec<SocketAddr> = servers.into_iter().map(|ip| SocketAddr::new(ip, DNS_PORT)).collect();
    if servers.is_empty() {
        servers = vec![SocketAddr::from(([127, 0, 0, 1], DNS_PORT))];
    }
    with_files(name, Path::new("/etc/hosts"), &conf, &servers)
}

/// As [`system`], with other files.
fn with_files(
    name: &str,
    hosts: &Path,
    conf: &ResolvConf,
    servers: &[SocketAddr],
) -> Result<Vec<IpAddr>, LookupError> {
    let no_such_host = |server| LookupError::NoSuchHost { name: name.to_owned(), server };
    if !is_host_name(name) {
        return Err(no_such_host(None));
    }
    let found = in_hosts_file(hosts, name).unwrap_or_default();
    if !found.is_empty() {
        return Ok(found);
    }
    let give_up = Instant::now() + PATIENCE;
    let mut last = no_such_host(None);
    for candidate in conf.candidates(name) {
        let Ok(asked) = Name::from_text(&candidate) else { continue };
        match ask_servers(&asked, servers, conf, give_up) {
            Ok((addresses, _)) if !addresses.is_empty() => return Ok(addresses),
            Ok((_, server)) => last = no_such_host(Some(server)),
            Err(Unasked::Misbehaving(server)) => {
                last = LookupError::Misbehaving { name: name.to_owned(), server };
            }
            Err(Unasked::Failed(error)) => last = LookupError::Unanswered { name: name.to_owned(), error },
            Err(Unasked::NoServer) => {}
        }
    }
    Err(last)
}

/// The addresses of `name` by asking `servers` alone, one after the other until one has addresses.
///
/// # Errors
/// [`LookupError::NoAddresses`].
pub fn by_servers(name: &str, servers: &[SocketAddr]) -> Result<Vec<IpAddr>, LookupError> {
    let mut last = None;
    let asked =
        Name::from_text(name).map_err(|_| LookupError::NoAddresses { name: name.to_owned(), error: None })?;
    for &server in servers {
        let mut found = Vec::new();
        for qtype in [Rtype::A, Rtype::AAAA] {
            match exchange(server, &asked, qtype, Duration::from_secs(2)) {
                Ok(reply) => found.extend(addresses_in(&reply)),
                Err(error) => {
                    last = Some(error);
                    break;
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(LookupError::NoAddresses { name: name.to_owned(), error: last })
}

enum Unasked {
    NoServer,
    Misbehaving(SocketAddr),
    Failed(ExchangeError),
}

/// Asks one server after the other, as often as `conf` says, until one answers for both kinds of addresses. Returns who did.
fn ask_servers(
    name: &Name,
    servers: &[SocketAddr],
    conf: &ResolvConf,
    give_up: Instant,
) -> Result<(Vec<IpAddr>, SocketAddr), Unasked> {
    let mut last = Unasked::NoServer;
    for _ in 0..conf.attempts {
        for &server in servers {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(last);
            }
            match ask_server(name, server, conf.timeout.min(left)) {
                Ok(addresses) => return Ok((addresses, server)),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

fn ask_server(name: &Name, server: SocketAddr, timeout: Duration) -> Result<Vec<IpAddr>, Unasked> {
    let mut addresses = Vec::new();
    for qtype in [Rtype::A, Rtype::AAAA] {
        let reply = exchange(server, name, qtype, timeout).map_err(Unasked::Failed)?;
        match Flags::of(&reply).rcode() {
            Rcode::NOERROR | Rcode::NXDOMAIN => addresses.extend(addresses_in(&reply)),
            _ => return Err(Unasked::Misbehaving(server)),
        }
    }
    Ok(addresses)
}

fn addresses_in(reply: &[u8]) -> Vec<IpAddr> {
    let answers = record::records(reply).filter_map(Result::ok).filter(|r| r.section == Section::Answer);
    answers
        .filter(|r| r.class == Class::IN)
        .filter_map(|r| match (r.rtype, r.rdata(reply)) {
            (Rtype::A, rdata) => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
            (Rtype::AAAA, rdata) => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
            _ => None,
        })
        .collect()
}

/// One exchange over UDP and, if the reply is truncated, over TCP.
fn exchange(
    server: SocketAddr,
    name: &Name,
    qtype: Rtype,
    timeout: Duration,
) -> Result<Vec<u8>, ExchangeError> {
    let mut query = vec![0; HEADER_LEN];
    header::set_id(&mut query, Random::kernel().next_u16());
    Flags(Flags::RD).write(&mut query);
    header::set_count(&mut query, 0, 1);
    query.extend_from_slice(name.as_bytes());
    query.extend_from_slice(&qtype.0.to_be_bytes());
    query.extend_from_slice(&Class::IN.0.to_be_bytes());
    let reply = over_udp(server, &query, timeout)?;
    if Flags::of(&reply).has(Flags::TC) { over_tcp(server, &query, timeout) } else { Ok(reply) }
}

fn over_udp(server: SocketAddr, query: &[u8], timeout: Duration) -> Result<Vec<u8>, ExchangeError> {
    let fail = |act, local| {
        move |error: io::Error| ExchangeError {
            kind: kind_of(&error),
            act,
            transport: Transport::Udp,
            local,
            upstream: server,
        }
    };
    let socket = socket::udp_connected(server, None).map_err(fail(Act::Dial, None))?;
    let local = socket.local_addr().ok();
    socket.set_nonblocking(false).map_err(fail(Act::Dial, local))?;
    socket.send(query).map_err(fail(Act::Write, local))?;
    let give_up = Instant::now() + timeout;
    let mut buffer = [0; 4_096];
    loop {
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(fail(Act::Read, local)(io::ErrorKind::TimedOut.into()));
        }
        socket.set_read_timeout(Some(left)).map_err(fail(Act::Read, local))?;
        let len = match socket.recv(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(fail(Act::Read, local)(error)),
        };
        let message = &buffer[..len];
        if header::id(message) != header::id(query) {
            continue;
        }
        match reply::judge(message, query, query.len(), false, true) {
            Verdict::Foreign => {}
            Verdict::Malformed => return Err(malformed(server, Transport::Udp, local)),
            verdict => return Ok(reply::copy(message, query, query.len(), &verdict)),
        }
    }
}

fn over_tcp(server: SocketAddr, query: &[u8], timeout: Duration) -> Result<Vec<u8>, ExchangeError> {
    let fail = |act, local| {
        move |error: io::Error| ExchangeError {
            kind: kind_of(&error),
            act,
            transport: Transport::Tcp,
            local,
            upstream: server,
        }
    };
    let give_up = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&server, timeout).map_err(fail(Act::Dial, None))?;
    let local = stream.local_addr().ok();
    stream.set_write_timeout(Some(timeout)).map_err(fail(Act::Write, local))?;
    let mut framed = Vec::new();
    frames::push(&mut framed, query);
    stream.write_all(&framed).map_err(fail(Act::Write, local))?;
    let mut inbox = frames::Inbox::default();
    let mut buffer = [0; 4_096];
    loop {
        while let Some(message) = inbox.next() {
            if header::id(message) != header::id(query) {
                continue;
            }
            match reply::judge(message, query, query.len(), false, false) {
                Verdict::Foreign => {}
                Verdict::Malformed => return Err(malformed(server, Transport::Tcp, local)),
                verdict => return Ok(reply::copy(message, query, query.len(), &verdict)),
            }
        }
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(fail(Act::Read, local)(io::ErrorKind::TimedOut.into()));
        }
        stream.set_read_timeout(Some(left)).map_err(fail(Act::Read, local))?;
        match stream.read(&mut buffer) {
            Ok(0) => {
                let kind = ErrorKind::Closed { mid_message: inbox.is_mid_message() };
                return Err(ExchangeError { kind, ..malformed(server, Transport::Tcp, local) });
            }
            Ok(len) => inbox.room().extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(Act::Read, local)(error)),
        }
    }
}

fn malformed(server: SocketAddr, transport: Transport, local: Option<SocketAddr>) -> ExchangeError {
    let kind = ErrorKind::MalformedReply;
    ExchangeError { kind, act: Act::Read, transport, local, upstream: server }
}

/// A read or write that was given a time limit says `WouldBlock` when it is over.
fn kind_of(error: &io::Error) -> ErrorKind {
    if error.kind() == io::ErrorKind::WouldBlock { ErrorKind::Timeout } else { ErrorKind::of(error) }
}

/// The addresses that the hosts file at `path` gives to `name`.
fn in_hosts_file(path: &Path, name: &str) -> io::Result<Vec<IpAddr>> {
    let Some(file) = resolv_conf::open(path)? else { return Ok(Vec::new()) };
    let mut lines = BufReader::new(file.take(HOSTS_LEN_MAX));
    let name = name.trim_end_matches('.');
    let mut found = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let text = String::from_utf8_lossy(&line);
        let mut words = text.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next().and_then(|word| word.split('%').next()).and_then(|word| word.parse().ok());
        if let Some(address) = address
            && !found.contains(&address)
            && words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name))
        {
            found.push(address);
        }
    }
}

/// Whether `name` could be the name of a host, by the rule of Go's resolver: letters, digits, `-` and `_` in labels of up to 63 bytes that do
/// not begin or end with a hyphen, and not digits alone.
fn is_host_name(name: &str) -> bool {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= crate::wire::name::LABEL_LEN_MAX
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    bare.len() < crate::wire::name::NAME_LEN_MAX - 1
        && bare.split('.').all(is_label)
        && bare.bytes().any(|b| !b.is_ascii_digit() && b != b'.')
}

const DNS_PORT: u16 = 53;

/// How long a look-up may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes read of a hosts file at most.
const HOSTS_LEN_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::testing::name_of;
    use crate::wire::compose;
    use std::net::{TcpListener, UdpSocket};
    use std::sync::Arc;

    type Script = dyn Fn(&[u8], bool) -> Option<Vec<u8>> + Send + Sync;

    /// A server in threads of its own that answers over UDP and TCP until the test's process ends.
    fn serve(script: impl Fn(&[u8], bool) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
        let script: Arc<Script> = Arc::new(script);
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let over_tcp = Arc::clone(&script);
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((len, from)) = udp.recv_from(&mut buffer) {
                if let Some(reply) = script(&buffer[..len], false) {
                    udp.send_to(&reply, from).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let mut len = [0; 2];
                stream.read_exact(&mut len).unwrap();
                let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
                stream.read_exact(&mut query).unwrap();
                if let Some(reply) = over_tcp(&query, true) {
                    let mut framed = Vec::new();
                    frames::push(&mut framed, &reply);
                    stream.write_all(&framed).unwrap();
                }
            }
        });
        address
    }

    fn reply(query: &[u8], rcode: Rcode, address: Option<[u8; 4]>) -> Vec<u8> {
        let mut wire = Vec::new();
        let flags = compose::reply_flags(Flags::of(query)).with_rcode(rcode);
        compose::start(&mut wire, query, query.len(), flags);
        if let Some(address) = address.filter(|_| query[query.len() - 3] == 1) {
            compose::record(&mut wire, compose::QUESTION, Rtype::A, Class::IN, 60, &address);
            header::set_count(&mut wire, 1, 1);
        }
        wire
    }

    /// Knows `host.example.` and nothing else.
    fn knowing() -> SocketAddr {
        serve(|query, _| {
            Some(match name_of(query).as_str() {
                "host.example." => reply(query, Rcode::NOERROR, Some([192, 0, 2, 5])),
                "broken.example." => reply(query, Rcode::SERVFAIL, None),
                _ => reply(query, Rcode::NXDOMAIN, None),
            })
        })
    }

    fn look_up(name: &str, hosts: &str, conf: &str, servers: &[SocketAddr]) -> Result<Vec<IpAddr>, String> {
        let directory = std::env::temp_dir().join(format!("waypost-lookup-{:x}", rand()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("hosts");
        std::fs::write(&path, hosts).unwrap();
        let result = with_files(name, &path, &ResolvConf::parse(conf), servers);
        std::fs::remove_dir_all(directory).unwrap();
        result.map_err(|error| error.to_string())
    }

    fn rand() -> u64 {
        let mut random = Random::kernel();
        (0..4).fold(0, |n, _| n << 16 | u64::from(random.next_u16()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_hosts_file_comes_first() {
        let hosts =
            "127.0.0.1 localhost\n# 1.1.1.1 box\nbad box\n10.0.0.1 x Box # box\n::5 box.\n10.0.0.1 box\n";
        assert_eq!(look_up("box", hosts, "", &[]), Ok(vec![ip("10.0.0.1"), ip("::5")]));
    }

    #[test]
    fn names_are_looked_up_with_the_search_list() {
        let server = knowing();
        let found = look_up("host", "", "search x.example example", &[server]);
        assert_eq!(found, Ok(vec![ip("192.0.2.5")]));
        assert_eq!(look_up("host.example", "", "", &[server]), Ok(vec![ip("192.0.2.5")]));
    }

    #[test]
    fn what_goes_wrong_reads_as_in_go() {
        let server = knowing();
        let check = |name: &str, want: String| assert_eq!(look_up(name, "", "", &[server]), Err(want));
        check("/nonexist", "lookup /nonexist: no such host".into());
        check("a..b", "lookup a..b: no such host".into());
        check("nosuch.example", format!("lookup nosuch.example on {server}: no such host"));
        check("broken.example", format!("lookup broken.example on {server}: server misbehaving"));
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = look_up("x.example", "", "", &[dead]).unwrap_err();
        assert!(error.starts_with(&format!("lookup x.example on {dead}: read udp 127.0.0.1:")), "{error}");
        assert!(error.ends_with(&format!("->{dead}: read: connection refused")), "{error}");
    }

    #[test]
    fn the_next_server_is_asked_when_one_is_silent() {
        let silent = serve(|_, _| None);
        let found = look_up("host.example", "", "options timeout:1", &[silent, knowing()]);
        assert_eq!(found, Ok(vec![ip("192.0.2.5")]));
    }

    #[test]
    fn a_truncated_answer_is_fetched_over_tcp() {
        let server = serve(|query, is_tcp| {
            let mut wire = reply(query, Rcode::NOERROR, is_tcp.then_some([192, 0, 2, 6]));
            Flags::of(&wire).with(Flags::TC, !is_tcp).write(&mut wire);
            Some(wire)
        });
        assert_eq!(by_servers("host.example", &[server]), Ok(vec![ip("192.0.2.6")]));
    }

    #[test]
    fn the_servers_of_the_configuration_are_asked_in_order() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(by_servers("host.example", &[dead, knowing()]), Ok(vec![ip("192.0.2.5")]));
        let error = by_servers("nosuch.example", &[knowing()]).unwrap_err();
        assert_eq!(error.to_string(), "no addresses found for \"nosuch.example\"");
        let error = by_servers("x.example", &[dead]).unwrap_err().to_string();
        assert!(error.starts_with("no addresses found for \"x.example\": read udp 127.0.0.1:"), "{error}");
    }
}
