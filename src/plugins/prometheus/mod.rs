#![doc = include_str!("README.md")]

mod reports;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod web;

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use self::reports::Reports;
use crate::chain::{
    Built, Cx, Page, PageAddress, Places, Plugin, PluginSpec, Query, Repeat, Response, Setup, clock,
};
use crate::config::{Diagnostic, Directive, Problems, Word};
use crate::control::http::{Guard, Reply};
use crate::metrics::{self, Gauge, names};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "prometheus",
    summary: "serves metrics",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &[
        "coredns_dns_requests_total",
        "coredns_dns_responses_total",
        "coredns_dns_do_requests_total",
        "coredns_dns_request_duration_seconds",
        "coredns_dns_request_size_bytes",
        "coredns_dns_response_size_bytes",
        "coredns_panics_total",
        "coredns_build_info",
        "coredns_plugin_enabled",
    ],
    build,
};

const PATH: &str = "/metrics";
const HOST: &str = "localhost";
const PORT: u16 = 9153;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let directive = setup.directives[0];
    let (address, web) = read(directive)?;
    let guard = web.map(|file| open(setup, file)).transpose()?;
    names::BUILD_INFO.with([env!("CARGO_PKG_VERSION"), REVISION, COMPILER]).set(1.0);
    let plugin = Arc::new(Prometheus::default());
    let placed = Arc::clone(&plugin);
    setup.block.counts_queries = true;
    setup.block.when_placed.push(Box::new(move |places| placed.place(places)));
    setup.block.pages.push(Page {
        plugin: SPEC.name,
        span: directive.span,
        address,
        path: PATH,
        handler: Arc::new(|_| Box::pin(show())),
        guard,
        ends_at_once: false,
    });
    Ok(vec![plugin])
}

/// One page at a time is made: the control plane has other things to do beside many scrapers, such as showing that the process lives.
static TURN: Semaphore = Semaphore::const_new(1);

async fn show() -> Reply {
    // It is never closed, so this is a turn and no error.
    let _turn = TURN.acquire().await;
    Reply::new(200, metrics::CONTENT_TYPE, metrics::render())
}

/// What stands before the page, as the web configuration `file` has it.
#[cfg(feature = "tls")]
fn open(setup: &mut Setup<'_>, file: &Word) -> Result<Arc<dyn Guard>, Vec<Diagnostic>> {
    let (web, warnings) = web::open(file)?;
    warnings.into_iter().for_each(|warning| setup.warn(warning));
    Ok(web)
}

#[cfg(not(feature = "tls"))]
fn open(_: &mut Setup<'_>, file: &Word) -> Result<Arc<dyn Guard>, Vec<Diagnostic>> {
    let error = file.error("this waypost was built without TLS");
    Err(vec![error.help("build it with the feature 'tls', which is on by default; or leave the line out")])
}

/// The address, and the web configuration if one is named.
fn read(directive: &Directive) -> Result<(PageAddress, Option<&Word>), Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut address = PageAddress::new(HOST, PORT);
    if let Some(Some(word)) = problems.keep(directive.optional_arg()) {
        address = problems.keep(PageAddress::parse(word)).unwrap_or(address);
    }
    let mut tls: Option<&Directive> = None;
    let mut web = None;
    for option in directive.options() {
        match option.name.as_str() {
            // There is no runtime of Go here of which to show more.
            "runtime_metrics" => drop(problems.keep(option.no_args())),
            "tls" => {
                if let Some(first) = tls {
                    problems.push(option.error("tls block already specified").note(first.span, "here"));
                } else if let Some(file) = problems.keep(option.one_arg()) {
                    (tls, web) = (Some(option), Some(file));
                }
            }
            name => {
                let error = option.error(format!("unknown option: {name}"));
                problems.push(error.choices(name, &["runtime_metrics", "tls"]));
            }
        }
    }
    problems.finish((address, web))
}

/// Counts the queries of its block.
#[derive(Default)]
struct Prometheus {
    placed: OnceLock<Placed>,
}

/// What is known once all blocks are built.
struct Placed {
    reports: Reports,
    /// Shown as long as this configuration is.
    _enabled: Vec<Gauge>,
}

impl Prometheus {
    fn place(&self, places: &Places<'_>) {
        let mut enabled = Vec::new();
        for labels in places.labels {
            for plugin in places.plugins {
                let gauge = names::PLUGIN_ENABLED.scoped([labels.server, labels.zone, labels.view, plugin]);
                gauge.set(1.0);
                enabled.push(gauge);
            }
        }
        let placed = Placed { reports: Reports::new(places.labels, places.plugins), _enabled: enabled };
        // Placed once, by the one configuration it belongs to.
        let _ = self.placed.set(placed);
    }
}

impl Plugin for Prometheus {
    fn sees_queries(&self) -> bool {
        false
    }

    fn on_response(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) {
        if let Some(placed) = self.placed.get() {
            // From when the batch was taken up: what a query waited behind others of it is time that its client sees.
            let took = clock::now().nanoseconds_since(query.now);
            placed.reports.count(query, response, took);
        }
    }

    fn sees_responses(&self) -> bool {
        true
    }
}

/// The commit, as in the last line of the banner.
const REVISION: &str = env!("WAYPOST_REVISION");
/// In place of the version of Go.
const COMPILER: &str = concat!("rust", env!("WAYPOST_RUST"));
