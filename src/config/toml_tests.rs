//! Tests of the reading of TOML.

use super::*;
use crate::config::Vocabulary;
use crate::config::imports::tests::Memory;
use crate::config::testing::corefile;

const KNOWN: &[&str] =
    &["log", "whoami", "cache", "errors", "forward", "hosts", "acl", "template", "rewrite", "tls"];

fn parse_files<'a>(
    text: &str,
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Config, Refused> {
    let loader = Memory::new(files);
    let environment = |name: &str| (name == "KEY").then(|| "example.org".to_owned());
    parse_toml(&Input {
        name: "waypost.toml",
        text: text.as_bytes(),
        loader: &loader,
        environment: &environment,
        vocabulary: Some(Vocabulary { known: KNOWN, missing: &["kubernetes"] }),
    })
}

fn parse(text: &str) -> Config {
    parse_files(text, []).unwrap_or_else(|refused| panic!("{text}\n{refused}"))
}

/// Checks that two configurations say the same, in the same order.
fn same(found: &Config, expected: &Config) {
    assert_eq!(found.blocks.len(), expected.blocks.len());
    for (found, expected) in found.blocks.iter().zip(&expected.blocks) {
        let keys = |block: &ServerBlock| block.keys.iter().map(|key| key.text.clone()).collect::<Vec<_>>();
        assert_eq!(keys(found), keys(expected));
        assert_eq!(found.directives.len(), expected.directives.len());
        for (found, expected) in found.directives.iter().zip(&expected.directives) {
            assert!(found.same_as(expected), "{found:#?}\n{expected:#?}");
        }
    }
}

/// Checks that the lines of a server say the same as the lines of a block of a Corefile.
fn check(toml: &str, lines: &str) {
    let found = parse(&format!("[[server]]\nkeys = \".\"\n{toml}\n"));
    same(&found, &corefile(&format!(". {{\n{lines}\n}}\n")).unwrap());
}

fn refused_files<'a>(text: &str, files: impl IntoIterator<Item = (&'a str, &'a str)>, expected: &[&str]) {
    let refused = parse_files(text, files).unwrap_err();
    let headlines: Vec<String> =
        refused.errors.iter().map(|error| error.headline(&refused.sources)).collect();
    assert_eq!(headlines, expected, "{text}");
}

fn refused(toml: &str, expected: &[&str]) {
    refused_files(&format!("[[server]]\nkeys = \".\"\n{toml}\n"), [], expected);
}

#[test]
fn the_examples_of_the_manual_say_the_same_in_both_syntaxes() {
    let manual = include_str!("TOML.md");
    let examples = |language: &str| -> Vec<&str> {
        manual
            .split(&format!("```{language}\n"))
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap())
            .collect()
    };
    let (toml, corefiles) = (examples("toml"), examples("corefile"));
    assert!(toml.len() == corefiles.len() && toml.len() >= 2);
    for (toml, text) in toml.into_iter().zip(corefiles) {
        let (mut found, mut expected) = (parse(toml), corefile(text).unwrap());
        for config in [&mut found, &mut expected] {
            for block in &mut config.blocks {
                block.directives.sort_by(|a, b| a.name.text.cmp(&b.name.text));
            }
        }
        same(&found, &expected);
    }
}

#[test]
fn a_value_is_what_follows_the_name() {
    check("log = true", "log");
    check("log = []", "log");
    check("log = {}", "log");
    check("whoami = true\nlog = false", "whoami");
    check("cache = 30", "cache 30");
    check("cache = 0x1e", "cache 30");
    check("cache = 1_000", "cache 1000");
    check("cache = 1.50", "cache 1.50");
    check("cache = [30, \"a b\", true, false]", "cache 30 \"a b\" true false");
    check("log = \"\"", "log \"\"");
    check("log = '''a\nb'''", "log \"a\nb\"");
}

#[test]
fn a_table_is_a_block() {
    let expected = "cache 30 {\n prefetch 10\n serve_stale\n}";
    check("cache = [30, { prefetch = 10, serve_stale = true }]", expected);
    check("cache = { args = 30, prefetch = 10, serve_stale = true }", expected);
    check("cache = { args = [30], prefetch = 10, serve_stale = true }", expected);
    check("[server.cache]\nprefetch = 10\nargs = 30\nserve_stale = true", expected);
    check("template = [\"IN\", \"A\", {}]", "template IN A {\n}");
    check("template = [\"IN\", \"A\", { a = [1, { b = 2 }] }]", "template IN A {\n a 1 {\n b 2\n }\n}");
    let config = parse("[[server]]\nkeys = \".\"\ntemplate = [\"IN\", {}]\nlog = {}\n");
    assert!(config.blocks[0].directives[0].block.is_some() && config.blocks[0].directives[1].block.is_none());
}

