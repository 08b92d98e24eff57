#![doc = include_str!("README.md")]

mod config;
mod names;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use config::Config;
use scan::{Directory, keep_fresh};
use tracing::info;

use crate::chain::zones::{self, Handling};
use crate::chain::{Ahead, Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::Diagnostic;
use crate::wire::{Class, Name, Opcode, Rcode, Rtype};

/// The plugin's row.
pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "auto",
    summary: "serves all master files of a directory",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    for &surplus in setup.directives.iter().rev().skip(1) {
        setup.warn(surplus.error("there is a further 'auto' in this block, whose directory counts"));
    }
    let config = Config::read(setup)?;
    let directory = Arc::new(Directory::new(config.directory, config.names));
    let first = Arc::clone(&directory);
    setup.block.on_start.push(Box::new(move || {
        first.look();
        Ok(())
    }));
    if !config.reload.is_zero() {
        setup.background(keep_fresh(Arc::clone(&directory), config.reload));
    }
    Ok(vec![Arc::new(Auto { origins: config.origins, directory })])
}

/// The zones of a directory.
struct Auto {
    /// The zones whose names are served.
    origins: Vec<Name>,
    directory: Arc<Directory>,
}

impl Plugin for Auto {
    fn on_query(&self, cx: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        let is_ours = self.origins.iter().any(|origin| query.name().is_under(origin.as_bytes()));
        if !is_ours || !matches!(query.qclass(), Class::IN | Class::ANY) {
            return Step::Next;
        }
        let zones = self.directory.zones();
        let Some(file) = zones.find(query.name(), query.hash()) else {
            // An authoritative server refuses what is not its own.
            return if cx.is_last() { Step::Fail(Rcode::REFUSED, None) } else { Step::Next };
        };
        if matches!(query.qtype(), Rtype::AXFR | Rtype::IXFR) {
            return Step::Fail(Rcode::REFUSED, None);
        }
        if query.opcode() == Opcode::NOTIFY {
            info!(target: "plugin/auto", "Dropping notify from {} for {}", query.peer.ip(), file.origin());
            return Step::Drop;
        }
        let zone = file.zone();
        match &*zone {
            Some(zone) => zones::answer(zone, cx, query, response, |_| Handling::Deny),
            None => Step::Fail(Rcode::SERVFAIL, None),
        }
    }

    fn look_ahead(&self, query: &Query, ahead: Ahead) {
        let zones = self.directory.zones();
        let Some(file) = zones.find(query.name(), query.hash()) else { return };
        if let Some(zone) = &*file.zone() {
            match ahead {
                Ahead::Two => zone.fetch_slot(query.hash()),
                Ahead::One => zone.fetch_node(query.hash()),
            }
        }
    }

    fn looks_ahead(&self) -> bool {
        true
    }
}
