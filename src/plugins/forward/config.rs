//! What a `forward` directive says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::to::{self, LookUp, Target};
use crate::config::{
    DNS_PORT, Diagnostic, Directive, GoDuration, Problems, Result, Word, quote, split_host_port,
};
use crate::upstream::{Policy, Probe, Transport, lookup};
use crate::wire::{Name, Rcode};

/// One `forward`, understood.
#[derive(Debug)]
pub(super) struct Config<'a> {
    pub(super) from: Name,
    pub(super) targets: Vec<Target<'a>>,
    pub(super) except: Vec<Name>,
    pub(super) force_tcp: bool,
    pub(super) prefer_udp: bool,
    pub(super) expire: Duration,
    pub(super) max_age: Duration,
    pub(super) max_idle_conns: usize,
    pub(super) read_timeout: Duration,
    pub(super) max_fails: u32,
    /// `None`: twice the number of upstreams.
    pub(super) max_connect_attempts: Option<u32>,
    pub(super) policy: Policy,
    pub(super) probe: Probe,
    /// Zero for no limit.
    pub(super) max_concurrent: u64,
    pub(super) next: Vec<Rcode>,
    pub(super) next_on_nodata: bool,
    pub(super) failfast: bool,
    pub(super) failover: Vec<Rcode>,
    pub(super) source_address: Option<IpAddr>,
    resolver: Vec<SocketAddr>,
}

const OPTIONS: &[&str] = &[
    "except",
    "force_tcp",
    "prefer_udp",
    "expire",
    "max_age",
    "max_idle_conns",
    "max_fails",
    "max_connect_attempts",
    "read_timeout",
    "policy",
    "health_check",
    "max_concurrent",
    "next",
    "next_on_nodata",
    "failfast_all_unhealthy_upstreams",
    "failover",
    "source_address",
    "resolver",
];

/// Options of CoreDNS that say something about TLS or HTTPS.
const TLS_OPTIONS: &[&str] = &["tls", "tls_servername", "doh_method"];

impl<'a> Config<'a> {
    /// Reads `directive`; host names are looked up as this machine does, or by the servers of `resolver`.
    pub(super) fn read(
        directive: &'a Directive,
        warnings: &mut Vec<Diagnostic>,
    ) -> std::result::Result<Self, Vec<Diagnostic>> {
        Self::read_with(directive, &lookup::system, warnings)
    }

    /// As [`Self::read`], but host names are looked up by `system` where no `resolver` is given.
    pub(super) fn read_with(
        directive: &'a Directive,
        system: LookUp<'_>,
        warnings: &mut Vec<Diagnostic>,
    ) -> std::result::Result<Self, Vec<Diagnostic>> {
        let [from_word, to_words @ ..] = directive.args.as_slice() else {
            return Err(vec![directive.arg_error()]);
        };
        let mut problems = Problems::default();
        let from = problems.keep(from_zone(from_word, warnings)).unwrap_or_default();
        if to_words.is_empty() {
            problems.push(directive.arg_error());
        }
        let mut config = Self::new(from);
        for option in directive.options() {
            let result = option.no_block().and_then(|()| config.set(option, warnings));
            problems.keep(result);
        }
        if !config.max_age.is_zero() && config.max_age < config.expire {
            let (age, expire) = (GoDuration::from(config.max_age), GoDuration::from(config.expire));
            let word = directive.option("max_age").map_or(&directive.name, |option| option.last_word());
            problems
                .push(word.bare_error(format!("max_age ({age}) must not be less than expire ({expire})")));
        }
        let resolver = std::mem::take(&mut config.resolver);
        let by_resolver = |name: &str| lookup::by_servers(name, &resolver);
        let look_up: LookUp<'_> = if resolver.is_empty() { system } else { &by_resolver };
        config.targets = to::expand(to_words, look_up, &mut problems, warnings);
        problems.finish(config)
    }

