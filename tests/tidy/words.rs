//! What files are called, how long they are, and the words that may stand in them.

use super::source::{self, Kind, Token};
use super::{File, files, hold, rust_files, server_files};

/// How many lines a file may have before it is looked at for a second noun.
const LINES_MAX: usize = 600;

/// Longer files, each with the reason why it is one thing.
const LONG_FILES: &[(&str, &str)] = &[];

/// The files that may have `unsafe`: each call of it carries a SAFETY line, which clippy holds.
const UNSAFE_FILES: &[&str] = &[
    "src/log/writer.rs",
    "src/net/ahead.rs",
    "src/net/clock.rs",
    "src/net/kill.rs",
    "src/net/mmsg.rs",
    "src/net/mmsg_tests.rs",
    "src/net/peer.rs",
    "src/net/priority.rs",
    "src/net/rights.rs",
    "src/net/sampler.rs",
    "src/net/socket.rs",
];

/// Folders with programs of their own, which talk to the kernel as they please and are no part of the server.
const TOOLS: &[&str] = &["benches/", "fuzz/"];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "data", "info", "item", "items", "manager"];

/// Files of tests that may sleep, each with the reason why no event will do.
const SLEEPING_TESTS: &[(&str, &str)] = &[
    ("src/plugins/forward/tests/queries.rs", "looks again at an upstream's health, which nothing announces"),
    ("src/upstream/tests/health.rs", "looks again at a counter that nothing announces"),
    ("src/upstream/tests/sharing.rs", "waits out the patience with an upstream"),
];

fn is_tool(file: &File) -> bool {
    TOOLS.iter().any(|folder| file.path.starts_with(folder))
}

fn word(token: &Token) -> Option<&str> {
    match &token.kind {
        Kind::Word(word) => Some(word),
        _ => None,
    }
}

#[test]
fn files_are_short_or_have_a_reason() {
    let mut offences = Vec::new();
    for file in rust_files() {
        let lines = file.text.lines().count();
        let listed = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MAX && !listed {
            offences.push(format!("{}: {lines} lines", file.path));
        }
        if lines <= LINES_MAX && listed {
            offences.push(format!("{}: is listed as long, and is not", file.path));
        }
    }
    hold("a file over 600 lines has a second noun in it, or a reason", offences);
}

#[test]
fn names_say_what_is_inside() {
    let offences = rust_files()
        .iter()
        .flat_map(|file| {
            let parts = file.path.trim_end_matches(".rs").split('/').map(str::to_owned).collect::<Vec<_>>();
            let path = file.path.clone();
            parts.into_iter().filter(|part| EMPTY_NAMES.contains(&part.as_str())).map(move |_| path.clone())
        })
        .collect();
    hold("files and folders are named after one noun or one mechanism", offences);
}

#[test]
fn unsafe_code_stands_in_the_listed_files_only() {
    let mut offences = Vec::new();
    let mut unused: Vec<&str> = UNSAFE_FILES.to_vec();
    for file in rust_files().iter().filter(|file| !is_tool(file)) {
        for token in file.tokens() {
            if word(&token) == Some("unsafe") {
                unused.retain(|path| *path != file.path);
                if !UNSAFE_FILES.contains(&file.path.as_str()) {
                    offences.push(format!("{}:{}", file.path, token.line));
                }
            }
        }
    }
    offences.extend(unused.iter().map(|path| format!("{path}: is listed, and has none")));
    hold("unsafe code has its list of files", offences);
}

#[test]
fn nothing_is_left_undone() {
    // Spelled in two halves, so that this file does not find itself.
    let forbidden: Vec<String> = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X:"),
        ("#[ig", "nore"),
        ("to", "do!("),
        ("unimple", "mented!("),
        ("db", "g!("),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect();
    let mut offences = Vec::new();
    for file in files("", &[".rs", ".md", ".toml", ".sh", "Corefile.example", "/test", ".ci/run"]) {
        for (i, line) in file.text.lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word.as_str())) {
                offences.push(format!("{}:{}: {}", file.path, i + 1, line.trim()));
            }
        }
    }
    hold("what is not done is not promised in a comment", offences);
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    let forbidden: Vec<String> =
        ["work", "root", "home"].iter().map(|folder| format!("/{folder}/")).collect();
    let begins =
        |line: &str, at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
    let mut offences = Vec::new();
    for file in files("", &[".rs", ".md", ".toml", ".sh", ".service", "Corefile.example", "/test", ".ci/run"])
    {
        for (i, line) in file.text.lines().enumerate() {
            if forbidden.iter().any(|path| line.match_indices(path.as_str()).any(|(at, _)| begins(line, at)))
            {
                offences.push(format!("{}:{}: {}", file.path, i + 1, line.trim()));
            }
        }
    }
    hold("the repository does not know the machine it was written on", offences);
}

#[test]
fn tests_wait_for_events_not_for_time() {
    let mut offences = Vec::new();
    for file in rust_files().iter().filter(|file| !is_tool(file)) {
        if SLEEPING_TESTS.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        let tokens = file.tokens();
        let inside = source::in_test_module(&tokens);
        for (i, token) in tokens.iter().enumerate() {
            let called = tokens.get(i + 1).is_some_and(|t| t.kind == Kind::Sign('('));
            if matches!(word(token), Some("sleep")) && called && (file.is_test() || inside[i]) {
                offences.push(format!("{}:{}", file.path, token.line));
            }
        }
    }
    for (path, _) in SLEEPING_TESTS {
        if !files("", &[path]).iter().any(|f| f.tokens().iter().any(|t| word(t) == Some("sleep"))) {
            offences.push(format!("{path}: is listed, and does not sleep"));
        }
    }
    hold("a test waits for what it wants to see", offences);
}

/// Whether what comes after `before` stands in the list `metrics: &[…]` of a plugin's SPEC, whose names another test compares.
fn in_list_of_spec(before: &[Token]) -> bool {
    let list = before.iter().rposition(|t| t.kind == Kind::Sign('['));
    list.is_some_and(|at| {
        at >= 3
            && !before[at..].iter().any(|t| t.kind == Kind::Sign(']'))
            && word(&before[at - 3]) == Some("metrics")
    })
}

#[test]
fn metrics_are_named_in_one_place() {
    let mut offences = Vec::new();
    for file in server_files() {
        if file.path == "src/metrics/names.rs" || file.is_test() {
            continue;
        }
        let tokens = file.tokens();
        let inside = source::in_test_module(&tokens);
        for (i, token) in tokens.iter().enumerate() {
            if let Kind::Text(text) = &token.kind
                && text.starts_with("coredns_")
                && !inside[i]
                && !in_list_of_spec(&tokens[..i])
            {
                offences.push(format!("{}:{}: {text}", file.path, token.line));
            }
        }
    }
    hold("the names of metrics stand in src/metrics/names.rs alone", offences);
}
