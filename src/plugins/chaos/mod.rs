#![doc = include_str!("README.md")]

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::{Diagnostic, Directive};
use crate::net::host;
use crate::wire::{Class, Rcode, Rtype, Section};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "chaos",
    summary: "answers version.bind and its like",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

const VERSION: &str = concat!("waypost-", env!("CARGO_PKG_VERSION"));
const AUTHORS: &str = "the waypost maintainers";

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let chaos = Chaos::read(setup.directives[0]).map_err(|error| vec![error])?;
    for other in &setup.directives[1..] {
        setup.warn(other.error("only the first 'chaos' counts"));
    }
    setup.block.other_classes = true;
    Ok(vec![Arc::new(chaos)])
}

/// What is said of the server, each as the RDATA of a TXT record.
struct Chaos {
    version: Vec<u8>,
    /// In alphabetical order, none twice; at least one.
    authors: Vec<Vec<u8>>,
    host: Vec<u8>,
}

impl Chaos {
    fn read(directive: &Directive) -> Result<Self, Diagnostic> {
        if let Some(option) = directive.options().first() {
            return Err(option.unknown_property(&[]).help("'chaos' takes its texts as arguments"));
        }
        let (version, authors) = match directive.args.as_slice() {
            [] => (VERSION, BTreeSet::from([AUTHORS])),
            [version] => (version.as_str(), BTreeSet::from([AUTHORS])),
            [version, authors @ ..] => (version.as_str(), authors.iter().map(|word| word.as_str()).collect()),
        };
        Ok(Self {
            version: character_string(version),
            authors: authors.into_iter().map(character_string).collect(),
            host: character_string(&host::name()),
        })
    }

    /// What there is to say about a name; nothing about any other.
    fn says(&self, name: &[u8]) -> Option<&[Vec<u8>]> {
        use std::slice::from_ref;
        match name {
            b"\x07version\x04bind\0" | b"\x07version\x06server\0" => Some(from_ref(&self.version)),
            b"\x08hostname\x04bind\0" | b"\x02id\x06server\0" => Some(from_ref(&self.host)),
            b"\x07authors\x04bind\0" => Some(&self.authors),
            _ => None,
        }
    }
}

impl Plugin for Chaos {
    /// RFC 4892 2.
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        if query.qclass() != Class::CH || query.qtype() != Rtype::TXT {
            return Step::Next;
        }
        let Some(texts) = self.says(query.name().as_bytes()) else { return Step::Next };
        response.start(query, false, Rcode::NOERROR);
        for place in order(texts.len(), query.now.0 ^ u64::from(query.id())) {
            response.push(Section::Answer, None, Rtype::TXT, Class::CH, 0, &texts[place]);
        }
        Step::Respond
    }
}

/// The numbers below `count` in the order that `random` draws.
fn order(count: usize, random: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = random;
    for last in (1..count).rev() {
        // SplitMix64: good enough to shuffle names with, and nothing depends on its being guessed or not.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let drawn = (u128::from(mixed ^ (mixed >> 27)) * (last as u128 + 1)) >> 64;
        order.swap(last, drawn as usize);
    }
    order
}

/// The character string (RFC 1035 3.3) of `text`, of which 255 bytes count. As in CoreDNS a backslash has the next byte taken as it is, and `\DDD` is
/// the byte of that number, modulo 256.
fn character_string(text: &str) -> Vec<u8> {
    let mut rest = &text.as_bytes()[..text.len().min(TEXT_LEN_MAX)];
    let mut string = vec![0];
    loop {
        let (byte, tail) = match *rest {
            [] | [b'\\'] => break,
            [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ref tail @ ..] => {
                let number = [a, b, c].iter().fold(0, |number, digit| 10 * number + u16::from(digit - b'0'));
                (number as u8, tail)
            }
            [b'\\', byte, ref tail @ ..] | [byte, ref tail @ ..] => (byte, tail),
        };
        string.push(byte);
        rest = tail;
    }
    string[0] = (string.len() - 1) as u8; // TEXT_LEN_MAX at most
    string
}

