#![doc = include_str!("README.md")]

mod elf;
mod encode;
mod gzip;
mod mappings;
mod pages;
mod profile;
mod symbols;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::chain::{Built, Page, PageAddress, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Directive, Problems};
use crate::control::shutdown::stop_channel;

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "pprof",
    summary: "serves profiles of the running server",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &[],
    build,
};

const HOST: &str = "localhost";
const PORT: u16 = 6053;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let directive = setup.directives[0];
    let Pprof { address, blocks } = read(directive)?;
    for block in blocks {
        let warning = block.error("'block' has no effect: waypost does not record what waits for whom");
        setup.warn(warning.help("the profile of processor time needs no option"));
    }
    // A profile takes long; neither the end of the process nor that of its configuration waits for it.
    let (stopper, stop) = stop_channel();
    let stopper = Arc::new(stopper);
    let at_end = Arc::clone(&stopper);
    setup.block.on_shutdown.push(Box::new(move || at_end.stop()));
    setup.block.on_stop.push(Box::new(move || stopper.stop()));
    for (path, handler) in [(pages::ROOT, pages::redirect()), (pages::FOLDER, pages::handler(stop))] {
        setup.block.pages.push(Page {
            plugin: SPEC.name,
            span: directive.span,
            address: address.clone(),
            path,
            handler,
            guard: None,
            ends_at_once: false,
        });
    }
    Ok(Vec::new())
}

struct Pprof<'a> {
    address: PageAddress,
    /// Each `block`.
    blocks: Vec<&'a Directive>,
}

fn read(directive: &Directive) -> Result<Pprof<'_>, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut address = PageAddress::new(HOST, PORT);
    if let Some(Some(word)) = problems.keep(directive.optional_arg()) {
        // Placed, other than that of `health` and its like.
        let parsed = PageAddress::parse(word).map_err(Diagnostic::located);
        address = problems.keep(parsed).unwrap_or(address);
    }
    let mut blocks = Vec::new();
    for option in directive.options() {
        if option.name != "block" {
            problems.push(option.unknown_property(&["block"]));
            continue;
        }
        problems.keep(option.no_block());
        if let Some(Some(rate)) = problems.keep(option.optional_arg()) {
            problems.keep(rate.integer::<i64>(..).map_err(|error| {
                error.located().reworded(format!("property 'block' invalid integer value '{}'", rate.text))
            }));
        }
        blocks.push(option);
    }
    problems.finish(Pprof { address, blocks })
}
