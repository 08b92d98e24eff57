#![doc = include_str!("README.md")]

mod config;
mod networks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::config::{Action, Policy};
use crate::chain::{self, Built, Cx, PerListener, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::Diagnostic;
use crate::metrics::{Counter, CounterFamily, names};
use crate::wire::{Name, Rcode, edns};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "acl",
    summary: "lets queries pass or not, by who asks for what",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[
        "coredns_acl_blocked_requests_total",
        "coredns_acl_filtered_requests_total",
        "coredns_acl_dropped_requests_total",
        "coredns_acl_allowed_requests_total",
    ],
    build,
};

/// "Blocked" and "Filtered" (RFC 8914 4.16, 4.18).
const EDE_BLOCKED: u16 = 15;
const EDE_FILTERED: u16 = 17;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let rules = config::configure(setup)?;
    Ok(vec![Arc::new(Acl { rules: rules.into_iter().map(Rule::new).collect(), allowed: PerListener::new() })])
}

struct Acl {
    /// In the order of the file.
    rules: Vec<Rule>,
    allowed: PerListener<Counter>,
}

struct Rule {
    zones: Vec<Zone>,
    policies: Vec<Policy>,
}

/// A zone of a rule, and what is counted there.
struct Zone {
    name: Name,
    label: &'static str,
    blocked: PerListener<Counter>,
    filtered: PerListener<Counter>,
    dropped: PerListener<Counter>,
}

impl Rule {
    fn new(rule: config::Rule) -> Self {
        let zone = |name: Name| Zone {
            label: chain::intern(&name.to_string()),
            name,
            blocked: PerListener::new(),
            filtered: PerListener::new(),
            dropped: PerListener::new(),
        };
        Self { zones: rule.zones.into_iter().map(zone).collect(), policies: rule.policies }
    }

    /// The longest of its zones that `name` is in.
    fn zone_of(&self, name: &Name) -> Option<&Zone> {
        let covering = self.zones.iter().filter(|zone| name.is_under(zone.name.as_bytes()));
        covering.max_by_key(|zone| zone.name.label_count())
    }
}

impl Plugin for Acl {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        for rule in &self.rules {
            let Some(zone) = rule.zone_of(query.name()) else { continue };
            let mut policies = rule.policies.iter();
            let Some(policy) = policies.find(|policy| policy.matches(query.qtype(), query.peer.ip())) else {
                continue;
            };
            match policy.action {
                Action::Allow => break,
                Action::Drop => {
                    zone.count(&zone.dropped, &names::ACL_DROPPED_REQUESTS, query);
                    return Step::Drop;
                }
                Action::Block => {
                    zone.count(&zone.blocked, &names::ACL_BLOCKED_REQUESTS, query);
                    return answer(query, response, Rcode::REFUSED, EDE_BLOCKED);
                }
                Action::Filter => {
                    zone.count(&zone.filtered, &names::ACL_FILTERED_REQUESTS, query);
                    return answer(query, response, Rcode::NOERROR, EDE_FILTERED);
                }
            }
        }
        let series = |server: &'static str, view| names::ACL_ALLOWED_REQUESTS.with([server, view]);
        self.allowed.of(query, series).inc();
        Step::Next
    }
}

impl Zone {
    fn count(&self, series: &PerListener<Counter>, family: &CounterFamily<3>, query: &Query) {
        series.of(query, |server, view| family.with([server, self.label, view])).inc();
    }
}

/// Answers without records; clients that understand it are told why (RFC 8914).
fn answer(query: &Query, response: &mut Response, rcode: Rcode, why: u16) -> Step {
    response.start(query, false, rcode);
    response.push_option(edns::code::EDE, &why.to_be_bytes());
    response.count_options();
    Step::Respond
}