#[test]
fn the_same_directive_several_times_is_an_array() {
    check("log = [[\"a\"], [\"b\"]]", "log a\nlog b");
    check("log = [[], { args = \"b\" }, [\"c\", { class = \"all\" }]]", "log\nlog b\nlog c {\n class all\n}");
    check(
        "[[server.log]]\nargs = \"a\"\n[[server.log]]\nargs = \"b\"\nclass = \"all\"",
        "log a\nlog b {\n class all\n}",
    );
    check("cache = { success = [[1, 2], [3]] }", "cache {\n success 1 2\n success 3\n}");
}

#[test]
fn options_keep_their_order() {
    check("hosts = { b = 1, a = 2, \"10.0.0.1\" = \"x\" }", "hosts {\n b 1\n a 2\n 10.0.0.1 x\n}");
    check(
        "acl = { lines = [[\"allow\", \"net\", \"a\"], [\"block\"], \"filter\", [\"allow\", { x = 1 }]] }",
        "acl {\n allow net a\n block\n filter\n allow {\n x 1\n }\n}",
    );
    check(
        "acl = { block = true, lines = [[\"allow\"]], filter = true }",
        "acl {\n block\n allow\n filter\n}",
    );
}

#[test]
fn servers_have_keys() {
    let config = parse(
        "[[server]]\nkeys = [\"a\", \"{$KEY}:54\", \"{$NOPE}\"]\nlog = true\n[[server]]\nkeys = \"b\"\n",
    );
    assert_eq!(config.blocks[0].keys[1].text, "example.org:54");
    assert_eq!(config.blocks[0].keys.len(), 2);
    assert_eq!(config.blocks.len(), 2);
    same(&parse("[server]\nkeys = \"a\"\nlog = true\n"), &corefile("a {\n log\n}").unwrap());
    refused_files(
        "[[server]]\nlog = true\n",
        [],
        &["waypost.toml:1 - Error during parsing: a server needs keys"],
    );
}

#[test]
fn a_file_without_a_server_is_the_default() {
    for text in ["", "# nothing\n", "\u{feff}"] {
        same(&parse(text), &corefile("").unwrap());
    }
}

#[test]
fn mistakes_have_a_place_and_are_told_all_at_once() {
    refused(
        "bogus = 1\ncache = 1979-05-27\nlog = [{ a = 1 }, 5]\nkubernetes = true\nhosts = { lines = 5 }",
        &[
            "waypost.toml:3 - Error during parsing: Unknown directive 'bogus'",
            "waypost.toml:4 - Error during parsing: found a date or time, expected a string, a number or a truth value",
            "waypost.toml:5 - Error during parsing: found a table, expected a string, a number or a truth value",
            "waypost.toml:6 - Error during parsing: Directive 'kubernetes' is not part of waypost yet",
            "waypost.toml:7 - Error during parsing: found a number, expected an array of lines, such as lines = [[\"allow\", \"net\", \"10.0.0.0/8\"], [\"block\"]]",
        ],
    );
    refused_files(
        "log = true\nserver = 5\n",
        [],
        &[
            "waypost.toml:1 - Error during parsing: Unknown key 'log'",
            "waypost.toml:2 - Error during parsing: found a number, expected tables: write [[server]]",
        ],
    );
    refused(
        "cache = [30, { args = 5 }]",
        &["waypost.toml:3 - Error during parsing: the arguments stand before the table already"],
    );
    refused("acl = { lines = [[]] }", &["waypost.toml:3 - Error during parsing: a line needs a name"]);
    refused(
        "cache = 99999999999999999999",
        &["waypost.toml:3 - Error during parsing: number out of range: 99999999999999999999"],
    );
}