    fn new(from: Name) -> Self {
        Self {
            from,
            targets: Vec::new(),
            except: Vec::new(),
            force_tcp: false,
            prefer_udp: false,
            expire: Duration::from_secs(10),
            max_age: Duration::ZERO,
            max_idle_conns: 0,
            read_timeout: Duration::from_secs(2),
            max_fails: 2,
            max_connect_attempts: None,
            policy: Policy::Random,
            probe: Probe::default(),
            max_concurrent: 0,
            next: Vec::new(),
            next_on_nodata: false,
            failfast: false,
            failover: Vec::new(),
            source_address: None,
            resolver: Vec::new(),
        }
    }

    fn set(&mut self, option: &Directive, warnings: &mut Vec<Diagnostic>) -> Result<()> {
        match option.name.as_str() {
            "except" => {
                for word in option.at_least(1)? {
                    self.except.extend(excepted(word, warnings));
                }
            }
            "force_tcp" => {
                option.no_args()?;
                self.force_tcp = true;
                self.probe.transport = Transport::Tcp;
            }
            "prefer_udp" => {
                option.no_args()?;
                self.prefer_udp = true;
            }
            "expire" => self.expire = not_negative(option, GoDuration::to_string)?,
            "max_age" => self.max_age = not_negative(option, GoDuration::to_string)?,
            "read_timeout" => {
                let word = single(option)?;
                let duration = word.signed_duration()?;
                self.read_timeout = duration
                    .positive()
                    .filter(|d| !d.is_zero())
                    .ok_or_else(|| word.bare_error(format!("read_timeout must be positive: {duration}")))?;
            }
            "max_idle_conns" => self.max_idle_conns = count(option)? as usize,
            "max_concurrent" => self.max_concurrent = count(option)?,
            "max_fails" => self.max_fails = unsigned(single(option)?)?,
            "max_connect_attempts" => self.max_connect_attempts = Some(unsigned(single(option)?)?),
            "policy" => {
                let word = single(option)?;
                self.policy = match word.as_str() {
                    "random" => Policy::Random,
                    "round_robin" => Policy::round_robin(),
                    "sequential" => Policy::Sequential,
                    other => {
                        let choices = ["random", "round_robin", "sequential"];
                        return Err(word.error(format!("unknown policy '{other}'")).choices(other, &choices));
                    }
                };
            }
            "health_check" => self.set_probe(option)?,
            "next" => self.next.extend(rcodes(option)?),
            "next_on_nodata" => {
                option.no_args()?;
                self.next_on_nodata = true;
            }
            "failfast_all_unhealthy_upstreams" => {
                option.no_args()?;
                self.failfast = true;
            }
            "failover" => {
                let codes = rcodes(option)?;
                if let Some(place) = codes.iter().position(|&code| code == Rcode::NOERROR) {
                    return Err(option.args[place].bare_error("NoError cannot be used in failover"));
                }
                self.failover.extend(codes);
            }
            "source_address" => {
                let word = single(option)?;
                let ip = word.as_str().parse::<IpAddr>();
                let message = || format!("invalid IP address: {}", word.text);
                self.source_address = Some(ip.map_err(|_| word.error(message()))?.to_canonical());
            }
            "resolver" => {
                let words = option.at_least(1)?;
                self.resolver = words.iter().map(resolver).collect::<Result<_>>()?;
            }
            name if TLS_OPTIONS.contains(&name) => {
                let message =
                    format!("'{name}' is not supported in forward yet: upstreams are asked by plain DNS");
                return Err(option
                    .error(message)
                    .help("leave the line out, and write upstreams without tls:// and https://"));
            }
            _ => return Err(option.unknown_property(OPTIONS)),
        }
        Ok(())
    }

