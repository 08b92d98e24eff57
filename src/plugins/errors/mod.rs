#![doc = include_str!("README.md")]

mod config;
mod consolidate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::consolidate::{Consolidation, Level};
use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup};
use crate::config::Diagnostic;
use crate::log::push_decimal;
use crate::wire::Rcode;

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "errors",
    summary: "logs why queries failed",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let config::Config { stacktrace, patterns } = config::configure(setup.directives[0])?;
    setup.block.stacktrace |= stacktrace;
    let patterns: Vec<_> = patterns.into_iter().map(Arc::new).collect();
    for pattern in &patterns {
        setup.background(Arc::clone(pattern).summarise());
        let pattern = Arc::clone(pattern);
        setup.block.on_stop.push(Box::new(move || pattern.stop()));
    }
    Ok(vec![Arc::new(Errors { patterns })])
}

struct Errors {
    /// In the order of the file: the first that matches counts an error.
    patterns: Vec<Arc<Consolidation>>,
}

impl Plugin for Errors {
    fn sees_queries(&self) -> bool {
        false
    }

    fn on_response(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) {
        if let Some(failure) = response.failure() {
            self.log(query, response.rcode().unwrap_or_default(), &failure.0);
        }
    }

    fn sees_responses(&self) -> bool {
        true
    }
}

impl Errors {
    fn log(&self, query: &Query, rcode: Rcode, failure: &str) {
        let level = match self.patterns.iter().find(|pattern| pattern.matches(failure)) {
            Some(pattern) if pattern.count() => return,
            Some(pattern) => pattern.level(),
            None => Level::Error,
        };
        match level {
            // Straight into the worker's lines: when an upstream is away, this is what every query does.
            Level::Error => crate::log::with_line(|line| {
                line.extend_from_slice(b"[ERROR] plugin/errors: ");
                push(line, query, rcode, failure);
            }),
            level => {
                let mut text = Vec::new();
                push(&mut text, query, rcode, failure);
                level.say(&String::from_utf8_lossy(&text));
            }
        }
    }
}

/// Appends `CODE NAME TYPE: FAILURE`. The name is as plugins below left it.
fn push(line: &mut Vec<u8>, query: &Query, rcode: Rcode, failure: &str) {
    push_decimal(line, u64::from(rcode.0));
    line.push(b' ');
    crate::wire::name::write_text(query.name().as_bytes(), line);
    line.push(b' ');
    let qtype = query.qtype();
    match qtype.mnemonic() {
        Some(name) => line.extend_from_slice(name.as_bytes()),
        None => {
            line.extend_from_slice(b"TYPE");
            push_decimal(line, u64::from(qtype.0));
        }
    }
    line.extend_from_slice(b": ");
    // A failure may quote what an upstream or a file says, which must not begin lines of its own.
    line.extend(failure.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
}
