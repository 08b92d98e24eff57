#![doc = include_str!("README.md")]

use std::sync::Arc;

use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, State, Step};
use crate::config::{Diagnostic, Directive};
use crate::net::host;
use crate::wire::edns::{Options, code};
use crate::wire::{HEADER_LEN, edns, name};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "nsid",
    summary: "tells which server of several answered",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &[],
    build,
};

/// Bytes of an identifier at most: so many fit into the smallest answer that a client may ask for, beside the longest question.
const ID_LEN_MAX: usize = 512 - HEADER_LEN - (name::NAME_LEN_MAX + 4) - edns::OPT_LEN - 4;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let id = read(setup.directives[0]).map_err(|error| vec![error])?;
    Ok(vec![Arc::new(Nsid { id })])
}

fn read(directive: &Directive) -> Result<Vec<u8>, Diagnostic> {
    if directive.block.is_some() {
        // CoreDNS takes the brace for a second directive.
        let error = directive.bare_error("this plugin can only be used once per Server Block");
        return Err(error.help("'nsid' takes no block"));
    }
    let words: Vec<&str> = directive.args.iter().map(|word| word.as_str()).collect();
    let id = if words.is_empty() { host::name() } else { words.join(" ") };
    if id.len() > ID_LEN_MAX {
        let message = format!("an identifier of {} bytes is too long", id.len());
        return Err(directive.last_word().error(message).help(format!("{ID_LEN_MAX} bytes fit any answer")));
    }
    Ok(id.into_bytes())
}

struct Nsid {
    id: Vec<u8>,
}

/// Marks a query that asks for the identifier, whatever others make of its options on the way.
struct Asked;

impl Plugin for Nsid {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        if let Some(edns) = query.edns()
            && edns.options(query.wire()).any(|(code, _)| code == code::NSID)
        {
            query.extensions.insert(Asked);
        }
        Step::Next
    }

    /// RFC 5001 2.2.
    fn on_response(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) {
        if query.extensions.get::<Asked>().is_none() {
            return;
        }
        // A failure becomes an answer too, and it matters even more whose.
        if matches!(response.state(), State::Written | State::Failed(_)) {
            let others = response.options().map(without_nsid).unwrap_or_default();
            response.set_options(Some(others));
            response.push_option(code::NSID, &self.id);
        }
    }

    fn sees_responses(&self) -> bool {
        true
    }
}

/// What an upstream says of itself is between it and us (RFC 5001 2.4): its other options stay.
fn without_nsid(options: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(options.len());
    for (code, value) in Options(options).filter(|(code, _)| *code != code::NSID) {
        kept.extend_from_slice(&code.to_be_bytes());
        kept.extend_from_slice(&(value.len() as u16).to_be_bytes());
        kept.extend_from_slice(value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{self, Answering};
    use crate::wire::{Rcode, Rtype, header};

    const EDE: &[u8] = &[0, 15, 0, 2, 0, 3];

    fn query(options: Option<&[u8]>) -> Query {
        let mut wire = testing::query_wire("a.example.", Rtype::A, None);
        if let Some(options) = options {
            edns::append(&mut wire, 1232, 0, false, options);
            header::set_count(&mut wire, 3, 1);
        }
        testing::query_of(&wire)
    }

    /// The options of the response to a query with `options`, where the plugin below leaves `left`.
    fn ask(text: &str, options: Option<&[u8]>, left: Option<&'static [u8]>) -> Option<Vec<(u16, Vec<u8>)>> {
        let (built, _) = testing::build(&SPEC, text).unwrap();
        let below = Answering(move |query: &mut Query, response: &mut Response| {
            response.start(query, true, Rcode::NOERROR);
            response.set_options(left.map(<[u8]>::to_vec));
            Step::Respond
        });
        let block = testing::block(vec![("nsid", Arc::clone(&built[0])), ("below", Arc::new(below))]);
        let response = testing::ask(&block, &mut query(options));
        response.options().map(|o| Options(o).map(|(code, value)| (code, value.to_vec())).collect())
    }

    const ASKED: Option<&[u8]> = Some(&[0, 10, 0, 1, 7, 0, 3, 0, 0]);

    #[test]
    fn who_asks_is_told() {
        let force = (3, b"Use The Force".to_vec());
        assert_eq!(ask("nsid Use The Force", ASKED, None), Some(vec![force.clone()]));
        assert_eq!(ask("nsid \"Use The\" Force", Some(&[0, 3, 0, 1, 9]), None), Some(vec![force.clone()]));
        assert_eq!(ask("nsid", ASKED, None), Some(vec![(3, host::name().into_bytes())]));
        assert_eq!(ask("nsid \"\"", ASKED, None), Some(vec![(3, Vec::new())]));
    }

    #[test]
    fn who_does_not_ask_is_not_told() {
        for options in [None, Some(&[][..]), Some(&[0, 10, 0, 1, 7][..])] {
            assert_eq!(ask("nsid x", options, None), None);
            assert_eq!(ask("nsid x", options, Some(EDE)), Some(vec![(15, vec![0, 3])]));
        }
    }

    #[test]
    fn what_an_upstream_calls_itself_gives_way_and_its_other_options_stay() {
        let left: &[u8] = &[0, 3, 0, 2, b'u', b'p', 0, 15, 0, 2, 0, 3, 0, 3, 0, 0];
        assert_eq!(ask("nsid x", ASKED, Some(left)), Some(vec![(15, vec![0, 3]), (3, vec![b'x'])]));
    }

    #[test]
    fn failures_say_whose_they_are_and_silence_stays() {
        let (built, _) = testing::build(&SPEC, "nsid x").unwrap();
        let ask = |below| {
            let block = testing::block(vec![("nsid", Arc::clone(&built[0])), ("below", below)]);
            testing::ask(&block, &mut query(ASKED))
        };
        let failed = ask(testing::failing(Rcode::REFUSED, "on purpose"));
        assert_eq!((failed.rcode(), failed.options()), (Some(Rcode::REFUSED), Some(&[0, 3, 0, 1, b'x'][..])));
        let dropped = ask(Arc::new(Answering(|_: &mut Query, _: &mut Response| Step::Drop)));
        assert_eq!((dropped.state(), dropped.options()), (State::Dropped, None));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let once = "plugin/nsid: this plugin can only be used once per Server Block";
        for text in ["nsid a\nnsid b", "nsid {\n}", "nsid a {\n b\n}"] {
            assert_eq!(testing::build(&SPEC, text).err().as_deref(), Some(once), "{text}");
        }
        assert!(testing::build(&SPEC, &format!("nsid {}", "x".repeat(ID_LEN_MAX))).is_ok());
        let long = testing::build(&SPEC, &format!("nsid {} x", "x".repeat(ID_LEN_MAX - 1))).err().unwrap();
        assert!(long.ends_with("an identifier of 227 bytes is too long"), "{long}");
    }
}