    /// `health_check DURATION [no_rec] [domain NAME]`
    fn set_probe(&mut self, option: &Directive) -> Result<()> {
        let mut words = option.args.iter();
        let word = words.next().ok_or_else(|| option.arg_error())?;
        let duration = word.signed_duration()?;
        let negative = || {
            let message = format!("health_check can't be negative: {}", duration.nanoseconds);
            word.bare_error(message)
        };
        self.probe.interval = duration.positive().ok_or_else(negative)?;
        self.probe.domain = Name::root();
        while let Some(word) = words.next() {
            match word.as_str() {
                "no_rec" => self.probe.recursion = false,
                "domain" => {
                    let domain = words.next().ok_or_else(|| word.arg_error())?;
                    let message = || format!("health_check: invalid domain name {}", domain.text);
                    let name = Name::from_text(domain.as_str()).ok();
                    self.probe.domain = name.ok_or_else(|| domain.bare_error(message()))?;
                }
                other => {
                    let error = word.bare_error(format!("health_check: unknown option {other}"));
                    return Err(error.choices(other, &["no_rec", "domain"]));
                }
            }
        }
        Ok(())
    }
}

fn from_zone(word: &Word, warnings: &mut Vec<Diagnostic>) -> Result<Name> {
    let fail = || word.bare_error(format!("unable to normalize '{}'", word.text));
    let zones = word.zones().map_err(|error| Diagnostic { help: error.help, ..fail() })?;
    let first = zones.first().ok_or_else(fail)?;
    if zones.len() > 1 {
        let message = format!(
            "Unsupported CIDR notation: '{}' expands to multiple zones. Using only '{first}'.",
            word.text
        );
        warnings.push(word.bare_error(message).as_warning());
    }
    Name::from_text(first).map_err(|_| fail())
}

/// The names of one word of `except`. CoreDNS passes over what is no name.
fn excepted(word: &Word, warnings: &mut Vec<Diagnostic>) -> Vec<Name> {
    let names = word.zones().unwrap_or_default();
    if names.is_empty() {
        let message = format!("except: '{}' is no name and is left out", word.text);
        warnings.push(word.error(message).as_warning());
    }
    names.iter().filter_map(|name| Name::from_text(name).ok()).collect()
}

/// The one argument. CoreDNS takes what follows it for the next option.
fn single(option: &Directive) -> Result<&Word> {
    match option.args.as_slice() {
        [] => Err(option.arg_error()),
        [word] => Ok(word),
        [_, surplus, ..] => {
            let error = surplus.error(format!("unknown property '{}'", surplus.text));
            Err(error.help(format!("'{}' takes one argument", option.name.text)))
        }
    }
}

fn not_negative(option: &Directive, show: impl Fn(&GoDuration) -> String) -> Result<Duration> {
    let word = single(option)?;
    let duration = word.signed_duration()?;
    let message = || format!("{} can't be negative: {}", option.name.text, show(&duration));
    duration.positive().ok_or_else(|| word.bare_error(message()))
}

fn count(option: &Directive) -> Result<u64> {
    let word = single(option)?;
    let number = word.integer::<i64>(..)?;
    let message = || format!("{} can't be negative: {number}", option.name.text);
    u64::try_from(number).map_err(|_| word.bare_error(message()))
}

/// What Go's `strconv.ParseUint` reads of 32 bits.
fn unsigned(word: &Word) -> Result<u32> {
    let text = word.as_str();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| word.bare_error(format!("strconv.ParseUint: parsing {}: {why}", quote(text))))
}

fn rcodes(option: &Directive) -> Result<Vec<Rcode>> {
    option.at_least(1)?.iter().map(|word| word.rcode().map(Rcode)).collect()
}

fn resolver(word: &Word) -> Result<SocketAddr> {
    let fail = || {
        let message = format!("resolver must be an IP address or IP:port: {}", quote(word.as_str()));
        word.bare_error(message)
    };
    let (host, port) = match split_host_port(word.as_str()) {
        Ok((host, port)) => (host, port.parse().map_err(|_| fail())?),
        Err(_) => (word.as_str(), DNS_PORT),
    };
    Ok(SocketAddr::new(host.parse().map_err(|_| fail())?, port))
}
