//! Tests of writing: what is written is read back as the same.

use super::*;
use crate::config::imports::tests::Memory;
use crate::config::testing::corefile;
use crate::config::{Input, parse_toml};

fn read_toml(text: &str) -> Vec<ServerBlock> {
    let input = Input {
        name: "waypost.toml",
        text: text.as_bytes(),
        loader: &Memory::default(),
        environment: &|_| None,
        vocabulary: None,
    };
    parse_toml(&input).unwrap_or_else(|refused| panic!("{text}\n{refused}")).blocks
}

fn read_corefile(text: &str) -> Vec<ServerBlock> {
    corefile(text).unwrap_or_else(|refused| panic!("{text}\n{refused}")).blocks
}

/// Whether both say the same; the order of directives of different names means nothing.
fn same(a: &[ServerBlock], b: &[ServerBlock]) -> bool {
    let sorted = |block: &ServerBlock| {
        let mut directives = block.directives.clone();
        directives.sort_by(|a, b| a.name.text.cmp(&b.name.text));
        directives
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            let (mine, theirs) = (sorted(a), sorted(b));
            a.keys.iter().map(Word::as_str).eq(b.keys.iter().map(Word::as_str))
                && mine.len() == theirs.len()
                && mine.iter().zip(&theirs).all(|(a, b)| a.same_as(b))
        })
}

const CORPUS: [&str; 6] = [
    "example.org:53 tls://. {\n errors\n cache 30\n hosts /etc/hosts {\n  1.2.3.4 a b\n  1.2.3.5 c\n  fallthrough\n }\n}\nb {\n}\n",
    "a {\n log a\n log b \"{remote} - {type}\"\n log c {\n  class all\n }\n acl {\n  allow net 10.0.0.0/8\n  block\n  allow\n }\n}\n",
    ". {\n template IN A {\n  match \"^x\\.(?P<a>[^#]+)\\\\\"\n  answer \"{{ .Name }} 60 IN A 1.2.3.4\"\n }\n template IN AAAA {\n }\n}\n",
    "{$KEY} x{%KEY%} {\n cache {$TTL} \"\" \"a\nb\" {\n  args 1\n  lines 2\n  a {\n   b {\n    c 1\n    d\n    c 2\n   }\n  }\n }\n}\n",
    "a\nwhoami\n",
    "} {\n rewrite stop {\n  name regex (.*) {1}.x answer auto\n  name regex y z\n }\n log 30 030 -5 1.5 true \"#\" 'a'\n}\n",
];

#[test]
fn what_is_written_is_read_back_as_the_same() {
    for text in CORPUS {
        let blocks = read_corefile(text);
        let written = to_corefile(&blocks).unwrap_or_else(|error| panic!("{text}\n{}", error.message));
        assert!(same(&read_corefile(&written), &blocks), "{text}\n{written}");
        let toml = to_toml(&blocks).unwrap_or_else(|error| panic!("{text}\n{}", error.message));
        let again = read_toml(&toml);
        assert!(same(&again, &blocks), "{text}\n{toml}");
        // And once more around, from TOML to a Corefile.
        let back = to_corefile(&again).unwrap_or_else(|error| panic!("{toml}\n{}", error.message));
        assert!(same(&read_corefile(&back), &blocks), "{toml}\n{back}");
    }
}

#[test]
fn a_corefile_is_written_as_people_write_it() {
    let blocks = read_corefile("a,b:53 { cache {$TTL} \"a b\" {\nx y\n}\n}");
    let expected = "a,b:53 {\n    cache {$TTL} \"a b\" {\n        x y\n    }\n}\n";
    assert_eq!(to_corefile(&blocks).unwrap(), expected);
}

#[test]
fn toml_is_written_as_people_write_it() {
    let blocks = read_corefile(
        ".:53 {\n hosts /etc/hosts {\n  reload 1m\n  fallthrough\n }\n forward . 1.1.1.1\n cache 30\n log a\n errors\n log b\n acl {\n  allow\n  block x\n  allow\n }\n}\n",
    );
    let expected = "\
[[server]]
keys = [\".:53\"]
forward = [\".\", \"1.1.1.1\"]
cache = 30
log = [[\"a\"], [\"b\"]]
errors = true

[server.hosts]
args = [\"/etc/hosts\"]
reload = \"1m\"
fallthrough = true

[server.acl]
lines = [
    [\"allow\"],
    [\"block\", \"x\"],
    [\"allow\"],
]
";
    assert_eq!(to_toml(&blocks).unwrap(), expected);
}

#[test]
fn what_a_corefile_cannot_hold_is_refused() {
    let check = |toml: &str| {
        let blocks = read_toml(toml);
        assert!(to_corefile(&blocks).is_err(), "{toml}");
    };
    check("[[server]]\nkeys = '.'\nlog = '}'");
    check("[[server]]\nkeys = '.'\nlog = ['a', '{']");
    check("[[server]]\nkeys = '.'\nlog = 'a b\\'");
    check("[[server]]\nkeys = '.'\nlog = 'a \\\"'");
    check("[[server]]\nkeys = '(s)'\nlog = true");
    check("[[server]]\nkeys = 'a,'\nlog = true");
    check("[[server]]\nkeys = 'import'\nlog = true");
    check("[[server]]\nkeys = '.'\nlog = { import = 'x' }");
    let blocks = read_corefile(". {\n keys x\n}");
    assert!(to_toml(&blocks).is_err());
}

#[test]
fn mutated_files_are_read_back_as_the_same() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    let pieces =
        ["{", "}", "\n", "\"", "\\", " ", "#", ",", "a b", "{$X}", "\r", "\u{1}", "\u{a0}", "{\n", "\n}\n"];
    for round in 0..1_500 {
        let mut text: Vec<char> = CORPUS[round % CORPUS.len()].chars().collect();
        for _ in 0..=random(3) {
            let at = random(text.len() + 1);
            match random(2) {
                0 => drop(text.splice(at..at, pieces[random(pieces.len())].chars())),
                _ => drop(text.splice(at..(at + random(4)).min(text.len()), [])),
            }
        }
        let text: String = text.into_iter().collect();
        let Ok(config) = corefile(&text) else { continue };
        if let Ok(written) = to_corefile(&config.blocks) {
            assert!(same(&read_corefile(&written), &config.blocks), "{text:?}\n{written}");
        }
        if let Ok(toml) = to_toml(&config.blocks) {
            assert!(same(&read_toml(&toml), &config.blocks), "{text:?}\n{toml}");
        }
    }
}
