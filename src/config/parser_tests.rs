//! Tests of the grammar: sections, imports, variables, recovery, limits.

use super::*;
use crate::config::context::ERRORS_MAX;
use crate::config::imports::tests::Memory;
use crate::config::{Directive, Vocabulary};

const KNOWN: &[&str] =
    &["bind", "reload", "log", "whoami", "cache", "errors", "forward", "hosts", "template"];

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "KEY" => "example.org",
        "IMPORT" => "import",
        "SPACED" => "x y",
        "EMPTY" => "",
        "LOOP" => "{$LOOP}",
        "LINES" => "a\nb",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse_files<'a>(
    text: &str,
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Config, Refused> {
    let loader = Memory::new(files);
    let vocabulary = Some(Vocabulary { known: KNOWN, missing: &["kubernetes"] });
    let input = Input {
        name: "Corefile",
        text: text.as_bytes(),
        loader: &loader,
        environment: &environment,
        vocabulary,
    };
    parse_corefile(&input)
}

/// The configuration on one line: `key key { name arg arg { … }; … }`.
fn show(config: &Config) -> String {
    fn words(words: &[Word]) -> String {
        words
            .iter()
            .map(|word| if word.text.is_empty() { "''" } else { &word.text })
            .collect::<Vec<_>>()
            .join(" ")
    }
    fn show_directive(directive: &Directive) -> String {
        let mut text = words(std::slice::from_ref(&directive.name));
        if !directive.args.is_empty() {
            text += " ";
            text += &words(&directive.args);
        }
        if let Some(block) = &directive.block {
            text += &format!(
                " {{ {}}}",
                block.iter().map(|line| show_directive(line) + "; ").collect::<String>()
            );
        }
        text
    }
    fn server_block(block: &ServerBlock) -> String {
        let lines: Vec<String> = block.directives.iter().map(show_directive).collect();
        format!("{} {{ {} }}", words(&block.keys), lines.join("; "))
    }
    config.blocks.iter().map(server_block).collect::<Vec<_>>().join(" ")
}

fn check_files<'a>(text: &str, files: impl IntoIterator<Item = (&'a str, &'a str)>, expected: &str) {
    match parse_files(text, files) {
        Ok(config) => assert_eq!(show(&config), expected, "{text}"),
        Err(refused) => panic!("{text}\n{refused}"),
    }
}

fn check(text: &str, expected: &str) {
    check_files(text, [], expected);
}

fn refused_files<'a>(text: &str, files: impl IntoIterator<Item = (&'a str, &'a str)>, expected: &[&str]) {
    match parse_files(text, files) {
        Ok(config) => panic!("{text}\n{}", show(&config)),
        Err(refused) => {
            let headlines: Vec<String> =
                refused.errors.iter().map(|error| error.headline(&refused.sources)).collect();
            assert_eq!(headlines, expected, "{text}");
            assert!(!refused.to_string().is_empty());
        }
    }
}

fn refused(text: &str, expected: &[&str]) {
    refused_files(text, [], expected);
}

fn warned(text: &str) -> Vec<String> {
    parse_files(text, []).unwrap().warnings.into_iter().map(|warning| warning.message).collect()
}

#[test]
fn blocks_have_keys_and_directives() {
    check(". {\n whoami\n log\n}\n", ". { whoami; log }");
    check("a b:54 {\n log\n}\nc {\n whoami\n}", "a b:54 { log } c { whoami }");
    check("a {\n}\n", "a {  }");
    check("a { }", "a {  }");
    check(".:53\n{\n whoami\n}\n", ".:53 { whoami }");
    check("a { whoami\n}\n", "a { whoami }");
    check("a {\n log\n} b {\n whoami\n}", "a { log } b { whoami }");
}

#[test]
fn a_comma_lets_keys_go_on_to_the_next_line() {
    check("a, b {\n log\n}", "a b { log }");
    check("a,\nb,\nc {\n log\n}", "a b c { log }");
    check("a,b {\n log\n}", "a,b { log }");
    refused(
        "a, {\n log\n}",
        &["Corefile:1 - Error during parsing: Expected another address but had '{' - check for extra comma"],
    );
    refused("a,", &["Corefile:1 - Error during parsing: Unexpected EOF"]);
}

