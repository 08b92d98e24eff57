#![doc = include_str!("README.md")]

use std::sync::Arc;

use crate::chain::{Built, Cx, Failure, Plugin, PluginSpec, Query, Repeat, Response, Setup, clock};
use crate::config::Diagnostic;
use crate::wire::Outcome;

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "minimal",
    summary: "leaves out what an answer need not have",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    setup.switch()?;
    Ok(vec![Arc::new(Minimal)])
}

struct Minimal;

impl Plugin for Minimal {
    fn sees_queries(&self) -> bool {
        false
    }

    fn on_response(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) {
        // Denials and referrals say what they say in their authority section; errors, transfers and notifications are left alone.
        if response.is_written()
            && response.outcome(query, clock::unix_seconds) == Outcome::Answer
            && let Err(error) = response.keep_answers_alone()
        {
            response.set_failure(Some(Failure::new(format!("plugin/minimal: {error}"))));
        }
    }

    fn sees_responses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Step;
    use crate::chain::testing::{self, Answering};
    use crate::wire::{Class, Rcode, Rtype, Section, header};

    /// The chain over a plugin that answers with this code and an A, NS or SOA record in each of these sections.
    fn chain(rcode: Rcode, records: &'static [(Section, Rtype)]) -> Arc<crate::chain::Block> {
        let (built, _) = testing::build(&SPEC, "minimal").unwrap();
        let below = Answering(move |query: &mut Query, response: &mut Response| {
            response.start(query, true, rcode);
            for &(section, rtype) in records {
                response.push(section, None, rtype, Class::IN, 60, &[0, 0, 0, 0]);
            }
            response.set_options(Some(vec![0, 15, 0, 2, 0, 3]));
            Step::Respond
        });
        testing::block(vec![("minimal", Arc::clone(&built[0])), ("below", Arc::new(below))])
    }

    const ANSWER: (Section, Rtype) = (Section::Answer, Rtype::A);
    const NS: (Section, Rtype) = (Section::Authority, Rtype::NS);
    const SOA: (Section, Rtype) = (Section::Authority, Rtype::SOA);
    const GLUE: (Section, Rtype) = (Section::Additional, Rtype::A);

    #[test]
    fn answers_lose_what_is_beside_them_and_nothing_else_does() {
        let check = |rcode, records: &'static [_], left: [u16; 3]| {
            let response = testing::ask(&chain(rcode, records), &mut testing::query("x", Rtype::A));
            assert_eq!(header::counts(response.wire())[1..], left, "{rcode} {records:?}");
            assert_eq!(response.failure(), None);
            let is_touched = left[1..] == [0, 0];
            assert_eq!(response.options().is_none(), is_touched && rcode == Rcode::NOERROR);
        };
        check(Rcode::NOERROR, &[ANSWER, ANSWER, NS, GLUE], [2, 0, 0]);
        check(Rcode::NOERROR, &[ANSWER, SOA, GLUE], [1, 0, 0]);
        check(Rcode::NOERROR, &[ANSWER], [1, 0, 0]);
        check(Rcode::NOERROR, &[GLUE, GLUE], [0, 0, 0]);
        check(Rcode::NOERROR, &[], [0, 0, 0]);
        check(Rcode::NOERROR, &[NS, GLUE], [0, 1, 1]);
        check(Rcode::NOERROR, &[SOA, GLUE], [0, 1, 1]);
        check(Rcode::NXDOMAIN, &[SOA, GLUE], [0, 1, 1]);
        check(Rcode::NXDOMAIN, &[ANSWER, SOA], [1, 1, 0]);
        check(Rcode::SERVFAIL, &[GLUE], [0, 0, 1]);
        check(Rcode::REFUSED, &[SOA], [0, 1, 0]);
    }

    #[test]
    fn transfers_and_notifications_pass_whole() {
        let check = |query: &mut Query| {
            let response = testing::ask(&chain(Rcode::NOERROR, &[ANSWER, NS]), query);
            assert_eq!(header::counts(response.wire()), [1, 1, 1, 0]);
            assert!(response.failure().is_none() && response.options().is_some());
        };
        check(&mut testing::query("example.org", Rtype::AXFR));
        let mut notify = testing::query_wire("a", Rtype::SOA, None);
        notify[2] |= 4 << 3;
        check(&mut testing::query_of(&notify));
    }

    #[test]
    fn failures_pass_as_they_are() {
        let (built, _) = testing::build(&SPEC, "minimal").unwrap();
        let below = testing::failing(Rcode::SERVFAIL, "on purpose");
        let block = testing::block(vec![("minimal", Arc::clone(&built[0])), ("below", below)]);
        let response = testing::ask(&block, &mut testing::query("x", Rtype::A));
        assert_eq!(response.rcode(), Some(Rcode::SERVFAIL));
        assert_eq!(response.failure(), Some(&Failure::new("on purpose")));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, message: &str| {
            let want = format!("plugin/minimal: Corefile:1 - Error during parsing: {message}");
            assert_eq!(testing::build(&SPEC, text).err(), Some(want));
        };
        check("minimal a b", "Wrong argument count or unexpected line ending after 'a'");
        check("minimal {\n x\n}", "Unexpected token '{', expecting argument");
        assert_eq!(testing::build(&SPEC, "minimal\nminimal x").unwrap().1.warnings.len(), 1);
    }
}
