//! From words to values: what a plugin uses to turn its directives into a typed configuration.
//!
//! Every error names the word, and says what would have been right. Where CoreDNS has a text for it, that is used.

use super::address::{Address, Cidr, Scheme, ZoneAndPort, normal_name};
use super::diagnostic::{Diagnostic, Result};
use super::go::{self, GoDuration};
use super::source::Span;
use super::tree::{Directive, Word};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Bound, RangeBounds};
use std::time::Duration;

impl Word {
    /// An error about this word, in CoreDNS's usual form: `FILE:LINE - Error during parsing: MESSAGE`.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span, message)
    }

    /// An error about this word whose first line has no place, as many of CoreDNS's plugins have it.
    pub fn bare_error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::bare(self.span, message)
    }

    /// CoreDNS's error for a missing or surplus argument, said of this word, which is the last one it looked at.
    pub fn arg_error(&self) -> Diagnostic {
        let message = if self.text == "{" {
            "Unexpected token '{', expecting argument".to_owned()
        } else {
            format!("Wrong argument count or unexpected line ending after '{}'", self.text)
        };
        let error = self.error(message);
        if self.text == "}" && !self.quoted {
            return error.help("the closing brace of a block must stand on a line of its own");
        }
        error
    }

    /// A duration of zero or more: `5s`, `1h30m`, `0`.
    ///
    /// # Errors
    /// Go's text without a place; use [`Diagnostic::reworded`] where a plugin has its own.
    pub fn duration(&self) -> Result<Duration> {
        self.signed_duration()?.positive().ok_or_else(|| {
            self.bare_error(format!("duration can't be negative: {}", self.text)).help(DURATION_HELP)
        })
    }

    /// A duration that may be negative, for plugins that say themselves what they think of that.
    ///
    /// # Errors
    /// As [`Word::duration`].
    pub fn signed_duration(&self) -> Result<GoDuration> {
        GoDuration::parse(&self.text).map_err(|message| self.bare_error(message).help(DURATION_HELP))
    }

    /// A decimal integer within a range, such as `1..=65535_u16` or `0_u64..`.
    ///
    /// # Errors
    /// Go's text for what is no number; for a number out of range, the range.
    pub fn integer<T>(&self, range: impl RangeBounds<T>) -> Result<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let allowed = || format!("allowed: a whole number{}", describe(&range));
        let number = go::atoi(&self.text).map_err(|message| self.bare_error(message).help(allowed()))?;
        T::try_from(number)
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| self.bare_error(format!("number out of range: {number}")).help(allowed()))
    }

    /// The zones the word names: lower case, fully qualified; several for a CIDR between label boundaries. A scheme
    /// and a port are taken and ignored, as CoreDNS does.
    ///
    /// # Errors
    /// CoreDNS's text for a bad key, without a place.
    pub fn zones(&self) -> Result<Vec<String>> {
        let (_, rest) = Scheme::split(&self.text);
        let parsed = ZoneAndPort::parse(rest).map_err(|message| self.bare_error(message).help(ZONE_HELP))?;
        Ok(parsed.zones.iter().map(|zone| normal_name(zone)).collect())
    }

    /// The one zone the word names; of a CIDR between label boundaries the first.
    ///
    /// # Errors
    /// As [`Word::zones`].
    pub fn zone(&self) -> Result<String> {
        let first = self.zones()?.into_iter().next();
        first.ok_or_else(|| self.bare_error(format!("zone is not a valid domain name: {}", self.text)))
    }

    /// A domain name: lower case, fully qualified, without a port or scheme.
    ///
    /// # Errors
    /// `invalid domain name`, without a place.
    pub fn domain_name(&self) -> Result<String> {
        if super::address::is_domain_name(&self.text) {
            return Ok(normal_name(&self.text));
        }
        Err(self.bare_error(format!("invalid domain name: {}", self.text)).help(ZONE_HELP))
    }

    /// An IPv4 or IPv6 address.
    ///
    /// # Errors
    /// CoreDNS's usual text, without a place.
    pub fn ip(&self) -> Result<IpAddr> {
        let message = || format!("must specify an IP address: `{}'", self.text);
        self.text.parse().map_err(|_| self.bare_error(message()).help("such as 192.0.2.1 or 2001:db8::1"))
    }

    /// An address with a prefix length; host bits may be set and are cleared.
    ///
    /// # Errors
    /// CoreDNS's text of `acl`, without a place.
    pub fn cidr(&self) -> Result<Cidr> {
        Cidr::parse(&self.text).ok_or_else(|| {
            self.bare_error(format!("illegal CIDR notation {}", go::quote(&self.text)))
                .help("such as 192.0.2.0/24 or 2001:db8::/32")
        })
    }

    /// An IP address with a port, or without one, where the default counts: `192.0.2.1`, `192.0.2.1:53`, `[::1]:53`.
    ///
    /// # Errors
    /// As [`Word::ip`].
    pub fn ip_port(&self, default_port: u16) -> Result<SocketAddr> {
        let bare = || self.ip().map(|ip| SocketAddr::new(ip, default_port));
        match go::split_host_port(&self.text) {
            Err(_) => bare(),
            Ok((host, port)) => {
                let message = || format!("must specify an IP address: `{host}'");
                let ip = host.parse().map_err(|_| self.bare_error(message()))?;
                let port = if port.is_empty() { Ok(default_port) } else { port.parse() };
                let message = || format!("address {}: invalid port", self.text);
                Ok(SocketAddr::new(ip, port.map_err(|_| self.bare_error(message()).help(PORT_HELP))?))
            }
        }
    }

    /// A listening address `HOST:PORT` or `:PORT`; the host may be a name.
    ///
    /// # Errors
    /// Go's text without a place, such as `address foo: missing port in address`.
    pub fn host_port(&self) -> Result<(&str, u16)> {
        let help = "such as :8080 or localhost:8080";
        let (host, port) =
            go::split_host_port(&self.text).map_err(|message| self.bare_error(message).help(help))?;
        let number = if port.is_empty() { Some(0) } else { go::atoi(port).ok() };
        let port = number.and_then(|port| u16::try_from(port).ok());
        let message = || format!("address {}: invalid port", self.text);
        Ok((host, port.ok_or_else(|| self.bare_error(message()).help(PORT_HELP))?))
    }

    /// A port number.
    ///
    /// # Errors
    /// As [`Word::integer`].
    pub fn port(&self) -> Result<u16> {
        self.integer(0..=u16::MAX)
    }

    /// A response code by its name (RFC 6895 2.3), in any case: `NXDOMAIN`, `servfail`.
    ///
    /// # Errors
    /// CoreDNS's text of `forward`, without a place.
    pub fn rcode(&self) -> Result<u16> {
        let name = self.text.to_ascii_uppercase();
        match RCODES.iter().find(|(known, _)| *known == name) {
            Some(&(_, code)) => Ok(code),
            None => {
                let known: Vec<&str> = RCODES.iter().map(|&(known, _)| known).collect();
                Err(self.bare_error(format!("{} is not a valid rcode", self.text)).choices(&name, &known))
            }
        }
    }

    /// One of several words; case counts.
    ///
    /// # Errors
    /// The message, and the words as what is allowed.
    pub fn one_of<T: Copy>(&self, choices: &[(&str, T)], message: impl Into<String>) -> Result<T> {
        match choices.iter().find(|(name, _)| *name == self.text) {
            Some(&(_, value)) => Ok(value),
            None => {
                let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
                Err(self.error(message).choices(&self.text, &names))
            }
        }
    }
}

