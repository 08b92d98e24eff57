//! Which upstreams a TO means: addresses, a file of the form of resolv.conf, or a host name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::config::{DNS_PORT, Diagnostic, Problems, Result, Word, quote, split_host_port};
use crate::upstream::UPSTREAMS_MAX;
use crate::upstream::address::{split_zone, with_zone};
use crate::upstream::lookup::LookupError;
use crate::upstream::resolv_conf::ResolvConf;
use crate::wire::Name;

/// TOs at most. A file or host name is one, whatever it brings, and what stands there twice is two; a file that names nobody is none.
const TOS_MAX: usize = 15;

/// Characters shown of a word that is no address: a file may be one long word.
const SHOWN_CHARS: usize = 64;

/// Finds the addresses of a host name.
pub(super) type LookUp<'a> = &'a dyn Fn(&str) -> std::result::Result<Vec<IpAddr>, LookupError>;

/// An upstream, and the word of the configuration that brought it.
#[derive(Clone, Debug)]
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) word: &'a Word,
}

/// The upstreams that `words` mean, in order, each once. `line` is the last word of the directive's line.
pub(super) fn expand<'a>(
    words: &'a [Word],
    look_up: LookUp<'_>,
    problems: &mut Problems,
    warnings: &mut Vec<Diagnostic>,
) -> Vec<Target<'a>> {
    let mut targets: Vec<Target<'a>> = Vec::new();
    let mut has_failed = false;
    let mut tos = 0;
    for word in words {
        let Some(addresses) = problems.keep(addresses_of(word, look_up, warnings)) else {
            has_failed = true;
            tos += 1;
            continue;
        };
        tos += usize::from(!addresses.is_empty());
        for address in addresses {
            if !targets.iter().any(|target| same(target.address, address)) {
                targets.push(Target { address, word });
            }
        }
    }
    let Some(first) = words.first() else { return targets };
    if targets.len() > UPSTREAMS_MAX {
        let error = first.bare_error(format!("more than {UPSTREAMS_MAX} upstreams: {}", targets.len()));
        problems.push(error.help("files and host names are counted by the addresses they bring"));
    }
    if targets.is_empty() && !has_failed {
        let error = first.bare_error("no valid upstream addresses found");
        problems.push(error.help("the file has no line 'nameserver ADDRESS'"));
    }
    if tos > TOS_MAX {
        problems.push(first.bare_error(format!("more than {TOS_MAX} TOs configured: {tos}")));
    }
    targets
}

/// Duplicates are found by address and port, whatever interface a link-local address is scoped to: as they are written, less their zones.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    match (a, b) {
        (SocketAddr::V6(a), SocketAddr::V6(b)) if a.scope_id() != b.scope_id() => false,
        _ => (a.ip(), a.port()) == (b.ip(), b.port()),
    }
}

fn addresses_of(word: &Word, look_up: LookUp<'_>, warnings: &mut Vec<Diagnostic>) -> Result<Vec<SocketAddr>> {
    let text = word.as_str();
    let host = match split_scheme(text) {
        Some(("dns", rest)) => rest,
        Some(("https", rest)) if rest.contains('/') => {
            let why =
                "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default)";
            return Err(word.bare_error(format!("{why}: {text}")));
        }
        Some((_, "")) => "",
        Some((scheme, rest)) => return Err(unsupported(word, scheme, rest)),
        None => text,
    };
    if host.is_empty() {
        return Err(word.bare_error(format!("invalid address: {}", quote(text))));
    }
    if let Some(address) = address_of(word, host)? {
        return Ok(vec![address]);
    }
    let unread = match ResolvConf::read(Path::new(host)) {
        Ok(conf) => {
            let (servers, others) = conf.addresses();
            for other in others {
                let other: String = other.chars().take(SHOWN_CHARS).collect();
                let message = format!("{host}: nameserver '{other}' is no address and is left out");
                warnings.push(word.error(message).as_warning());
            }
            return Ok(servers.into_iter().map(|ip| SocketAddr::new(ip, DNS_PORT)).collect());
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            // CoreDNS waits for it without end.
            let error = word.bare_error(format!("the file {} cannot be read: {error}", quote(host)));
            return Err(error.help("a TO is an address, a host name, or a file of the form of resolv.conf"));
        }
        Err(error) => error,
    };
    by_name(word, host, look_up).map_err(|error| match unread.kind() {
        io::ErrorKind::NotFound if host.contains('/') => error.help(format!("there is no file {host}")),
        io::ErrorKind::NotFound => error,
        _ => error.help(format!("the file {host} cannot be read: {unread}")),
    })
}

