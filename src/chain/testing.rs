//! Neighbours for tests of one plugin (one that answers, one that fails, one that must not be reached), and building one from its directives.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{
    Block, BlockBuilder, BlockSetup, Built, Cx, Failure, Labels, Plugin, PluginSpec, Query, Repeat, Response,
    Router, Setup, Step, driver, intern_labels,
};
use crate::config::{Address, Directive, Scheme, SourceMap, Span, Word};
use crate::wire::{Class, Edns, Name, Rcode, Rtype, Section, edns, header};

/// A query message: RD set, optionally with an OPT record of this size and DO bit.
pub fn query_wire(name: &str, qtype: Rtype, opt: Option<(u16, bool)>) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    // The case of `name` is kept in the wire form.
    for label in name.trim_end_matches('.').split('.').filter(|l| !l.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire.extend_from_slice(&qtype.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    if let Some((size, dnssec_ok)) = opt {
        header::set_count(&mut wire, 3, 1);
        edns::append(&mut wire, size, 0, dnssec_ok, &[]);
    }
    wire
}

/// A query over UDP from 127.0.0.1.
pub fn query(name: &str, qtype: Rtype) -> Query {
    query_of(&query_wire(name, qtype, None))
}

/// The query `wire` over UDP from 127.0.0.1.
pub fn query_of(wire: &[u8]) -> Query {
    let mut query = Query::default();
    query.take_up(wire).expect("a test's query is acceptable");
    query.peer = (Ipv4Addr::LOCALHOST, 40_212).into();
    query.local = (Ipv4Addr::LOCALHOST, 53).into();
    query.now = super::clock::now();
    query
}

/// A neighbour that must not be reached.
pub struct Unreachable;

impl Plugin for Unreachable {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        panic!("{} reached the neighbour that must not be reached", query.name());
    }
}

/// A neighbour that answers through a function.
pub struct Answering<F>(pub F);

impl<F: Fn(&mut Query, &mut Response) -> Step + Send + Sync> Plugin for Answering<F> {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        (self.0)(query, response)
    }
}

/// A neighbour that answers every query with one address record of this TTL.
pub fn address(ttl: u32) -> Arc<dyn Plugin> {
    Arc::new(Answering(move |query: &mut Query, response: &mut Response| {
        response.start(query, false, Rcode::NOERROR);
        response.push(Section::Answer, None, Rtype::A, Class::IN, ttl, &[192, 0, 2, 1]);
        Step::Respond
    }))
}

/// A neighbour that fails with this code and text.
pub fn failing(rcode: Rcode, text: &'static str) -> Arc<dyn Plugin> {
    Arc::new(Answering(move |_: &mut Query, _: &mut Response| Step::Fail(rcode, Some(Failure::new(text)))))
}

/// A chain of these plugins, named by their place.
pub fn block(plugins: Vec<(&'static str, Arc<dyn Plugin>)>) -> Arc<Block> {
    let mut builder = BlockBuilder::default();
    for (name, plugin) in plugins {
        builder.push(name, plugin);
    }
    Arc::new(builder.build())
}

/// A router whose root zone is served by `block`.
pub fn router(block: &Arc<Block>) -> Arc<Router> {
    let mut router = Router::new("dns://:53");
    router.add(&Name::root(), block, "", None);
    Arc::new(router)
}

/// Asks the chain; everything has to be answered at once.
pub fn ask(block: &Arc<Block>, query: &mut Query) -> Response {
    let mut response = Response::default();
    let router = router(block);
    query.labels = intern_labels(Labels { server: router.server, zone: ".", view: "" });
    let waiting = driver::run(&router, block, 0, query, &mut response);
    assert!(waiting.is_none(), "{} was to be answered at once", query.name());
    response
}

/// Asks the chain and waits; call it in a tokio `LocalRuntime` or `LocalSet`.
pub async fn ask_later(block: &Arc<Block>, query: &mut Query) -> Response {
    let mut response = Response::default();
    let router = router(block);
    query.labels = intern_labels(Labels { server: router.server, zone: ".", view: "" });
    if let Some(waiting) = driver::run(&router, block, 0, query, &mut response) {
        driver::resume(&router, Arc::clone(block), waiting, query, &mut response).await;
    }
    response
}

/// The EDNS facts of a query that has them, for assertions.
pub fn edns_of(query: &Query) -> Edns {
    query.edns().cloned().expect("the query has an OPT record")
}

/// The directives of `text` as they stand in a server block of a file `Corefile`, and that file: words, quotes, blocks, comments; no
/// imports, no variables.
pub fn directives(text: &str) -> (Vec<Directive>, SourceMap) {
    let mut sources = SourceMap::default();
    let file = sources.add("Corefile", text);
    let mut open: Vec<Directive> = Vec::new();
    let mut done = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut words = words(line, Span { line: number, ..Span::start_of(file) });
        let (Some(first), Some(last)) = (words.first(), words.last()) else { continue };
        let closes = first == "}" && !first.quoted;
        let opens = words.len() > 1 && last == "{" && !last.quoted;
        let end = last.span;
        let finished = if closes {
            let mut directive = open.pop().expect("braces match");
            directive.end = end;
            directive
        } else {
            if opens {
                words.pop();
            }
            let name = words.remove(0);
            let block = opens.then(Vec::new);
            let directive = Directive { span: name.span, end, name, args: words, block };
            if opens {
                open.push(directive);
                continue;
            }
            directive
        };
        match open.last_mut() {
            Some(outer) => outer.block.get_or_insert_default().push(finished),
            None => done.push(finished),
        }
    }
    assert!(open.is_empty(), "braces match");
    (done, sources)
}