impl Directive {
    /// An error about the whole line, placed at its name.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.name.error(message)
    }

    /// An error about the whole line whose first line has no place.
    pub fn bare_error(&self, message: impl Into<String>) -> Diagnostic {
        self.name.bare_error(message)
    }

    /// An error that is only noticed once the whole block was read; CoreDNS places it at the closing brace.
    pub fn error_at_end(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.end, message)
    }

    /// CoreDNS's error for a wrong number of arguments, said of the last word of the line.
    pub fn arg_error(&self) -> Diagnostic {
        self.last_word().arg_error()
    }

    /// The last argument, or the name if there is none.
    pub fn last_word(&self) -> &Word {
        self.args.last().unwrap_or(&self.name)
    }

    /// CoreDNS's error for an option that does not exist, said of this line; `allowed` are those that do.
    pub fn unknown_property(&self, allowed: &[&str]) -> Diagnostic {
        let name = &self.name.text;
        self.error(format!("unknown property '{name}'")).choices(name, allowed)
    }

    /// CoreDNS's error for a plugin that may stand only once in a server block, said of its second directive.
    pub fn only_once(&self, first: Span) -> Diagnostic {
        self.bare_error("this plugin can only be used once per Server Block").note(first, "first used here")
    }

    /// Refuses arguments.
    ///
    /// # Errors
    /// [`Word::arg_error`] of the first argument.
    pub fn no_args(&self) -> Result<()> {
        self.args.first().map_or(Ok(()), |surplus| Err(surplus.arg_error().help(takes("no argument"))))
    }

    /// Refuses a block.
    ///
    /// # Errors
    /// `Unexpected token '{', expecting argument`.
    pub fn no_block(&self) -> Result<()> {
        if self.block.is_none() {
            return Ok(());
        }
        let message = "Unexpected token '{', expecting argument";
        Err(self.last_word().error(message).help(format!("'{}' takes no block", self.name.text)))
    }

    /// Refuses arguments and a block: for a directive that is only a switch.
    ///
    /// # Errors
    /// As [`Directive::no_args`] and [`Directive::no_block`].
    pub fn alone(&self) -> Result<()> {
        self.no_args()?;
        self.no_block()
    }

    /// The one argument.
    ///
    /// # Errors
    /// [`Directive::arg_error`] for none or more than one.
    pub fn one_arg(&self) -> Result<&Word> {
        let [word] = self.exactly()?;
        Ok(word)
    }

    /// The one argument, or none.
    ///
    /// # Errors
    /// [`Directive::arg_error`] for more than one.
    pub fn optional_arg(&self) -> Result<Option<&Word>> {
        Ok(self.between(0, 1)?.first())
    }

    /// The first argument, whatever follows it: for options whose surplus arguments CoreDNS ignores.
    ///
    /// # Errors
    /// [`Directive::arg_error`] for none.
    pub fn first_arg(&self) -> Result<&Word> {
        self.args.first().ok_or_else(|| self.arg_error().help(takes("an argument")))
    }

    /// Exactly `N` arguments.
    ///
    /// # Errors
    /// [`Directive::arg_error`] for any other number.
    pub fn exactly<const N: usize>(&self) -> Result<&[Word; N]> {
        self.args.as_slice().try_into().map_err(|_| self.arg_error().help(takes(&arguments(N))))
    }

    /// Between `min` and `max` arguments.
    ///
    /// # Errors
    /// [`Directive::arg_error`] for any other number.
    pub fn between(&self, min: usize, max: usize) -> Result<&[Word]> {
        if (min..=max).contains(&self.args.len()) {
            return Ok(&self.args);
        }
        let allowed = if min == 0 {
            format!("at most {}", arguments(max))
        } else {
            format!("{min} to {}", arguments(max))
        };
        Err(self.arg_error().help(takes(&allowed)))
    }

    /// At least `min` arguments.
    ///
    /// # Errors
    /// [`Directive::arg_error`] for fewer.
    pub fn at_least(&self, min: usize) -> Result<&[Word]> {
        if self.args.len() >= min {
            return Ok(&self.args);
        }
        Err(self.arg_error().help(takes(&format!("at least {}", arguments(min)))))
    }
}

