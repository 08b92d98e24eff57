//! Instructions an answer takes from bytes to bytes, counted by callgrind: the same on a noisy machine as on a quiet one, so that a later
//! change can be held against it.
//!
//! `cargo bench --bench instructions` runs itself under valgrind with two numbers of queries and prints the difference for one. The
//! figures stand in benches/README.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its table")]

use std::process::{Command, ExitCode};

use waypost::server::Answer;

#[path = "scenario.rs"]
mod scenario;

/// Queries of the shorter and the longer run: in both every name was asked often enough that caches have settled.
const RUNS: [usize; 2] = [40_000, 60_000];

fn main() -> ExitCode {
    if let (Some(name), Some(count)) = (std::env::var("SCENARIO").ok(), std::env::var("QUERIES").ok()) {
        ask(&name, count.parse().expect("QUERIES is a number"));
        return ExitCode::SUCCESS;
    }
    println!("| scenario | instructions an answer |\n|---|---|");
    for scenario in scenario::ALL {
        match RUNS.map(|queries| counted(scenario.name, queries)) {
            [Some(short), Some(long)] => {
                println!("| {} | {} |", scenario.name, (long - short) / (RUNS[1] - RUNS[0]) as u64);
            }
            _ => {
                eprintln!("valgrind does not run here; it is in Debian's package valgrind");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn ask(name: &str, queries: usize) {
    let scenario = scenario::ALL.iter().find(|s| s.name == name).expect("SCENARIO names one");
    let mut prepared = scenario.prepare();
    for turn in 0..queries {
        assert!(matches!(prepared.ask(turn), Answer::Bytes(_)), "{name} is answered at once");
    }
}

/// Runs this binary under callgrind and returns the instructions it says it collected.
fn counted(name: &str, queries: usize) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .env("SCENARIO", name)
        .env("QUERIES", queries.to_string())
        .stdout(std::process::Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}:\n{text}");
    let line = text.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok()
}