/// Why an upstream of another scheme than `dns` is refused: those that CoreDNS has are to come, the others are no upstreams for it either. It shows
/// an address with its port, and looks up names for those alone that it has.
fn unsupported(word: &Word, scheme: &str, rest: &str) -> Diagnostic {
    let will_come = matches!(scheme, "tls" | "https");
    let (bare, _) = split_zone(rest);
    let has_port = split_host_port(&bare);
    let host = has_port.as_ref().map_or(bare.trim_matches(['[', ']']), |(host, _)| *host);
    let default_port = match scheme {
        "tls" | "quic" => "853",
        _ => "443",
    };
    let shown = match (host.parse::<IpAddr>(), has_port.is_ok()) {
        _ if scheme == "unix" => rest.to_owned(),
        (Ok(IpAddr::V6(_)), false) => format!("[{host}]:{default_port}"),
        (Ok(IpAddr::V4(_)), false) => format!("{host}:{default_port}"),
        (Err(_), _) if !will_come && !host.contains('/') => {
            let message = format!("not an IP address, file, or valid domain: {}", quote(word.as_str()));
            return word.bare_error(message).help("host names are looked up for plain DNS upstreams alone");
        }
        _ => bare,
    };
    let yet = if will_come { " yet" } else { "" };
    let message =
        format!("'{scheme}' is not supported as a destination protocol in forward{yet}: {scheme}://{shown}");
    word.bare_error(message).help("plain DNS upstreams are: ADDRESS, ADDRESS:PORT, dns://ADDRESS")
}

/// Splits a scheme off that CoreDNS knows; anything else before `://` is part of the address.
fn split_scheme(text: &str) -> Option<(&'static str, &str)> {
    const SCHEMES: [&str; 7] = ["tls", "dns", "quic", "grpc", "https3", "https", "unix"];
    SCHEMES.into_iter().find_map(|scheme| {
        let rest = text.strip_prefix(scheme)?.strip_prefix("://")?;
        Some((scheme, rest))
    })
}

/// The address that `host` is, with or without a port; `None` if it is none.
fn address_of(word: &Word, host: &str) -> Result<Option<SocketAddr>> {
    let (address, port) = match split_host_port(host) {
        Ok((address, port)) => (address, Some(port)),
        Err(_) => (host.trim_matches(['[', ']']), None),
    };
    let (bare, zone) = split_zone(address);
    let Ok(ip) = bare.parse::<IpAddr>() else { return Ok(None) };
    let port = port.map_or(Ok(DNS_PORT), |port| port_of(word, host, port))?;
    let address = with_zone(ip.to_canonical(), port, zone);
    address.map(Some).map_err(|message| word.bare_error(format!("{message} in {}", quote(host))))
}

fn port_of(word: &Word, host: &str, port: &str) -> Result<u16> {
    let number = port.parse::<u16>().ok().filter(|&port| port > 0);
    number.ok_or_else(|| {
        let error = word.bare_error(format!("invalid port in {}", quote(host)));
        error.help("a port is 1 to 65535")
    })
}

fn by_name(word: &Word, host: &str, look_up: LookUp<'_>) -> Result<Vec<SocketAddr>> {
    let (bare, _) = split_zone(host);
    let (name, port) = match split_host_port(&bare) {
        Ok((name, port)) => (name, port_of(word, host, port)?),
        Err(_) => (bare.as_str(), DNS_PORT),
    };
    let name = name.trim_matches(['[', ']']);
    if Name::from_text(name).is_err() {
        let message = format!("not an IP address, file, or valid domain: {}", quote(word.as_str()));
        return Err(word.bare_error(message));
    }
    let found = look_up(name)
        .map_err(|error| word.bare_error(format!("failed to resolve {}: {error}", quote(name))))?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}
