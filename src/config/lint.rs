//! Warnings for what CoreDNS accepts but hardly anybody means.
//!
//! These rules know some plugins by name, as the mistakes are made in their lines; the plugins themselves accept them, like
//! CoreDNS does.

use super::address::{Cidr, Scheme, fully_qualified};
use super::diagnostic::{Diagnostic, did_you_mean};
use super::go::{self, GoDuration};
use super::tree::{Directive, ServerBlock, Word};
use std::net::{IpAddr, SocketAddr};

/// Adds warnings about the blocks.
pub(super) fn check(blocks: &[ServerBlock], warnings: &mut Vec<Diagnostic>) {
    for block in blocks {
        for key in &block.keys {
            warnings.extend(check_key(key, block));
        }
        if let Some(tls) = block.named("tls").next()
            && block.keys.iter().all(|key| Scheme::split(&key.text).0 == Scheme::Dns)
        {
            let message = "'tls' has no effect: no key of this block has a scheme that is encrypted";
            warnings
                .push(Diagnostic::warning(tls.span, message).help("begin the key with tls:// or https://"));
        }
        for directive in &block.directives {
            let mut found = Vec::new();
            check_directive(directive, &mut found);
            warnings.extend(found.into_iter().map(|warning| warning.in_plugin(directive.name.as_str())));
        }
    }
}

/// The first thing that is odd about a key.
fn check_key(key: &Word, block: &ServerBlock) -> Option<Diagnostic> {
    let text = key.text.as_str();
    let (scheme, rest) = Scheme::split(text);
    let (zone, port) = match rest.rsplit_once(':') {
        Some((zone, port)) if go::atoi(port).is_ok() => (zone, Some(port)),
        _ => (rest, None),
    };
    let warn = |message: String| Some(Diagnostic::warning(key.span, message));
    let as_zone = format!("zone '{}'", fully_qualified(zone).to_lowercase());
    let with_help = |message: String, help: &str| warn(message).map(|warning| warning.help(help));
    let encrypted = !matches!(scheme, Scheme::Dns | Scheme::Unix);
    match text {
        "}" => with_help(format!("this '}}' closes nothing and is served as {as_zone}"), "remove it"),
        _ if text.starts_with("//") || text.starts_with(';') => {
            with_help(format!("'{text}' is no comment but served as {as_zone}"), "a comment begins with '#'")
        }
        _ if text.len() > 1 && text.ends_with('{') => with_help(
            format!("the '{{' belongs to the key: it is served as {as_zone}"),
            "put a blank before the '{'",
        ),
        _ if text.starts_with('(') && text.ends_with(')') => with_help(
            format!("'{text}' defines no snippet but is served as {as_zone}"),
            "a snippet has its name as the only key, and a body in braces",
        ),
        _ if zone.contains(',') => with_help(
            format!("'{text}' is one key with a comma in it, not several"),
            "put a blank after the comma",
        ),
        _ if rest.contains("://") => {
            let prefix = rest.split("://").next().unwrap_or_default();
            let names = Scheme::ALL.map(Scheme::as_str);
            let message = format!("'{prefix}://' is no scheme: the key is served as plain DNS, {as_zone}");
            warn(message).map(|warning| warning.choices(prefix, &names))
        }
        _ if scheme == Scheme::Unix => warn("nothing serves 'unix://': the key is passed over".to_owned()),
        _ if encrypted && !block.has("tls") => with_help(
            format!("'{scheme}://' without 'tls' in the block is not encrypted, or cannot be served at all"),
            "add 'tls CERTIFICATE KEY'",
        ),
        _ if is_address(rest) || is_address(zone) => with_help(
            format!("a key names a zone, not an address: this is {as_zone}{}", at_port(port)),
            "to listen on one address add 'bind ADDRESS'; for a reverse zone write ADDRESS/LENGTH",
        ),
        _ if zone.contains(':') && Cidr::parse(zone).is_none() => with_help(
            format!("what follows the ':' is no port number: this is {as_zone}"),
            "write the port as a number",
        ),
        _ if zone.contains('*') => with_help(
            format!("'*' is no wildcard in a key: this is {as_zone}"),
            "a zone includes every name below it: leave the '*.' out",
        ),
        _ if zone.contains('/') && Cidr::parse(zone).is_none() => {
            with_help(format!("'{zone}' is no network: this is {as_zone}"), "a key is [SCHEME://]ZONE[:PORT]")
        }
        _ => misspelled_reverse(key, zone),
    }
}

fn at_port(port: Option<&str>) -> String {
    port.map(|port| format!(" on port {port}")).unwrap_or_default()
}

fn is_address(text: &str) -> bool {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}

