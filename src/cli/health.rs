//! `waypost health`: the check of a container that has no shell and no client of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::control::http;
use crate::upstream::{Random, lookup};
use crate::wire::{Class, Flags, HEADER_LEN, Name, Opcode, Rcode, Rtype, header};

/// How long the server may take to answer. Docker gives a check 30 s, Kubernetes 1 s or what it is told.
const LIMIT: Duration = Duration::from_secs(3);

/// A query is asked again after this: datagrams get lost.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Where `health` listens if nothing else is said.
const PAGE: &str = "localhost:8080";
const PATH: &str = "/health";
const DNS_PORT: u16 = 53;
const HTTP_PORT: u16 = 80;

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Page {
        host: String,
        port: u16,
        path: String,
    },
    Dns {
        host: String,
        port: u16,
        name: Option<Box<Name>>,
    },
    /// DNS at a place that is to be found out.
    AnyDns,
}

/// Asks `target` and returns what it says.
///
/// # Errors
/// Why it is not well, in one line.
pub(super) fn ask(target: Option<&str>) -> Result<String, String> {
    match Target::parse(target.unwrap_or(PAGE))? {
        Target::Page { host, port, path } => {
            let what = format!("http://{}{path}", joined(&host, port));
            page(address(&host, port)?, &joined(&host, port), &path).map_err(|why| format!("{what}: {why}"))
        }
        Target::Dns { host, port, name } => {
            let address = address(&host, port)?;
            dns(address, name.as_deref()).map_err(|why| format!("dns://{address}: {why}"))
        }
        Target::AnyDns => {
            let address = listening().unwrap_or((Ipv4Addr::LOCALHOST, DNS_PORT).into());
            dns(address, None).map_err(|why| format!("dns://{address}: {why}"))
        }
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("'{text}' is no target: {why}");
        let (scheme, rest) = text.split_once("://").map_or((None, text), |(s, r)| (Some(s), r));
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, ""),
        };
        let port = match scheme {
            // Without a scheme the port has to be said, so that a forgotten one is noticed.
            None => None,
            Some("http") => Some(HTTP_PORT),
            Some("dns") => Some(DNS_PORT),
            Some(_) => return Err(refuse("http:// and dns:// can be asked")),
        };
        if scheme == Some("dns") && rest.is_empty() {
            return Ok(Self::AnyDns);
        }
        let (host, port) = host_and_port(authority, port).map_err(|why| refuse(&why))?;
        if !path.chars().all(|c| c.is_ascii_graphic()) {
            return Err(refuse("its path has characters that paths do not have"));
        }
        if scheme != Some("dns") {
            let path = if path.is_empty() { PATH } else { path };
            return Ok(Self::Page { host, port, path: path.to_owned() });
        }
        let name = match path.trim_start_matches('/') {
            "" => None,
            name => Some(Box::new(Name::from_text(name).map_err(|_| refuse("its name is none"))?)),
        };
        Ok(Self::Dns { host, port, name })
    }
}

fn host_and_port(text: &str, default: Option<u16>) -> Result<(String, u16), String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Some(port) = default
        && (bare.parse::<IpAddr>().is_ok() || !text.contains(':'))
    {
        return Ok((bare.to_owned(), port));
    }
    let (host, port) = crate::config::split_host_port(text)?;
    let port = port.parse().map_err(|_| format!("'{port}' is no port"))?;
    Ok((host.to_owned(), port))
}

fn joined(host: &str, port: u16) -> String {
    match host {
        "" => format!("localhost:{port}"),
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

/// The address of a host: the loopback where it stands for all.
fn address(host: &str, port: u16) -> Result<SocketAddr, String> {
    let ip = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Ok(ip) => ip,
        Err(_) if host.is_empty() || host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
        Err(_) => {
            let found = lookup::system(host).map_err(|error| error.to_string())?;
            let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first());
            *first.ok_or_else(|| format!("{host} has no address"))?
        }
    };
    Ok(SocketAddr::new(ip, port))
}

