#![doc = include_str!("README.md")]

mod config;

use std::sync::Arc;

use self::config::Config;
use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::Diagnostic;

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "header",
    summary: "sets and clears bits of headers",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let config = Config::read(setup.directives, &mut setup.block.warnings)?;
    Ok(vec![Arc::new(Header(config))])
}

struct Header(Config);

impl Plugin for Header {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        if self.0.query.is_any() {
            query.set_flags(self.0.query.applied_to(query.flags()));
        }
        Step::Next
    }

    fn on_response(&self, _: &Cx<'_>, _: &mut Query, response: &mut Response) {
        if response.is_written() {
            response.set_flags(self.0.response.applied_to(response.flags()));
        }
    }

    fn sees_responses(&self) -> bool {
        self.0.response.is_any()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{self, Answering};
    use crate::wire::{Flags, Rcode, Rtype};
    use std::sync::Mutex;

    /// The flags of the query as plugins below see it and those of the response, for a client that sends `sent`.
    fn pass(rules: &str, sent: u16) -> (Flags, Flags) {
        let (built, _) = testing::build(&SPEC, &format!("header {{\n{rules}\n}}")).unwrap();
        let seen = Arc::new(Mutex::new(Flags(0)));
        let place = Arc::clone(&seen);
        let below = Answering(move |query: &mut Query, response: &mut Response| {
            *place.lock().unwrap() = query.flags();
            assert_eq!(Flags::of(query.wire()), query.flags(), "what would be sent to an upstream");
            response.start(query, true, Rcode::NXDOMAIN);
            Step::Respond
        });
        let block = testing::block(vec![("header", Arc::clone(&built[0])), ("below", Arc::new(below))]);
        let mut query = testing::query("x", Rtype::A);
        query.set_flags(Flags(sent));
        let response = testing::ask(&block, &mut query);
        assert_eq!(response.rcode(), Some(Rcode::NXDOMAIN), "the code is left alone");
        let seen = *seen.lock().unwrap();
        (seen, Flags(response.flags().0 & !15))
    }

    const AA: u16 = Flags::AA;
    const RA: u16 = Flags::RA;
    const RD: u16 = Flags::RD;
    const QR: u16 = Flags::QR;

    #[test]
    fn rules_are_applied_in_their_order() {
        let check = |rules: &str, sent, query, response| {
            assert_eq!(pass(rules, sent), (Flags(query), Flags(response)), "{rules}");
        };
        check("response set ra", RD, RD, QR | AA | RA | RD);
        check("response clear aa", RD, RD, QR | RD);
        check("response set ra aa\nresponse clear rd", RD, RD, QR | AA | RA);
        check("query set rd", 0, RD, QR | AA | RD);
        check("query clear rd", RD, 0, QR | AA);
        check("query clear rd\nresponse set rd", RD, 0, QR | AA | RD);
        check("response set ra\nresponse clear ra", RD, RD, QR | AA | RD);
        check("response clear ra aa\nresponse set ra", RD, RD, QR | RA | RD);
        check("query set aa ra rd", 0, AA | RA | RD, QR | AA | RD);
        check("QUERY Set RD\nResponse CLEAR Aa", 0, RD, QR | RD);
        check("response set ra ra", 0, 0, QR | AA | RA);
    }

    #[test]
    fn failures_are_left_to_the_server() {
        let (built, _) = testing::build(&SPEC, "header {\n response set ra\n}").unwrap();
        let below = testing::failing(Rcode::REFUSED, "on purpose");
        let block = testing::block(vec![("header", Arc::clone(&built[0])), ("below", below)]);
        let response = testing::ask(&block, &mut testing::query("x", Rtype::A));
        assert_eq!((response.rcode(), response.wire().len()), (Some(Rcode::REFUSED), 0));
    }

    #[test]
    fn a_header_without_rules_for_responses_is_not_visited_on_the_way_up() {
        let sees = |text: &str| testing::build(&SPEC, text).unwrap().0[0].sees_responses();
        assert!(!sees("header {\n query set rd\n}"));
        assert!(sees("header {\n response set rd\n}"));
    }

    #[test]
    fn the_first_directive_with_rules_counts() {
        let warnings = |text: &str| testing::build(&SPEC, text).unwrap().1.warnings.len();
        assert_eq!(warnings("header {\n response set ra\n}"), 0);
        assert_eq!(warnings("header\nheader {\n}\nheader {\n response set ra\n}"), 2);
        assert_eq!(warnings("header {\n response set ra\n}\nheader {\n wrong\n}"), 1);
        assert_eq!(warnings("header all {\n response set ra\n}"), 1);
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let count = "Wrong argument count or unexpected line ending after";
        let check = |text: &str, line, word: &str| {
            let want = format!("plugin/header: Corefile:{line} - Error during parsing: {count} '{word}'");
            assert_eq!(testing::build(&SPEC, text).err(), Some(want), "{text}");
        };
        check("header", 1, "header");
        check("header response set ra", 1, "ra");
        check("header {\n}", 2, "}");
        let check = |rule: &str, message: &str| {
            let error = testing::build(&SPEC, &format!("header {{\n{rule}\n}}")).err();
            assert_eq!(error, Some(format!("plugin/header: setting up rule: {message}")), "{rule}");
        };
        check("Foo set ra", "invalid selector=foo should be query or response");
        check("set ra", "invalid selector=set should be query or response");
        check("response", "no flag action provided");
        check("query \"\" ra", "no flag action provided");
        check("query set", "invalid length for flags, at least one should be provided");
        check("query toggle", "invalid length for flags, at least one should be provided");
        check("response Toggle ra", "unknown flag action=toggle, should be set or clear");
        check("response set AD", "unknown/unsupported flag=ad");
    }

    #[test]
    fn all_errors_are_told_and_the_old_form_is_explained() {
        let text = "header {\n set ra\n response toggle ad\n query set tc rd do\n}";
        let errors = testing::build(&SPEC, text).err().unwrap();
        assert_eq!(errors.lines().count(), 5, "{errors}");
        let (directives, sources) = testing::directives(text);
        let found = Config::read(&[&directives[0]], &mut Vec::new()).unwrap_err();
        assert!(found[0].render(&sources).to_string().contains("'response set …'"));
    }
}