#[test]
fn the_only_block_of_a_file_needs_no_braces() {
    check(".\nwhoami\nlog {\n class all\n}\n", ". { whoami; log { class all; } }");
    check("a b", "a b {  }");
    check(".", ". {  }");
    refused("a\nlog\nb {\n log\n}", &["Corefile:3 - Error during parsing: Unknown directive 'b'"]);
}

#[test]
fn a_file_without_a_block_is_the_default() {
    for text in ["", "\n# nothing\n", "\u{feff}", "(s) {\n log\n}\n", "{$NOPE} {\n log\n}", "{\n log\n}"] {
        check(text, ". { whoami; log }");
    }
    refused("{$NOPE} {\n bogus\n}", &["Corefile:2 - Error during parsing: Unknown directive 'bogus'"]);
}

#[test]
fn directives_have_arguments_and_options() {
    check(". {\n cache 30 a b\n}", ". { cache 30 a b }");
    check(". {\n cache {\n  success 100 30\n  prefetch\n }\n}", ". { cache { success 100 30; prefetch; } }");
    check(". {\n template IN AAAA { }\n}", ". { template IN AAAA { } }");
    check(". {\n cache \"\" \"a b\"\n}", ". { cache '' a b }");
    check(". {\n log a {\n  x b {\n   y c\n  }\n }\n}", ". { log a { x b { y c; }; } }");
    check(". {\n log { class all\n }\n}", ". { log { class all; } }");
    check(". {\n log \"a\nb\" c\n whoami\n}", ". { log a\nb c; whoami }");
}

#[test]
fn a_closing_brace_after_an_option_is_its_argument() {
    check(". {\n log { class denial }\n whoami\n}", ". { log { class denial }; }; whoami }");
}

#[test]
fn the_same_directive_may_come_several_times() {
    check(". {\n log a\n whoami\n log b\n}", ". { log a; whoami; log b }");
}

#[test]
fn what_follows_the_end_of_a_directive_counts_as_another_of_its_name() {
    check(". {\n log {\n } whoami x\n errors\n}", ". { log { }; log x; errors }");
    check(". {\n log a\n {\n  class b\n }\n}", ". { log a; log; log b; log }");
    assert_eq!(warned(". {\n log {\n } whoami\n}").len(), 1);
    assert_eq!(warned(". {\n log\n {\n }\n}").len(), 1);
}

#[test]
fn braces_must_match() {
    refused(
        ". {\n whoami }\n",
        &["Corefile:2 - Error during parsing: Unexpected '}' because no matching opening brace"],
    );
    refused(". {\n whoami\n", &["Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '}'"]);
    refused(". {", &["Corefile:1 - Syntax error: Unexpected token '{', expecting '}'"]);
    refused(". {\n log {\n  class\n", &["Corefile:3 - Error during parsing: Unexpected EOF"]);
    // The last brace of the file is taken for that of the block, whatever it closed.
    check(". {\n log {\n  class all\n }\n", ". { log { class all; } }");
    assert_eq!(warned(". {\n log {\n  class all\n }\n").len(), 1);
    check(". {\n whoami\n}\n}", ". { whoami } } {  }");
    refused(
        ". {\n log {\n {\n }\n }\n}",
        &["Corefile:3 - Error during parsing: Unexpected token '{', expecting argument"],
    );
}

#[test]
fn a_directive_that_does_not_exist_is_refused() {
    refused(". {\n bogus\n}", &["Corefile:2 - Error during parsing: Unknown directive 'bogus'"]);
    refused(
        ". {\n kubernetes cluster.local\n}",
        &["Corefile:2 - Error during parsing: Directive 'kubernetes' is not part of waypost yet"],
    );
    let help = |text: &str| parse_files(text, []).unwrap_err().errors.remove(0).help.remove(0);
    assert_eq!(help(". {\n forwrd . 1.1.1.1\n}"), "did you mean 'forward'?");
    assert!(help(". {\n proxy . 1.1.1.1\n}").contains("use 'forward'"));
    assert!(
        help(". {\n log\nexample.org {\n log\n}\n").contains("is the '}' of the block above it missing?")
    );
    assert!(help(". {\n // text\n}").contains("'#'"));
    assert!(help(". {\n log{\n }\n}").contains("blank"));
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    refused(
        ". {\n bogus {\n  a b\n  wrong }\n }\n import none\n whoami\n}\nb, {\n nonsense x\n log {\n  class\n }\n import\n}\n",
        &[
            "Corefile:2 - Error during parsing: Unknown directive 'bogus'",
            "Corefile:6 - Error during parsing: File to import not found: none",
            "Corefile:9 - Error during parsing: Expected another address but had '{' - check for extra comma",
            "Corefile:10 - Error during parsing: Unknown directive 'nonsense'",
            "Corefile:14 - Error during parsing: Wrong argument count or unexpected line ending after 'import'",
        ],
    );
    let many = format!(". {{\n{}}}\n", "bogus\n".repeat(1_000));
    assert_eq!(parse_files(&many, []).unwrap_err().errors.len(), ERRORS_MAX);
}