#[test]
fn text_that_is_no_toml_is_refused_with_every_place() {
    let refused = parse_files("[[server]]\nkeys = [\nlog = = 5\ncache 30\n", []).unwrap_err();
    assert!(refused.errors.len() >= 2, "{refused}");
    assert!(refused.errors.iter().all(|error| error.span.line >= 2), "{refused}");
    let refused = parse_files("[[server]]\nkeys = \".\"\nlog = 1\nlog = 2\n", []).unwrap_err();
    assert_eq!((refused.errors[0].span.line, refused.errors[0].span.column), (4, 1));
}

#[test]
fn spans_are_in_characters() {
    let config = parse("[[server]]\nkeys = \".\"\nlog = [\"\u{e9}\u{e9}\", \"b\"]\n");
    let log = &config.blocks[0].directives[0];
    assert_eq!((log.span.line, log.span.column, log.span.length), (3, 1, 3));
    assert_eq!((log.args[1].span.column, log.args[1].span.length), (14, 3));
    assert_eq!(log.end.column, 17);
}

#[test]
fn other_files_are_imported() {
    let files = [
        ("/etc/coredns/servers/a.toml", "[[server]]\nkeys = \"a\"\nimport = \"../common.toml\"\n"),
        ("/etc/coredns/servers/b.toml", "[[server]]\nkeys = \"b\"\nwhoami = true\n"),
        ("/etc/coredns/common.toml", "log = true\nerrors = true\n"),
        ("/etc/coredns/self.toml", "import = \"self.toml\"\n"),
        ("/etc/coredns/wrong.toml", "keys = \"x\"\n"),
    ];
    let config =
        parse_files("import = \"servers/*.toml\"\n[[server]]\nkeys = \"c\"\nlog = true\n", files).unwrap();
    same(&config, &corefile("a {\n log\n errors\n}\nb {\n whoami\n}\nc {\n log\n}\n").unwrap());
    let check = |text: &str, message: &str| refused_files(text, files, &[message]);
    check(
        "import = \"nope.toml\"",
        "waypost.toml:1 - Error during parsing: File to import not found: nope.toml",
    );
    check(
        "import = \"self.toml\"",
        "/etc/coredns/self.toml:1 - Error during parsing: 'self.toml' imports itself",
    );
    check("import = \"\"", "waypost.toml:1 - Error during parsing: Import requires a non-empty filepath");
    check(
        "[[server]]\nkeys = \".\"\nimport = \"wrong.toml\"",
        "/etc/coredns/wrong.toml:1 - Error during parsing: 'keys' has no place in a file that a server imports",
    );
}

#[test]
fn the_fingerprint_follows_the_words() {
    let of = |text: &str| parse(&format!("[[server]]\nkeys = \".\"\n{text}\n")).fingerprint;
    assert_eq!(of("log = \"a\""), of("log = ['a'] # same"));
    assert_ne!(of("log = \"a\""), of("log = \"b\""));
    assert_ne!(of("log = { a = 1 }"), of("log = [\"a\", 1]"));
}

#[test]
fn whatever_the_bytes_reading_ends_without_panic() {
    let corpus = [
        "[[server]]\nkeys = [\".\", \"a:53\"]\nlog = [[\"a\"], { args = [1, 2.5], b = true }]\n[server.hosts]\nlines = [[\"a\"]]\n",
        "import = \"d/*\"\n[server]\nkeys = '{$KEY}'\n'a.b' = '''\nx'''\n",
    ];
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "=",
        "\n",
        "'",
        "#",
        ",",
        "{$",
        "\u{e9}",
        "\0",
        "[[server]]\n",
        ".",
        "1979-05-27",
    ];
    let loader = Memory::new([("/etc/coredns/d/a", "[[server]]\nkeys = \"d\"\nimport = '*'\n")]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    for round in 0..2_000 {
        let mut text = corpus[round % corpus.len()].as_bytes().to_vec();
        for _ in 0..=random(6) {
            let at = random(text.len() + 1);
            match random(3) {
                0 => drop(text.splice(at..at, pieces[random(pieces.len())].bytes())),
                1 if random(4) == 0 => text.truncate(at),
                _ => drop(text.splice(at..(at + random(5)).min(text.len()), [])),
            }
        }
        let input =
            Input { name: "a.toml", text: &text, loader: &loader, environment: &|_| None, vocabulary: None };
        match parse_toml(&input) {
            Ok(config) => assert!(!config.blocks.is_empty()),
            Err(refused) => assert!(!refused.errors.is_empty() && !refused.to_string().is_empty()),
        }
    }
}
