#![doc = include_str!("README.md")]

mod check;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::chain::{Built, Page, PageAddress, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Directive, GoDuration, Problems};
use crate::control::http::{Reply, at_once};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "health",
    summary: "tells on HTTP that the process lives",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &["coredns_health_request_duration_seconds", "coredns_health_request_failures_total"],
    build,
};

const PATH: &str = "/health";
const PORT: u16 = 8080;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let Health { address, lameduck } = read(setup.directives)?;
    for second in &setup.directives[1..] {
        let warning = second
            .error("what the last 'health' of a block says counts")
            .note(setup.directives[0].span, "said before here");
        setup.block.warnings.push(warning.as_warning());
    }
    if let Some(check) = check::SelfCheck::new(&address) {
        setup.background(check.run());
    }
    setup.block.pages.push(Page {
        plugin: SPEC.name,
        span: setup.directives.last().map_or_else(Default::default, |last| last.span),
        address,
        path: PATH,
        handler: at_once(|_| Reply::text(200, "OK")),
        guard: None,
        ends_at_once: false,
    });
    if let Some(time) = lameduck.positive().filter(|time| !time.is_zero()) {
        setup.block.on_end.push(Box::pin(stay(time)));
    }
    Ok(Vec::new())
}

/// Serves on for a while after the process was told to end.
async fn stay(time: Duration) {
    tracing::info!(target: "plugin/health", "Going into lameduck mode for {}", GoDuration::from(time));
    tokio::time::sleep(time).await;
}

#[derive(Debug, PartialEq, Eq)]
struct Health {
    address: PageAddress,
    /// Zero or less: none.
    lameduck: GoDuration,
}

/// Reads all directives of a block; each says anew what it says.
fn read(directives: &[&Directive]) -> Result<Health, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut health = Health { address: PageAddress::new("", PORT), lameduck: GoDuration::default() };
    for directive in directives {
        if let Some(Some(word)) = problems.keep(directive.optional_arg())
            && let Some(address) = problems.keep(PageAddress::parse(word))
        {
            health.address = address;
        }
        for option in directive.options() {
            if option.name != "lameduck" {
                problems.push(option.unknown_property(&["lameduck"]));
            } else if let Some(word) = problems.keep(option.one_arg()) {
                let duration = word.signed_duration().map_err(|error| {
                    let text = format!(
                        "unable to parse lameduck duration value: '{}' : {}",
                        word.text, error.message
                    );
                    error.reworded(text)
                });
                health.lameduck = problems.keep(duration).unwrap_or(health.lameduck);
            }
        }
    }
    problems.finish(health)
}