#[test]
fn variables_are_replaced_in_keys_names_and_arguments() {
    check("{$KEY}:53 {\n log\n}", "example.org:53 { log }");
    check("{%KEY%} {\n cache {$SPACED} {$NOPE}\n}", "example.org { cache x y '' }");
    check("a {$NOPE} b {\n log\n}", "a b { log }");
}

#[test]
fn a_value_never_changes_the_lines_or_the_structure() {
    check(". {\n log {$LINES} x\n whoami\n}", ". { log a\nb x; whoami }");
}

#[test]
fn an_unset_variable_is_warned_about_and_a_loop_refused() {
    assert_eq!(
        warned(". {\n log {$NOPE}\n}"),
        ["the environment variable 'NOPE' is not set and counts as nothing"]
    );
    refused(
        ". {\n log {$LOOP}\n}",
        &["Corefile:2 - Error during parsing: Environment variable 'LOOP' cannot be replaced"],
    );
}

#[test]
fn a_word_remembers_its_spelling_and_place() {
    let config = parse_files("{$KEY} {\n  cache {$SPACED} \"a b\"\n}", []).unwrap();
    let key = &config.blocks[0].keys[0];
    assert_eq!((key.as_str(), key.raw()), ("example.org", "{$KEY}"));
    let cache = &config.blocks[0].directives[0];
    assert_eq!((cache.span.line, cache.span.column, cache.span.length), (2, 3, 5));
    assert_eq!((cache.args[0].span.column, cache.args[0].span.length), (9, 9));
    assert!(cache.args[1].quoted && !cache.args[0].quoted);
    assert_eq!(cache.end, cache.args[1].span);
    let config = parse_files(". {\n log {\n  class all\n }\n}", []).unwrap();
    assert_eq!(config.blocks[0].directives[0].end.line, 4);
}

#[test]
fn snippets_are_put_where_they_are_imported() {
    check(
        "(s) {\n log\n errors\n}\na {\n import s\n}\nb {\n whoami\n import s\n}",
        "a { log; errors } b { whoami; log; errors }",
    );
    check("(s) { whoami }\n. {\n import s\n}", ". { whoami }");
    check("(s) {\n class all\n}\n. {\n log {\n  import s\n }\n}", ". { log { class all; } }");
    check("(a) {\n log\n}\n(b) {\n import a\n errors\n}\n. {\n import b\n}", ". { log; errors }");
    check("(b) {\n import a\n errors\n}\n(a) {\n log\n}\n. {\n import b\n}", ". { log; errors }");
    check("(s) {\n a {\n  log\n }\n}\nimport s", "a { log }");
    check("(s) {\n}\n. {\n import s\n whoami\n}", ". { whoami }");
    check("(a) (b) {\n log\n}", "(a) (b) { log }");
    check("(s) {\n cache {$SPACED}\n}\n. {\n import s\n}", ". { cache x y }");
}

#[test]
fn a_snippet_has_a_body_one_definition_and_not_itself() {
    refused(
        "(s) {\n log\n}\n(s) {\n whoami\n}\n. {\n import s\n}",
        &["Corefile:4 - Error during parsing: redeclaration of previously declared snippet s"],
    );
    refused("(s)\nlog\n", &["Corefile:2 - Syntax error: Unexpected token 'log', expecting '{'"]);
    refused("(s) {\n log\n", &["Corefile:2 - Syntax error: Unexpected token 'log', expecting '}'"]);
    refused(
        "(s) {\n import s\n}\n",
        &["Corefile:3 - Error during parsing: maximum snippet import depth (10000) exceeded"],
    );
    refused(
        "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}",
        &["Corefile:5 - Error during parsing: maximum snippet import depth (10000) exceeded"],
    );
    refused(
        ". {\n import s\n}\n(s) {\n log\n}",
        &["Corefile:2 - Error during parsing: File to import not found: s"],
    );
}

