#![doc = include_str!("README.md")]

use std::sync::Arc;

use crate::chain::{Built, Plugin, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Directive};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "metadata",
    summary: "collects labels of queries for log formats, views and others",
    manual: include_str!("README.md"),
    // CoreDNS has another text for a second one than the usual.
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let directives = setup.directives;
    refuse_second(directives).and_then(|()| refuse_block(directives[0])).map_err(|error| vec![error])?;
    let zones = setup.origins(&directives[0].args);
    setup.block.metadata_zones = Some(zones);
    Ok(vec![Arc::new(PassesOn)])
}

fn refuse_second(directives: &[&Directive]) -> Result<(), Diagnostic> {
    match directives {
        [first, second, ..] => Err(second
            .name
            .arg_error()
            .note(first.span, "first used here")
            .help("name all zones in one line")),
        _ => Ok(()),
    }
}

fn refuse_block(directive: &Directive) -> Result<(), Diagnostic> {
    match directive.options().first() {
        Some(option) => Err(option.name.arg_error().help("'metadata' takes no block")),
        None => Ok(()),
    }
}

/// Labels are collected before the chain runs; here the query only passes. It stands in the chain because CoreDNS's does: a block with nothing
/// else fails to answer, it does not refuse.
struct PassesOn;

impl Plugin for PassesOn {
    fn sees_queries(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{BlockSetup, testing};
    use crate::wire::{Name, Rcode, Rtype};

    fn zones(text: &str) -> Vec<String> {
        let block = ["a.example.", "b.example."].map(|zone| Name::from_text(zone).unwrap());
        let (built, setup) = testing::build_in(&SPEC, &block, BlockSetup::default(), text).unwrap();
        assert_eq!(built.len(), 1);
        setup.metadata_zones.unwrap().iter().map(Name::to_string).collect()
    }

    #[test]
    fn zones_are_those_of_the_line_or_of_the_block() {
        assert_eq!(zones("metadata"), ["a.example.", "b.example."]);
        assert_eq!(zones("metadata {\n}"), ["a.example.", "b.example."]);
        assert_eq!(zones("metadata Example.org x..y net"), ["example.org.", "net."]);
        assert_eq!(zones("metadata 10.0.0.0/23"), ["0.0.10.in-addr.arpa.", "1.0.10.in-addr.arpa."]);
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, line, word| {
            let error = testing::build(&SPEC, text).err().unwrap();
            let count = "Wrong argument count or unexpected line ending after";
            assert_eq!(
                error,
                format!("plugin/metadata: Corefile:{line} - Error during parsing: {count} '{word}'")
            );
        };
        check("metadata\nmetadata a", 2, "metadata");
        check("metadata {\n lalala x\n}", 2, "lalala");
    }

    #[test]
    fn queries_pass() {
        let (built, _) = testing::build(&SPEC, "metadata").unwrap();
        let block = testing::block(vec![("metadata", Arc::clone(&built[0])), ("a", testing::address(5))]);
        let response = testing::ask(&block, &mut testing::query("x", Rtype::A));
        assert_eq!(response.rcode(), Some(Rcode::NOERROR));
    }
}