fn page(address: SocketAddr, host: &str, path: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    // Made inside: a time limit belongs to a runtime.
    let got = runtime.block_on(async { tokio::time::timeout(LIMIT, http::get(address, host, path)).await });
    let fetched = got.map_err(|_| no_answer())?.map_err(|error| error.to_string())?;
    let said = fetched.body.lines().next().unwrap_or_default().to_owned();
    if fetched.status == 200 { Ok(said) } else { Err(format!("{} {said}", fetched.status)) }
}

fn no_answer() -> String {
    format!("no answer within {} s", LIMIT.as_secs())
}

fn dns(address: SocketAddr, name: Option<&Name>) -> Result<String, String> {
    let local: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).map_err(|error| error.to_string())?;
    socket.connect(address).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(ASK_AGAIN)).map_err(|error| error.to_string())?;
    let id = Random::kernel().next_u16();
    let query = query(id, name);
    let mut answer = [0; 4096];
    for _ in 0..LIMIT.as_secs() / ASK_AGAIN.as_secs() {
        socket.send(&query).map_err(|error| error.to_string())?;
        match socket.recv(&mut answer) {
            Ok(length) => {
                if let Some(rcode) = rcode_of(&answer[..length], id) {
                    return if name.is_none() || rcode == Rcode::NOERROR {
                        Ok(rcode.to_string())
                    } else {
                        Err(rcode.to_string())
                    };
                }
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(no_answer())
}

/// Where a server of our user listens for DNS, so that a container's check need not know its configuration: at port 53 before others.
fn listening() -> Option<SocketAddr> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?;
    let tables =
        ["/proc/net/udp", "/proc/net/udp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(|line| listener(line, user));
    sockets.min_by_key(|address| (address.port() != DNS_PORT, address.port()))
}

/// Where the socket of a `line` of `/proc/net/udp` is asked, if it is one of `user` that talks to everybody.
fn listener(line: &str, user: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace().skip(1);
    let (ip, port) = words.next()?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !words.next()?.ends_with(":0000") || words.nth(4)? != user {
        return None;
    }
    // In words of four bytes, each printed as the number that it is on this machine.
    let word = |i: usize| Some(u32::from_str_radix(ip.get(8 * i..8 * i + 8)?, 16).ok()?.to_ne_bytes());
    let ip = if ip.len() == 8 {
        IpAddr::from(word(0)?)
    } else {
        IpAddr::from(<[u8; 16]>::try_from([word(0)?, word(1)?, word(2)?, word(3)?].concat()).ok()?)
    };
    Some(SocketAddr::new(if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }, port))
}

/// A query for the addresses of `name`. Without one it is of a kind that a server answers by itself, whatever it is configured to do (NOTIMP): it
/// asks nobody, waits for nobody and logs nothing.
fn query(id: u16, name: Option<&Name>) -> Vec<u8> {
    let root = Name::root();
    let opcode = if name.is_some() { Opcode::QUERY } else { Opcode::STATUS };
    let (name, qtype) = name.map_or((&root, Rtype::NS), |name| (name, Rtype::A));
    let mut wire = vec![0; HEADER_LEN];
    header::set_id(&mut wire, id);
    Flags(Flags::RD).with_opcode(opcode).write(&mut wire);
    header::set_count(&mut wire, 0, 1);
    wire.extend_from_slice(name.as_bytes());
    wire.extend_from_slice(&qtype.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    wire
}

/// The code of a response to the query `id`; `None` if it is something else.
fn rcode_of(answer: &[u8], id: u16) -> Option<Rcode> {
    let is_response = answer.len() >= HEADER_LEN && header::id(answer) == id;
    is_response.then(|| Flags::of(answer)).filter(|flags| flags.has(Flags::QR)).map(|flags| flags.rcode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query::Rejection;

    #[test]
    fn targets_are_read() {
        let page = |host: &str, port, path: &str| {
            Ok(Target::Page { host: host.to_owned(), port, path: path.to_owned() })
        };
        let dns = |host: &str, port, name: Option<&str>| {
            let name = name.map(|name| Box::new(Name::from_text(name).unwrap()));
            Ok(Target::Dns { host: host.to_owned(), port, name })
        };
        let check = |text: &str, want: Result<Target, &str>| {
            let want = want.map_err(|why| format!("'{text}' is no target: {why}"));
            assert_eq!(Target::parse(text), want);
        };
        check("localhost:8080", page("localhost", 8080, "/health"));
        check(":8181/ready", page("", 8181, "/ready"));
        check("http://h/x?y=1", page("h", 80, "/x?y=1"));
        check("http://[::1]:8080", page("::1", 8080, "/health"));
        check("http://[::1]", page("::1", 80, "/health"));
        check("dns://", Ok(Target::AnyDns));
        check("dns:///", dns("", 53, None));
        check("dns://:1053/", dns("", 1053, None));
        check("dns://192.0.2.1/example.org", dns("192.0.2.1", 53, Some("example.org")));
        check("localhost", Err("address localhost: missing port in address"));
        check("localhost:x", Err("'x' is no port"));
        check("https://h", Err("http:// and dns:// can be asked"));
        check("h:1/a b", Err("its path has characters that paths do not have"));
        check("dns://h/a..b", Err("its name is none"));
    }

    #[test]
    fn a_response_is_one_with_our_id() {
        let asked = query(7, None);
        let mut answer = asked.clone();
        Flags::of(&asked).with(Flags::QR, true).with_rcode(Rcode::REFUSED).write(&mut answer);
        assert_eq!(rcode_of(&answer, 7), Some(Rcode::REFUSED));
        assert_eq!(rcode_of(&answer, 8), None);
        assert_eq!(rcode_of(&asked, 7), None);
        assert_eq!(rcode_of(&answer[..HEADER_LEN - 1], 7), None);
        let accepted = |query: &[u8]| crate::wire::query::accept(query, &mut Name::root());
        assert_eq!(accepted(&asked).err(), Some(Rejection::Rcode(Rcode::NOTIMP)), "no plugin is asked");
        assert!(accepted(&query(7, Some(&Name::from_text("a.test").unwrap()))).is_ok());
    }

    #[test]
    fn who_listens_is_read_from_the_kernels_table() {
        let check = |local: &str, remote: &str, want: Option<&str>| {
            let line =
                format!("  1: {local} {remote} 07 00000000:00000000 00:00000000 00000000 65532 0 25 2 0");
            assert_eq!(listener(&line, "65532"), want.map(|want| want.parse().unwrap()), "{line}");
            assert_eq!(listener(&line, "0"), None);
        };
        check("00000000:0035", "00000000:0000", Some("127.0.0.1:53"));
        check(
            "00000000000000000000000000000000:0421",
            "00000000000000000000000000000000:0000",
            Some("127.0.0.1:1057"),
        );
        let [v4, v6] = [u32::from_ne_bytes([192, 0, 2, 7]), u32::from_ne_bytes([0x20, 0x01, 0x0d, 0xb8])];
        check(&format!("{v4:08X}:0035"), "00000000:0000", Some("192.0.2.7:53"));
        let local = format!("{v6:08X}0000000000000000{:08X}:0035", u32::from_ne_bytes([0, 0, 0, 1]));
        check(&local, "00000000000000000000000000000000:0000", Some("[2001:db8::1]:53"));
        check("00000000:A035", &format!("{v4:08X}:0035"), None);
        check("x:0035", "00000000:0000", None);
        assert_eq!(listener("", "0"), None);
    }

    #[test]
    fn the_loopback_stands_for_all_addresses() {
        for (host, want) in [("", "127.0.0.1:1"), ("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1")] {
            assert_eq!(address(host, 1).unwrap(), want.parse().unwrap());
        }
    }
}