#[test]
fn files_are_imported_relative_to_the_importing_one() {
    let files = [
        ("/etc/coredns/common", "log\nimport more/errors.conf\n"),
        ("/etc/coredns/more/errors.conf", "errors"),
        ("/etc/coredns/more/block", "b {\n import ../common\n}"),
        ("/etc/coredns/keys", "x y"),
        ("/etc/coredns/snippets", "(s) {\n whoami\n}"),
        ("/abs/option", "class all"),
    ];
    check_files(". {\n import common\n whoami\n}", files, ". { log; errors; whoami }");
    check_files("import more/block\na {\n log\n}", files, "b { log; errors } a { log }");
    check_files("import keys\n{\n log\n}", files, "x y { log }");
    check_files("import snippets\n. {\n import s\n}", files, ". { whoami }");
    check_files(". {\n log {\n  import /abs/option\n }\n}", files, ". { log { class all; } }");
    check_files(". {\n import {$NOPE}common\n}", files, ". { log; errors }");
    check_files("{$IMPORT} more/block", files, "b { log; errors }");
    check_files("a,\nimport keys\n{\n log\n}", files, "a x y { log }");
    check_files("a import keys {\n log\n}", files, "a import keys { log }");
}

#[test]
fn a_pattern_imports_all_that_match_in_order() {
    let files =
        [("/etc/coredns/d/b", "errors"), ("/etc/coredns/d/a", "log"), ("/etc/coredns/d/.c", "whoami")];
    check_files(". {\n import d/*\n}", files, ". { whoami; log; errors }");
    check_files(". {\n import d/?\n}", files, ". { log; errors }");
    check_files(". {\n import none/*.conf\n whoami\n}", files, ". { whoami }");
    let config = parse_files(". {\n import none/*.conf\n whoami\n}", []).unwrap();
    assert_eq!(config.warnings[0].message, "No files matching import glob pattern: none/*.conf");
}

#[test]
fn what_cannot_be_imported_is_refused() {
    let files = [("/etc/coredns/d/a", "log"), ("/etc/coredns/self", "log\nimport self\n")];
    let refused = |line: &str, message: &str| {
        let text = format!(". {{\n {line}\n}}");
        refused_files(&text, files, &[&format!("Corefile:2 - Error during parsing: {message}")]);
    };
    refused("import nope", "File to import not found: nope");
    refused("import d", "Could not import /etc/coredns/d: is a directory");
    refused("import", "Wrong argument count or unexpected line ending after 'import'");
    refused("import a b", "Import takes only one argument (glob pattern or file)");
    refused("import {$EMPTY}", "Import requires a non-empty filepath");
    refused(
        "import d/**",
        "Glob pattern may only contain one wildcard (*), but has others: /etc/coredns/d/**",
    );
    refused(
        "import d/[ab]",
        "Glob pattern may only contain one wildcard (*), but has others: /etc/coredns/d/[ab]",
    );
    refused("import d/[a", "Failed to use import pattern d/[a: syntax error in pattern");
    refused_files(
        ". {\n import self\n}",
        files,
        &["/etc/coredns/self:2 - Error during parsing: maximum file import depth (10000) exceeded"],
    );
    refused_files(
        ". {\n import Corefile\n}",
        [("/etc/coredns/Corefile", "whoami")],
        &["/etc/coredns/Corefile:2 - Error during parsing: maximum file import depth (10000) exceeded"],
    );
}

#[test]
fn errors_in_imported_files_name_these() {
    refused_files(
        ". {\n import common\n import common\n}",
        [("/etc/coredns/common", "\nbogus\n")],
        // Told once, though it comes twice.
        &["/etc/coredns/common:2 - Error during parsing: Unknown directive 'bogus'"],
    );
}

