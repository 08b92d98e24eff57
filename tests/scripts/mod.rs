//! Scripts: a Corefile, what its upstreams say, and what is asked, answered and logged while time passes, one file each, `*.dns` beside
//! this one. CONTRIBUTING.md tells how to write one.
//!
//! They run in this process, through the real router, chain and forwarder. Time is the script's: it stands still but for the steps that
//! move it, so an hour takes no time, and seconds can be counted. Only the way to the upstreams is the kernel's loopback, and a script
//! waits for what comes that way, never for time.

mod player;
mod script;
mod text;
mod upstream;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::support::PATIENCE;
use script::Script;

/// Where in a script it failed, and what was expected there.
#[derive(Debug)]
struct Failure {
    line: usize,
    text: String,
}

impl Failure {
    fn new(line: usize, text: impl Into<String>) -> Self {
        Self { line, text: text.into() }
    }
}

#[test]
fn scripts_end_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let only = std::env::var("SCRIPT").ok();
    let mut names: Vec<String> = fs::read_dir(folder.as_path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| {
            name.strip_suffix(".dns").is_some_and(|stem| only.as_ref().is_none_or(|only| only == stem))
        })
        .collect();
    names.sort();
    assert!(!names.is_empty(), "SCRIPT names no script of tests/scripts/");
    let mut failures = Vec::new();
    for name in &names {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        if let Err(failure) = play(&text) {
            failures.push(format!("tests/scripts/{name}:{}: {}", failure.line, failure.text));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} scripts fail\n\n{}\n",
        failures.len(),
        names.len(),
        failures.join("\n\n")
    );
}

/// Plays the script `text` on a thread of its own, as its clock is the thread's.
fn play(text: &str) -> Result<(), Failure> {
    let script = Script::parse(text)?;
    let at = Arc::new(AtomicUsize::new(0));
    let reached = Arc::clone(&at);
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || {
        let outcome = std::panic::catch_unwind(|| player::play(&script, &reached));
        let _ = done.send(outcome.unwrap_or_else(|panic| {
            let line = reached.load(Ordering::Relaxed);
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(Failure::new(line, text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")))
        }));
    });
    let in_vain = |_| Err(Failure::new(at.load(Ordering::Relaxed), "this step waits in vain"));
    end.recv_timeout(PATIENCE).unwrap_or_else(in_vain)
}

/// What the script `text` fails with, as `LINE: text`.
#[track_caller]
fn check_failure(text: &str, expected: &str) {
    let failure = play(text).expect_err("the script is wrong");
    let got = format!("{}: {}", failure.line, failure.text);
    assert_eq!(got, expected);
}

#[test]
fn a_script_that_fails_says_where_and_what_it_got() {
    let corefile =
        "corefile\n    .:53 {\n        hosts /dev/null {\n            10.0.0.1 a.test\n        }\n    }\n";
    check_failure(
        &format!("{corefile}query a.test. A\n    NOERROR aa rd\n    answer a.test. 60 A 10.0.0.1\n"),
        "7: the answer is not as it says\n  expected\n    NOERROR aa rd\n    answer a.test. 60 A 10.0.0.1\n  got\n    \
         NOERROR aa rd\n    answer a.test. 3600 A 10.0.0.1",
    );
    check_failure(
        &format!("{corefile}log\n    [INFO] something\n"),
        "7: what was logged is not as it says\n  expected\n    [INFO] something\n  got",
    );
}

#[test]
fn what_is_no_script_is_refused_with_its_line() {
    check_failure("    an indented line\n", "1: a script begins with a step, at the beginning of a line");
    check_failure("# why\n\nsleep 5s\n", "3: there is no step `sleep`");
    check_failure("query a.test. A\n    NOERROR\n", "1: no `corefile` came before this step");
    check_failure("advance 5x\n", "1: `5x` is no time: a number and ms, s, m or h");
    check_failure("asked one 1\n", "1: there is no upstream `one`");
    check_failure("upstream one\n    NOERROR\n    answer @ 60 MX 10\n", "3: no record: `answer @ 60 MX 10`");
    check_failure(
        "corefile\n    . {\n        nothing\n    }\n",
        "1: the Corefile is refused: Corefile:2 - Error during parsing: Unknown directive 'nothing'",
    );
}
