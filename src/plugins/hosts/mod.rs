#![doc = include_str!("README.md")]

mod at_start;
mod config;
mod file;
mod lines;
mod reverse;
mod table;

use std::sync::Arc;

use at_start::AtStart;
use config::Config;
use file::HostsFile;
use table::{Addresses, Table};

use crate::chain::{Ahead, Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::{Diagnostic, quote};
use crate::control::steady::{Follower, first_look, keep_fresh};
use crate::wire::{Class, Flags, Name, NameHasher, Rcode, Rtype, Section, edns};

/// The plugin's row.
pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "hosts",
    summary: "answers from a file such as /etc/hosts",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &["coredns_hosts_entries", "coredns_hosts_reload_timestamp_seconds"],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let config = Config::read(setup)?;
    look_at_file(&config, setup)?;
    let (zones, len) = (config.zones.as_deref(), config.inline.len() as u64);
    let inline = lines::load(config.inline.as_bytes(), len, zones, config.reverse)
        .map(|loaded| loaded.table)
        .unwrap_or_default(); // Reading memory does not fail.
    let file = Arc::new(HostsFile::new(config.path, config.zones.clone(), config.reverse, inline.records()));
    let first = Arc::clone(&file);
    let at_start = setup.block.shared.get::<AtStart>();
    let started = Arc::clone(&at_start);
    setup.block.on_start.push(Box::new(move || {
        match at_start.contents(first.path()) {
            Some(contents) => first.take_up(&contents),
            None => first_look(&*first),
        }
        Ok(())
    }));
    setup.block.on_started.push(Box::new(move || started.forget()));
    if !config.reload.is_zero() {
        setup.background(keep_fresh(Arc::clone(&file), config.reload));
    }
    let has_inline = inline.records() > 0;
    Ok(vec![Arc::new(Hosts {
        file,
        inline: has_inline.then_some(inline),
        zones: config.zones,
        fallthrough: config.fallthrough,
        fallthrough_unsupported: config.fallthrough_unsupported,
        ttl: config.ttl,
    })])
}

/// Says what is wrong with a file that was asked for; only what looks like a mistake in the path is an error.
fn look_at_file(config: &Config, setup: &mut Setup<'_>) -> Result<(), Vec<Diagnostic>> {
    let Some(word) = &config.file else { return Ok(()) };
    let path = config.path.to_string_lossy();
    match std::fs::metadata(&config.path) {
        Ok(found) if found.is_dir() => {
            setup.warn(word.bare_error(format!("Hosts file {} is a directory", quote(&path))));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            setup.warn(word.bare_error(format!("File does not exist: {path}")));
        }
        Err(error) => {
            let why = go_error(&error);
            let message = format!("unable to access hosts file '{path}': stat {path}: {why}");
            return Err(vec![word.error(message)]);
        }
    }
    Ok(())
}

/// The system's words for an error, as Go has them: lower case, no number.
fn go_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Names and addresses from a file and from the configuration.
struct Hosts {
    file: Arc<HostsFile>,
    /// The entries of the configuration, if there are any.
    inline: Option<Table>,
    /// `None` for all names.
    zones: Option<Vec<Name>>,
    fallthrough: Vec<Name>,
    fallthrough_unsupported: bool,
    ttl: u32,
}

impl Plugin for Hosts {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        if query.qclass() != Class::IN {
            return Step::Next;
        }
        let file = self.file.table();
        if query.qtype() == Rtype::PTR {
            return self.answer_reverse(&file, query, response);
        }
        if self.zones.as_ref().is_some_and(|zones| !lines::is_in(query.name(), zones)) {
            return Step::Next;
        }
        let found = Found::of(&file, self.inline.as_ref(), query);
        match query.qtype() {
            Rtype::A if found.has_v4() => self.answer_v4(&found, query, response),
            Rtype::AAAA if found.has_v6() => self.answer_v6(&found, query, response),
            qtype => {
                let is_unsupported = !matches!(qtype, Rtype::A | Rtype::AAAA);
                let is_known = found.has_v4() || found.has_v6();
                let hand_on = !is_known || (is_unsupported && self.fallthrough_unsupported);
                if hand_on && lines::is_in(query.name(), &self.fallthrough) {
                    return Step::Next;
                }
                if !is_known {
                    // There is no SOA record with which to say that the name does not exist.
                    return Step::Fail(Rcode::SERVFAIL, None);
                }
                response.start(query, true, Rcode::NOERROR);
                Step::Respond
            }
        }
    }

    fn look_ahead(&self, query: &Query, ahead: Ahead) {
        self.file.table().look_ahead(query.hash(), ahead);
    }

    fn looks_ahead(&self) -> bool {
        true
    }
}

/// The addresses of a name: those of the file, then those of the configuration.
struct Found<'a> {
    file: Addresses<'a>,
    inline: Addresses<'a>,
}

impl<'a> Found<'a> {
    #[inline]
    fn of(file: &'a Table, inline: Option<&'a Table>, query: &Query) -> Self {
        Self {
            file: with_wildcards(file, query),
            inline: inline.map_or_else(Addresses::default, |table| with_wildcards(table, query)),
        }
    }

