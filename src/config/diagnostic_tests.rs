//! Tests of the rendering of diagnostics.

use super::*;
use crate::config::source::FileId;

fn sources(text: &str) -> SourceMap {
    let mut sources = SourceMap::default();
    sources.add("Corefile", text);
    sources
}

fn span(line: u32, column: u32, length: u32) -> Span {
    Span { file: FileId::MAIN, line, column, length }
}

#[test]
fn an_error_shows_coredns_s_line_the_place_the_source_a_caret_and_help() {
    let sources = sources(". {\n    forwrd . 8.8.8.8\n}\n");
    let error = Diagnostic::error(span(2, 5, 6), "Unknown directive 'forwrd'")
        .choices("forwrd", &["file", "forward"])
        .note(span(1, 1, 1), "in this block");
    let expected = "\
Corefile:2 - Error during parsing: Unknown directive 'forwrd'
  --> Corefile:2:5
   |
 2 |     forwrd . 8.8.8.8
   |     ^^^^^^
   = help: did you mean 'forward'?
   = note: in this block
  --> Corefile:1:1
   |
 1 | . {
   | ^";
    assert_eq!(error.render(&sources).to_string(), expected);
}

#[test]
fn tabs_and_control_characters_do_not_move_the_caret_or_reach_the_terminal() {
    let sources = sources("\twho\u{1b}[31mami\n");
    let error = Diagnostic::bare(span(1, 2, 3), "x").in_plugin("tls").in_plugin("tls");
    let expected =
        "plugin/tls: plugin/tls: x\n  --> Corefile:1:2\n   |\n 1 | \twho\u{fffd}[31mami\n   | \t^^^";
    assert_eq!(error.render(&sources).to_string(), expected);
}

#[test]
fn of_a_very_long_line_only_the_part_around_the_caret_is_shown() {
    let sources = sources(&"x".repeat(70_000));
    let shown = Diagnostic::error(span(1, 60_000, 10_000), "x").render(&sources).to_string();
    assert!(shown.lines().all(|line| line.len() < 200), "{shown}");
    assert!(shown.ends_with('^'));
}

#[test]
fn a_span_outside_the_text_is_shown_without_panic() {
    let sources = sources("ab\n");
    for place in [span(1, 1_000, 5), span(9, 9, 9), span(0, 0, 0), span(1, u32::MAX, u32::MAX)] {
        assert!(!Diagnostic::error(place, "x").render(&sources).to_string().is_empty());
    }
}

#[test]
fn wordings_are_those_of_coredns() {
    let sources = sources("x\n");
    let place = span(1, 1, 1);
    let check = |diagnostic: Diagnostic, expected: &str| assert_eq!(diagnostic.headline(&sources), expected);
    check(Diagnostic::error(place, "m"), "Corefile:1 - Error during parsing: m");
    check(
        Diagnostic::syntax(place, "x", "{"),
        "Corefile:1 - Syntax error: Unexpected token 'x', expecting '{'",
    );
    check(Diagnostic::bare(place, "m").in_plugin("hosts"), "plugin/hosts: m");
    check(
        Diagnostic::bare(place, "m").located().in_plugin("hosts"),
        "plugin/hosts: Corefile:1 - Error during parsing: m",
    );
    check(Diagnostic::warning(place, "m"), "Corefile:1 - Warning: m");
    check(Diagnostic::warning(place, "m").in_plugin("hosts"), "plugin/hosts: Corefile:1 - Warning: m");
    check(Diagnostic::warning(place, "m").unlocated(), "Corefile:1 - Warning: m");
}

#[test]
fn a_warning_in_the_log_says_so_once_and_where_unless_coredns_says_it_too() {
    let sources = sources("x\n");
    let warning = Diagnostic::warning(span(1, 1, 1), "m");
    let check = |warning: Diagnostic, expected: &str| assert_eq!(warning.log_line(&sources), expected);
    check(warning.clone(), "m (Corefile:1)");
    check(warning.clone().in_plugin("hosts"), "plugin/hosts: m (Corefile:1)");
    check(warning.unlocated().in_plugin("hosts"), "plugin/hosts: m");
}

#[test]
fn findings_are_sorted_by_line_and_those_of_a_line_stay_as_they_are() {
    let finding = |line: u32, column: u32| Diagnostic::error(span(line, column, 1), "m");
    let mut findings = [finding(3, 1), finding(1, 9), finding(2, 5), finding(2, 2)];
    sort_by_place(&mut findings);
    let places: Vec<(u32, u32)> = findings.iter().map(|f| (f.span.line, f.span.column)).collect();
    assert_eq!(places, [(1, 9), (2, 5), (2, 2), (3, 1)]);
}

#[test]
fn only_slips_are_corrected() {
    let names = ["cache", "forward", "log", "hosts", "any", "tls"];
    let check = |found: &str, expected: Option<&str>| {
        assert_eq!(did_you_mean(found, names), expected, "{found}");
    };
    check("forwrd", Some("forward"));
    check("froward", Some("forward"));
    check("Cache", Some("cache"));
    check("host", Some("hosts"));
    check("lgo", Some("log"));
    check("kubernetes", None);
    check("x", None);
    check("", None);
    check(&"a".repeat(100_000), None);
}

#[test]
fn json_names_the_file_and_the_place() {
    let sources = sources("x\n");
    let json =
        serde_json::to_value(Diagnostic::error(span(1, 1, 1), "m").help("h").to_json(&sources)).unwrap();
    let expected = serde_json::json!({
        "severity": "error", "headline": "Corefile:1 - Error during parsing: m", "message": "m",
        "file": "Corefile", "line": 1, "column": 1, "length": 1, "help": ["h"], "notes": [],
    });
    assert_eq!(json, expected);
}
