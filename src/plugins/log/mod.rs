#![doc = include_str!("README.md")]

mod config;
mod cursor;
mod format;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::config::Classes;
use self::format::{Format, Links, Logged};
use crate::chain::{Cx, Mono, Plugin, PluginSpec, Query, Repeat, Response, Step, clock};
use crate::wire::Name;

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "log",
    summary: "writes a line for each query to standard output",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build: |setup| Ok(vec![Arc::new(config::configure(setup)?)]),
};

/// The rules of a block's `log` directives.
struct Log {
    /// In the order of the file: the first that covers a name counts for it.
    rules: Vec<Rule>,
    /// Where each query keeps when it came here, in nanoseconds, or [`UNCOVERED`].
    mark: usize,
    links: Links,
}

/// What is logged for the names of a zone.
struct Rule {
    zone: Name,
    classes: Classes,
    format: Format,
}

impl Plugin for Log {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        let came_at = match self.rule(query) {
            None => UNCOVERED,
            Some(rule) if rule.wants_duration() => clock::now().0,
            Some(_) => query.now.0.max(1),
        };
        query.set_mark(self.mark, came_at);
        Step::Next
    }

    fn on_response(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) {
        if query.mark(self.mark) != UNCOVERED
            && let Some(rule) = self.rule(query)
            && rule.takes(query, response)
        {
            crate::log::with_line(|line| self.push(rule, query, response, line));
        }
    }

    fn sees_responses(&self) -> bool {
        true
    }
}

impl Log {
    /// The rule for the query's name.
    fn rule(&self, query: &Query) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.zone.is_root() || query.name().is_under(rule.zone.as_bytes()))
    }

    /// Appends the line that `rule` asks for.
    fn push(&self, rule: &Rule, query: &Query, response: &Response, line: &mut Vec<u8>) {
        let came_at = Mono(query.mark(self.mark));
        let duration_ns = || clock::now().0.saturating_sub(came_at.0);
        rule.format.push(line, &Logged::new(query, response, &self.links), duration_ns);
    }
}

impl Rule {
    fn wants_duration(&self) -> bool {
        self.format.wants_duration()
    }

    /// Whether the response is of a class that is logged. Labels of it are set by the way, where labels are collected.
    fn takes(&self, query: &mut Query, response: &Response) -> bool {
        if self.classes == Classes::ALL && query.metadata().is_none() {
            return true;
        }
        let outcome = format::outcome(query, response, clock::unix_seconds);
        let class = Classes::of(outcome);
        if let Some(labels) = query.metadata_mut() {
            labels.set("log/type", outcome.as_str().to_owned());
            labels.set("log/class", class.as_str().to_owned());
        }
        self.classes.has(class)
    }
}

/// In place of a time: no rule covers the name. The clock never shows it.
const UNCOVERED: u64 = 0;