fn words(line: &str, start: Span) -> Vec<Word> {
    let mut words = Vec::new();
    let mut chars = line.chars().zip(1..).peekable();
    while let Some((first, column)) = chars.next() {
        if first.is_whitespace() {
            continue;
        }
        if first == '#' {
            break;
        }
        let quoted = first == '"';
        let mut text = if quoted { String::new() } else { String::from(first) };
        while let Some((c, _)) = chars.next_if(|&(c, _)| quoted || !c.is_whitespace()) {
            match c {
                '"' if quoted => break,
                '\\' if quoted && chars.peek().is_some_and(|&(c, _)| c == '"') => {
                    text.extend(chars.next().map(|(c, _)| c));
                }
                _ => text.push(c),
            }
        }
        let word = Word::new(text.clone(), Span { column, length: text.chars().count() as u32, ..start });
        words.push(if quoted { word.in_quotes() } else { word });
    }
    words
}

/// Builds the plugin `spec` from `text`, its directives, in a block of the root zone. Errors become their first lines,
/// as CoreDNS would print them, each a line.
///
/// # Errors
/// The plugin's.
pub fn build(spec: &PluginSpec, text: &str) -> Result<(Built, BlockSetup), String> {
    build_in(spec, &[Name::root()], BlockSetup::default(), text)
}

/// As [`build`], in a block of `zones` where other plugins have left `block`.
///
/// # Errors
/// The plugin's.
pub fn build_in(
    spec: &PluginSpec,
    zones: &[Name],
    mut block: BlockSetup,
    text: &str,
) -> Result<(Built, BlockSetup), String> {
    let (directives, sources) = directives(text);
    let directives: Vec<&Directive> = directives.iter().collect();
    let built = match &directives[..] {
        [first, second, ..] if spec.repeat == Repeat::Once => Err(vec![second.only_once(first.span)]),
        _ => {
            let addresses: Vec<Address> = zones
                .iter()
                .map(|zone| Address {
                    scheme: Scheme::Dns,
                    zone: zone.to_string(),
                    port: 53,
                    span: Span::default(),
                })
                .collect();
            (spec.build)(&mut Setup {
                directives: &directives,
                zones,
                addresses: &addresses,
                block: &mut block,
            })
        }
    };
    match built {
        Ok(built) => Ok((built, block)),
        Err(errors) => {
            let lines = errors.into_iter().map(|error| error.in_plugin(spec.name).headline(&sources));
            Err(lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directives_of_a_text_know_their_places() {
        let (found, _) = directives("log . \"a \\\"{b}\" { # why\n  class denial\n\n}\nerrors\n");
        let [log, errors] = &found[..] else { panic!("{found:?}") };
        assert_eq!(log.args[1].text, "a \"{b}");
        assert!(log.args[1].quoted);
        assert_eq!((log.args[0].span.column, log.end.line), (5, 4));
        assert_eq!(log.options()[0].args[0].text, "denial");
        assert_eq!((errors.name.as_str(), errors.span.line, errors.block.is_none()), ("errors", 5, true));
    }
}
