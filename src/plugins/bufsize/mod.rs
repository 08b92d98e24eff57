#![doc = include_str!("README.md")]

use std::sync::Arc;

use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::{Diagnostic, Directive};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "bufsize",
    summary: "lowers the size of answers that clients ask for",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

/// Bytes that pass through nearly every network in one piece: the recommendation of the DNS flag day 2020.
const SIZE_DEFAULT: u16 = 1232;
/// What every client takes (RFC 6891 6.2.5), and what is still within reason (6.2.5 too).
const SIZES: std::ops::RangeInclusive<u16> = 512..=4096;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let directive = setup.directives[0];
    // CoreDNS names the plugin twice.
    let size = size(directive).map_err(|error| vec![error.in_plugin(SPEC.name)])?;
    if !directive.options().is_empty() {
        setup.warn(directive.error("the block is ignored").help("'bufsize' takes its size as an argument"));
    }
    for other in &setup.directives[1..] {
        setup.warn(other.error("only the first 'bufsize' counts"));
    }
    Ok(vec![Arc::new(Bufsize { size })])
}

fn size(directive: &Directive) -> Result<u16, Diagnostic> {
    let Some(word) = directive.optional_arg()? else { return Ok(SIZE_DEFAULT) };
    word.integer(SIZES).map_err(|error| {
        let mut wrong = word.arg_error();
        wrong.help = error.help;
        wrong
    })
}

struct Bufsize {
    /// Bytes.
    size: u16,
}

impl Plugin for Bufsize {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        query.limit_udp_size(self.size);
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{self, Answering};
    use crate::wire::{Rcode, Rtype};
    use std::sync::Mutex;

    /// The payload size that plugins below see for a client that says `asked`.
    fn seen(text: &str, asked: Option<u16>) -> Option<u16> {
        let (built, _) = testing::build(&SPEC, text).unwrap();
        let seen = Arc::new(Mutex::new(None));
        let place = Arc::clone(&seen);
        let below = Answering(move |query: &mut Query, response: &mut Response| {
            *place.lock().unwrap() = query.edns().map(|edns| edns.udp_size);
            response.start(query, true, Rcode::NOERROR);
            Step::Respond
        });
        let block = testing::block(vec![("bufsize", Arc::clone(&built[0])), ("below", Arc::new(below))]);
        let opt = asked.map(|size| (size, false));
        let mut query = testing::query_of(&testing::query_wire("x", Rtype::A, opt));
        testing::ask(&block, &mut query);
        let size = *seen.lock().unwrap();
        assert_eq!(query.payload_size(), size.unwrap_or(512).max(512));
        size
    }

    #[test]
    fn clients_get_no_more_than_the_limit_and_no_more_than_they_ask_for() {
        assert_eq!(seen("bufsize", Some(4096)), Some(1232));
        assert_eq!(seen("bufsize", Some(1232)), Some(1232));
        assert_eq!(seen("bufsize 512", Some(513)), Some(512));
        assert_eq!(seen("bufsize 4096", Some(1232)), Some(1232));
        assert_eq!(seen("bufsize 4096", Some(65_535)), Some(4096));
        assert_eq!(seen("bufsize 600", Some(100)), Some(100));
        assert_eq!(seen("bufsize 1100 {\n}", Some(1500)), Some(1100));
        assert_eq!(seen("bufsize +0600", Some(1500)), Some(600), "as Go reads numbers");
        assert_eq!(seen("bufsize", None), None, "who says nothing is not spoken for");
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, word: &str| {
            let count = "Wrong argument count or unexpected line ending after";
            let want = format!(
                "plugin/bufsize: plugin/bufsize: Corefile:1 - Error during parsing: {count} '{word}'"
            );
            assert_eq!(testing::build(&SPEC, text).err(), Some(want));
        };
        check("bufsize 100", "100");
        check("bufsize 511", "511");
        check("bufsize 4097", "4097");
        check("bufsize -1", "-1");
        check("bufsize 99999999999999999999", "99999999999999999999");
        check("bufsize abc", "abc");
        check("bufsize 1220 1232", "1232");
        check("bufsize 1220 1232 1240 {\n}", "1240");
    }

    #[test]
    fn what_does_not_count_is_warned_about() {
        let warnings = |text: &str| testing::build(&SPEC, text).unwrap().1.warnings.len();
        assert_eq!(warnings("bufsize"), 0);
        assert_eq!(warnings("bufsize 1232\nbufsize wrong"), 1);
        assert_eq!(warnings("bufsize 1232 {\n size 5\n}"), 1);
    }
}
