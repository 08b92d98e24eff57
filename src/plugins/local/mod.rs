#![doc = include_str!("README.md")]

use std::sync::Arc;

use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::{self, Diagnostic, Directive, Problems};
use crate::metrics::{Counter, names};
use crate::wire::{Class, HEADER_LEN, Name, Rcode, Rtype, Section};

#[cfg(test)]
mod tests;

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "local",
    summary: "answers names that should never leave a machine",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &["coredns_local_localhost_requests_total"],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut takes_prefix = true;
    for directive in setup.directives {
        problems.keep(directive.exactly::<0>());
        for option in directive.options() {
            takes_prefix = problems.keep(localhost_prefix(option)).unwrap_or(takes_prefix);
        }
    }
    let requests = names::LOCAL_LOCALHOST_REQUESTS.with([]);
    problems.finish(vec![Arc::new(Local { takes_prefix, requests })])
}

/// `localhost_prefix on|off`, the one option.
fn localhost_prefix(option: &Directive) -> Result<bool, Diagnostic> {
    if option.name != "localhost_prefix" {
        return Err(option.unknown_property(&["localhost_prefix"]));
    }
    option.no_block()?;
    let word = option.one_arg()?;
    let message = format!("localhost_prefix expects 'on' or 'off', got {}", config::quote(&word.text));
    word.one_of(&[("on", true), ("off", false)], message)
}

struct Local {
    /// Whether names that begin with the label `localhost` are taken too.
    takes_prefix: bool,
    requests: Counter,
}

/// RFC 6761 6.3 and RFC 6303 4.1: names that mean the machine itself, and its addresses.
const ZONES: [&[u8]; 4] = [
    LOCALHOST,
    b"\x010\x07in-addr\x04arpa\0",
    b"\x03127\x07in-addr\x04arpa\0",
    b"\x03255\x07in-addr\x04arpa\0",
];
const LOCALHOST: &[u8] = b"\x09localhost\0";
/// The one address with a name: 127.0.0.1.
const LOOPBACK: &[u8] = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0";

/// Of all records, seconds: a week.
const TTL: u32 = 604_800;

/// The SOA record of each zone: `localhost. root.localhost. 1 0 0 0`, and [`TTL`] as the minimum.
const SOA: &[u8] = b"\x09localhost\0\x04root\x09localhost\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\x3a\x80";

impl Plugin for Local {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        let name = query.name();
        if self.takes(name) {
            self.requests.inc();
            tracing::debug!(
                target: "plugin/local",
                "Intercepting localhost query for {} {}, from {}",
                config::quote(&name.to_string()), query.qtype(), query.peer.ip().to_canonical()
            );
            answer_address(query, response);
            return Step::Respond;
        }
        let Some(zone) = ZONES.into_iter().find(|zone| name.is_under(zone)) else { return Step::Next };
        match name.as_bytes() {
            LOCALHOST if matches!(query.qtype(), Rtype::A | Rtype::AAAA) => answer_address(query, response),
            apex if apex == zone => answer_apex(query, response),
            LOOPBACK if query.qtype() == Rtype::PTR => {
                response.start(query, false, Rcode::NOERROR);
                response.push(Section::Answer, None, Rtype::PTR, Class::IN, TTL, LOCALHOST);
            }
            LOOPBACK => deny(query, response, Rcode::NOERROR, zone.len()),
            _ => deny(query, response, Rcode::NXDOMAIN, zone.len()),
        }
        Step::Respond
    }
}

impl Local {
    /// Whether `name` stands for the machine though it is none of [`ZONES`]: below `localhost.`, or beginning with it.
    fn takes(&self, name: &Name) -> bool {
        let bytes = name.as_bytes();
        let label = &LOCALHOST[..LOCALHOST.len() - 1];
        bytes.len() > LOCALHOST.len()
            && (name.is_under(LOCALHOST) || (self.takes_prefix && bytes.starts_with(label)))
    }
}

/// The machine's own address, or none of the type.
fn answer_address(query: &Query, response: &mut Response) {
    let address: &[u8] = match query.qtype() {
        Rtype::A => &[127, 0, 0, 1],
        Rtype::AAAA => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        _ => return deny(query, response, Rcode::NOERROR, query.name().as_bytes().len()),
    };
    response.start(query, false, Rcode::NOERROR);
    response.push(Section::Answer, None, query.qtype(), Class::IN, TTL, address);
}

/// What a zone has at its top: its SOA and NS records.
fn answer_apex(query: &Query, response: &mut Response) {
    let rdata = match query.qtype() {
        Rtype::SOA => SOA,
        Rtype::NS => LOCALHOST,
        _ => return deny(query, response, Rcode::NOERROR, query.name().as_bytes().len()),
    };
    response.start(query, false, Rcode::NOERROR);
    response.push(Section::Answer, None, query.qtype(), Class::IN, TTL, rdata);
}

/// No name (NXDOMAIN) or no record of the type (NODATA): the SOA record (RFC 2308 2) of the last `zone_len` bytes of the query's name, spelt as
/// it is there.
fn deny(query: &Query, response: &mut Response, rcode: Rcode, zone_len: usize) {
    response.start(query, false, rcode);
    let name = query.wire().get(HEADER_LEN..query.question_end().saturating_sub(4)).unwrap_or_default();
    let zone = name.get(name.len().saturating_sub(zone_len)..).unwrap_or_default();
    let owner = (zone.len() < name.len()).then_some(zone);
    response.push(Section::Authority, owner, Rtype::SOA, Class::IN, TTL, SOA);
}
