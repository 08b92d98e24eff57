#![doc = include_str!("README.md")]

use std::sync::Arc;

use crate::chain::{Built, Plugin, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Problems, Scheme};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "shed",
    summary: "drops queries and answers over UDP, and counts them, while they cannot be sent",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &["coredns_shed_dropped_total"],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let directive = setup.directives[0];
    let mut problems = Problems::default();
    problems.keep(directive.no_args());
    if let Some(option) = directive.options().first() {
        problems.push(option.error("shed takes no options"));
    }
    if let Some(other) = setup.addresses.iter().find(|address| address.scheme != Scheme::Dns) {
        let scheme = other.scheme.as_str();
        let message = format!(
            "only plain DNS server blocks are supported; \"{scheme}://{}:{}\" uses transport \"{scheme}\"",
            other.zone, other.port
        );
        problems.push(directive.error_at_end(message).note(other.span, "this key"));
    }
    setup.block.listeners.sheds = true;
    problems.finish(vec![Arc::new(Shed)])
}

/// Stands in the chain to be seen there: the listener has dropped what is to be dropped before any plugin is asked.
struct Shed;

impl Plugin for Shed {
    fn sees_queries(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;
    use crate::wire::{Rcode, Rtype};

    #[test]
    fn it_is_a_switch_of_the_listener_and_stands_in_the_chain() {
        for text in ["shed", "shed {\n}"] {
            let (built, setup) = testing::build(&SPEC, text).unwrap();
            assert!(setup.listeners.sheds);
            let plugins = built.into_iter().map(|plugin| ("shed", plugin));
            let block = testing::block(plugins.chain([("whoami", testing::address(60))]).collect());
            let response = testing::ask(&block, &mut testing::query("a.example.", Rtype::A));
            assert_eq!(response.flags().rcode(), Rcode::NOERROR);
        }
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, line: u32, message: &str| {
            let want = format!("plugin/shed: Corefile:{line} - Error during parsing: {message}");
            assert_eq!(testing::build(&SPEC, text).err(), Some(want));
        };
        check("shed x", 1, "Wrong argument count or unexpected line ending after 'x'");
        check("shed {\na\n}", 2, "shed takes no options");
    }
}