    fn has_v4(&self) -> bool {
        !(self.file.v4.is_empty() && self.inline.v4.is_empty())
    }

    fn has_v6(&self) -> bool {
        !(self.file.v6.is_empty() && self.inline.v6.is_empty())
    }
}

/// The addresses of the query's name and, for a family it has none of, those of the wildcard beside it.
#[inline]
fn with_wildcards<'a>(table: &'a Table, query: &Query) -> Addresses<'a> {
    let mut found = table.addresses(query.name().as_bytes(), query.hash());
    if table.has_wildcards() && (found.v4.is_empty() || found.v6.is_empty()) {
        let wildcard = addresses_of_wildcard(table, query.name());
        if found.v4.is_empty() {
            found.v4 = wildcard.v4;
        }
        if found.v6.is_empty() {
            found.v6 = wildcard.v6;
        }
    }
    found
}

fn addresses_of_wildcard<'a>(table: &'a Table, name: &Name) -> Addresses<'a> {
    // The parent of a name of one label is the root, where a wildcard would stand for every top-level domain.
    let Some(parent) = name.label_count().checked_sub(1).filter(|labels| *labels > 0) else {
        return Addresses::default();
    };
    let parent = name.ancestor(parent);
    let mut wildcard = [0; 2 + crate::wire::name::NAME_LEN_MAX];
    wildcard[..2].copy_from_slice(b"\x01*");
    let len = 2 + parent.len();
    wildcard[2..len].copy_from_slice(parent);
    let wildcard = &wildcard[..len];
    table.addresses(wildcard, NameHasher::process().hash(wildcard))
}

impl Hosts {
    fn answer_v4(&self, found: &Found<'_>, query: &Query, response: &mut Response) -> Step {
        let (file, _) = found.file.v4.as_chunks::<4>();
        let (inline, _) = found.inline.v4.as_chunks::<4>();
        self.answer::<4, 16>(Rtype::A, file, inline, query, response)
    }

    fn answer_v6(&self, found: &Found<'_>, query: &Query, response: &mut Response) -> Step {
        let (file, _) = found.file.v6.as_chunks::<16>();
        let (inline, _) = found.inline.v6.as_chunks::<16>();
        self.answer::<16, 28>(Rtype::AAAA, file, inline, query, response)
    }

    /// Answers with records of `R` bytes, each with an address of `N`.
    fn answer<const N: usize, const R: usize>(
        &self,
        rtype: Rtype,
        file: &[[u8; N]],
        inline: &[[u8; N]],
        query: &Query,
        response: &mut Response,
    ) -> Step {
        response.start(query, true, Rcode::NOERROR);
        // Everything but the address is the same in each record.
        let mut record = [0; R];
        record[..2].copy_from_slice(crate::wire::compose::QUESTION);
        record[2..4].copy_from_slice(&rtype.0.to_be_bytes());
        record[4..6].copy_from_slice(&Class::IN.0.to_be_bytes());
        record[6..10].copy_from_slice(&self.ttl.to_be_bytes());
        record[10..12].copy_from_slice(&(N as u16).to_be_bytes());
        let uncompressed = query.name().as_bytes().len() + 10 + N;
        let limit = limit(query);
        // An address that stands in both is one record all the same (RFC 2181 5).
        for address in file.iter().chain(inline.iter().filter(|address| !file.contains(address))) {
            if response.wire().len() + R > limit {
                return overflow(query, response);
            }
            record[12..].copy_from_slice(address);
            response.extend(Section::Answer, 1, &record, uncompressed);
        }
        Step::Respond
    }

    /// Answers with the names of an address. What is not known here may be known below, whatever `fallthrough` says.
    fn answer_reverse(&self, file: &Table, query: &Query, response: &mut Response) -> Step {
        let Some(address) = reverse::address(query.name()) else { return Step::Next };
        let of_file = || file.names(address);
        let of_inline = self.inline.iter().flat_map(|inline| inline.names(address));
        let mut any = false;
        let limit = limit(query);
        for name in of_file().chain(of_inline.filter(|name| !of_file().any(|other| other == *name))) {
            if !any {
                response.start(query, true, Rcode::NOERROR);
                any = true;
            }
            if response.wire().len() + 12 + name.len() > limit {
                return overflow(query, response);
            }
            response.push(Section::Answer, None, Rtype::PTR, Class::IN, self.ttl, name);
        }
        if any { Step::Respond } else { Step::Next }
    }
}

/// How long the answer may get, bytes, before the OPT record.
fn limit(query: &Query) -> usize {
    usize::from(query.payload_size()) - query.edns().map_or(0, |_| edns::OPT_LEN)
}

/// Ends an answer that is larger than the client takes. An RRset is not sent in part where the client can come back over TCP (RFC
/// 2181 9), so there is no use in collecting the rest of what may be a million names; over TCP it gets as many as fit in a message.
fn overflow(query: &Query, response: &mut Response) -> Step {
    if query.payload_size() < u16::MAX {
        response.start(query, true, Rcode::NOERROR);
    }
    let flags = response.flags().with(Flags::TC, true);
    response.set_flags(flags);
    Step::Respond
}

#[cfg(test)]
mod reload_tests;
#[cfg(test)]
mod tests;