/// Bytes of a character string.
const TEXT_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{self, Unreachable};
    use crate::wire::{Flags, record};

    fn chain(text: &str, below: Arc<dyn Plugin>) -> Arc<crate::chain::Block> {
        let (built, setup) = testing::build(&SPEC, text).unwrap();
        assert!(setup.other_classes, "its queries are of another class");
        testing::block(vec![("chaos", Arc::clone(&built[0])), ("below", below)])
    }

    fn query(name: &str, qtype: Rtype, class: Class) -> Query {
        let mut wire = testing::query_wire(name, qtype, None);
        let end = wire.len();
        wire[end - 2..].copy_from_slice(&class.0.to_be_bytes());
        testing::query_of(&wire)
    }

    /// The texts of the answer to `name`, sorted.
    fn ask(text: &str, name: &str) -> Vec<String> {
        let mut query = query(name, Rtype::TXT, Class::CH);
        let response = testing::ask(&chain(text, Arc::new(Unreachable)), &mut query);
        assert_eq!(response.flags(), Flags(Flags::QR | Flags::RD));
        let wire = response.wire();
        let text = |record: Result<record::Record, _>| {
            let record = record.unwrap();
            assert_eq!(
                (record.section, record.rtype, record.class),
                (Section::Answer, Rtype::TXT, Class::CH)
            );
            assert_eq!((record.ttl, &wire[record.start..record.fixed]), (0, &b"\xC0\x0C"[..]));
            let (length, string) = record.rdata(wire).split_first().unwrap();
            assert_eq!(usize::from(*length), string.len());
            String::from_utf8(string.to_vec()).unwrap()
        };
        let mut texts: Vec<String> = record::records(wire).map(text).collect();
        texts.sort();
        texts
    }

    #[test]
    fn the_server_says_what_it_is_and_who_made_it() {
        let text = "chaos CoreDNS-001 \"Miek Gieben\" a@example.org \"Miek Gieben\"";
        for name in ["version.bind", "VERSION.Server"] {
            assert_eq!(ask(text, name), ["CoreDNS-001"]);
            assert_eq!(ask("chaos x", name), ["x"]);
            assert_eq!(ask("chaos", name), [VERSION]);
        }
        assert_eq!(ask(text, "authors.bind"), ["Miek Gieben", "a@example.org"]);
        assert_eq!(ask("chaos x", "authors.bind"), [AUTHORS]);
        assert_eq!(ask("chaos {\n}", "authors.bind"), [AUTHORS]);
        for name in ["hostname.bind", "id.server"] {
            assert_eq!(ask(text, name), [host::name()]);
        }
    }

    #[test]
    fn everything_else_passes() {
        for (name, qtype, class) in [
            ("version.bind", Rtype::TXT, Class::IN),
            ("version.bind", Rtype::ANY, Class::CH),
            ("version.bind", Rtype::TXT, Class::HS),
            ("other.bind", Rtype::TXT, Class::CH),
            ("a.version.bind", Rtype::TXT, Class::CH),
            ("bind", Rtype::TXT, Class::CH),
        ] {
            let block = chain("chaos", testing::address(5));
            let response = testing::ask(&block, &mut query(name, qtype, class));
            assert_eq!(response.by(), "below", "{name} {qtype} {class}");
        }
    }

    #[test]
    fn texts_are_character_strings() {
        let check = |text: &str, want: &[u8]| assert_eq!(character_string(text)[1..], *want, "{text}");
        check("", b"");
        check("plain", b"plain");
        check("a\\.b\\\\c\\\"", b"a.b\\c\"");
        check("\\065\\256\\999z", b"A\0\xE7z");
        check("\\06", b"06");
        check("end\\", b"end");
        check("\\", b"");
        let long = "x".repeat(300);
        assert_eq!(character_string(&long).len(), 256);
        assert_eq!(character_string(&long)[0], 255);
        check(&("x".repeat(252) + "\\0655"), ("x".repeat(252) + "06").as_bytes());
    }

    #[test]
    fn authors_come_in_any_order_and_each_once() {
        let mut firsts = BTreeSet::new();
        for random in 0..200 {
            let mut order = order(5, random);
            firsts.insert(order[0]);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4]);
        }
        assert_eq!(firsts.len(), 5);
        assert!(order(0, 1).is_empty());
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let want = "plugin/chaos: Corefile:2 - Error during parsing: unknown property 'version'";
        assert_eq!(testing::build(&SPEC, "chaos {\n version 1\n}").err().as_deref(), Some(want));
        assert_eq!(testing::build(&SPEC, "chaos\nchaos x").unwrap().1.warnings.len(), 1);
    }
}