#[test]
fn imports_of_imports_end_at_a_limit() {
    // Each snippet doubles the one before: 2^20 expansions if nobody counted.
    let mut text = "(s0) {\n log\n}\n".to_owned();
    for level in 1..20 {
        let below = level - 1;
        text += &format!("(s{level}) {{\n import s{below}\n import s{below}\n}}\n");
    }
    text += ". {\n import s19\n}\n";
    let refused = parse_files(&text, []).unwrap_err();
    assert_eq!(refused.errors[0].message, "maximum snippet import depth (10000) exceeded");
}

#[test]
fn blocks_nested_without_end_are_refused() {
    let deep = format!(". {{\n log {}\n", "{ a ".repeat(10_000));
    assert!(parse_files(&deep, []).is_err());
    let closed = format!(". {{\n log {}{}\n}}", "{\na ".repeat(1_000), "\n}".repeat(1_000));
    let refused = parse_files(&closed, []).unwrap_err();
    assert_eq!(refused.errors[0].message, "blocks are nested deeper than 32");
}

#[test]
fn the_fingerprint_is_that_of_coredns() {
    // The value that CoreDNS 1.14.7's `reload` logs for this file.
    let config = parse_files(FINGERPRINTED, []).unwrap();
    assert_eq!(config.fingerprint_hex(), FINGERPRINT);
    assert_eq!(parse_files("", []).unwrap().fingerprint_hex().len(), 128);
    let of = |text: &str| parse_files(text, []).unwrap().fingerprint;
    assert_eq!(of(". {\n log # x\n}"), of(". {\n log # y\n}"));
    assert_ne!(of(". {\n log\n}"), of(". {\n\n log\n}"));
}

const FINGERPRINTED: &str = r#"a:10530 b:10540 {
    bind 127.0.0.1
    reload
    errors # x
    log {
        class error
    }
    log {$KEY} "<{type}> & {name}"
    whoami
}
"#;
const FINGERPRINT: &str = concat!(
    "edc5167203eba7c20b9085c90fb1d2152e4398055c11076fdae270b9fb78b1a4",
    "7cdc8f5ffaeaa311ce8e7abda3af8e4ab52b8e6ebca92b9f2fb080b0827a1c91",
);

#[test]
fn whatever_the_bytes_parsing_ends_without_panic() {
    let corpus = [
        ". {\n cache 30 {\n  success 100\n }\n log\n}\n",
        "(s) {\n log \"a \\\" b\" {$KEY}\n}\na:53, b {\n import s\n import d/*\n}\n",
        "\u{feff}tls://.:853\r\n{\r\n whoami#x log\r\n}\r\n10.0.0.0/22 {\n hosts {\n  1.2.3.4 a\n }\n}\n}",
        "a\nforward . 1.1.1.1 {\n import d/a\n}\n",
    ];
    let pieces: [&[u8]; 16] = [
        b"{",
        b"}",
        b"\n",
        b"\"",
        b"\\",
        b" ",
        b"#",
        b"\r",
        b"{$",
        b"{%",
        b"%}",
        b"import s\n",
        b"\xff",
        b"\xc3\xa9",
        b"\0",
        b",",
    ];
    let loader =
        Memory::new([("/etc/coredns/d/a", "log {\nclass all\n}"), ("/etc/coredns/d/b", "import ../d/*\n}")]);
    // A fixed sequence: the failing text is found again by its number.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    for round in 0..3_000 {
        let mut text = corpus[round % corpus.len()].as_bytes().to_vec();
        for _ in 0..=random(8) {
            let at = random(text.len() + 1);
            match random(3) {
                0 => drop(text.splice(at..at, pieces[random(pieces.len())].iter().copied())),
                1 => text.truncate(at),
                _ => drop(text.splice(at..(at + random(9)).min(text.len()), [])),
            }
        }
        let input = Input {
            name: "Corefile",
            text: &text,
            loader: &loader,
            environment: &environment,
            vocabulary: None,
        };
        match parse_corefile(&input) {
            Ok(config) => {
                assert!(
                    !config.blocks.is_empty() && config.blocks.iter().all(|block| !block.keys.is_empty())
                );
                for warning in &config.warnings {
                    assert!(!warning.render(&config.sources).to_string().is_empty());
                }
                for block in &config.blocks {
                    let _ = crate::config::addresses(block, 53);
                }
            }
            Err(refused) => assert!(!refused.errors.is_empty() && !refused.to_string().is_empty()),
        }
    }
}