/// `10.in-addr-arpa` and its like.
fn misspelled_reverse(word: &Word, zone: &str) -> Option<Diagnostic> {
    let zone = zone.to_lowercase();
    let trimmed = zone.trim_end_matches('.');
    let meant =
        [("in-addr-arpa", "in-addr.arpa"), ("in.addr.arpa", "in-addr.arpa"), ("ip6-arpa", "ip6.arpa")]
            .into_iter()
            .find_map(|(wrong, right)| Some(format!("{}{right}", trimmed.strip_suffix(wrong)?)))?;
    let message = format!("'{}' is no reverse zone", word.text);
    Some(Diagnostic::warning(word.span, message).help(format!("did you mean '{meant}'?")))
}

fn check_directive(directive: &Directive, warnings: &mut Vec<Diagnostic>) {
    let name = directive.name.text.as_str();
    let args = directive.args.as_slice();
    match name {
        "cache" => {
            // A number first is the TTL; all else are zones.
            let zones =
                args.iter().skip(usize::from(args.first().is_some_and(|ttl| go::atoi(&ttl.text).is_ok())));
            warnings.extend(zones.filter_map(duration_as_zone));
        }
        "log" => warnings.extend(args.first().and_then(destination_as_zone)),
        "forward" | "grpc" => warnings.extend(args.first().and_then(|from| upstream_as_zone(from, name))),
        "auto" if directive.option("directory").is_none() => {
            let warning = Diagnostic::warning(directive.span, "'auto' without 'directory' serves nothing");
            warnings.push(warning.help("add 'directory DIR' to its block"));
        }
        "hosts" => check_hosts(directive, warnings),
        _ => {}
    }
    if matches!(name, "file" | "auto" | "etcd" | "template" | "clouddns" | "route53") {
        let dead = directive.options().iter().filter(|option| {
            option.name.text == "upstream" || (name == "etcd" && option.name.text == "stubzones")
        });
        for option in dead {
            let message = format!("'{}' has no effect in '{name}'", option.name.text);
            warnings.push(Diagnostic::warning(option.span, message).help("remove the line"));
        }
    }
    warnings.extend(args.iter().filter_map(|arg| misspelled_reverse(arg, &arg.text)));
}

fn duration_as_zone(word: &Word) -> Option<Diagnostic> {
    let seconds = GoDuration::parse(&word.text).ok()?.positive()?.as_secs();
    let message = format!("'{}' is a zone here, not a time: nothing else is cached", word.text);
    Some(
        Diagnostic::warning(word.span, message)
            .help(format!("the TTL is a number of seconds: 'cache {seconds}'")),
    )
}

fn destination_as_zone(word: &Word) -> Option<Diagnostic> {
    let text = word.text.as_str();
    if !matches!(text, "stdout" | "stderr") && !text.starts_with('/') {
        return None;
    }
    let message =
        format!("'{text}' is a zone here, not a destination: queries for other names are not logged");
    Some(
        Diagnostic::warning(word.span, message)
            .help("the log always goes to standard output: write 'log' alone"),
    )
}

fn upstream_as_zone(word: &Word, directive: &str) -> Option<Diagnostic> {
    let (_, rest) = Scheme::split(&word.text);
    let upstream = is_address(rest) || word.text.contains("://") || word.text.starts_with('/');
    let message = format!("'{}' is the zone to forward here, not an upstream", word.text);
    let help = format!("for all names write '{directive} . {}'", word.text);
    upstream.then(|| Diagnostic::warning(word.span, message).help(help))
}

/// Lines of a hosts block that are neither an option nor an entry, and so count for nothing.
fn check_hosts(directive: &Directive, warnings: &mut Vec<Diagnostic>) {
    const OPTIONS: [&str; 5] = ["fallthrough", "fallthrough_unsupported", "no_reverse", "ttl", "reload"];
    for line in directive.options() {
        let name = line.name.text.as_str();
        if name == "fallthrough" {
            // From here on the plugin itself refuses such lines.
            return;
        }
        let address = name.split('%').next().unwrap_or_default();
        if OPTIONS.contains(&name) || name.starts_with('#') {
            continue;
        }
        if address.parse::<IpAddr>().is_err() {
            let message =
                format!("'{name}' is neither an option nor an address: the line counts for nothing");
            let warning = Diagnostic::warning(line.span, message);
            warnings.push(match did_you_mean(name, OPTIONS) {
                Some(close) => warning.help(format!("did you mean '{close}'?")),
                None => warning.help("an entry is ADDRESS NAME…"),
            });
        } else if line.args.is_empty() {
            let warning =
                Diagnostic::warning(line.span, format!("'{name}' has no names: the line counts for nothing"));
            warnings.push(warning.help("an entry is ADDRESS NAME…"));
        }
    }
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