/// The zones of a plugin: those of the words or, without words, those of the server block.
///
/// CoreDNS skips a word that is no zone without telling; here it is skipped with a warning.
pub fn origins(words: &[Word], block: &[Address], warnings: &mut Vec<Diagnostic>) -> Vec<String> {
    if words.is_empty() {
        return block.iter().map(|address| address.zone.clone()).collect();
    }
    let mut origins = Vec::new();
    for word in words {
        match word.zones() {
            Ok(zones) => origins.extend(zones),
            Err(error) => {
                let message = format!("'{}' is ignored: {}", word.text, error.message);
                warnings.push(word.error(message).help(ZONE_HELP).as_warning());
            }
        }
    }
    origins
}

const DURATION_HELP: &str = "a duration is a number with its unit, such as 30s, 5m or 1h30m";
const ZONE_HELP: &str = "a zone is a domain name or a network such as 10.0.0.0/8";
const PORT_HELP: &str = "a port is 0 to 65535";

/// Names of response codes as CoreDNS knows them.
const RCODES: [(&str, u16); 22] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("DSOTYPENI", 11),
    ("BADSIG", 16),
    ("BADVERS", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADMODE", 19),
    ("BADNAME", 20),
    ("BADALG", 21),
    ("BADTRUNC", 22),
    ("BADCOOKIE", 23),
    ("NOTIMPL", 4),
];

fn takes(what: &str) -> String {
    format!("takes {what}")
}

fn arguments(count: usize) -> String {
    match count {
        0 => "no argument".to_owned(),
        1 => "1 argument".to_owned(),
        _ => format!("{count} arguments"),
    }
}

/// ` from 1 to 5`, ` of at least 0`; nothing for a range without ends.
fn describe<T: Display>(range: &impl RangeBounds<T>) -> String {
    let end = match range.end_bound() {
        Bound::Included(end) => Some(format!("up to {end}")),
        Bound::Excluded(end) => Some(format!("below {end}")),
        Bound::Unbounded => None,
    };
    let start = match range.start_bound() {
        Bound::Included(start) => Some(format!("from {start}")),
        Bound::Excluded(start) => Some(format!("above {start}")),
        Bound::Unbounded => None,
    };
    [start, end].into_iter().flatten().fold(String::new(), |text, part| text + " " + &part)
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
