#![doc = include_str!("README.md")]

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::chain::capability::Ready;
use crate::chain::{Built, Page, PageAddress, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Directive, Problems, quote};
use crate::control::http::{Reply, at_once};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "ready",
    summary: "tells on HTTP when all plugins are ready",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &[],
    build,
};

const PATH: &str = "/ready";
const PORT: u16 = 8181;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let directive = setup.directives[0];
    let (address, monitor) = read(directive)?;
    let list = setup.block.shared.get::<List>();
    list.continuously.store(monitor == Monitor::Continuously, Ordering::Relaxed);
    let shown = Arc::clone(&list);
    setup.block.pages.push(Page {
        plugin: SPEC.name,
        span: directive.span,
        address,
        path: PATH,
        handler: at_once(move |_| shown.reply()),
        guard: None,
        ends_at_once: true,
    });
    setup.block.when_placed.push(Box::new(move |places| {
        places.capabilities.all::<Arc<dyn Ready>>().into_iter().for_each(|plugin| list.watch(plugin));
    }));
    Ok(Vec::new())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Monitor {
    UntilReady,
    Continuously,
}

fn read(directive: &Directive) -> Result<(PageAddress, Monitor), Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut address = PageAddress::new("", PORT);
    if let Some(Some(word)) = problems.keep(directive.optional_arg()) {
        address = problems.keep(PageAddress::parse(word)).unwrap_or(address);
    }
    let mut monitor = Monitor::UntilReady;
    for option in directive.options() {
        if option.name != "monitor" {
            problems.push(option.unknown_property(&["monitor"]));
        } else if let Some(word) = problems.keep(option.one_arg()) {
            let choices = [("until-ready", Monitor::UntilReady), ("continuously", Monitor::Continuously)];
            let refusal = format!("monitor type '{}' not supported", word.text);
            monitor = problems.keep(word.one_of(&choices, refusal)).unwrap_or(monitor);
        }
    }
    problems.finish((address, monitor))
}

/// The plugins of all blocks with `ready`, which every address shows.
#[derive(Default)]
struct List {
    watched: Mutex<Vec<Watched>>,
    /// As the last block says.
    continuously: AtomicBool,
}

struct Watched {
    plugin: Arc<dyn Ready>,
    was_ready: bool,
}

impl List {
    fn watch(&self, plugin: Arc<dyn Ready>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Watched { plugin, was_ready: false });
    }

    /// The names of the plugins that are not ready, each once.
    fn missing(&self) -> Vec<&'static str> {
        let again = self.continuously.load(Ordering::Relaxed);
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        for one in watched.iter_mut() {
            if !one.was_ready || again {
                one.was_ready = one.plugin.is_ready();
            }
            if !one.was_ready {
                missing.push(one.plugin.name());
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn reply(&self) -> Reply {
        let missing = self.missing().join(",");
        if missing.is_empty() {
            return Reply::text(200, "OK");
        }
        tracing::info!(target: "plugin/ready", "Plugins not ready: {}", quote(&missing));
        Reply::text(503, missing)
    }
}
