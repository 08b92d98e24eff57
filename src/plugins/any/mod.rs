#![doc = include_str!("README.md")]

use std::sync::Arc;

use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::Diagnostic;
use crate::wire::{Class, Rcode, Rtype, Section};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "any",
    summary: "answers ANY with as little as may be (RFC 8482)",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    setup.switch()?;
    Ok(vec![Arc::new(Any)])
}

struct Any;

/// The two character strings of the HINFO record, CPU and OS, as CoreDNS has them.
const HINFO: &[u8] = b"\x0dANY obsoleted\x0cSee RFC 8482";

/// Seconds (RFC 8482 4.2 leaves them to the server).
const TTL: u32 = 8482;

impl Plugin for Any {
    /// RFC 8482 4.2.
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        if query.qtype() != Rtype::ANY {
            return Step::Next;
        }
        response.start(query, false, Rcode::NOERROR);
        response.push(Section::Answer, None, Rtype::HINFO, Class::IN, TTL, HINFO);
        Step::Respond
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{self, Unreachable};
    use crate::wire::{Flags, record};

    fn chain(below: Arc<dyn Plugin>) -> Arc<crate::chain::Block> {
        let (built, _) = testing::build(&SPEC, "any").unwrap();
        testing::block(vec![("any", Arc::clone(&built[0])), ("below", below)])
    }

    #[test]
    fn any_is_answered_with_one_hinfo_record() {
        let mut query = testing::query("Example.ORG", Rtype::ANY);
        let response = testing::ask(&chain(Arc::new(Unreachable)), &mut query);
        assert_eq!(response.flags(), Flags(Flags::QR | Flags::RD));
        let wire = response.wire();
        assert_eq!(wire[12..25], *b"\x07Example\x03ORG\0", "as the client spells it");
        let [hinfo] = record::records(wire).map(Result::unwrap).collect::<Vec<_>>()[..] else {
            panic!("one record")
        };
        assert_eq!((hinfo.section, hinfo.rtype, hinfo.class), (Section::Answer, Rtype::HINFO, Class::IN));
        assert_eq!((hinfo.ttl, hinfo.start), (8482, 29));
        let (cpu, os) = hinfo.rdata(wire).split_at(14);
        assert_eq!((usize::from(cpu[0]), usize::from(os[0])), (cpu.len() - 1, os.len() - 1));
    }

    #[test]
    fn other_types_pass() {
        for qtype in [Rtype::A, Rtype::HINFO, Rtype::AXFR] {
            let response = testing::ask(&chain(testing::address(5)), &mut testing::query("x", qtype));
            assert_eq!(response.by(), "below");
        }
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, message: &str| {
            let want = format!("plugin/any: Corefile:1 - Error during parsing: {message}");
            assert_eq!(testing::build(&SPEC, text).err(), Some(want));
        };
        check("any off", "Wrong argument count or unexpected line ending after 'off'");
        check("any {\n x\n}", "Unexpected token '{', expecting argument");
        assert_eq!(testing::build(&SPEC, "any\nany x").unwrap().1.warnings.len(), 1);
    }
}
